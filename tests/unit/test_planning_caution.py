"""How fast the robot may drive where somebody may come."""

import dataclasses
import math

import numpy as np
import pytest

from nanorover import params
from nanorover.base.gate import STILL
from nanorover.base.params import BaseParams
from nanorover.errors import InputError
from nanorover.fusion.objects import MOVING, TrackedObject
from nanorover.geometry.scan import LaserScan
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.caution import Caution, CautionParams, check_against_base
from nanorover.planning.navigator import Navigator, load_settings

SETTINGS = load_settings()
CAUTION = SETTINGS.caution
BEAMS = 720
BEARINGS_RAD = -math.pi + np.arange(BEAMS) * 2 * math.pi / BEAMS
RESOLUTION_M = 0.05
# A corridor of 1.2 m along x, a wall of 0.1 m between it and a room of 2 m, a door of 0.8 m in the wall.
WALL_Y_M, DOOR_M = (1.2, 1.3), (4.0, 4.8)


def corridor(door: bool = True) -> OccupancyGrid:
    cells = np.zeros((round(3.3 / RESOLUTION_M), round(8.0 / RESOLUTION_M)), np.int8)
    cells[[0, -1]] = cells[:, [0, -1]] = 100
    cells[round(WALL_Y_M[0] / RESOLUTION_M) : round(WALL_Y_M[1] / RESOLUTION_M)] = 100
    if door:
        low, high = (round(x / RESOLUTION_M) for x in DOOR_M)
        cells[round(WALL_Y_M[0] / RESOLUTION_M) : round(WALL_Y_M[1] / RESOLUTION_M), low:high] = 0
    return OccupancyGrid(cells, RESOLUTION_M, np.zeros(3))


def scan_in(grid: OccupancyGrid, pose: np.ndarray, stamp_s: float = 1.0) -> LaserScan:
    """What a lidar at a pose sees of the cells that are walls."""
    along_m = np.arange(0.0, 9.0, 0.01)
    c, s = np.cos(BEARINGS_RAD + pose[2]), np.sin(BEARINGS_RAD + pose[2])
    columns = ((pose[0] + np.outer(c, along_m)) / grid.resolution_m).astype(int)
    rows = ((pose[1] + np.outer(s, along_m)) / grid.resolution_m).astype(int)
    inside = (rows >= 0) & (columns >= 0) & (rows < grid.cells.shape[0]) & (columns < grid.cells.shape[1])
    hit = ~inside
    hit[inside] = grid.cells[rows[inside], columns[inside]] > 0
    ranges = along_m[np.argmax(hit, axis=1)].astype(np.float32)
    return LaserScan(round(stamp_s * 1e9), ranges, -math.pi, 2 * math.pi / BEAMS, 0.1, 12.0)


def corner_gap_m(known: OccupancyGrid, pose: np.ndarray, world: OccupancyGrid | None = None) -> float:
    navigator = Navigator(SETTINGS)
    navigator.on_map(known, 0.0)
    navigator.on_scan(scan_in(world or known, pose), pose, STILL, 1.0)
    return navigator.caution.corner_gap_m


def walker(x: float, y: float) -> TrackedObject:
    return TrackedObject(1, MOVING, 0.0, 0, np.array([x, y, 0.0, 0.0]), np.eye(4) * 0.01, 0.2, False)


@pytest.mark.parametrize("gap_m", [0.7, 0.9, 1.2, 2.0])
def test_the_room_is_left_when_both_have_done_their_worst(gap_m):
    """The walker comes at full pace until the robot stands: then exactly the room is left."""
    v, reaction_s = CAUTION.speed_m_s(gap_m, 0.15), 0.15
    assert v > 0.0
    step_s, t, gap, speed = 1e-4, 0.0, gap_m, v
    while speed > 0.0:
        speed = v if t < reaction_s else v - CAUTION.caution_deceleration_m_s2 * (t - reaction_s)
        gap -= (CAUTION.walker_m_s + max(0.0, speed)) * step_s
        t += step_s
    assert gap == pytest.approx(CAUTION.room_m, abs=0.002)


def test_too_near_for_any_speed():
    assert CAUTION.speed_m_s(CAUTION.room_m + CAUTION.walker_m_s * 0.15, 0.15) == 0.0


def test_an_open_door_beside_the_way_is_a_blind_corner_and_a_wall_is_none():
    before = np.array([3.0, 0.6, 0.0])
    # Somebody of 0.2 m comes into view in the middle strip of the door, on the line past its near post.
    gap_m = corner_gap_m(corridor(), before)
    assert 0.7 < gap_m < 1.1
    assert corner_gap_m(corridor(), np.array([3.3, 0.6, 0.0])) < gap_m
    assert corner_gap_m(corridor(door=False), before) == math.inf
    # of glass, through which the lidar sees and nobody comes
    assert corner_gap_m(corridor(door=False), before, corridor()) == math.inf
    assert corner_gap_m(corridor(), np.array([1.5, 0.6, 0.0])) == math.inf  # too far off
    assert corner_gap_m(corridor(), np.array([5.6, 0.6, 0.0])) == math.inf  # behind the robot


def test_a_blind_corner_slows_to_what_its_gap_allows_but_never_below_its_least_speed():
    caution = Caution(CAUTION, SETTINGS.robot)
    assert caution.speed_limit_m_s([], np.zeros(3)) == math.inf
    for gap_m, limit in ((0.5, CAUTION.blind_corner_m_s), (2.5, CAUTION.speed_m_s(2.5, 0.35))):
        caution.corner_gap_m = gap_m
        assert caution.speed_limit_m_s([], np.zeros(3)) == pytest.approx(limit)
    assert CAUTION.speed_m_s(0.5, 0.35) < CAUTION.blind_corner_m_s < CAUTION.speed_m_s(2.5, 0.35) < math.inf


def test_what_stands_about_hides_nobody():
    """A box that the map does not know is lower than somebody behind it."""
    hall = np.zeros((80, 120), np.int8)
    hall[[0, -1]] = hall[:, [0, -1]] = 100
    known = OccupancyGrid(hall, RESOLUTION_M, np.zeros(3))
    boxed = hall.copy()
    boxed[36:46, 50:58] = 100
    assert (
        corner_gap_m(known, np.array([1.6, 1.2, 0.0]), OccupancyGrid(boxed, RESOLUTION_M, np.zeros(3))) == math.inf
    )
    # but if the map has it, it may be a wall
    assert corner_gap_m(OccupancyGrid(boxed, RESOLUTION_M, np.zeros(3)), np.array([1.6, 1.2, 0.0])) < 1.5


def test_the_drive_is_held_to_the_limit_at_once():
    navigator = Navigator(SETTINGS)
    grid = corridor(door=False)
    pose = np.array([2.0, 0.6, 0.0])
    navigator.on_map(grid, 0.0)
    navigator.on_scan(scan_in(grid, pose), pose, STILL, 1.0)
    navigator.follow(navigator.plan(pose, np.array([7.0, 0.6, 0.0])).path)
    fast = dataclasses.replace(STILL, linear_m_s=0.5)
    for k in range(20):
        free = navigator.drive(pose, fast, k).velocity
    assert free.linear_m_s > 0.45
    navigator.on_objects([], [walker(2.9, 0.6)])
    gap_m = 0.9 - SETTINGS.robot.footprint_front_m - 0.2
    held = navigator.drive(pose, fast, 21).velocity
    assert held.linear_m_s <= max(CAUTION.creep_m_s, CAUTION.speed_m_s(gap_m, CAUTION.reaction_s)) + 1e-6
    navigator.on_objects([], [walker(1.1, 0.6)])  # behind: the robot drives away from him
    assert navigator.speed_limit_m_s(pose) >= SETTINGS.motion.max_linear_m_s


def test_braking_that_the_base_does_not_have_is_refused():
    base = params.load(BaseParams, "base")
    check_against_base(CAUTION, base)
    with pytest.raises(InputError, match="caution relies on caution_deceleration_m_s2 9"):
        check_against_base(params.load(CautionParams, "caution", None, caution_deceleration_m_s2=9.0), base)
