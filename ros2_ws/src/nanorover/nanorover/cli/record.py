"""``nanorover record``: what happens on the robot, into a bag; and bags that ended in a power loss, mended."""

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from nanorover.cli import say
from nanorover.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(record)


def record(
    topics: Annotated[
        list[str] | None, typer.Argument(help="topics beside those of the topic table; '*' for all")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder for recordings (default: recordings; with --recover where the damaged bag is)"),
    ] = None,
    params_file: Annotated[Path | None, typer.Option(help="parameters of node 'recorder'")] = None,
    recover: Annotated[
        Path | None, typer.Option(help="write a whole copy of a damaged rosbag2, <name>_recovered, and stop")
    ] = None,
) -> None:
    """Record the robot's topics as rosbag2 (mcap, zstd, pictures as JPEG) until Ctrl-C.

    A bag that was cut off needs no mending for the tools of this project; --recover makes it whole for others.
    """
    if recover is not None:
        if topics or params_file is not None:
            raise InputError("--recover mends a bag and records nothing", "leave out topics and --params-file")
        _recover(recover, out)
        return
    _record(topics or [], out, params_file)


def _recover(path: Path, folder: Path | None) -> None:
    from nanorover.replay.recorder import recover

    if not path.exists():
        raise InputError(f"{path} does not exist", "give the folder or the .mcap file of a recording")
    path = path.resolve()  # "." has a name too
    whole = (folder or path.parent) / f"{path.stem}_recovered"
    say(f"writing {whole}; --out FOLDER writes it elsewhere")
    count, problems = recover(path, whole)
    for line in problems.lines():
        say(f"  {line}")
    say(f"{count} messages recovered into {whole}")


def _record(topics: list[str], out: Path | None, params_file: Path | None) -> NoReturn:
    from nanorover import params
    from nanorover.programs import become_program
    from nanorover.replay.recorder import RecorderParams

    changed: dict[str, object] = {"topics": tuple(topics)} if topics else {}
    if out is not None:
        changed["folder"] = str(out)
    params.load(RecorderParams, "recorder", params_file, **changed)  # says what is wrong before a node starts
    arguments = ["--now", "--ros-args"]
    if params_file is not None:
        arguments += ["--params-file", str(params_file)]
    for name, value in changed.items():
        arguments += ["-p", f"{name}:={json.dumps(value)}"]
    become_program("record", *arguments)  # a Ctrl-C ends the bag in order
