"""CARMEN logs: geometry, stamps, mountings, and damage."""

import bz2
import gzip
import math

import numpy as np
import pytest

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.carmen import CarmenLog
from nanorover.replay.logs import open_log
from nanorover.slam.offline import map_recording
from nanorover.slam.params import slam_params


def flaser(stamp: str, beams: int = 180, laser="1.0 2.0 0.5", base="1.0 2.0 0.5") -> str:
    ranges = " ".join(f"{1 + 0.01 * i:.2f}" for i in range(beams))
    return f"FLASER {beams} {ranges} {laser} {base} {stamp} host 3.5\n"


def write(path, *lines: str):
    path.write_text("# CARMEN Logfile\nPARAM robot_length 1 0 h 0\n" + "".join(lines))
    return path


@pytest.mark.parametrize(
    ("beams", "first_deg", "last_deg"), [(180, -90, 89), (181, -90, 90), (360, -90, 89.5), (361, -90, 90)]
)
def test_flaser_geometry(tmp_path, beams, first_deg, last_deg):
    odometry, scan = list(CarmenLog(write(tmp_path / "a.clf", flaser("1215.570657", beams))))
    assert isinstance(odometry, Odometry)
    assert isinstance(scan, LaserScan)
    assert scan.stamp_ns == odometry.stamp_ns == 1_215_570_657_000
    assert len(scan.ranges_m) == beams
    assert scan.ranges_m[2] == pytest.approx(1.02)
    last = scan.angle_min_rad + (beams - 1) * scan.angle_increment_rad
    assert math.degrees(scan.angle_min_rad) == pytest.approx(first_deg)
    assert math.degrees(last) == pytest.approx(last_deg)
    assert odometry.T_odom_base == pytest.approx([1.0, 2.0, 0.5])
    assert (scan.T_base_laser == 0).all()


def test_the_mounting_is_what_lies_between_the_two_poses(tmp_path):
    line = flaser("5.000001", laser="1.0 2.2 1.57079633", base="1.0 2.0 1.57079633")
    _, scan = list(CarmenLog(write(tmp_path / "a.log", line)))
    assert scan.T_base_laser == pytest.approx([0.2, 0.0, 0.0], abs=1e-6)


def test_robotlaser(tmp_path):
    ranges, remissions = "1.0 2.0 3.0 81.83", "7 7"
    line = (
        f"ROBOTLASER1 0 -1.5 3.0 0.75 60.0 0.01 1 4 {ranges} 2 {remissions} "
        "1.1 0.0 0.0 1.0 0.0 0.0 0.2 0.1 0.5 0.3 10000 1234.000002 host 8.1\n"
    )
    odometry, scan = list(CarmenLog(write(tmp_path / "a.log", line)))
    assert scan.stamp_ns == 1_234_000_002_000
    assert scan.ranges_m == pytest.approx([1.0, 2.0, 3.0, 81.83])
    assert (scan.angle_min_rad, scan.angle_increment_rad, scan.range_max_m) == pytest.approx((-1.5, 0.75, 60.0))
    assert scan.T_base_laser == pytest.approx([0.1, 0.0, 0.0])
    assert odometry.T_odom_base == pytest.approx([1.0, 0.0, 0.0])


def test_bad_lines_are_counted_with_their_place_and_skipped(tmp_path):
    lines = [
        flaser("1.0"),
        "FLASER 180 1.0 2.0\n",
        "FLASER many 1.0\n",
        flaser("x.y"),
        flaser("2.0", base="1.0 nan 0.5"),
        "ODOM 1 2 3 0 0 0 1.5 h 1.5\n",
        flaser("0.5"),
    ]
    log = CarmenLog(write(tmp_path / "a.log", *lines))
    records = list(log)
    assert [r.stamp_ns for r in records if isinstance(r, LaserScan)] == [1_000_000_000, 500_000_000]
    assert log.problems.counts["unreadable FLASER line"] == 4
    assert log.problems.first_place["unreadable FLASER line"].startswith("line 4:")
    assert log.problems.counts["time stamp that runs backwards"] == 1
    assert log.summary.counts["LaserScan"] == 2


def test_what_is_unusual_is_counted_and_used_as_far_as_it_goes(tmp_path):
    lines = [
        flaser("1.0"),
        "HELLO 1 2\n",
        flaser("2.0").replace("180 1.00 1.01", "180 nan nan"),
        flaser("3.0", 90),
    ]
    log = CarmenLog(write(tmp_path / "a.log", *lines))
    scans = [r for r in log if isinstance(r, LaserScan)]
    assert [len(s.ranges_m) for s in scans] == [180, 180, 90]
    assert np.isposinf(scans[1].ranges_m[:2]).all() and np.isfinite(scans[1].ranges_m[2:]).all()
    assert log.problems.lines() == [
        "2 × range NaN taken as no return (first: line 5)",
        "1 × unknown message type (first: line 4: HELLO)",
        "1 × scan with another number of beams than the first (first: line 6)",
    ]


def test_an_odometry_jump_is_told(tmp_path):
    lines = [flaser(f"{k}.0", base=f"{30.0 * (k > 4)} 2.0 0.5") for k in range(1, 9)]
    result = map_recording(write(tmp_path / "a.log", *lines), slam_params(), out=tmp_path / "out")
    assert result["scans"] == 8 and result["problems"] == ["1 × odometry jump left out"]


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress])
def test_packed_logs_and_a_cut_end(tmp_path, pack):
    rng = np.random.default_rng(0)
    text = "".join(
        flaser(f"{k}.25", base=f"{rng.random()} {rng.random()} {rng.random()}") for k in range(1, 3000)
    ).encode()
    whole, cut = tmp_path / "whole.clf.bz2", tmp_path / "cut.clf.bz2"
    whole.write_bytes(pack(text))
    log = open_log(whole)
    assert sum(isinstance(r, LaserScan) for r in log) == 2999
    assert not log.problems
    cut.write_bytes(pack(text)[: len(pack(text)) * 3 // 4])
    log = open_log(cut)
    scans = sum(isinstance(r, LaserScan) for r in log)
    if log.problems:
        assert 100 < scans < 2999
        assert "damaged file, read up to there" in log.problems.counts


def test_nothing_to_read(tmp_path):
    (tmp_path / "zero.clf").write_bytes(b"")
    with pytest.raises(InputError, match="zero.clf is empty"):
        open_log(tmp_path / "zero.clf")
    with pytest.raises(InputError, match="does not exist"):
        open_log(tmp_path / "none.clf")
    (tmp_path / "bad.clf.bz2").write_bytes(b"BZh9" + b"\x00" * 40)
    with pytest.raises(InputError, match="bad.clf.bz2"):
        list(open_log(tmp_path / "bad.clf.bz2"))
