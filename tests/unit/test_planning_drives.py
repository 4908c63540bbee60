"""Both controllers in a flat world with exact walls, noisy scans, late wheels and the safety layer behind them."""

import dataclasses
import math

import numpy as np
import pytest
from flat_drives import Driven
from flat_world import FlatWorld, Walker, box

from nanorover import params
from nanorover.base.gate import Velocity
from nanorover.base.params import BaseParams
from nanorover.errors import InputError
from nanorover.planning.costmap import LocalCostmap
from nanorover.planning.costmap_params import CostmapParams
from nanorover.planning.motion import MotionParams, check_against_base, footprint_circles
from nanorover.planning.mppi import Mppi, MppiParams
from nanorover.planning.navigator import load_settings
from nanorover.robot import RobotParams

ROOM = [(0, 0, 8, 0), (8, 0, 8, 6), (8, 6, 0, 6), (0, 6, 0, 0)]
ROBOT = params.load(RobotParams, "robot")
MOTION = params.load(MotionParams, "motion")
EMPTY_START, EMPTY_GOAL = np.array([1.0, 1.0, 0.0]), (7.0, 5.0, 1.57)


@pytest.mark.parametrize(("controller", "share"), [("mppi", 1.15), ("pure_pursuit", 1.15)])
def test_an_empty_room_is_crossed_quickly(controller, share):
    world = FlatWorld(ROOM, EMPTY_START)
    assert Driven(world, controller).go(EMPTY_GOAL, 40.0)
    assert math.dist(world.pose[:2], EMPTY_GOAL[:2]) < 2 * MOTION.goal_distance_m
    assert abs(world.pose[2] - EMPTY_GOAL[2]) < MOTION.goal_yaw_rad
    # an ideal drive: turn, accelerate, full speed, brake, turn
    straight_m, first_rad = math.hypot(6, 4), math.atan2(4, 6)
    turns_s = (first_rad + 1.57 - first_rad) / MOTION.max_angular_rad_s
    ramps_s = 0.5 * 0.5 * (1 / MOTION.acceleration_m_s2 + 1 / MOTION.deceleration_m_s2)
    assert world.t < share * (straight_m / 0.5 + turns_s + ramps_s)


@pytest.mark.parametrize("controller", ["mppi", "pure_pursuit"])
def test_a_box_that_the_map_does_not_know_is_passed(controller):
    world = FlatWorld(ROOM + box(4, 3, 1.5, 1.5), np.array([1.0, 3.0, 0.0]))
    assert Driven(world, controller, known_without=4).go((7.0, 3.0, 0.0), 40.0)
    assert world.least_gap_m > 0.05


def test_a_gap_of_the_footprint_and_ten_centimetres():
    world = FlatWorld([*ROOM, (4, 0, 4, 2.5), (4, 2.85, 4, 6)], np.array([1.0, 1.0, 0.0]))
    assert Driven(world).go((7.0, 4.0, 0.0), 60.0)
    assert world.least_gap_m > 0.0


def test_out_of_a_dead_end_too_narrow_to_turn_it_reverses():
    walls = [(4, 2.8, 6, 2.8), (4, 3.15, 6, 3.15), (6, 2.8, 6, 3.15)]
    world = FlatWorld(ROOM + walls, np.array([5.7, 2.975, 0.0]))
    assert Driven(world).go((1.0, 1.0, 0.0), 60.0)
    assert world.least_gap_m > 0.0


@pytest.mark.parametrize(
    "walker",
    [Walker([(4, 0.5), (4, 5.5), (4, 0.5)], 0.9), Walker([(6, 3), (0.5, 3)], 0.8), Walker([(4, 3), (4, 3)], 0.0)],
    ids=["crossing", "oncoming", "standing"],
)
@pytest.mark.parametrize("controller", ["mppi", "pure_pursuit"])
def test_people_are_never_driven_near(controller, walker):
    world = FlatWorld(ROOM, np.array([1.0, 3.0, 0.0]), [walker])
    assert Driven(world, controller).go((7.0, 3.0, 0.0), 60.0)
    assert world.least_people_gap_moving_m > 0.4


def test_with_no_room_at_all_it_says_so():
    settings = params.load(CostmapParams, "costmap")
    local = LocalCostmap(settings, ROBOT)
    local.follow(np.zeros(3), None)
    row, column = local.raster.cell(0.0, 0.0)
    local.static_lethal[row - 3 : row + 3, column - 3 : column + 3] = True
    local.refresh(local.whole, 0.0)
    path = np.column_stack([np.linspace(0, 2, 41), np.zeros(41), np.zeros(41)])
    controller = Mppi(params.load(MppiParams, "mppi"), MOTION, ROBOT, 0)
    control = controller.control(np.zeros(3), Velocity(0.0, 0.0), path, local)
    assert control.velocity == Velocity(0.0, 0.0)
    assert "contact" in control.reason


def test_where_the_robot_must_be_slow_it_is_as_much_slower_backwards():
    """Else driving backwards past somebody would be as good as turning round first."""
    local = LocalCostmap(params.load(CostmapParams, "costmap"), ROBOT)
    local.follow(np.zeros(3), None)
    local.refresh(local.whole, 0.0)
    path = np.column_stack([np.linspace(0, -2, 41), np.zeros(41), np.full(41, np.pi)])
    controller, velocity, slowest = (
        Mppi(params.load(MppiParams, "mppi"), MOTION, ROBOT, 0),
        Velocity(0.0, 0.0),
        0.0,
    )
    for _ in range(8):
        velocity = controller.control(np.zeros(3), velocity, path, local, max_linear_m_s=0.2).velocity
        slowest = min(slowest, velocity.linear_m_s)
    assert slowest >= -MOTION.max_reverse_m_s * 0.2 / MOTION.max_linear_m_s - 1e-6
    assert slowest < 0.0


@pytest.mark.parametrize(("heading_rad", "drives"), [(0.0, True), (math.pi, False)])
def test_one_who_stands_as_near_as_touching_is_left_and_not_come_nearer(heading_rad, drives):
    """He stands 30 cm behind the robot; the path leads away from him or into him."""
    settings = load_settings()
    controller = Mppi(settings.mppi, settings.motion, settings.robot, 0)
    local = LocalCostmap(settings.costmap, settings.robot)
    pose = np.array([0.0, 0.0, heading_rad])
    local.follow(pose, None)
    local.refresh(local.whole, 0.0)
    path = np.array([[0.05 * i * math.cos(heading_rad), 0.0, heading_rad] for i in range(40)])
    person = np.array([[-0.3, 0.0, 0.0, 0.0, 0.2, 0.5, 0.0, 0.0]], np.float32)
    velocity = Velocity(0.0, 0.0)
    for _ in range(20):
        velocity = controller.control(pose, velocity, path, local, person).velocity
    assert (velocity.linear_m_s > 0.2) if drives else (velocity.linear_m_s < 0.05)


def test_limits_of_speed_and_acceleration_are_kept():
    world = FlatWorld(ROOM, np.array([4.0, 3.0, 0.0]))
    driven = Driven(world)
    commands = []
    driven.navigator.follow(driven.navigator.plan(world.pose, np.array([1.0, 2.0, 0.0])).path)
    for _ in range(100):
        driven.cycle()
        commands.append(driven.navigator._commanded)
    v = np.array([c.linear_m_s for c in commands])
    w = np.array([c.angular_rad_s for c in commands])
    assert -MOTION.max_reverse_m_s <= v.min() and v.max() <= MOTION.max_linear_m_s
    assert abs(w).max() <= MOTION.max_angular_rad_s
    step_s = driven.navigator.step_s
    slack = 1e-4
    assert np.diff(v).max() <= MOTION.acceleration_m_s2 * step_s + slack
    assert np.diff(v).min() >= -MOTION.deceleration_m_s2 * step_s - slack
    assert abs(np.diff(w)).max() <= MOTION.angular_acceleration_rad_s2 * step_s + slack


def test_the_circles_cover_the_footprint_and_little_more():
    for robot in (ROBOT, dataclasses.replace(ROBOT, footprint_front_m=0.4, footprint_rear_m=0.2)):
        circles = footprint_circles(robot, 0.0)
        corners = robot.polygon()
        edge = np.concatenate(
            [np.linspace(a, b, 200) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
        )
        away = np.hypot(edge[:, None, 0] - circles[:, 0], edge[:, None, 1] - circles[:, 1]) - circles[:, 2]
        assert away.min(axis=1).max() < 0.012
        angles = np.linspace(0, 2 * np.pi, 90)
        rim = circles[:, None, :2] + circles[:, None, 2:] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        assert (rim[..., 0] - robot.footprint_front_m).max() < 0.02
        assert (abs(rim[..., 1]) - robot.half_width_m).max() < 0.02


def test_more_than_the_base_gives_is_refused():
    base = params.load(BaseParams, "base")
    check_against_base(MOTION, base)
    with pytest.raises(InputError, match="max_linear_m_s"):
        check_against_base(dataclasses.replace(MOTION, max_linear_m_s=3.0), base)
