"""The classic logs through the command line: figures, files, and what happens to bad input."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from bag_samples import room_drive, write_mcap

from data import recording
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.mapping.map_files import load_map
from nanorover.replay.messages import Encoder
from nanorover.replay.writer import BagWriter
from nanorover.slam.offline import map_recording
from nanorover.slam.params import slam_params


def nanorover(*arguments, **options):
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "odometry", "trans_m", "rot_deg"),
    [
        ("fr079", True, 0.031, 0.46),
        ("fr079", False, 0.031, 0.46),
        ("intel", True, 0.015, 0.25),
        ("intel", False, 0.015, 0.25),
    ],
)
def test_a_log_becomes_a_map(tmp_path, log, odometry, trans_m, rot_deg):
    done = nanorover(
        "slam",
        recording(f"slam/{log}.clf.bz2"),
        "--relations",
        recording(f"slam/{log}.relations"),
        "--out",
        tmp_path,
        "--json",
        *([] if odometry else ["--no-odometry"]),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["relations"]["trans_m_mean"] < trans_m
    assert result["relations"]["rot_deg_mean"] < rot_deg
    assert set(result["scan_ms"]) >= {"p50", "p99", "max"}
    grid = load_map(tmp_path / "map.yaml")
    assert (grid.cells == 100).sum() > 2000
    assert (tmp_path / "map.png").stat().st_size > 10_000
    lines = (tmp_path / "trajectory.tum").read_text().splitlines()
    assert len(lines) == result["scans"]
    assert np.isfinite(np.array([line.split() for line in lines], dtype=float)).all()
    assert json.loads((tmp_path / "result.json").read_text())["scans"] == result["scans"]


def test_a_bag_of_two_lasers_and_two_clocks_is_read_as_told(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for record in room_drive(20):
            if isinstance(record, LaserScan):
                _, msgtype, data = Encoder().encode(record)
                for topic in ("/left", "/right"):
                    writer.write_raw(topic, msgtype, data, record.stamp_ns)
            elif isinstance(record, Odometry):
                writer.write(dataclasses.replace(record, stamp_ns=record.stamp_ns % 10**12), record.stamp_ns)
    command = ["slam", tmp_path / "bag", "--out", tmp_path, "--json"]
    refused = nanorover(*command)
    assert refused.returncode == 2
    assert "--clock received" in refused.stderr
    done = nanorover(*command, "--clock", "received", "--topic", "scan=/right")
    result = json.loads(done.stdout)
    assert result["topics"] == {"scan": "/right", "odom": "/odom"}
    assert result["other_topics"] == {"scan": ["/left"], "odom": []}
    assert result["odometry"]


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        (0, ["the recording has no odometry that is known as such; mapped from the scans alone"]),
        (1, ["25 × scan with no odometry close enough in time"]),
        (30, []),
    ],
)
def test_it_is_said_where_odometry_was_missing(tmp_path, heard, said):
    drive = list(room_drive(3))
    left_out = [record for record in drive if isinstance(record, Odometry)][heard:]
    write_mcap(tmp_path / "bag", iter([r for r in drive if r not in left_out]))
    result = map_recording(tmp_path / "bag", slam_params(), out=tmp_path / "out")
    assert result["problems"] == said
    assert result["odometry"] == (heard > 0)
    unwanted = map_recording(tmp_path / "bag", slam_params(), out=tmp_path / "out", use_odometry=False)
    assert unwanted["problems"] == []


def test_it_is_said_that_the_wheels_never_moved(tmp_path):
    drive = (
        dataclasses.replace(r, T_odom_base=np.ones(3)) if isinstance(r, Odometry) else r for r in room_drive(3)
    )
    write_mcap(tmp_path / "bag", drive)
    result = map_recording(tmp_path / "bag", slam_params(), out=tmp_path / "out")
    assert result["problems"] == ["the odometry says that the robot never moved; mapped from the scans alone"]


@pytest.mark.parametrize(
    ("content", "named"), [(b"", "is empty"), (b"nothing of use\n", "holds no usable LaserScan")]
)
def test_bad_input_ends_with_code_2_and_a_sentence(tmp_path, content, named):
    (tmp_path / "a.clf").write_bytes(content)
    done = nanorover("slam", tmp_path / "a.clf", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
