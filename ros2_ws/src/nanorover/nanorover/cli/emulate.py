"""``nanorover emulate``: devices made of bytes, for driver and robot without hardware."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from nanorover.cli import say
from nanorover.lidar.protocol import FASTEST_HZ, SLOWEST_HZ


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Emulated devices on pseudo terminals.")
    group.command()(g4)
    group.callback()(_group)
    app.add_typer(group, name="emulate")


def _group() -> None:
    """Emulated devices on pseudo terminals; any driver opens them like the real ones."""


def g4(
    link: Annotated[Path | None, typer.Option(help="make this symbolic link to the pseudo terminal")] = None,
    world: Annotated[
        Path | None, typer.Option(help="room as .yaml or recorded scans as .npz; a furnished room if not given")
    ] = None,
    rate: Annotated[int, typer.Option(help="thousand samples per second at power-up: 4, 8 or 9")] = 9,
    frequency: Annotated[
        float, typer.Option(help="revolutions per second at power-up", min=SLOWEST_HZ, max=FASTEST_HZ)
    ] = 10.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="KIND@SECONDS or KIND@SECONDS+DURATION; kinds: bit_errors, lost_bytes, truncated, garbage, "
            "stuck, silence, reboot, disconnect, health"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="of the rotation's jitter and of the faults", min=0)] = 0,
    speed: Annotated[float, typer.Option(help="multiple of real time", min=0.1, max=100.0)] = 1.0,
) -> None:
    """A YDLIDAR G4 on a pseudo terminal until Ctrl-C; prints the port to open."""
    from nanorover.errors import InputError
    from nanorover.lidar.emulator import G4
    from nanorover.lidar.faults import Fault
    from nanorover.lidar.protocol import RATES_KHZ
    from nanorover.lidar.pty_server import PtyServer
    from nanorover.lidar.worlds import read_world

    if rate not in RATES_KHZ:
        raise InputError(f"--rate {rate} is none of the device's", "choose " + ", ".join(map(str, RATES_KHZ)))
    faults = [Fault.parse(text) for text in fault or []]
    device = G4(read_world(world), rate_khz=rate, frequency_hz=frequency, faults=faults, seed=seed)
    ended = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: ended.set())
    with PtyServer(device, link, speed) as server:
        print(server.path, flush=True)
        say(f"a G4 at {rate} kHz and {frequency:g} Hz; Ctrl-C ends it")
        while not ended.wait(0.5):
            server.check()
    say(f"{device.packets_sent} packets sent, {device.packets_damaged} damaged on request")
