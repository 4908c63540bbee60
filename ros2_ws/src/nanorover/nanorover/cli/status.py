"""``nanorover status``: how the running robot is."""

import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from nanorover.cli import results

COLOURS = {"OK": "green", "WARN": "yellow", "ERROR": "red", "STALE": "magenta"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    namespace: Annotated[str, typer.Option(help="namespace with which the robot was started")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Show every node of the robot that `nanorover up` runs.

    The exit code is 0 if all are well, 1 if one is not, 3 if no robot runs. A node that warns (WARN) does its work
    and counts as well; ERROR, silence and a node that is not active do not.
    """
    from nanorover.bringup.run_state import RunState

    state = RunState(namespace)
    running = state.running()
    content = state.read() if running else {}
    if as_json:
        typer.echo(json.dumps({"running": running, **content}))
    elif running:
        _print(content)
    else:
        typer.echo("no robot runs here")
    nodes = content.get("nodes", {}).values()
    well = bool(nodes) and all(
        n["state"] in ("active", "running") and n["level"] not in ("ERROR", "STALE") for n in nodes
    )
    raise typer.Exit((0 if well else 1) if running else 3)


def _print(content: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("node", "state", "health", "restarts", "up", "says"):
        table.add_column(heading, justify="right" if heading in ("restarts", "up") else "left")
    for name, node in content.get("nodes", {}).items():
        level = node["level"] or "-"
        health = f"[{COLOURS[level]}]{level}[/]" if level in COLOURS else level
        table.add_row(
            name, node["state"], health, str(node["restarts"]), f"{node['up_s']:.0f} s", escape(node["message"])
        )
    out = results()
    mode, pid, log = (content.get(name) for name in ("mode", "pid", "log"))
    out.print(f"mode {mode}, process {pid}, logs in {log}", soft_wrap=True, markup=False)
    out.print(table)
