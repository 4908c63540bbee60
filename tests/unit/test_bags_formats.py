"""Every format gives the same records, and what is written is read by others too."""

import ctypes
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
import zstandard
from bag_samples import (
    NS,
    START_NS,
    TYPES,
    drive,
    message,
    scan,
    transforms,
    write_mcap,
    write_ros1,
    write_rosbag2,
)
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader

from data import recording
from nanorover.base.kinematics import Track
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.logs import Reading, Wheels, open_log
from nanorover.replay.records import (
    CameraInfo,
    LidarBytes,
    Picture,
    StaticTransform,
    TrueBoxes,
    TrueMap,
    TrueObjects,
    TruePose,
    VelocityCommand,
)
from nanorover.replay.writer import BagWriter


def assert_same(found, expected):
    assert type(found) is type(expected)
    for name, value in vars(expected).items():
        other = getattr(found, name)
        if isinstance(value, (np.ndarray, float)):
            assert np.asarray(other, float) == pytest.approx(np.asarray(value, float), rel=1e-6), name
        else:
            assert other == value, name


def packed(path):
    target = path.parent.parent / f"{path.name}.zstd"
    target.write_bytes(zstandard.compress(path.read_bytes()))
    return target


def killed(path: Path) -> Path:
    """A copy of a sqlite3 file as a killed recorder leaves it: its second half in the log beside it."""
    left = path.with_name(f"left_{path.name}")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        half = database.execute("SELECT * FROM messages WHERE id > 50").fetchall()
        for write in ("DELETE FROM messages WHERE id > 50", "PRAGMA wal_checkpoint(TRUNCATE)"):
            database.execute(write)
            database.commit()
        database.executemany(f"INSERT INTO messages VALUES ({','.join('?' * len(half[0]))})", half)
        database.commit()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{left}{suffix}")
    return left


FORMATS = {
    "mcap": lambda folder: write_mcap(folder / "bag", drive()).parent,
    "mcap file": lambda folder: write_mcap(folder / "bag", drive()),
    "sqlite3": lambda folder: write_rosbag2(folder / "bag", drive()),
    "sqlite3, recorder killed": lambda folder: killed(next(write_rosbag2(folder / "bag", drive()).glob("*.db3"))),
    "sqlite3, packed messages": lambda folder: write_rosbag2(folder / "bag", drive(), "message"),
    "sqlite3, packed messages, by its file": lambda folder: next(
        write_rosbag2(folder / "bag", drive(), "message").glob("*.db3")
    ),
    "sqlite3, packed file": lambda folder: write_rosbag2(folder / "bag", drive(), "file"),
    "sqlite3, packed file, by its name": lambda folder: next(
        write_rosbag2(folder / "bag", drive(), "file").glob("*.db3.zstd")
    ),
    "mcap, packed file, by its name": lambda folder: packed(write_mcap(folder / "bag", drive())),
    "ROS 1": lambda folder: write_ros1(folder / "bag.bag", drive()),
    "ROS 1, many chunks, bz2": lambda folder: write_ros1(folder / "bag.bag", drive(), "bz2", 5000),
    "ROS 1, lz4": lambda folder: write_ros1(folder / "bag.bag", drive(), "lz4"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_records(name, tmp_path):
    log = open_log(FORMATS[name](tmp_path))
    for _ in range(2):  # a log can be read again
        records = [r for r in log if not isinstance(r, StaticTransform)]
        expected = list(drive())
        assert len(records) == len(expected)
        for found, wanted in zip(records, expected, strict=True):
            assert_same(found, wanted)
        assert log.summary.counts["LaserScan"] == log.summary.counts["Odometry"] == 50
        assert log.summary.duration_s == pytest.approx(4.9)


def every_record():
    T = np.eye(4)
    T[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # an optical frame
    T[:3, 3] = [0.1, 0.0, 0.2]
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)
    K = np.array([[200.0, 0.0, 160.0], [0.0, 201.0, 120.0], [0.0, 0.0, 1.0]])
    cells = np.array([[0, 100, -1], [-1, 0, 0]], dtype=np.int8)
    return [
        StaticTransform(START_NS, "base_link", "laser", np.eye(4)),
        StaticTransform(START_NS, "base_link", "camera_optical_frame", T),
        TrueMap(START_NS + 1, cells, 0.05, np.array([-1.0, 2.0, 0.5])),
        CameraInfo(START_NS + 2, 320, 240, K, np.array([0.1, -0.2, 0.0, 0.0, 0.0])),
        scan(START_NS + 3, time_increment_s=1e-4, scan_time_s=0.1, T_base_laser=np.zeros(3)),
        Odometry(START_NS + 4, np.array([1.0, -2.0, 3.0])),
        TruePose(START_NS + 5, np.array([1.0, -2.0, -3.0])),
        VelocityCommand(START_NS + 6, 0.3, -0.4),
        TrueObjects(
            START_NS + 6,
            ("chair 0", "person w1"),
            ("chair", "person"),
            np.array([[1.0, 2.0, 0.5], [-1.0, 0.25, -3.0]]),
            np.array([[0.5, 0.4, 0.9], [0.3, 0.5, 1.7]]),
        ),
        TrueBoxes(
            START_NS + 6,
            ("person", "cat"),
            np.array([[-0.5, -0.25, 0.0, 0.5], [0.1, 0.2, 0.3, 0.4]]),
            np.array([True, False]),
        ),
        TrueObjects(START_NS + 7, (), (), np.zeros((0, 3)), np.zeros((0, 3))),
        TrueBoxes(START_NS + 7, (), np.zeros((0, 4)), np.zeros(0, bool)),
        LidarBytes(START_NS + 7, bytes(range(256))),
        Picture(START_NS + 8, Picture(0, pixels.tobytes(), "rgb8", 8, 6).jpeg, "jpeg"),
    ]


def test_where_the_log_of_a_killed_recorder_cannot_be_read_it_is_said(tmp_path, small_disk):
    left = killed(next(write_rosbag2(tmp_path / "bag", drive()).glob("*.db3")))
    for suffix in ("", "-wal"):
        shutil.copy(f"{left}{suffix}", small_disk)
    remount_read_only = 32 | 1
    assert ctypes.CDLL(None).mount(None, str(small_disk).encode(), None, remount_read_only, None) == 0
    log = open_log(small_disk / left.name)
    assert sum(1 for _ in log) == 50
    assert any("recorder that was killed" in problem for problem in log.problems.counts)


def test_every_record_survives_writing_and_reading(tmp_path):
    path = write_mcap(tmp_path / "bag", iter(every_record()))
    for found, wanted in zip(open_log(path.parent), every_record(), strict=True):
        assert_same(found, wanted)


def test_others_read_what_is_written(tmp_path):
    path = write_mcap(tmp_path / "bag", iter(every_record()))
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        assert {c.topic for _, c, _ in reader.iter_messages()} == {
            "/tf_static", "/truth/map", "/camera/camera_info", "/scan", "/odom", "/truth/pose", "/cmd_vel",
            "/lidar/raw", "/camera/image_raw/compressed", "/truth/objects", "/truth/boxes",
        }  # fmt: skip
        compressions = {chunk.compression for chunk in reader.get_summary().chunk_indexes}
        assert compressions == {"zstd"}
    with Reader(path.parent) as bag:
        assert bag.message_count == 14
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability.name for c in bag.connections}
        assert durability["/tf_static"] == "TRANSIENT_LOCAL" and durability["/scan"] == "VOLATILE"
    information = yaml.safe_load((path.parent / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["message_count"] == 14 and information["storage_identifier"] == "mcap"
    assert information["starting_time"]["nanoseconds_since_epoch"] == START_NS


def test_a_rotated_bag_is_one_log_and_each_file_stands_alone(tmp_path):
    records = list(drive(60))
    with BagWriter(tmp_path / "bag") as writer:
        for i, record in enumerate(records):
            if i in (40, 80):
                writer.rotate()
            writer.write(record)
    files = sorted((tmp_path / "bag").glob("*.mcap"))
    assert len(files) == 3
    whole = [r.stamp_ns for r in open_log(tmp_path / "bag") if not isinstance(r, StaticTransform)]
    assert whole == [r.stamp_ns for r in records]
    for file in files:
        alone = open_log(file)
        assert [r.stamp_ns for r in alone if isinstance(r, StaticTransform)] == [records[1].stamp_ns]
        assert not alone.problems


def test_a_further_file_begins_with_what_still_holds(tmp_path):
    """And with that alone: hours of maps must fill neither the memory nor every file."""
    with BagWriter(tmp_path / "bag") as writer:
        for i in range(5):
            edges = [
                ("base_link", "laser", 0.1 * i, 0.0),
                *([("base_link", "camera", 0.5, 0.0)] if i == 0 else []),
            ]
            data = transforms(START_NS + i, *edges)
            writer.write_raw("/tf_static", "tf2_msgs/msg/TFMessage", data, START_NS + i)
            grid = TrueMap(START_NS + i, np.full((2, 2), i, np.int8), 0.05)
            writer.write(grid)
        writer.rotate()
        assert writer.files[1].counts == {"/tf_static": 2, "/truth/map": 1}
    again = list(open_log(tmp_path / "bag" / "bag_1.mcap"))
    assert {r.child: r.T_parent_child[0, 3] for r in again if isinstance(r, StaticTransform)} == pytest.approx(
        {"camera": 0.5, "laser": 0.4}
    )
    (standing,) = [r for r in again if isinstance(r, TrueMap)]
    assert (standing.cells == 4).all()


def test_a_scan_brings_its_mounting_along(tmp_path):
    mounted = scan(START_NS, T_base_laser=np.array([0.1, -0.05, 3.0]), frame_id="lidar_top")
    path = write_mcap(tmp_path / "bag", iter([mounted]))
    found = [r for r in open_log(path) if isinstance(r, LaserScan)]
    assert found[0].T_base_laser == pytest.approx(mounted.T_base_laser, abs=1e-12)


def test_pictures_in_raw_encodings():
    rgb = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    assert (Picture(0, rgb.tobytes(), "rgb8", 8, 6).rgb() == rgb).all()
    assert (Picture(0, rgb[:, :, ::-1].tobytes(), "bgr8", 8, 6).rgb() == rgb).all()
    grey = rgb[:, :, :1]
    assert (Picture(0, grey.tobytes(), "mono8", 8, 6).rgb() == grey).all()


@pytest.mark.parametrize(
    "name, scans, span_s",
    [
        ("bags/ozmehak_diffdrive_scan_wheels", 238, 23.66),
        ("bags/ydlidar_static_2022-05-07.bag", 190, 20.32),
        ("bags/hokuyo_people_leg_tracker_demo.bag", 1265, 125.99),
    ],
)
def test_real_recordings(name, scans, span_s):
    log = open_log(recording(name))
    ranges = np.concatenate([r.ranges_m for r in log if isinstance(r, LaserScan)])
    assert log.summary.counts["LaserScan"] == scans
    assert log.summary.duration_s == pytest.approx(span_s, abs=0.01)
    assert not np.isnan(ranges).any() and not (ranges == 0.0).any()
    assert np.isfinite(ranges).mean() > 0.25


def test_wheel_velocities_of_a_real_robot_become_odometry():
    path = recording("bags/ozmehak_diffdrive_scan_wheels")
    wheels = Wheels(
        "/actuators/esc/wheel_velocity_axis0", "/actuators/esc/wheel_velocity_axis1", 0.1, 0.1, Track(0.5)
    )
    log = open_log(path, Reading(wheels=wheels))
    odometry = [r for r in log if isinstance(r, Odometry)]
    assert len(odometry) > 400
    stamps = np.array([r.stamp_ns for r in odometry])
    assert (np.diff(stamps) > 0).all()
    # halving the unit halves the way
    half = Wheels(wheels.left_topic, wheels.right_topic, 0.05, 0.05, Track(0.25))
    end = [r for r in open_log(path, Reading(wheels=half)) if isinstance(r, Odometry)][-1].T_odom_base
    assert end[2] == pytest.approx(odometry[-1].T_odom_base[2], abs=1e-9)
    assert end[:2] == pytest.approx(odometry[-1].T_odom_base[:2] / 2, abs=1e-9)


def test_constant_wheel_velocities_make_an_arc(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for i in range(11):
            for topic, speed in (("/left", 1.0), ("/right", -2.0)):
                data = TYPES.serialize_cdr(message("std_msgs/msg/Float64", data=speed), "std_msgs/msg/Float64")
                writer.write_raw(topic, "std_msgs/msg/Float64", bytes(data), START_NS + i * NS // 10)
        # the right wheel is mounted the other way round; 1 unit is 0.1 m/s
        writer.write(Odometry(START_NS + NS, np.ones(3)))  # left out where the wheels are named
    wheels = Wheels("/left", "/right", 0.1, -0.1, Track(0.2))
    log = open_log(tmp_path / "bag", Reading(wheels=wheels))
    end = list(log)[-1].T_odom_base
    assert log.summary.topics == {"odom": "/left and /right"}
    turn, radius = 0.5, 0.3
    assert end == pytest.approx([radius * np.sin(turn), radius * (1 - np.cos(turn)), turn], abs=1e-9)
