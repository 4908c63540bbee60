"""``nanorover replay``: recordings through the components in lock-step, against references and truth."""

import json
import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nanorover.checkout import REPLAY_REFERENCES
from nanorover.cli import console, say, was_given
from nanorover.errors import InputError
from nanorover.files import make_folder

if TYPE_CHECKING:
    from nanorover.replay.cases import Case, Result
    from nanorover.replay.logs import Reading

# The parameters that hold for the replay through nodes.
FOR_NODES = ("recordings", "out", "ros", "speed", "as_json")


class Stamps(str, Enum):
    """By what a record is dated: its own header, or its time of arrival."""

    header = "header"
    received = "received"


TopicChoices = Annotated[
    list[str] | None, typer.Option(metavar="ROLE=TOPIC", help="a topic in place of the one chosen by type")
]
WheelTopics = Annotated[
    tuple[str, str, float, float, float] | None,
    typer.Option(
        metavar="LEFT RIGHT M M SEPARATION",
        help="odometry from two topics of wheel velocities: metres per unit of each, wheel separation",
    ),
]
ClockChoice = Annotated[Stamps, typer.Option(help="which stamps count")]


def reading_of(
    topic: list[str] | None, wheels: tuple[str, str, float, float, float] | None, clock: Stamps
) -> "Reading":
    """How to read a bag, from the options of these types; raises InputError for a choice that names no topic."""
    from nanorover.base.kinematics import Track
    from nanorover.replay.logs import Reading, Wheels
    from nanorover.replay.topics import parse_choices

    if wheels and not (wheels[4] > 0.0 and all(map(math.isfinite, wheels[2:]))):
        raise InputError(
            f"--wheels: {' '.join(map(str, wheels[2:]))} are no wheels", "a separation is positive, in m"
        )
    made = Wheels(*wheels[:4], Track(wheels[4])) if wheels else None
    return Reading(parse_choices(topic or []), made, clock.value)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    context: typer.Context,
    recordings: Annotated[list[Path], typer.Argument(help="bags (rosbag2, ROS 1) and CARMEN logs")],
    out: Annotated[Path, typer.Option(help="where the report goes")] = Path("out/replay"),
    references: Annotated[
        Path | None,
        typer.Option(help="folder of the references", show_default="those of this checkout"),
    ] = None,
    update_references: Annotated[
        bool, typer.Option("--update-references", help="what comes out now is right from now on")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="processes to use")] = 1,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="run on a Ray cluster; 'local' starts one here")
    ] = None,
    topic: TopicChoices = None,
    wheels: WheelTopics = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="COMPONENT", help="leave out lidar, detector, fusion or planner")
    ] = None,
    clock: ClockChoice = Stamps.header,
    ros: Annotated[bool, typer.Option("--ros", help="play into the real nodes instead, with /clock")] = False,
    speed: Annotated[float, typer.Option(min=0.01, help="with --ros: multiple of real time")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Replay recordings in one process: deterministic, faster than real time, compared field by field.

    Exit code 1 when something differs from its reference, 2 when a recording cannot be read.
    """
    given = [p for p in context.params if was_given(context, p)]
    unfit = [p for p in given if p not in FOR_NODES] if ros else [p for p in given if p == "speed"]
    if unfit:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in unfit)
        raise InputError(f"{words}: not {'with' if ros else 'without'} --ros", "leave it out")
    make_folder(out)
    if ros:
        _through_nodes(recordings, out, speed, as_json)
    from nanorover.replay.cases import DIFFERS, FAILED, Case, check_references
    from nanorover.replay.verdict import text_report, write_verdict

    reading = reading_of(topic, wheels, clock)
    folder = references or REPLAY_REFERENCES
    cases = [Case(path, folder, update_references, reading, tuple(without or ())) for path in recordings]
    cases[0].rows()  # says what is wrong before anything starts
    check_references(cases, wanted=references is not None)
    results = _results(cases, workers, ray)
    page = write_verdict(results, out)
    if as_json:
        print(json.dumps({"cases": [result.as_dict() for result in results], "report": str(page)}))
    else:
        print(text_report(results), end="")
        say(f"report: {page}")
    statuses = {result.status for result in results}
    raise typer.Exit(2 if FAILED in statuses else 1 if DIFFERS in statuses else 0)


def _results(cases: "list[Case]", workers: int, ray: str | None) -> "list[Result]":
    from rich.progress import track

    from nanorover.replay.many import on_cores, on_ray

    streams = on_ray(cases, ray) if ray is not None else on_cores(cases, workers)
    hidden = not console.is_terminal
    return list(track(streams, "replaying", total=len(cases), console=console, transient=True, disable=hidden))


def _through_nodes(recordings: list[Path], out: Path, speed: float, as_json: bool) -> NoReturn:
    """The same recordings through real node processes, at a multiple of real time."""
    from nanorover.programs import become_program

    arguments = [*map(str, recordings), "--out", str(out), "--speed", str(speed)]
    arguments += ["--json"] if as_json else []
    become_program("replay", *arguments)
