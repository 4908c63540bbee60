"""What the tests of the lidar share: settings, a world that remembers, a line without a port."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover import params
from nanorover.lidar.assemble import Revolution
from nanorover.lidar.emulator import G4
from nanorover.lidar.params import LidarParams
from nanorover.lidar.protocol import Command
from nanorover.lidar.stream import LidarStream
from nanorover.lidar.worlds import World, read_world

ROOM = read_world(None)


def settings(**overrides: Any) -> LidarParams:
    """The shipped parameters with some changed."""
    return params.load(LidarParams, "lidar", **overrides)


class Witness:
    """A world that remembers when the device truly looked where."""

    def __init__(self, world: World = ROOM) -> None:
        self.world = world
        self._asked: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []

    def ranges(self, stamp_s: NDArray[np.float64], bearing_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        self._asked.append((stamp_s, bearing_rad))
        return self.world.ranges(stamp_s, bearing_rad)

    @property
    def looks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times and counter-clockwise bearings of the samples; the device looks twice, the second counts."""
        second = self._asked[1 : len(self._asked) // 2 * 2 : 2]  # it may be looking just now
        stamp_s, clockwise_rad = (np.concatenate(part) for part in zip(*second, strict=True))
        return stamp_s, (math.pi - clockwise_rad) % (2 * math.pi) - math.pi


def time_errors_s(revolution: Revolution, world: Witness, start_ns: int) -> NDArray[np.float64]:
    """How far the rays' times are off, ``(2, N)``, 0 without return: by ``time_increment`` and by ``ray_time_s``.

    The truth is the look nearest in bearing within this turn; ``start_ns`` is the scan's time at the device's 0.
    """
    scan, (look_s, look_rad) = revolution.scan, world.looks
    bearing_rad = scan.angle_min_rad + np.arange(len(scan.ranges_m)) * scan.angle_increment_rad
    stamp_s = (scan.stamp_ns - start_ns) / 1e9
    line_s = stamp_s + np.arange(len(bearing_rad)) * scan.time_increment_s
    near = (look_s > line_s.min() - 0.02) & (look_s < line_s.max() + 0.02)
    errors = []
    for times_s in (line_s, stamp_s + revolution.ray_time_s):
        off = np.abs((bearing_rad[:, None] - look_rad[near] + math.pi) % (2 * math.pi) - math.pi)
        off[np.abs(times_s[:, None] - look_s[near]) > 0.3 * scan.scan_time_s] = 9.0
        nearest = off.argmin(axis=1)
        hit = (off.min(axis=1) < scan.angle_increment_rad / 2) & np.isfinite(scan.ranges_m)
        assert hit.mean() > 0.9
        errors.append(np.where(hit, times_s - look_s[near][nearest], 0.0))
    return np.array(errors)


def scanned(
    g4: G4,
    stream: LidarStream,
    seconds: float,
    seed: int = 0,
    delay_s: float = 0.0005,
    epoch_ns: int = 0,
) -> list[Revolution]:
    """Let the device scan and feed its bytes in reads of uneven length that come late by random delays."""
    random = np.random.default_rng(seed)
    g4.receive(Command.SCAN.encode(), 0.1)
    revolutions: list[Revolution] = []
    now_s = 0.1
    while now_s < seconds:
        now_s += random.uniform(0.002, 0.03)
        data = g4.transmit(now_s)
        late_s = now_s + (random.exponential(delay_s) if delay_s else 0.0)
        revolutions += stream.feed(data, epoch_ns + round(late_s * 1e9))
    return revolutions


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> None:
    """Wait for a condition; fails with ``what`` otherwise."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.005)
