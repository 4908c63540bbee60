"""Saved graphs come back as they were, go on growing, and damage is named."""

import hashlib
import json
import math

import numpy as np
import pytest

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.slam.graph_file import FORMAT, VERSION, load_graph
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import slam_params

HALF_X_M, HALF_Y_M = 3.0, 2.0
BEARINGS_RAD = np.linspace(-math.pi, math.pi, 360, endpoint=False)


def room_scan(i: int, x: float, y: float, yaw: float) -> LaserScan:
    """What a laser sees in an empty room of 6 × 4 m."""
    c, s = np.cos(BEARINGS_RAD + yaw), np.sin(BEARINGS_RAD + yaw)
    with np.errstate(divide="ignore"):
        to_x = np.where(c > 0, (HALF_X_M - x) / c, (-HALF_X_M - x) / c)
        to_y = np.where(s > 0, (HALF_Y_M - y) / s, (-HALF_Y_M - y) / s)
    ranges_m = np.minimum(to_x, to_y).astype(np.float32)
    return LaserScan(i * 100_000_000, ranges_m, -math.pi, 2 * math.pi / 360, 0.1, 16.0)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    mapper = Mapper(slam_params())
    for i in range(40):
        mapper.add_scan(room_scan(i, 0.05 * i - 1.0, 0.0, 0.02 * i))
    path = tmp_path_factory.mktemp("graph") / "room.graph"
    mapper.save(path)
    return mapper, path


def test_a_graph_comes_back_as_it_was(mapped):
    mapper, path = mapped
    graph, trajectory = load_graph(path)
    assert np.array_equal(trajectory.poses(graph.poses), mapper.trajectory()[1])
    assert len(graph) == len(mapper.graph) > 2
    assert np.array_equal(graph.poses, mapper.graph.poses)
    assert graph.stamps_ns == mapper.graph.stamps_ns
    for k in range(len(graph)):
        assert np.array_equal(graph.points[k], mapper.graph.points[k])
        assert np.array_equal(graph.path_lengths(k), mapper.graph.path_lengths(k))
    assert [e.loop for e in graph.edges] == [e.loop for e in mapper.graph.edges]
    assert np.array_equal(Mapper.load(path, mapper.params).grid().cells, mapper.grid().cells)


def test_mapping_goes_on_where_it_ended(mapped):
    mapper, path = mapped
    again = Mapper.load(path, mapper.params)
    before = len(again.graph)
    for i in range(40, 60):
        result = again.add_scan(room_scan(i, 0.05 * i - 1.0, 0.0, 0.02 * i))
        assert result.reason == ""
    # The map's origin is the first pose, which stood at x = −1 in the room.
    assert result.T_map_base == pytest.approx([0.05 * 59, 0.0, 0.02 * 59], abs=0.03)
    assert len(again.graph) > before


@pytest.mark.parametrize("place", [0, 20, 300, -5])
def test_a_damaged_byte_is_noticed(mapped, tmp_path, place):
    content = bytearray(mapped[1].read_bytes())
    content[place] ^= 0x15
    (tmp_path / "bad.graph").write_bytes(content)
    with pytest.raises(InputError, match="bad.graph"):
        load_graph(tmp_path / "bad.graph")


@pytest.mark.parametrize("length", [0, 10, 128, 1000])
def test_a_truncated_file_is_noticed(mapped, tmp_path, length):
    (tmp_path / "cut.graph").write_bytes(mapped[1].read_bytes()[:length])
    with pytest.raises(InputError, match="cut.graph"):
        load_graph(tmp_path / "cut.graph")


def test_another_version_and_a_missing_file_are_named(mapped, tmp_path):
    content = mapped[1].read_bytes().replace(b'"version": 1', b'"version": 7', 1)
    (tmp_path / "new.graph").write_bytes(content)
    with pytest.raises(InputError, match="version 7"):
        load_graph(tmp_path / "new.graph")
    with pytest.raises(InputError, match="absent.graph"):
        load_graph(tmp_path / "absent.graph")


@pytest.mark.parametrize("content", [b"", b"no arrays", b"PK\x03\x04 half"])
def test_whole_content_that_is_no_graph_is_refused(tmp_path, content):
    head = {"format": FORMAT, "version": VERSION, "sha256": hashlib.sha256(content).hexdigest()}
    (tmp_path / "odd.graph").write_bytes(json.dumps(head).encode() + b"\n" + content)
    with pytest.raises(InputError, match="odd.graph is no whole graph"):
        load_graph(tmp_path / "odd.graph")
