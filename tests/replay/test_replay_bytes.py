"""A recording of the lidar's bytes instead of scans: the real driver code makes the scans in the replay."""

import math

import numpy as np
import pytest
from bag_samples import HALF_X_M, HALF_Y_M, NS, START_NS, write_mcap

from nanorover.geometry.frames import transform_of
from nanorover.lidar.emulator import G4
from nanorover.lidar.protocol import Command
from nanorover.lidar.worlds import Room
from nanorover.replay.cases import Case, replay
from nanorover.replay.parts.lidar import LidarPart
from nanorover.replay.records import LidarBytes, StaticTransform

CORNERS = [(-HALF_X_M, -HALF_Y_M), (HALF_X_M, -HALF_Y_M), (HALF_X_M, HALF_Y_M), (-HALF_X_M, HALF_Y_M)]
WALLS = np.array([[CORNERS[i], CORNERS[(i + 1) % 4]] for i in range(4)])
T_ROOM_LIDAR = (0.4, -0.3, 0.2)
READ_S = 0.02


def byte_records(seconds: float):
    """What the serial port of an emulated G4 in the room gives, in pieces of 20 ms, with its mounting."""
    yield StaticTransform(START_NS, "base_link", "laser", transform_of((0.1, 0.0, 0.0), (0, 0, 0, 1)))
    lidar = G4(Room(WALLS, np.zeros((0, 3)), T_ROOM_LIDAR))
    lidar.receive(bytes((0xA5, Command.SCAN)), 0.0)
    for i in range(1, round(seconds / READ_S)):
        data = lidar.transmit(i * READ_S)
        if data:
            yield LidarBytes(START_NS + round(i * READ_S * NS), data)


def test_bytes_become_scans_and_scans_a_map(tmp_path):
    result = replay(Case(write_mcap(tmp_path / "bag", byte_records(6.0)), tmp_path))
    assert result.status == "no reference" and result.scans > 40
    ranges_m = result.now["lidar/ranges_m"][5]
    finite = np.isfinite(ranges_m)
    assert finite.mean() > 0.9
    bearings = np.linspace(-math.pi, math.pi, len(ranges_m), endpoint=False)
    heading = bearings + T_ROOM_LIDAR[2]
    c, s = np.cos(heading), np.sin(heading)
    x, y, _ = T_ROOM_LIDAR
    exact = np.minimum(
        np.where(c > 0, (HALF_X_M - x) / c, (-HALF_X_M - x) / c),
        np.where(s > 0, (HALF_Y_M - y) / s, (-HALF_Y_M - y) / s),
    )
    assert np.median(np.abs(ranges_m - exact)[finite]) < 0.02
    assert np.abs(result.now["slam/T_map_base"]).max() < 0.02, "it stands still"
    cells = result.now["slam/end/cells"]
    free_m2 = ((cells >= 0) & (cells < 50)).sum() * float(result.now["slam/end/resolution_m"]) ** 2
    assert free_m2 == pytest.approx(4 * HALF_X_M * HALF_Y_M, rel=0.06)


def test_a_lidar_upside_down_turns_the_other_way():
    def first_scan(q_xyzw: tuple[int, int, int, int]):
        part = LidarPart()
        list(part.take(StaticTransform(START_NS, "base_link", "laser", transform_of((0.1, 0.0, 0.0), q_xyzw))))
        return next(s for r in byte_records(3.0) if isinstance(r, LidarBytes) for s in part.take(r))

    upright, hanging = first_scan((0, 0, 0, 1)), first_scan((1, 0, 0, 0))
    assert (hanging.ranges_m == upright.ranges_m).all()
    assert hanging.angle_increment_rad == -upright.angle_increment_rad < 0
    assert hanging.angle_min_rad == -upright.angle_min_rad
    assert hanging.T_base_laser == pytest.approx([0.1, 0.0, 0.0])


def test_recorded_scans_are_left_out_where_there_are_bytes(tmp_path):
    from bag_samples import room_scan

    def both():
        for record in byte_records(3.0):
            yield record
            if isinstance(record, LidarBytes):
                yield room_scan(record.stamp_ns, np.array([2.0, 1.0, 0.0]))

    alone = replay(Case(write_mcap(tmp_path / "alone", byte_records(3.0)), tmp_path))
    mixed = replay(Case(write_mcap(tmp_path / "mixed", both()), tmp_path))
    assert mixed.digest == alone.digest
