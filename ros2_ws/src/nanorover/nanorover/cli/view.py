"""``nanorover view``: look at the robot, in the page it serves or in rerun."""

from pathlib import Path
from typing import Annotated

import typer

from nanorover.cli import refuse_unfit_file, say
from nanorover.cli.up import start
from nanorover.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(view)


def view(
    bag: Annotated[Path | None, typer.Argument(help="with --rerun: a recording instead of the live robot")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 opens the page to the network, with a token")] = "",
    port: Annotated[int | None, typer.Option(help="TCP port of the page")] = None,
    namespace: Annotated[str, typer.Option(help="namespace of the robot")] = "",
    rerun: Annotated[bool, typer.Option("--rerun", help="show or export with rerun instead of the page")] = False,
    out: Annotated[
        Path | None, typer.Option(help="with --rerun: the .rrd file to write; of a recording by default here")
    ] = None,
) -> None:
    """Serve the page of a robot that runs already: map, scan, camera, health; goals, driving, stop."""
    if not rerun:
        if bag is not None:
            raise InputError("a recording is shown with --rerun", f"nanorover view --rerun {bag}")
        if out is not None:
            raise InputError("--out is the file that --rerun writes", "add --rerun, or leave it out")
        given = {"view_host": host, "view_port": "" if port is None else str(port), "namespace": namespace}
        start("view", given)
    if host or port is not None:
        raise InputError("--host and --port are the page's, not rerun's", "leave them out")
    if out is not None:
        refuse_unfit_file("--out", out, ".rrd")
    if bag is None:
        from nanorover.programs import become_program

        become_program("live_view", namespace, *([str(out)] if out else []))
    from nanorover.view.rerun_export import export

    path = out or Path(bag.stem).with_suffix(".rrd")
    counts = export(bag, path)
    say(f"{path}: {', '.join(f'{n} {name}' for name, n in counts.items())}; open it with: rerun {path}")
