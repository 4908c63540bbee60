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


def flaser(stamp: str, beams: int = 180, laser: str = "", base: str = "1.0 2.0 0.5") -> str:
    ranges = " ".join(f"{1 + 0.01 * i:.2f}" for i in range(beams))
    return f"FLASER {beams} {ranges} {laser or base} {base} {stamp} host 3.5\n"


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
    assert (scan.angle_min_rad, scan.angle_increment_rad, scan.range_max_m) == pytest.approx((-1.5, 0.75, 59.99))
    assert scan.T_base_laser == pytest.approx([0.1, 0.0, 0.0])
    assert odometry.T_odom_base == pytest.approx([1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("beams", "first_deg", "step_deg"), [(401, -50, 0.25), (541, -135, 0.5), (1081, -135, 0.25)]
)
def test_flaser_of_a_laser_that_sees_no_half_circle(tmp_path, beams, first_deg, step_deg):
    log = CarmenLog(write(tmp_path / "a.clf", flaser("1.0", beams)))
    _, scan = list(log)
    angles_deg = np.degrees([scan.angle_min_rad, scan.angle_increment_rad])
    assert angles_deg == pytest.approx([first_deg, step_deg])
    assert log.problems.lines()[0].startswith(
        f"1 × field of view that the log does not say: {beams} beams taken as"
    )


def test_poses_that_another_program_has_corrected_are_no_mounting(tmp_path):
    lines = [flaser(f"{k}.0", laser=f"{k} 0.1 0.2", base=f"{1.1 * k} 0 0") for k in range(1, 9)]
    log = CarmenLog(write(tmp_path / "a.log", *lines))
    records = list(log)
    assert all((r.T_base_laser == 0).all() for r in records if isinstance(r, LaserScan))
    assert [r.T_odom_base[0] for r in records if isinstance(r, Odometry)] == pytest.approx(1.1 * np.arange(1, 9))
    assert "corrected poses" in log.problems.lines()[0]


@pytest.mark.parametrize("nothing", ["5.60", "8.19"])
def test_a_greatest_reading_in_many_directions_means_that_nothing_came_back(tmp_path, nothing):
    rng = np.random.default_rng(1)
    lines = []
    for k in range(40):
        ranges = np.where(rng.random(180) < 0.2, float(nothing), rng.uniform(1, float(nothing) - 0.02, 180))
        printed = " ".join(f"{r:.2f}" for r in ranges)
        lines.append(f"FLASER 180 {printed} 0 0 0 0 0 0 {k}.0 host 1.0\n")
    log = CarmenLog(write(tmp_path / "a.log", *lines))
    scans = [r for r in log if isinstance(r, LaserScan)]
    returned = [(s.ranges_m < s.range_max_m) for s in scans]
    assert all(
        (back == (s.ranges_m < float(nothing) - 0.015)).all() for s, back in zip(scans, returned, strict=True)
    )
    assert log.problems.lines() == [
        f"1 × greatest reading, {float(nothing):g} m, taken as no return (first: all scans)"
    ]
    walls = [line.replace(f" {nothing}", " 1.50") for line in lines]
    assert not list(CarmenLog(write(tmp_path / "b.log", *walls)))[1].range_max_m < 80


def robotlaser(geometry: str, ranges: str, count: int) -> str:
    poses = "1.1 0.0 0.0 1.0 0.0 0.0 0.2 0.1 0.5 0.3 10000"
    return f"ROBOTLASER1 0 {geometry} 0.01 1 {count} {ranges} 0 {poses} 1234.000002 host 8.1\n"


def test_a_stated_greatest_range_is_no_wall_however_it_was_rounded(tmp_path):
    _, scan = list(CarmenLog(write(tmp_path / "a.log", robotlaser("-1.5 3.0 0.75 5.6", "1.0 5.58 5.60 5.59", 4))))
    assert (scan.ranges_m < scan.range_max_m).tolist() == [True, True, False, False]


def test_angles_in_degrees_are_named(tmp_path):
    log = CarmenLog(write(tmp_path / "a.log", robotlaser("-90 180 1.0 80", "1 2 3 4 5 6 7 8 9 10", 10)))
    assert list(log) == []
    assert "go more than round: are they degrees?" in log.problems.lines()[0]


def test_raw_scans_go_with_the_odometry_beside_them(tmp_path):
    lines = [
        "ODOM 1.0 2.0 0.5 0.1 0.0 0.0 3.0 host 3.0\n",
        "RAWLASER1 0 -1.5 3.0 0.75 80.0 0.01 1 4 1.0 2.0 3.0 4.0 0 3.1 host 3.1\n",
        "ODOM 1.1 2.0 0.5 0.1 0.0 0.0 3.2 host 3.2\n",
    ]
    log = CarmenLog(write(tmp_path / "a.log", *lines))
    before, scan, after = list(log)
    assert (before.stamp_ns, scan.stamp_ns, after.stamp_ns) == (3_000_000_000, 3_100_000_000, 3_200_000_000)
    assert after.T_odom_base == pytest.approx([1.1, 2.0, 0.5])
    assert scan.ranges_m.tolist() == [1.0, 2.0, 3.0, 4.0] and not log.problems
    both = CarmenLog(write(tmp_path / "b.log", *lines, flaser("4.0")))
    assert [r.stamp_ns for r in both] == [4_000_000_000] * 2, "they count where there are some"


def test_what_is_in_the_log_but_not_used_is_said(tmp_path):
    rear = CarmenLog(write(tmp_path / "a.log", *[flaser(f"{k}.0").replace("FLASER", "RLASER") for k in range(3)]))
    assert not list(rear)
    assert rear.problems.lines() == ["3 × RLASER line, which is not read (first: all of them)"]
    offset = CarmenLog(write(tmp_path / "b.log", "PARAM robot_frontlaser_offset 0.05 1.0 h 1.0\n", flaser("1.0")))
    assert len(list(offset)) == 2
    assert "robot_frontlaser_offset 0.05 not used" in offset.problems.lines()[0]
    indented = CarmenLog(write(tmp_path / "c.log", "  " + flaser("1.0").replace(" ", "\t")))
    assert len(list(indented)) == 2 and not indented.problems


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
    assert 100 < scans < 2999
    assert log.problems.counts


def test_nothing_to_read(tmp_path):
    (tmp_path / "zero.clf").write_bytes(b"")
    with pytest.raises(InputError, match="zero.clf is empty"):
        open_log(tmp_path / "zero.clf")
    with pytest.raises(InputError, match="does not exist"):
        open_log(tmp_path / "none.clf")
    (tmp_path / "bad.clf.bz2").write_bytes(b"BZh9" + b"\x00" * 40)
    with pytest.raises(InputError, match="bad.clf.bz2"):
        list(open_log(tmp_path / "bad.clf.bz2"))
