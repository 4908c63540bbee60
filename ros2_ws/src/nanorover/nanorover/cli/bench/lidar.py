"""``nanorover bench lidar``: what the driver costs and how late its scans are, through a pseudo terminal."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from nanorover.machine import processor

# Rate in kHz and frequency in Hz; the first is the one that the budgets are for.
MODES = ((9, 10.0), (9, 5.0), (4, 7.0), (8, 12.0))
SETTLING_S = 1.0  # after the first scan
BUDGETS = {"reader_percent": 1.5, "first_scan_s": 2.0, "latency_ms_median": 5.0}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lidar)


def lidar(
    seconds: Annotated[float, typer.Option(help="time per measurement", min=1.0)] = 20.0,
    modes: Annotated[int, typer.Option(help="how many modes of the lidar", min=1, max=len(MODES))] = len(MODES),
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Cost of the reader thread, time to the first scan, and latency from a revolution's last byte to its scan.

    The emulated lidar runs in a process of its own. The budgets are for the first mode.
    """
    result: dict[str, Any] = {
        "machine": f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "budgets": BUDGETS,
    }
    with _emulator() as port:
        result["modes"] = [_measured(port, rate, frequency, seconds) for rate, frequency in MODES[:modes]]
    if as_json:
        print(json.dumps(result))
        return
    print(f"{result['machine']}, {result['date']}")
    for row in result["modes"]:
        print(", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in row.items()))


@contextlib.contextmanager
def _emulator() -> Iterator[str]:
    """The port of an emulated G4."""
    with tempfile.TemporaryDirectory() as folder:
        link = str(Path(folder) / "g4")
        command = [sys.executable, "-c", "from nanorover.cli import main; main()", "emulate", "g4", "--link", link]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as emulator:
            assert emulator.stdout is not None
            emulator.stdout.readline()  # it says its port once that exists
            try:
                yield link
            finally:
                emulator.terminate()


def _measured(port: str, rate_khz: int, frequency_hz: float, seconds: float) -> dict[str, float]:
    import numpy as np

    from nanorover import params
    from nanorover.lidar.assemble import Revolution
    from nanorover.lidar.device import Lidar
    from nanorover.lidar.params import LidarParams

    given_s, late_ms = [], []

    def take(revolution: Revolution) -> None:
        given_s.append(time.monotonic())
        late_ms.append((time.time_ns() - revolution.arrival_ns) / 1e6)

    settings = params.load(LidarParams, "lidar", port=port, rate_khz=rate_khz, frequency_hz=frequency_hz)
    started_s = time.monotonic()
    with Lidar(settings, take) as device:
        while not given_s:
            time.sleep(0.01)
        time.sleep(SETTLING_S)
        clock, settled = time.pthread_getcpuclockid(device.thread_id), len(given_s)
        cpu_s, wall_s = time.clock_gettime(clock), time.monotonic()
        time.sleep(seconds)
        cpu_s, wall_s = time.clock_gettime(clock) - cpu_s, time.monotonic() - wall_s
    return {
        "rate_khz": rate_khz,
        "frequency_hz": frequency_hz,
        "reader_percent": round(100 * cpu_s / wall_s, 2),
        "first_scan_s": round(given_s[0] - started_s, 2),
        "latency_ms_median": round(float(np.median(late_ms[settled:])), 2),
        "latency_ms_p95": round(float(np.percentile(late_ms[settled:], 95)), 2),
    }
