"""``nanorover bench replay``: how much faster than real time the shipped recordings are replayed."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import typer

from nanorover.cli import console, results
from nanorover.cli.bench import AsJson
from nanorover.machine import one_core


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    as_json: AsJson = False,
) -> None:
    """Recorded seconds per second of CPU time, in one process: all components, then without the detector."""
    from rich.table import Table

    from nanorover.sim.recordings import RECORDINGS

    machine = one_core()
    rows = []
    with tempfile.TemporaryDirectory() as nowhere, console.status("replaying"):
        for recording in RECORDINGS:
            x = [_speed(recording.path, Path(nowhere), left_out) for left_out in ((), ("detector",))]
            rows.append({"recording": recording.name, "all_x": x[0], "without_detector_x": x[1]})
    result: dict[str, Any] = {"machine": machine, "date": time.strftime("%Y-%m-%d"), "recordings": rows}
    if as_json:
        print(json.dumps(result))
        return
    table = Table("recording", "all components", "without the detector", title=f"{machine}, {result['date']}")
    for row in rows:
        table.add_row(str(row["recording"]), f"{row['all_x']:.1f} ×", f"{row['without_detector_x']:.1f} ×")
    results().print(table)


def _speed(recording: Path, references: Path, without: tuple[str, ...]) -> float:
    from nanorover.errors import InputError
    from nanorover.replay import cases

    result = cases.replay(cases.Case(recording, references, without=without))
    if result.status == cases.FAILED:
        raise InputError(result.message)
    return round(result.duration_s / result.cpu_s, 1)
