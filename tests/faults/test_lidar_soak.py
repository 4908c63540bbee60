"""The driver on a real pseudo terminal for long, with a fault every few seconds: nothing undamaged is lost.

A short form runs with all tests; longer ones, also in real time, by the variables below.
"""

import os
import threading
from functools import partial
from itertools import pairwise

import numpy as np
from lidar_rig import ROOM, settings, wait_until

from nanorover.lidar.assemble import Revolution
from nanorover.lidar.device import Lidar
from nanorover.lidar.emulator import G4
from nanorover.lidar.faults import Fault
from nanorover.lidar.pty_server import PtyServer
from nanorover.lidar.status import OK, WARN

REVOLUTIONS = int(os.environ.get("NANOROVER_SOAK_REVOLUTIONS", "2000"))
SPEED = float(os.environ.get("NANOROVER_SOAK_SPEED", "12"))  # multiple of real time
ROUNDS = int(os.environ.get("NANOROVER_SOAK_ROUNDS", "4"))
CLEAN_REVOLUTIONS = 15  # between two faults
# Every fault that a scanning device can have, how long it lasts, and what is said of it; those that break the
# connection in turn with the others.
FAULTS = [
    ("disconnect", 0.3, "vanished"),
    ("bit_errors", 0.5, ""),
    ("reboot", 0.3, "fell silent"),
    ("stuck", 1.0, "the motor stood still"),
    ("silence", 0.8, "fell silent"),
    ("lost_bytes", 0.5, ""),
    ("disconnect", 0.3, "vanished"),
    ("truncated", 0.5, ""),
    ("reboot", 0.3, "fell silent"),
    ("garbage", 0.5, ""),
]
BREAKING = ("disconnect", "reboot", "silence")


def test_thousands_of_revolutions_with_a_bad_line_every_few_seconds(tmp_path):
    kinds = ["bit_errors", "lost_bytes", "truncated", "garbage"]
    seconds = REVOLUTIONS / 10.0
    faults = [Fault(kinds[i % 4], 3.0 + 3.0 * i, 0.3) for i in range(int(seconds / 3) + 2)]
    count = [0, 0]

    def take(revolution: Revolution) -> None:
        count[0] += 1
        count[1] += len(revolution.scan.ranges_m) != 400

    with PtyServer(G4(ROOM, rate_khz=4, faults=faults), link=tmp_path / "g4", speed=SPEED) as server:
        with Lidar(settings(port=server.path, rate_khz=4), take) as lidar:
            wait_until(lambda: count[0] >= REVOLUTIONS, "all revolutions", 60 + 5 * seconds / SPEED)
            sent, damaged = server.g4.packets_sent, server.g4.packets_damaged
            wait_until(lambda: lidar.status().packets >= sent - damaged, "every undamaged packet arrives")
            status = lidar.status()
        assert server.lost_bytes == 0
        assert damaged > REVOLUTIONS / 10
        assert status.reconnects == 0 and count[1] == 0
        assert status.level in (OK, WARN)


def assert_whole_and_in_a_row(revolutions: list[Revolution]) -> None:
    """No revolution is missing between the first and the last, and each shows the room."""
    starts_s = [revolution.scan.stamp_ns / 1e9 for revolution in revolutions]
    assert all(abs(b - a - 0.1) < 0.01 for a, b in pairwise(starts_s)), np.diff(starts_s)
    bearing_rad = -np.pi + np.arange(900) * 2 * np.pi / 900
    truth_m = ROOM.ranges(np.zeros(900), -bearing_rad)
    for revolution in revolutions:
        assert abs(revolution.samples - 900) < 30
        error_m = np.abs(revolution.scan.ranges_m - truth_m)
        assert np.isfinite(revolution.scan.ranges_m).mean() > 0.98 and np.median(error_m) < 0.01


def test_every_kind_of_fault_again_and_again(tmp_path):
    """Always back with whole scans in a row, no thread or descriptor left behind, the cause named."""
    revolutions: list[Revolution] = []
    with PtyServer(G4(ROOM), link=tmp_path / "g4") as server:
        with Lidar(settings(port=server.path), revolutions.append) as lidar:

            def back(until_s: float, reconnects: int) -> bool:
                """The fault is over, the connection mended, the motor up to speed again."""
                over = server.device_s() > until_s and lidar.status().reconnects >= reconnects
                return over and abs(revolutions[-1].frequency_hz - 10.0) < 0.2

            wait_until(lambda: revolutions, "scans")
            threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
            for i in range(ROUNDS):
                kind, duration_s, words = FAULTS[i % len(FAULTS)]
                reconnects = lidar.status().reconnects + (kind in BREAKING)
                at_s = server.device_s() + 0.1
                server.g4.add_fault(Fault(kind, at_s, duration_s))
                wait_until(partial(back, at_s + 1.0, reconnects), f"well after {kind}, round {i}", 30)
                first = len(revolutions) + 5
                end = first + CLEAN_REVOLUTIONS
                wait_until(lambda end=end: len(revolutions) >= end, f"scans after {kind}, round {i}")
                assert_whole_and_in_a_row(revolutions[first:end])
                assert words in lidar.status().last_fault
                del revolutions[:-1]
            assert threading.active_count() == threads
            assert len(os.listdir("/proc/self/fd")) == descriptors
        assert not server.g4.scanning
