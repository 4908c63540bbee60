"""What rerun is given to draw: a scan where it was seen, a recording as a file."""

import math
from pathlib import Path
from types import SimpleNamespace as Of

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from nanorover.geometry.scan import LaserScan
from nanorover.view.rerun_export import _Scene, export, seen_points

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


def test_recorded_detections_are_in_the_file(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed: ./scripts/setup view installs it")
    store, kind = get_typestore(Stores.ROS2_JAZZY), "vision_msgs/msg/Detection2DArray"
    # Its definition lies in the bag; an empty list of one type is as good as of the other.
    store.register(get_types_from_msg("std_msgs/Header header\nstd_msgs/Header[] detections", kind))
    stamp = store.types["builtin_interfaces/msg/Time"](sec=7, nanosec=0)
    header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="eye")
    message = store.serialize_cdr(store.types[kind](header=header, detections=[]), kind)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/detections", kind, typestore=store)
        for i in range(2):
            writer.write(connection, 7_000_000_000 + i, message)
    assert export(tmp_path / "bag", tmp_path / "bag.rrd") == {"Detections": 2}


def test_a_detection_is_a_box_with_its_label_at_its_time():
    rerun = pytest.importorskip("rerun", reason="rerun-sdk is not installed: ./scripts/setup view installs it")

    class Stream:
        shown = {}

        def set_time(self, _, timestamp):
            self.now_s = timestamp

        def log(self, place, content):
            self.shown[place] = (self.now_s, content)

    guess = Of(hypothesis=Of(class_id="dog", score=0.9))
    for centre in (Of(position=Of(x=50.0, y=40.0)), Of(x=50.0, y=40.0)):  # since Humble, and before
        dog = Of(results=[guess], bbox=Of(center=centre, size_x=20.0, size_y=10.0))
        stream = Stream()
        header = Of(stamp=Of(sec=7, nanosec=500_000_000))
        _Scene(rerun, stream).show_detections(Of(header=header, detections=[dog]))
        at_s, boxes = stream.shown["camera/detections"]
        assert at_s == 7.5
        assert boxes.centers.as_arrow_array().to_pylist() == [[50.0, 40.0]]
        assert boxes.half_sizes.as_arrow_array().to_pylist() == [[10.0, 5.0]]
        assert boxes.labels.as_arrow_array().to_pylist() == ["dog 0.90"]
