"""Whole drives through a known room, mapped from the scans alone."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from drives import WALLS

from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import between, compose
from nanorover.sim.buildings import BUILDINGS
from nanorover.sim.flatland import G4, G4_SWEEPING, SICK, WHEELS, Lidar, Wheels, drive, record
from nanorover.slam import front_end
from nanorover.slam.mapper import Mapper
from nanorover.slam.motion import Velocity
from nanorover.slam.params import slam_params

WAY = np.array([[-2.0, -1.5], [1.5, -1.5], [1.5, 0.5], [-1.0, 0.5], [-1.0, 2.9], [0.3, 2.9], [0.3, -1.0]])
GLASS_X_M = 4.0  # the wall on the right


def mapped(
    lidar: Lidar,
    seen: Callable[[LaserScan, np.ndarray], LaserScan] = lambda scan, _: scan,
    wheels: Wheels | None = None,
) -> tuple[Mapper, np.ndarray]:
    """The mapper after the drive, and the errors (N, 3) of all poses seen from the first."""
    mapper = Mapper(slam_params())
    truth = []
    for step in record(WALLS, drive(WAY), lidar, wheels, np.random.default_rng(0)):
        for reading in step.odometry:
            mapper.add_odometry(reading)
        mapper.add_scan(seen(step.scan, step.T_map_base))
        truth.append(step.T_map_base)
    mapper.finish()
    _, poses = mapper.trajectory()
    return mapper, np.array(
        [
            between(between(truth[0], true), between(poses[0], pose))
            for true, pose in zip(truth, poses, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def yaw_error_deg() -> float:
    """Of a lidar that turns while the robot does."""
    return float(np.degrees(np.abs(mapped(G4_SWEEPING)[1][:, 2])).mean())


def test_a_turning_lidar_on_a_turning_robot_is_put_straight(yaw_error_deg):
    assert yaw_error_deg < 0.15


def test_without_the_change_of_the_velocity_it_is_not(yaw_error_deg, monkeypatch):
    monkeypatch.setattr(Velocity, "mean", lambda velocity, start_ns, end_ns: velocity.twist)
    assert np.degrees(np.abs(mapped(G4_SWEEPING)[1][:, 2])).mean() > 1.2 * yaw_error_deg


def test_wheels_that_slip_are_put_right_by_a_second_look(monkeypatch):
    def yaw_error_rad() -> float:
        return float(np.abs(mapped(G4_SWEEPING, wheels=WHEELS["weak"])[1][:, 2]).mean())

    twice = yaw_error_rad()
    monkeypatch.setattr(front_end, "DESKEWS", 1)
    assert yaw_error_rad() > 1.1 * twice


def test_a_turn_between_two_scans_that_nothing_foretold_is_found():
    """One of seven scans is left, and there is no odometry: after a turn half of the view is new."""
    rng = np.random.default_rng(7)
    building = BUILDINGS["office"](rng)
    steps = islice(record(building.walls, drive(building.waypoints), SICK, None, rng), 0, 1750, 7)
    mapper, truth, most_rad = Mapper(slam_params()), None, 0.0
    for step in steps:
        mapper.add_scan(step.scan)
        if truth is not None:
            moved = between(truth, step.T_map_base)
            most_rad = max(most_rad, abs(moved[2]))
            assert (np.abs(between(moved, mapper.front_end.motion)) < [0.25, 0.25, 0.05]).all()
        truth = step.T_map_base
    assert most_rad > 1.0


def test_a_glass_wall_does_no_harm():
    rng = np.random.default_rng(1)

    def through_glass(scan: LaserScan, T_map_base: np.ndarray) -> LaserScan:
        """Rays at the glass come back from it seldom, from what is behind it, or never."""
        laser = compose(T_map_base, scan.T_base_laser)
        bearings_rad = scan.angle_min_rad + scan.angle_increment_rad * np.arange(len(scan.ranges_m))
        ranges_m = scan.ranges_m.copy()
        at_x_m = laser[0] + ranges_m * np.cos(laser[2] + bearings_rad)
        at_glass = np.isfinite(ranges_m) & (np.abs(at_x_m - GLASS_X_M) < 0.05)
        fate = rng.random(len(ranges_m))
        ranges_m[at_glass & (fate < 0.5)] = np.inf
        behind = at_glass & (fate > 0.7)
        ranges_m[behind] += rng.uniform(0.5, 4.0, int(behind.sum())).astype(np.float32)
        return replace(scan, ranges_m=ranges_m)

    mapper, errors = mapped(G4, through_glass)
    assert np.hypot(errors[:, 0], errors[:, 1]).max() < 0.05
    assert np.degrees(np.abs(errors[:, 2])).max() < 1.0
    assert mapper.health()["doubled walls"] < 0.1
