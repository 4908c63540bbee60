"""``nanorover slam``: a recording becomes a map."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from nanorover.cli import console
from nanorover.cli.replay import ClockChoice, Stamps, TopicChoices, WheelTopics, reading_of
from nanorover.files import make_folder

# Times are written to the microsecond; what lies further off than that is told.
ROUNDED_MS = 0.001


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(slam)


def slam(
    recording: Annotated[
        Path, typer.Argument(metavar="LOG", help="CARMEN log (.clf, .log, also .bz2, .gz), rosbag2 or ROS 1 bag")
    ],
    relations: Annotated[
        Path | None, typer.Option(help="hand-verified relations of the log: state the error against them")
    ] = None,
    no_odometry: Annotated[bool, typer.Option("--no-odometry", help="use the scans alone")] = False,
    topic: TopicChoices = None,
    wheels: WheelTopics = None,
    clock: ClockChoice = Stamps.header,
    out: Annotated[Path, typer.Option(help="where map, trajectory and result go")] = Path("out/slam"),
    params_file: Annotated[
        Path | None, typer.Option(help="YAML whose values replace the shipped parameters")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Map a recording as fast as the machine can: map.pgm, map.yaml, map.png, trajectory.tum, result.json."""
    from rich.progress import Progress

    from nanorover.slam.offline import map_recording
    from nanorover.slam.params import slam_params

    make_folder(out)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("mapping", total=None)
        result = map_recording(
            recording,
            slam_params(params_file),
            out=out,
            reading=reading_of(topic, wheels, clock),
            relations_path=relations,
            use_odometry=not no_odometry,
            on_progress=lambda scans: progress.update(task, description=f"mapping: {scans} scans"),
        )
    for line in result["problems"]:
        console.print(f"[yellow]problem:[/] {escape(line)}", soft_wrap=True)
    if as_json:
        print(json.dumps(result))
    else:
        _summarise(result, out)


def _summarise(result: dict, out: Path) -> None:
    """The result in words, on stdout."""
    ms = result["scan_ms"]
    lines = [
        f"{result['scans']} scans, {result['duration_s']:.0f} s, mapped in {result['cpu_s']:.2f} s"
        f" ({result['x_realtime']:.0f} × real time)",
        f"per scan: median {ms['p50']:.2f} ms, 99 % below {ms['p99']:.2f} ms, longest {ms['max']:.1f} ms;"
        f" memory {result['peak_rss_mb']:.0f} MB",
    ]
    lines += [_source(role, result) for role in result["topics"]]
    error = result.get("relations")
    if error:
        lines.append(
            f"error over {error['n']} of {error['given']} relations: {error['trans_m_mean']:.4f} ±"
            f" {error['trans_m_std']:.4f} m, {error['rot_deg_mean']:.3f} ± {error['rot_deg_std']:.3f}°"
        )
        if error["n"] < error["given"]:
            lines.append(f"{error['given'] - error['n']} relations have no scan at one of their times")
        if error["stamps_off_ms"] > ROUNDED_MS:
            lines.append(f"the relations' times are up to {error['stamps_off_ms']:.3g} ms off the scans'")
    typer.echo("\n".join([*lines, f"map, trajectory and result are in {out}"]))


def _source(role: str, result: dict) -> str:
    others = ", ".join(result["other_topics"][role])
    return f"{role} from {result['topics'][role]}" + (f" (not used: {others})" if others else "")
