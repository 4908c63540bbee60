"""Behaviour trees run to their end in the flat world."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from flat_drives import Driven
from flat_world import FlatWorld, Walker, box
from py_trees.behaviour import Behaviour
from py_trees.behaviours import Failure
from py_trees.common import Status

from nanorover import params
from nanorover.base.gate import STILL, Velocity
from nanorover.geometry.se2 import between, wrap_angles
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning import global_planner, missions
from nanorover.planning.behaviours import Drive, FollowPath, Spin, Straight, Wait
from nanorover.planning.navigator import load_settings
from nanorover.planning.pilot import BehavioursParams, Moment, Pilot, Progress

ROOM = [(0, 0, 8, 0), (8, 0, 8, 6), (8, 6, 0, 6), (0, 6, 0, 0)]
START = np.array([1.0, 1.0, 0.0])


def pose(x: float, y: float, yaw: float = 0.0) -> np.ndarray:
    return np.array([x, y, yaw])


def test_navigate_to_a_pose():
    world = FlatWorld(ROOM, START)
    mission, status = Driven(world).run(lambda p: missions.through_poses(p, [pose(6, 4, 1.0)]), 40)
    assert status == Status.SUCCESS
    assert math.dist(world.pose[:2], (6, 4)) < 0.2
    assert mission.pilot.recoveries == 0
    assert mission.pilot.command.linear_m_s == 0.0


def test_a_goal_beside_a_wall_is_reached_without_fidgeting():
    world = FlatWorld(ROOM, START)
    driven = Driven(world)
    mission, status = driven.run(lambda p: missions.through_poses(p, [pose(3.0, 0.14, math.pi)]), 12)
    assert status == Status.SUCCESS and mission.pilot.recoveries == 0
    assert math.dist(world.pose[:2], (3.0, 0.14)) < 0.35
    near = np.array([p for p in driven.poses if math.dist(p[:2], (3.0, 0.14)) < 0.45])
    assert abs(wrap_angles(np.diff(near[:, 2]))).sum() < 1.5 * math.pi


def test_what_comes_no_nearer_to_the_end_of_a_given_path_takes_its_place_for_it():
    """Beside a wall the robot just fits; no planner has moved this end."""
    world = FlatWorld(ROOM, START)
    path = np.array([START, pose(3.0, 0.16, 1.57)])
    _, status = Driven(world).run(lambda p: FollowPath(p, path), 20)
    assert status == Status.SUCCESS
    assert math.dist(world.pose[:2], (3.0, 0.16)) < 2 * load_settings().motion.goal_distance_m
    assert world.pose[2] == pytest.approx(1.57, abs=0.2)


@pytest.mark.parametrize(
    ("goal", "error"),
    [
        (pose(20, 1), global_planner.GOAL_OUTSIDE),
        (pose(math.nan, 1), global_planner.GOAL_OUTSIDE),
        (pose(3.55, 3), global_planner.GOAL_OCCUPIED),
    ],
)
def test_what_cannot_be_reached_fails_at_the_first_tick(goal, error):
    world = FlatWorld(ROOM + box(4, 3, 1.5, 1.5) + box(4, 3, 1.2, 1.2) + box(4, 3, 0.9, 0.9), START)
    mission, status = Driven(world).run(lambda p: missions.through_poses(p, [goal]), 40)
    assert (status, world.t) == (Status.FAILURE, 0.0)
    assert mission.pilot.error == error
    assert mission.pilot.reason


def test_through_poses_without_stopping():
    world = FlatWorld(ROOM, START)
    driven = Driven(world)
    goals = [pose(4, 1), pose(6, 3), pose(3, 5, 3.1)]
    mission, status = driven.run(lambda p: missions.through_poses(p, goals), 60)
    assert status == Status.SUCCESS
    way = np.array(driven.poses)
    for x, y in ((4, 1), (6, 3)):
        near = np.hypot(way[:, 0] - x, way[:, 1] - y)
        assert near.min() < mission.pilot.params.pass_within_m
        speeds = np.hypot(*np.diff(way[near < 0.4][:, :2], axis=0).T) / 0.05
        assert speeds.min() > 0.05
    assert len(goals) == 1


def test_waypoints_and_the_one_that_is_missed():
    world = FlatWorld(ROOM + box(6, 2, 1, 1) + box(6, 2, 0.7, 0.7) + box(6, 2, 0.3, 0.3), START)
    missed: list[tuple[int, str]] = []
    goals = [pose(3, 1), pose(6, 2), pose(3, 4)]
    _, status = Driven(world).run(lambda p: missions.waypoints(p, list(enumerate(goals)), missed), 90)
    assert status == Status.SUCCESS
    assert math.dist(world.pose[:2], (3, 4)) < 0.2
    ((number, reason),) = missed
    assert number == 1
    assert "obstacle" in reason


def test_before_a_door_that_is_shut_the_robot_waits_and_says_what_blocks_it():
    """The map has it open: the robot drives up to it, waits for as long as is said, and backs up from nothing."""
    wall = [(4, 0, 4, 2.5), (4, 3.5, 4, 6)]
    world = FlatWorld([*ROOM, *wall], START)
    driven, said = Driven(world), []

    def shut(mission: missions.Mission) -> None:
        said.append(mission.feedback())
        if world.t > 3.0 and len(world.walls) == len(world.segments):
            world.walls = np.vstack([world.walls, [4, 2.5, 4, 3.5]])

    mission, status = driven.run(lambda p: missions.through_poses(p, [pose(7, 3)]), 120, shut)
    assert status == Status.FAILURE
    assert (mission.pilot.error, mission.pilot.recoveries) == (global_planner.NO_WAY, 0)
    place = re.fullmatch(
        r"the way is blocked at \((.*), (.*)\) by something that is not on the map, for 30 s", mission.pilot.reason
    )
    assert place and math.dist([float(v) for v in place.groups()], (4.0, 3.0)) < 0.6
    assert 3.2 < world.pose[0] < 4.0 and abs(world.pose[1] - 3.0) < 0.6
    there_s = max(t for t, T in enumerate(driven.poses) if math.dist(T[:2], world.pose[:2]) > 0.15) / 20.0
    assert world.t - there_s == pytest.approx(mission.pilot.params.blocked_patience_s, abs=3.0)
    blocked = [sentence for sentence in said if sentence.startswith("the way is blocked")]
    assert len(set(blocked)) == 1 and said[-len(blocked) :] == blocked
    assert world.least_gap_m > 0.0


def test_a_blockage_that_is_seen_a_little_elsewhere_is_the_same():
    """Else the sentence, and the place to wait at, would change with every plan."""
    driven = Driven(FlatWorld(ROOM, START))
    settings = params.load(BehavioursParams, "behaviours")
    drive = Drive(Pilot(driven.navigator, settings, driven.moment()), lambda: [pose(7, 3)])
    drive.initialise()
    drive.blocked_m = (4.0, 3.0)
    for place_m, same in (((4.3, 2.6), True), ((5.5, 3.0), False)):
        found = global_planner.Plan(np.zeros((0, 3)), global_planner.NO_WAY, "shut", blocked_m=place_m)
        assert drive._same_blockage(found) == same


def test_a_person_in_the_door_is_waited_for():
    wall = [(4, 0, 4, 2.5), (4, 3.5, 4, 6)]
    person = Walker([(4.0, 3.0), (4.01, 3.0), (6.5, 5.0)], 0.8, starts_s=14.0)
    world = FlatWorld([*ROOM, *wall], START, [person])
    _, status = Driven(world).run(lambda p: missions.through_poses(p, [pose(7, 2)]), 90)
    assert status == Status.SUCCESS
    assert world.least_people_gap_moving_m > 0.4
    assert world.t > 14.0


def test_cancel_stops():
    world = FlatWorld(ROOM, START)
    driven = Driven(world)
    mission, status = driven.run(lambda p: missions.through_poses(p, [pose(6, 4)]), 3)
    assert status == Status.RUNNING
    assert mission.pilot.command.linear_m_s > 0.2
    mission.cancel("cancelled")
    assert mission.pilot.command.linear_m_s == 0.0
    assert mission.pilot.reason == "cancelled"


def test_single_moves():
    world = FlatWorld(ROOM, pose(4, 3))
    driven = Driven(world)
    for tree, expected in (
        (lambda p: Straight(p, -0.4, 0.1), pose(3.6, 3.0)),
        (lambda p: Spin(p, 3.0), pose(3.6, 3.0, 3.0)),
        (lambda p: Wait(p, 1.0), pose(3.6, 3.0, 3.0)),
    ):
        mission, status = driven.run(tree, 30)
        assert status == Status.SUCCESS
        driven.run(lambda p: Wait(p, 0.5), 5)
        assert world.pose == pytest.approx(expected, abs=0.16)
    world = FlatWorld(ROOM, pose(0.4, 3))
    mission, status = Driven(world).run(lambda p: Straight(p, -0.8, 0.1), 60)
    assert status == Status.FAILURE
    assert "only" in mission.pilot.reason
    assert world.least_gap_m > 0.0


def test_recoveries_look_where_they_go():
    """Beside a wall that safety's lidar may be too near to see, the map tells."""
    world = FlatWorld(ROOM, pose(4.0, 0.18))
    driven = Driven(world)
    driven.safety.on_scan = lambda *_: None
    mission, status = driven.run(lambda p: Spin(p, 1.57), 30)
    assert status == Status.FAILURE
    assert "obstacle" in mission.pilot.reason
    assert world.least_gap_m > 0.0
    world = FlatWorld(ROOM, pose(4.0, 0.18))
    _, status = Driven(world).run(lambda p: Straight(p, 0.3, 0.1), 30)  # along the wall is free
    assert status == Status.SUCCESS


@pytest.mark.parametrize("spacing_m", [4.0, 0.002])
def test_a_path_is_followed_however_far_apart_its_points_are(spacing_m):
    legs = [np.linspace((1.0, 1.0), (5.0, 1.0), round(4 / spacing_m) + 1), np.array([[5.0, 5.0]])]
    path = np.column_stack([np.concatenate(legs), np.full(sum(map(len, legs)), math.pi / 2)])
    world = FlatWorld(ROOM, START)
    _, status = Driven(world).run(lambda p: FollowPath(p, path), 40)
    assert status == Status.SUCCESS
    assert math.dist(world.pose[:2], (5.0, 5.0)) < 0.2


def test_docking_is_precise():
    world = FlatWorld(ROOM, START)
    _, status = Driven(world).run(lambda p: missions.dock(p, pose(5.0, 3.0, 0.5)), 60)
    assert status == Status.SUCCESS
    assert math.dist(world.pose[:2], (5.0, 3.0)) < 0.05
    assert world.pose[2] == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("aside_m", "yaw", "tries"), [(0.08, 0.0, 1), (0.2, 0.0, 2)])
def test_docking_ends_straight_and_what_missed_the_dock_tries_again(aside_m, yaw, tries):
    world = FlatWorld(ROOM, pose(4.6, 3.0 + aside_m, yaw))
    mission, status = Driven(world).run(lambda p: missions.dock(p, pose(5.0, 3.0), stage=False), 40)
    assert status == Status.SUCCESS
    assert mission.pilot.recoveries == tries - 1  # each backs out
    assert world.pose == pytest.approx(pose(5.0, 3.0), abs=0.035)


def test_a_person_is_followed_and_lost():
    person = Walker([(3.0, 3.0), (6.0, 3.0), (6.0, 5.0)], 0.4, starts_s=1.0)
    world = FlatWorld(ROOM, pose(1.0, 3.0), [person])
    driven = Driven(world)
    gaps = []

    def follow(pilot):
        quarry = missions.Quarry(pilot, missions.ANYONE, 0.0)
        return missions.follow_person(pilot, quarry)

    def watch(mission: missions.Mission) -> None:
        gaps.append(math.dist(world.pose[:2], person.at(world.t)))
        if world.t > 20.0:
            world.walkers.clear()

    mission, status = driven.run(follow, 60, watch)
    assert status == Status.FAILURE
    assert mission.pilot.error == 1102
    assert 20.0 < world.t < 26.0
    assert 1.0 < np.mean(gaps[-100:-40]) < 1.7
    assert world.least_people_gap_moving_m > 0.4


class Mapper:
    """A perfect mapper: cells become known when a beam passes or ends there."""

    def __init__(self, world: FlatWorld, driven: Driven) -> None:
        self.world, self.driven = world, driven
        self.truth = world.map()
        self.cells = np.full_like(self.truth.cells, -1)
        self.look()

    def look(self) -> None:
        scan = self.world.scan()
        reach = np.where(np.isfinite(scan.ranges_m), scan.ranges_m, 0.0)
        angles = self.world.pose[2] - math.pi + 2 * math.pi * np.arange(len(reach)) / len(reach)
        for share in np.linspace(0.0, 1.0, 300):
            x = self.world.pose[0] + share * reach * np.cos(angles) - self.truth.T_map_origin[0]
            y = self.world.pose[1] + share * reach * np.sin(angles) - self.truth.T_map_origin[1]
            rows, columns = (np.floor(v / self.truth.resolution_m).astype(int) for v in (y, x))
            ok = (rows >= 0) & (columns >= 0) & (rows < len(self.cells)) & (columns < self.cells.shape[1])
            self.cells[rows[ok], columns[ok]] = self.truth.cells[rows[ok], columns[ok]]
        grid = OccupancyGrid(self.cells.copy(), self.truth.resolution_m, self.truth.T_map_origin)
        self.driven.navigator.on_map(grid, self.world.t)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_robot_that_is_shut_in_says_how_much_it_has_not_explored(at_once):
    """What is put about it is not on the map, which knows ways to go on. Before, it may have reached something."""
    world = FlatWorld([*ROOM, (4, 0, 4, 2), (4, 3, 4, 6)], pose(2.0, 2.5))
    driven = Driven(world, "pure_pursuit")
    Mapper(world, driven)

    def shut_in(mission: missions.Mission | None = None) -> None:
        if mission is None or (mission.tree.reached and len(world.walls) == len(world.segments)):
            world.walls = np.vstack([world.walls, box(*world.pose[:2], 0.9, 0.9)])
            driven.sense()

    if at_once:
        shut_in()
    mission, status = driven.run(missions.Explore, 20, shut_in)
    assert status == (Status.FAILURE if at_once else Status.SUCCESS)
    assert re.fullmatch(
        rf"explored{' nothing' if at_once else ''}, \d+ borders could not be reached", mission.pilot.reason
    )
    assert mission.feedback() == mission.pilot.reason


def test_a_border_whose_door_is_shut_is_left_without_recoveries_and_looked_at_again_at_the_end():
    world = FlatWorld([*ROOM, (4, 0, 4, 1), (4, 2, 4, 6)], pose(2.0, 1.5))
    driven = Driven(world, "pure_pursuit")
    grid = world.map()
    row_m, column_m = (grid.resolution_m * np.arange(n) for n in grid.cells.shape)
    grid.cells[:, column_m > 6.0 - grid.T_map_origin[0]] = -1
    grid.cells[np.ix_(row_m > 5.0 - grid.T_map_origin[1], column_m < 1.0 - grid.T_map_origin[0])] = -1
    driven.navigator.on_map(grid, world.t)
    left_at_s = []

    def shut_until_it_is_left(mission: missions.Mission) -> None:
        if not mission.tree.given_up and not left_at_s:
            world.walls = np.vstack([world.segments, (4, 1, 4, 2)])
        elif not left_at_s:
            world.walls = np.array(world.segments, float)
            left_at_s.append(world.t)

    mission, status = driven.run(missions.Explore, 40, shut_until_it_is_left)
    assert status == Status.SUCCESS
    assert 2.0 < left_at_s[0] < 5.0
    assert world.pose[0] > 5.0
    assert mission.pilot.recoveries == 0


def test_a_robot_whose_wheels_do_not_turn_is_stuck_while_exploring():
    walls = [(4, 0, 4, 2), (4, 3, 4, 6)]
    driven = Driven(FlatWorld([*ROOM, *walls], START), "pure_pursuit")
    Mapper(driven.world, driven)
    driven.safety.on_heartbeat = lambda *_: None  # whose nodes are silent may not drive
    said = set()
    mission, status = driven.run(missions.Explore, 120, lambda m: said.add(m.feedback()))
    assert status == Status.FAILURE
    assert mission.pilot.reason.startswith("stuck")
    assert any(s.startswith("exploring (") and s.endswith("driving") for s in said)
    mission, status = driven.run(lambda p: missions.Explore(p, within_s=1.0), 120)
    assert (status, mission.pilot.error) == (Status.FAILURE, missions.TIMEOUT)


def test_exploring_sees_every_room():
    walls = [(4, 0, 4, 2), (4, 3, 4, 6), (4, 3.5, 6.5, 3.5)]
    world = FlatWorld([*ROOM, *walls], START)
    driven = Driven(world)
    mapper = Mapper(world, driven)
    seen_at_first = np.mean(mapper.cells[10:-10, 10:-10] >= 0)
    ticks = 0

    def map_now_and_then(_: missions.Mission) -> None:
        nonlocal ticks
        ticks += 1
        if ticks % 20 == 0:
            mapper.look()

    mission, status = driven.run(missions.Explore, 240, map_now_and_then)
    assert status == Status.SUCCESS, mission.pilot.reason
    assert seen_at_first < 0.8
    assert np.mean(mapper.cells[10:-10, 10:-10] >= 0) > 0.98
    assert world.least_gap_m > 0.0


@pytest.mark.parametrize("where", [pose(50, 50), pose(2, 40000), pose(-3, 1)])
def test_exploring_from_outside_the_map_fails(where):
    world = FlatWorld(ROOM, where)
    mission, status = Driven(world).run(missions.Explore, 5)
    assert status == Status.FAILURE and "outside the map" in mission.pilot.reason


def test_a_long_way_back_is_driven_forward():
    world = FlatWorld(ROOM, pose(5.0, 3.0))
    driven = Driven(world)
    _, status = driven.run(lambda p: missions.through_poses(p, [pose(3.5, 3.0, 3.1)]), 9)
    assert status == Status.SUCCESS
    assert min(between(a, b)[0] for a, b in pairwise(driven.poses)) > -0.002


def test_where_any_yaw_will_do_being_there_is_enough():
    world = FlatWorld(ROOM, pose(5.0, 3.0))
    _, status = Driven(world).run(lambda p: missions.through_poses(p, [pose(4.95, 3.0, 3.1)], any_yaw=True), 9)
    assert (status, world.t) == (Status.SUCCESS, 0.0)


def test_after_the_first_drive_only_what_recoveries_bring_counts_as_help():
    class Blocked(Behaviour):
        """Comes 3 m nearer the first time, and no nearer again."""

        left_m = 5.0

        def update(self) -> Status:
            Blocked.left_m = 2.0
            return Status.FAILURE

    driven = Driven(FlatWorld(ROOM, pose(4, 3)), "pure_pursuit")
    mission, status = driven.run(
        lambda p: missions.persistent(p, lambda: Blocked("drive"), lambda: Blocked.left_m), 60
    )
    assert status == Status.FAILURE
    assert mission.pilot.recoveries == 4


def test_recoveries_go_on_for_as_long_as_they_help():
    left_m = iter([5.0, 4.0, 3.9])
    rounds = missions.WhileItHelps(Failure("a round of recoveries"), lambda: next(left_m))
    rounds.tick_once()
    assert rounds.status == Status.RUNNING
    rounds.tick_once()
    assert rounds.status == Status.FAILURE


def test_standing_still_is_no_progress_soon_but_for_people():
    settings = params.load(BehavioursParams, "behaviours")
    for someone, velocity, patience_s in (
        (False, STILL, settings.standing_patience_s),
        (False, Velocity(0.02, 0.0), settings.patience_s),
        (True, STILL, settings.blocked_patience_s),
    ):
        progress, now_s = Progress(settings), 0.0
        while not progress.lost_patience(Moment(START, velocity, now_s, 0), someone):
            now_s += 0.1
        assert now_s == pytest.approx(patience_s, abs=0.21)
