"""What the lidar driver costs and how late its scans are, through a real pseudo terminal.

Reports, asserts nothing on speed: ``pytest tests/bench/test_lidar_bench.py -s``.
"""

import datetime
import os
import platform
import time

import numpy as np
import pytest

from nanorover import params
from nanorover.lidar.device import Lidar
from nanorover.lidar.emulator import G4
from nanorover.lidar.params import LidarParams
from nanorover.lidar.pty_server import PtyServer
from nanorover.lidar.worlds import read_world

SECONDS = float(os.environ.get("NANOROVER_BENCH_S", "4"))


@pytest.mark.parametrize(("rate_khz", "frequency_hz"), [(9, 10.0), (4, 7.0)])
def test_cost_and_latency(rate_khz: int, frequency_hz: float) -> None:
    scans: list[tuple[float, float]] = []  # (when it was given, how late)
    with PtyServer(G4(read_world(None))) as server:
        settings = params.load(
            LidarParams, "lidar", port=server.path, rate_khz=rate_khz, frequency_hz=frequency_hz
        )
        started_s = time.monotonic()
        with Lidar(
            settings, lambda r: scans.append((time.monotonic(), 1e-9 * (time.time_ns() - r.arrival_ns)))
        ) as lidar:
            while not scans:
                time.sleep(0.001)
            time.sleep(1.0)
            clock = time.pthread_getcpuclockid(lidar.thread_id)
            cpu_s, wall_s = time.clock_gettime(clock), time.monotonic()
            time.sleep(SECONDS)
            cpu_s, wall_s = time.clock_gettime(clock) - cpu_s, time.monotonic() - wall_s
    late_ms = 1e3 * np.array([late_s for given_s, late_s in scans if given_s > scans[0][0] + 1.0])
    print(
        f"\n{datetime.datetime.now():%Y-%m-%d} {platform.machine()}, {os.cpu_count()} cores, {rate_khz} kHz, "
        f"{frequency_hz:g} Hz: reader thread {100 * cpu_s / wall_s:.2f} % of one core; first scan after "
        f"{scans[0][0] - started_s:.2f} s; last byte to scan {np.median(late_ms):.2f} ms median, "
        f"{np.percentile(late_ms, 95):.2f} ms 95th percentile"
    )
    assert len(late_ms) > 0.8 * SECONDS * frequency_hz
