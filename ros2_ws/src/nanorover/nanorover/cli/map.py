"""``nanorover map``: the map of the running robot, written and opened."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nanorover.cli import say
from nanorover.errors import InputError

# A map's keep-out zones are the planner's, which runs or does not; one that runs is found within so long.
PLANNER_PATIENCE_S = 3.0

Namespace = Annotated[str, typer.Option(help="namespace with which the robot was started")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="The map of the running robot, written and opened.")
    group.command("save")(save)
    group.command("open")(open_)
    app.add_typer(group, name="map")


def save(
    path: Annotated[
        Path, typer.Argument(help="a map's name without ending, a graph's whole; on the machine where SLAM runs")
    ],
    graph: Annotated[bool, typer.Option("--graph", help="write the graph, from which mapping can go on")] = False,
    namespace: Namespace = "",
) -> None:
    """Write the map that the robot has now: PATH.yaml and PATH.pgm, as Nav2's map_server does, and beside it
    PATH.zones.yaml, where there are keep-out zones."""
    if path.is_dir():
        raise InputError(f"{path} is a folder", f"name the map in it: {path / 'flat'}")
    service = "slam/serialize_map" if graph else "slam/save_map"
    named = {"path": str(path.absolute())}
    _ask(service, named, namespace)
    _ask("keep_out_zones/save", named, namespace, PLANNER_PATIENCE_S)


def open_(
    path: Annotated[Path, typer.Argument(help="map (.yaml) or graph")],
    mode: Annotated[
        str, typer.Option(help="localization in it, mapping on from a graph, or lifelong: both")
    ] = "localization",
    namespace: Namespace = "",
) -> None:
    """Let the robot go on in a map that was written before; it finds its place in it first."""
    _ask("keep_out_zones/open", {"path": str(path.absolute())}, namespace, PLANNER_PATIENCE_S)
    _ask("slam/set_mode", {"mode": mode, "path": str(path.absolute())}, namespace)


def _ask(service: str, fields: dict[str, Any], namespace: str, patience_s: float | None = None) -> None:
    """Print what the service says; InputError with its sentence where it refuses. With ``patience_s`` nobody need
    serve it, and nothing is said then."""
    import json

    from nanorover.bringup.run_state import RunState
    from nanorover.programs import run_program

    if patience_s is None and not RunState(namespace).running():
        say("no robot runs here by `nanorover up`; looking for one that was started otherwise")
    patience = [] if patience_s is None else [str(patience_s)]
    asked = run_program("ask", service, json.dumps(fields), namespace, *patience, capture_output=True)
    if asked.returncode:
        raise InputError(asked.stderr.strip() or "nothing was answered")
    if sentence := asked.stdout.strip():
        typer.echo(sentence)
