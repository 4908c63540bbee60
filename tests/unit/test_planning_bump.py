"""What the lidar does not see and the robot runs into: noticed, left, remembered, driven round; nothing else."""

import dataclasses
import math

import numpy as np
import pytest
from flat_drives import Driven
from flat_world import FlatWorld, box
from py_trees.common import Status

from nanorover import params
from nanorover.base.gate import STILL, Velocity
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import between
from nanorover.planning import missions
from nanorover.planning.behaviours import HELD, FollowPath, Spin, Straight
from nanorover.planning.bump import Bump, BumpParams
from nanorover.sim import buildings, flatland
from nanorover.sim.navigation import NavigatorPilot
from nanorover.sim.rover import Rover
from nanorover.sim.scenarios import Scenario, outer, pose_of
from nanorover.sim.scene import Furniture, Scene, Start
from nanorover.sim.simulation import Simulation

ROOM = [(0, 0, 8, 0), (8, 0, 8, 6), (8, 6, 0, 6), (0, 6, 0, 0)]
START = np.array([1.0, 3.0, 0.0])
GOAL = np.array([6.0, 3.0, 0.0])


@pytest.mark.parametrize("stalls", [False, True])
def test_what_holds_the_robot_unseen_is_noticed_within_a_second_left_and_driven_round(stalls):
    world = FlatWorld(ROOM, START, unseen=box(3.0, 3.0, 0.4, 0.5), stalls=stalls)
    driven, held_s, command = Driven(world), [], []

    def note(mission: missions.Mission) -> None:
        held_s.append(world.held_s)
        command.append(mission.pilot.command.linear_m_s)

    _, status = driven.run(lambda p: missions.through_poses(p, [GOAL]), 40, note)
    assert status == Status.SUCCESS
    assert 1 <= driven.navigator.bumps <= 2
    first = next(i for i, s in enumerate(held_s) if s > 0.0)
    noticed = next(i for i in range(first, len(command)) if command[i] < 0.0)
    assert (noticed - first) * 0.05 < 1.0
    assert world.held_s < 1.5 * driven.navigator.bumps  # wheels brake, and a command takes its time
    nearest = np.abs(driven.navigator.touched[:, :2] - (2.8, 3.0)).max(axis=1)
    assert nearest.min() < 0.1


def test_where_there_is_no_room_behind_it_does_not_back_off():
    world = FlatWorld([*ROOM, (0.8, 2.5, 0.8, 3.5)], START, unseen=box(1.4, 3.0, 0.4, 3.0))
    driven = Driven(world)
    driven.run(lambda p: missions.through_poses(p, [GOAL]), 8)
    assert driven.navigator.bumps >= 1
    assert world.least_gap_m > 0.0


def test_one_that_is_held_here_again_and_again_gives_up():
    world = FlatWorld(ROOM, START, unseen=box(1.6, 3.0, 0.1, 6.0))
    driven = Driven(world)
    drive = lambda p: missions.through_poses(p, [GOAL], recovers=False)  # noqa: E731
    navigator = driven.navigator
    mission, status = driven.run(drive, 60, lambda _: navigator.clear_costmaps(world.t, touched=True))
    assert status == Status.FAILURE
    assert HELD in mission.pilot.reason


@pytest.mark.parametrize(
    ("leaf", "aside"),
    [
        (lambda p: Straight(p, -1.0, 0.1), (-0.3, 0.0)),
        (lambda p: Straight(p, 1.0, 0.1), (0.3, 0.0)),
        (lambda p: Spin(p, 3.0), (0.0, 0.24)),
        (lambda p: FollowPath(p, np.array([START, GOAL])), (0.5, 0.0)),
    ],
)
def test_whatever_moves_the_robot_fails_where_it_is_held(leaf, aside):
    world = FlatWorld(ROOM, START, unseen=box(START[0] + aside[0], START[1] + aside[1], 0.2, 0.2))
    mission, status = Driven(world).run(leaf, 20)
    assert status == Status.FAILURE
    assert HELD in mission.pilot.reason
    assert world.held_s < 1.5


def test_a_dock_may_be_touched():
    world = FlatWorld(ROOM, START, unseen=box(2.2, 3.0, 0.1, 0.6))  # 2 cm before where docking ends
    driven, command = Driven(world), []
    dock = np.array([2.0, 3.0, 0.0])
    _, status = driven.run(
        lambda p: missions.dock(p, dock, stage=False), 40, lambda m: command.append(m.pilot.command.linear_m_s)
    )
    assert status == Status.SUCCESS
    assert driven.navigator.bumps == 0 and min(command) >= 0.0


def test_what_was_touched_is_an_obstacle_for_a_while_also_where_beams_pass_and_on_a_new_map():
    world = FlatWorld(ROOM, START, unseen=box(3.0, 3.0, 0.4, 0.5))
    driven = Driven(world)
    navigator = driven.navigator
    driven.run(lambda p: missions.through_poses(p, [GOAL], recovers=False), 7.5)
    assert navigator.bumps == 1
    x, y, until_s = navigator.touched[len(navigator.touched) // 2]
    assert navigator.world is not None and navigator.world.cost_at(x, y) >= 253
    navigator.clear_costmaps(world.t)
    navigator.on_map(world.map(), world.t)
    driven.sense()
    assert navigator.world.cost_at(x, y) >= 253
    navigator.on_scan(world.scan(), world.pose, world.velocity, until_s + 1.5)
    assert navigator.world.cost_at(x, y) < 253
    assert len(navigator.touched) == 0


def fed(records) -> tuple[Bump, int]:
    """A bump sense that has heard all of these, and how often it took the robot to be held."""
    bump, last, held = Bump(params.load(BumpParams, "bump")), None, 0
    for record in records:
        now_s = record.stamp_ns * 1e-9
        if isinstance(record, LaserScan):
            bump.on_scan(record, now_s)
            held += bump.held is not None
        else:
            if last is not None:
                elapsed_s = (record.stamp_ns - last.stamp_ns) * 1e-9
                motion = between(last.T_odom_base, record.T_odom_base)
                bump.on_wheels(Velocity(motion[0] / elapsed_s, motion[2] / elapsed_s), STILL, now_s)
            last = record
    return bump, held


def recorded(walls, drive, wheels: str, slips: float = 0.0):
    wheels = dataclasses.replace(flatland.WHEELS[wheels], slip_per_s=slips, jump_per_s=slips)
    for step in flatland.record(walls, drive, flatland.G4_SWEEPING, wheels, np.random.default_rng(1)):
        yield from step.odometry
        yield step.scan


@pytest.mark.parametrize(("wheels", "slips"), [("good", 0.0), ("fair", 0.0), ("weak", 0.02)])
@pytest.mark.parametrize(("speed_m_s", "turn_rad_s"), [(0.6, 0.8), (0.3, 2.5)])
def test_weak_wheels_and_quick_turns_are_no_bump(wheels, slips, speed_m_s, turn_rad_s):
    building = buildings.apartment(np.random.default_rng(1))
    drive = flatland.drive(building.waypoints[:12], speed_m_s, turn_rad_s)
    assert fed(recorded(building.walls, drive, wheels, slips))[1] == 0


@pytest.mark.parametrize("wheels", ["good", "weak"])
@pytest.mark.parametrize("width_m", [1.1, 4.0])
def test_a_corridor_that_looks_the_same_everywhere_is_no_bump(wheels, width_m):
    half = width_m / 2
    walls = np.array([[-60, -half, 60, -half], [-60, half, 60, half]], float)
    drive = flatland.drive(np.array([[0.0, 0.0], [12.0, 0.0]]), 0.5)
    assert fed(recorded(walls, drive, wheels))[1] == 0


def test_a_mirror_in_the_way_is_left_and_driven_round():
    """In the simulated world, through the drivers: before this was noticed the wheels turned on for 40 s."""
    mirror = Furniture("cabinet", (2.6, 2.0), 180.0, (0.4, 0.9, 1.1), style="mirror")
    empty = Scene("mirror", (5.5, 4.0), Start((0.8, 2.0)), outer(5.5, 4.0))
    scene = dataclasses.replace(empty, furniture=(mirror,))
    simulation = Simulation(scene, 1)
    pilot = NavigatorPilot(simulation, Scenario("mirror", scene, empty, pose_of((4.6, 2.0), 0.0)), 1)
    wheels_m, last = 0.0, None
    for record in Rover(simulation, pilot).run(60.0):
        pilot.hear(record)
        if isinstance(record, Odometry):
            wheels_m += 0.0 if last is None else math.dist(last[:2], record.T_odom_base[:2])
            last = record.T_odom_base
    assert pilot.status == Status.SUCCESS
    assert set(simulation.score.touched) == {"cabinet 0"}
    assert pilot.navigator.bumps >= 1
    assert wheels_m < simulation.score.distance_m + 1.0
