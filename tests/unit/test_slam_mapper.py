"""Whole drives through a known room, mapped from the scans alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from drives import WALLS
from slam_rooms import rectangle

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import between, compose
from nanorover.sim.buildings import BUILDINGS
from nanorover.sim.flatland import G4, G4_SWEEPING, SICK, WHEELS, Lidar, Wheels, drive, record
from nanorover.slam import front_end
from nanorover.slam.changes import Changes
from nanorover.slam.graph import Graph
from nanorover.slam.local_map import LocalMap
from nanorover.slam.localization_benchmark import scan_at
from nanorover.slam.mapper import Mapper
from nanorover.slam.matching import judge
from nanorover.slam.motion import Velocity
from nanorover.slam.params import slam_params
from nanorover.slam.tracker import NO_PRIOR, Match

WAY = np.array([[-2.0, -1.5], [1.5, -1.5], [1.5, 0.5], [-1.0, 0.5], [-1.0, 2.9], [0.3, 2.9], [0.3, -1.0]])
GLASS_X_M = 4.0  # the wall on the right


def mapped(
    lidar: Lidar,
    seen: Callable[[LaserScan, np.ndarray], LaserScan] = lambda scan, _: scan,
    wheels: Wheels | None = None,
) -> tuple[Mapper, np.ndarray, np.ndarray]:
    """The mapper after the drive, and the errors (N, 3) of its poses since the first: in the end and as said."""
    mapper = Mapper(slam_params())
    truth, said = [], []
    for step in record(WALLS, drive(WAY), lidar, wheels, np.random.default_rng(0)):
        for reading in step.odometry:
            mapper.add_odometry(reading)
        said.append(mapper.add_scan(seen(step.scan, step.T_map_base)).T_map_base)
        truth.append(step.T_map_base)
    mapper.finish()

    def errors(poses: Sequence[np.ndarray]) -> np.ndarray:
        pairs = zip(truth, poses, strict=True)
        return np.array([between(between(truth[0], true), between(poses[0], pose)) for true, pose in pairs])

    return mapper, errors(mapper.trajectory()[1]), errors(said)


@pytest.fixture(scope="module")
def sweeping() -> tuple[Mapper, np.ndarray, np.ndarray]:
    """What a lidar maps that turns while the robot does."""
    return mapped(G4_SWEEPING)


@pytest.fixture(scope="module")
def yaw_error_deg(sweeping) -> float:
    return float(np.degrees(np.abs(sweeping[1][:, 2])).mean())


def test_a_turning_lidar_on_a_turning_robot_is_put_straight(yaw_error_deg):
    assert yaw_error_deg < 0.15


def test_a_pose_belongs_to_the_stamp_of_its_scan_and_not_to_its_middle(sweeping):
    """The robot goes on by 0.026 m in between."""
    assert np.abs(sweeping[2].mean(axis=0)).max() < 0.003


def test_without_the_change_of_the_velocity_it_is_not(yaw_error_deg, monkeypatch):
    monkeypatch.setattr(Velocity, "mean", lambda velocity, start_ns, end_ns: velocity.twist)
    assert np.degrees(np.abs(mapped(G4_SWEEPING)[1][:, 2])).mean() > 1.2 * yaw_error_deg


def test_wheels_that_slip_are_put_right_by_a_second_look(monkeypatch):
    def yaw_error_rad() -> float:
        return float(np.abs(mapped(G4_SWEEPING, wheels=WHEELS["weak"])[1][:, 2]).mean())

    twice = yaw_error_rad()
    monkeypatch.setattr(front_end, "DESKEWS", 1)
    assert yaw_error_rad() > 1.1 * twice


@pytest.mark.parametrize(
    ("every", "seed", "scans", "turn_rad", "dead_encoders"),
    [(5, 0, 300, 0.0, False), (7, 7, 1750, 1.0, False), (8, 0, 300, 0.8, False), (3, 0, 300, 0.0, True)],
)
def test_what_a_robot_does_between_two_scans_is_found_without_wheels(every, seed, scans, turn_rad, dead_encoders):
    """It starts between the first two of every fifth; after a turn half of the view is new, or more."""
    rng = np.random.default_rng(seed)
    building = BUILDINGS["office"](rng)
    steps = islice(record(building.walls, drive(building.waypoints), SICK, None, rng), 0, scans, every)
    mapper, truth, most_rad = Mapper(slam_params()), None, 0.0
    for step in steps:
        if dead_encoders:
            mapper.add_odometry(Odometry(step.scan.stamp_ns, np.zeros(3)))
        mapper.add_scan(step.scan)
        if truth is not None:
            moved = between(truth, step.T_map_base)
            most_rad = max(most_rad, abs(moved[2]))
            assert (np.abs(between(moved, mapper.front_end.motion)) < [0.25, 0.25, 0.05]).all()
        truth = step.T_map_base
    assert most_rad > turn_rad
    assert mapper.front_end.wheels_never_moved() == dead_encoders


def corridor(niches_m: float) -> np.ndarray:
    """Walls 2 m apart and far longer than the laser sees, with niches every 3 m."""
    side = np.array([[0.0, 1.0], [2.1, 1.0], [2.1, 1.0 + niches_m], [3.0, 1.0 + niches_m], [3.0, 1.0]])
    walls = np.hstack([side[:-1], side[1:]])
    left = np.concatenate([walls + np.array([x, 0.0, x, 0.0]) for x in np.arange(-60.0, 60.0, 3.0)])
    return np.concatenate([left, left * [1.0, -1.0, 1.0, -1.0]])


@pytest.mark.parametrize(
    ("niches_m", "wheels", "dead"),
    [(0.0, "good", slice(0)), (0.1, "none", slice(0)), (0.1, "good", slice(20, 50))],
    ids=["smooth", "no wheels", "wheels that count nothing for 6 s"],
)
def test_a_drive_that_begins_in_a_corridor_does_not_stay_at_its_start(niches_m, wheels, dead):
    mapper, truth, T_odom_base, before = Mapper(slam_params()), [], np.zeros(3), None
    way = drive(np.array([[0.0, 0.0], [7.0, 0.0]]))
    steps = record(corridor(niches_m), way, SICK, WHEELS.get(wheels), np.random.default_rng(0))
    for k, step in enumerate(steps):
        for reading in step.odometry:
            if before is not None and k not in range(*dead.indices(60)):
                T_odom_base = compose(T_odom_base, between(before, reading.T_odom_base))
            before = reading.T_odom_base
            mapper.add_odometry(Odometry(reading.stamp_ns, T_odom_base))
        mapper.add_scan(step.scan)
        truth.append(step.T_map_base)
    driven = between(truth[0], truth[-1])
    assert driven[0] > 6.0
    assert np.abs(mapper.T_map_base() - driven).max() < 0.3


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

    mapper, errors, _ = mapped(G4, through_glass)
    assert np.hypot(errors[:, 0], errors[:, 1]).max() < 0.05
    assert np.degrees(np.abs(errors[:, 2])).max() < 1.0
    assert mapper.health()["doubled walls"] < 0.1


# A corridor 2 m wide along x, which is along y in the map of a robot that begins at TURNED; few rays meet its end.
CORRIDOR = np.array([[-30.0, -1.0, 8.0, -1.0], [-30.0, 1.0, 8.0, 1.0], [8.0, -1.0, 8.0, 1.0]])
TURNED = np.array([3.0, -2.0, np.pi / 2])


class Standing:
    """A mapper of a robot that is put where it is scanned, the readings of its wheels where they are given."""

    def __init__(self, walls: np.ndarray, start: np.ndarray) -> None:
        self.mapper, self.walls = Mapper(slam_params()), walls
        self.rng, self.stamp_ns = np.random.default_rng(1), 0
        self.mapper.set_pose(start)

    def look(self, T_world_base: list[float], wheels: list[float] | None = None, blind: bool = False, turn_s=0.0):
        """A scan 0.1 s after the last; one that is ``blind`` has no usable ranges."""
        self.stamp_ns += 100_000_000
        if wheels is not None:
            self.mapper.add_odometry(Odometry(self.stamp_ns, np.array(wheels)))
        scan = scan_at(self.walls, np.array(T_world_base), self.rng)
        increment_s = turn_s / (len(scan.ranges_m) - 1)
        ranges_m = np.full_like(scan.ranges_m, np.inf) if blind else scan.ranges_m
        scan = replace(scan, stamp_ns=self.stamp_ns, ranges_m=ranges_m, time_increment_s=increment_s)
        return self.mapper.add_scan(scan)


def test_edges_say_in_the_frame_of_their_keyframe_in_which_direction_little_is_known():
    robot = Standing(CORRIDOR, TURNED)
    for k in range(9):
        robot.look([0.1 * k, 0.0, 0.0], wheels=[0.1 * k, 0.0, 0.0])
    edge = robot.mapper.graph.edges[0]
    along, across = edge.information[0, 0], edge.information[1, 1]
    assert 1.5 * along < across
    assert robot.mapper.T_map_base() == pytest.approx([3.0, -1.2, np.pi / 2], abs=0.05)


def test_wheels_that_leap_do_not_take_a_robot_along_that_sees_nothing():
    robot = Standing(WALLS, np.zeros(3))
    for k in range(4):
        robot.look([0.02 * k, 0.0, 0.0], wheels=[0.02 * k, 0.0, 0.0])
    robot.look([0.08, 0.0, 0.0], wheels=[50.0, 20.0, 0.0], blind=True)
    assert robot.mapper.T_map_base() == pytest.approx([0.08, 0.0, 0.0], abs=0.05)
    robot.look([0.1, 0.0, 0.0], wheels=[50.02, 20.0, 0.0], blind=True)  # and are believed again after it
    assert robot.mapper.T_map_base() == pytest.approx([0.1, 0.0, 0.0], abs=0.05)


@pytest.mark.parametrize("wheels_stand", [True, False])
def test_people_around_a_robot_whose_wheels_stand_are_no_new_piece_of_the_map(wheels_stand):
    robot = Standing(WALLS, np.zeros(3))
    for k in range(4):
        robot.look([0.02 * k, 0.0, 0.0], wheels=[0.02 * k, 0.0, 0.0])
    robot.walls = np.array([[0.8, -3.0, 0.8, 3.0], [-0.7, 3.0, -0.2, -3.0], [0.8, 0.9, -0.7, 1.4]])
    for k in range(15):
        result = robot.look([0.06, 0.0, 0.0], wheels=[0.06 if wheels_stand else 0.06 + 0.02 * k, 0.0, 0.0])
        assert result.reason or not wheels_stand
    assert robot.mapper.front_end.counts["pieces begun"] == (0 if wheels_stand else 1)
    if wheels_stand:
        robot.walls = WALLS
        robot.look([0.06, 0.0, 0.0], wheels=[0.06, 0.0, 0.0])
        assert robot.mapper.T_map_base() == pytest.approx([0.06, 0.0, 0.0], abs=0.01)


@pytest.mark.parametrize("wheels", [True, False])
def test_how_the_robot_moved_before_it_was_put_elsewhere_does_not_count(wheels):
    robot, put = Standing(WALLS, np.zeros(3)), np.array([1.0, -1.0, 2.0])
    for k in range(6):
        at = [0.08 * k, 0.0, 0.0]
        robot.look(at, wheels=at if wheels else None, turn_s=0.09)
    robot.mapper.set_pose(put)
    result = robot.look([0.0, 0.0, 0.0], wheels=[1.4, 0.0, 0.0] if wheels else None, blind=True, turn_s=0.09)
    assert robot.mapper.T_map_base() == pytest.approx(put)
    if not wheels:
        assert result.T_map_base == pytest.approx(put)


def test_a_keyframe_is_renewed_at_the_second_visit_that_sees_through_it():
    """People walk by, so one visit does not suffice, nor two with one between them that finds all as it was."""
    graph, here = Graph(), np.zeros(3)
    match = Match(here, np.eye(3), 0.0, 1.0, 0.0, 0.0, here, NO_PRIOR)
    wall, box = rectangle(6.0, 4.0), rectangle(1.0, 1.0) + np.array([1.5, 0.0, 0.0, 0.0])
    graph.add_keyframe(0, here, np.concatenate([wall, box]).astype(np.float32), here)
    changes = Changes(graph)
    with_box = np.concatenate([wall, box])
    seen = [changes.visit(0, here, points, here, match) for points in (wall, with_box, wall, wall)]
    assert seen == [False, False, False, True]
    assert graph.points[0] == pytest.approx(wall, abs=1e-6)
    fits_badly = replace(match, explained=0.7, missed=0.3)
    assert [changes.visit(0, here, wall, here, fits_badly) for _ in range(2)] == [False, True]


def test_what_was_driven_long_ago_leaves_the_local_map():
    """Round and round in one place: the first rounds saw a wall at 6 m, the others one at 7 m."""
    graph = Graph()
    local_map = LocalMap(graph, path_m=20.0, max_range_m=30.0, resolution_m=0.05)
    for k in range(200):
        pose = np.array([2.0 * np.cos(k / 4), 2.0 * np.sin(k / 4), 0.0])
        wall = rectangle(*((12.0, 12.0) if k < 70 else (14.0, 14.0)), step=0.2) - [*pose[:2], 0.0, 0.0]
        graph.add_keyframe(k, pose, wall.astype(np.float32), np.zeros(3))
        if k > 0:
            graph.add_edge(k - 1, k, np.eye(3) * 1e4)
        local_map.follow(k)
        local_map.step()
    arrays = local_map.field.arrays
    assert judge(arrays, rectangle(14.0, 14.0), np.zeros(3))[0] == 1.0
    assert judge(arrays, rectangle(12.0, 12.0), np.zeros(3))[0] == 0.0


def test_a_stretch_that_nobody_recorded_is_bridged_by_the_wheels():
    steps = list(record(WALLS, drive(WAY), G4, WHEELS["good"], np.random.default_rng(0)))
    unheard = steps[30:90]
    mapper = Mapper(slam_params())
    for step in steps[:30] + steps[90:]:
        early = step is steps[90]  # this scan comes before the wheels are heard again
        for reading in () if early else step.odometry:
            mapper.add_odometry(reading)
        placed = mapper.add_scan(step.scan)
    off = between(between(steps[0].T_map_base, step.T_map_base), placed.T_map_base)
    assert np.hypot(off[0], off[1]) < 0.03 and abs(off[2]) < 0.01
    assert np.hypot(*between(unheard[0].T_map_base, unheard[-1].T_map_base)[:2]) > 1.0
