"""What rerun is given to draw: a scan where it was seen, a recording as a file."""

import math
from pathlib import Path

import numpy as np
import pytest

from nanorover.geometry.scan import LaserScan
from nanorover.view.rerun_export import export, seen_points

RECORDING = Path(__file__).parents[1] / "recordings" / "apartment.mcap"


def test_a_scan_is_drawn_where_its_mounting_puts_it():
    scan = LaserScan(
        stamp_ns=0,
        ranges_m=np.array([2.0, np.inf, 0.01, 3.0], np.float32),
        angle_min_rad=0.0,
        angle_increment_rad=math.pi / 2,
        range_min_m=0.1,
        range_max_m=12.0,
        time_increment_s=0.0,
        scan_time_s=0.1,
        T_base_laser=np.array([0.5, 0.0, math.pi / 2]),
    )
    # The base looks along y of the map from (1, 1): its laser, half a metre ahead, looks along -x.
    seen = seen_points(scan, np.array([1.0, 1.0, math.pi / 2]))
    assert seen == pytest.approx(np.array([[-1.0, -1.5], [1.0, -4.5]]), abs=1e-6)


def test_a_recording_becomes_a_file(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed: ./scripts/setup view installs it")
    counts = export(RECORDING, tmp_path / "drive.rrd")
    assert counts["LaserScan"] > 100 and counts["Picture"] > 10
    assert (tmp_path / "drive.rrd").stat().st_size > 100_000
