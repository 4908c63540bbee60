"""``nanorover demo``: a recording played into the real nodes."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    recording: Annotated[
        Path | None,
        typer.Argument(help="rosbag2 (sqlite3, mcap), ROS 1 bag or CARMEN log; the shipped one if not given"),
    ] = None,
    out: Annotated[Path, typer.Option(help="where map, path and report go")] = Path("out/demo"),
    speed: Annotated[
        float | None, typer.Option(help="multiple of real time; as fast as it is digested if not given", min=0.01)
    ] = None,
    view: Annotated[bool, typer.Option("--view", help="watch live in the browser")] = False,
) -> None:
    """Play a recording into the real nodes, each its own process; ends with a map and a report to look at."""
    from nanorover.programs import become_program

    arguments = ["--out", str(out)]
    if recording is not None:
        arguments.append(str(recording))
    if speed is not None:
        arguments += ["--speed", str(speed)]
    if view:
        arguments.append("--view")
    become_program("demo", *arguments)
