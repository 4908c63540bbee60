"""``nanorover up``: the robot's processes, supervised."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from nanorover.tables import MODES


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(up)


def up(
    context: typer.Context,
    mode: Annotated[str, typer.Argument(help=f"one of {', '.join(MODES)}")] = "robot",
    view: Annotated[bool, typer.Option("--view", help="serve the page for the browser, as view:=true")] = False,
    show_args: Annotated[bool, typer.Option("--show-args", help="describe the arguments of the mode")] = False,
    log_dir: Annotated[Path | None, typer.Option(help="where the nodes' logs go")] = None,
) -> None:
    """Start the robot and keep it running until Ctrl-C or `nanorover stop`.

    Arguments follow as NAME:=VALUE, the same as for `ros2 launch`: nanorover up robot map:=office.yaml slam:=false
    """
    from nanorover.bringup import arguments

    words = list(context.args)
    if ":=" in mode or mode.startswith("--"):
        words.insert(0, mode)
        mode = "robot"
    if show_args:
        for argument in arguments.of_mode(mode).values():
            typer.echo(f"{argument.name} (default '{argument.default}')\n    {argument.described}")
        return
    given = arguments.split(words)
    if view:
        given["view"] = "true"
    start(mode, given, log_dir)


def start(mode: str, given: dict[str, str], log_dir: Path | None = None) -> NoReturn:
    """Run a mode until it ends, with its exit code; raises InputError where its logs cannot be written."""
    from nanorover.bringup import run
    from nanorover.cli import say
    from nanorover.files import make_folder

    log_base = log_dir or run.default_log_base()
    make_folder(log_base)
    raise typer.Exit(run.run(mode, given, log_base, say))
