"""``nanorover lidar``: live scans of the lidar, or a serial capture decoded."""

import json
import math
import queue
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nanorover.cli import console, refuse_unfit_file, say
from nanorover.errors import InputError

if TYPE_CHECKING:
    from nanorover.lidar.assemble import Revolution
    from nanorover.lidar.device import Lidar

# Without scans for this long the command gives up; until then the driver mends what it can.
PATIENCE_S = 20.0
LINES_BELOW_VIEW = 4  # scale and status, which may need two lines


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lidar)


def lidar(
    port: Annotated[str | None, typer.Option(help="serial port; that of the parameters if not given")] = None,
    frames: Annotated[
        int | None, typer.Option(help="stop after so many scans; runs until Ctrl-C if not given", min=1)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write the scans or samples to this .npz")] = None,
    decode: Annotated[Path | None, typer.Option(help="decode this raw serial capture instead")] = None,
    rate: Annotated[int | None, typer.Option(help="thousand samples per second: 4, 8 or 9")] = None,
    frequency: Annotated[float | None, typer.Option(help="revolutions per second, 5 to 12")] = None,
    params_file: Annotated[Path | None, typer.Option(help="ROS 2 parameter file")] = None,
    view: Annotated[bool, typer.Option("--view", help="draw the scans in the terminal")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Show what the lidar measures and how it is; without a lidar try `nanorover emulate g4`."""
    if out is not None:
        refuse_unfit_file("--out", out, ".npz")
    if decode is not None:
        if port is not None or view or frames is not None:
            raise InputError("--decode reads a file, it goes with --out and --json only", "leave the others out")
        result = _decode(decode, out)
    else:
        overrides = {"port": port, "rate_khz": rate, "frequency_hz": frequency}
        given = {name: value for name, value in overrides.items() if value is not None}
        result = _live(given, params_file, frames, out, view)
    if as_json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):>16}  {value}")


def _decode(capture_path: Path, out: Path | None) -> dict[str, Any]:
    from nanorover.lidar.record import read_capture, write_capture

    capture = read_capture(capture_path)
    if not len(capture.packets):
        raise InputError(f"no lidar packet in {capture_path}", "it is no capture of a YDLIDAR, or all damaged")
    if out is not None:
        write_capture(out, capture)
    return {
        "packets": len(capture.packets),
        "bad_checksums": capture.bad_checksums,
        "revolutions": capture.revolutions,
        "points": len(capture.revolution),
        "damaged_bytes": capture.damaged_bytes,
        "sample_bytes": capture.sample_bytes,
    }


def _live(
    overrides: dict[str, Any], params_file: Path | None, frames: int | None, out: Path | None, view: bool
) -> dict[str, Any]:
    from nanorover import params
    from nanorover.lidar.device import Lidar
    from nanorover.lidar.params import LidarParams
    from nanorover.lidar.record import write_scans

    settings = params.load(LidarParams, "lidar", params_file, **overrides)
    arrived: queue.SimpleQueue[Revolution] = queue.SimpleQueue()
    started_s = time.monotonic()
    kept: list[Revolution] = []
    with Lidar(settings, arrived.put) as device:
        say(f"{device.info} on {settings.port}")
        try:
            seen, first_s, last = _watch(device, arrived, frames, kept if out is not None else None, view)
        finally:
            status = device.status()
            if out is not None and kept:  # also where the lidar fell silent for good
                write_scans(out, kept)
    return {
        "port": settings.port,
        "device": status.device,
        "frames": seen,
        "beams": len(last.scan.ranges_m) if last else 0,
        "frequency_hz": _number(last.frequency_hz if last else math.nan),
        "scan_rate_hz": _number(status.scan_rate_hz),
        "first_scan_s": _number(first_s - started_s),
        "returns": len(last.range_m) if last else 0,
        "packets": status.packets,
        "bad_checksums": status.bad_checksums,
        "damaged_bytes": status.damaged_bytes,
        "dropped_packets": status.dropped_packets,
        "reconnects": status.reconnects,
        "status": status.sentence,
    }


def _watch(
    device: "Lidar",
    arrived: "queue.SimpleQueue[Revolution]",
    frames: int | None,
    kept: "list[Revolution] | None",
    view: bool,
) -> "tuple[int, float, Revolution | None]":
    """Take scans until there are enough or Ctrl-C; how many, when the first came, and the last."""
    from rich.live import Live
    from rich.text import Text

    from nanorover.lidar.draw import scan_picture

    seen, first_s, last, said = 0, math.nan, None, ""
    last_s = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the motor is stopped then, too
    with Live(console=console, auto_refresh=False, transient=not view) as live:
        try:
            while frames is None or seen < frames:
                try:
                    last = arrived.get(timeout=0.5)
                except queue.Empty:
                    said = _explain_silence(device, last_s, said)
                    continue
                last_s = time.monotonic()
                first_s = last_s if seen == 0 else first_s
                seen += 1
                if kept is not None:
                    kept.append(last)
                text = f"scan {seen}: {len(last.range_m)} returns, {last.frequency_hz:.2f} Hz; "
                text += device.status().sentence
                if view:
                    width, height = console.size
                    text = f"{scan_picture(last.scan, width - 1, height - LINES_BELOW_VIEW)}\n{text}"
                live.update(Text(text), refresh=True)
        except KeyboardInterrupt:
            console.print("stopped")
    return seen, first_s, last


def _explain_silence(device: "Lidar", last_s: float, said: str) -> str:
    """Say why no scan comes, once; raises InputError when it lasts too long."""
    sentence = device.status().sentence
    if time.monotonic() - last_s > PATIENCE_S:
        raise InputError(f"no scan for {PATIENCE_S:.0f} s: {sentence}")
    if sentence != said:
        say(sentence)
    return sentence


def _number(value: float) -> float | None:
    """A rounded number, or null where there is none: JSON knows no NaN."""
    return round(value, 3) if math.isfinite(value) else None
