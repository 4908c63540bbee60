"""Costmaps: marking, clearing, inflation and rolling against cases known exactly."""

import math

import numpy as np
import pytest

from nanorover import params
from nanorover.geometry.scan import LaserScan
from nanorover.planning.costmap import FREE, INSCRIBED, LETHAL, Costmap, LocalCostmap, Raster
from nanorover.planning.costmap_params import CostmapParams
from nanorover.planning.distances import squared_cells
from nanorover.planning.scan_points import beams_of
from nanorover.robot import RobotParams

PARAMS = params.load(CostmapParams, "costmap")
ROBOT = params.load(RobotParams, "robot")
BEAMS = 720
BEARINGS_RAD = -math.pi + np.arange(BEAMS) * 2 * math.pi / BEAMS


def scan(ranges_m: np.ndarray, stamp_ns: int = 1) -> LaserScan:
    return LaserScan(stamp_ns, ranges_m.astype(np.float32), -math.pi, 2 * math.pi / BEAMS, 0.1, 12.0)


def post(x: float, y: float, radius_m: float = 0.05, beyond_m: float = math.inf) -> np.ndarray:
    """Ranges from the origin to a round post, and to nothing elsewhere."""
    distance, bearing = math.hypot(x, y), math.atan2(y, x)
    off = np.abs((BEARINGS_RAD - bearing + math.pi) % (2 * math.pi) - math.pi)
    return np.where(off < math.asin(radius_m / distance), distance - radius_m, beyond_m)


def whole_map(side_m: float = 10.0, resolution_m: float = 0.05) -> Costmap:
    cells = round(side_m / resolution_m)
    return Costmap(PARAMS, ROBOT, Raster(-side_m / 2, -side_m / 2, resolution_m, (cells, cells)))


def test_a_post_is_marked_where_it_stands_and_nowhere_else():
    costmap = whole_map()
    costmap.refresh(costmap.observe(beams_of(scan(post(2.0, 0.5))), np.zeros(3), 0.0), 0.0)
    lethal = np.argwhere(costmap.cost == LETHAL)
    centres = np.array([costmap.raster.centre(*cell) for cell in lethal])
    assert len(centres) >= 1
    assert np.hypot(*(centres - (2.0, 0.5)).T).max() < 0.05 + 0.05
    assert costmap.cost_at(2.0, 0.5 + 0.05) >= INSCRIBED
    assert costmap.cost_at(1.0, -1.0) == FREE


@pytest.mark.parametrize("beyond_m", [math.inf, 6.0])
def test_what_has_gone_is_cleared_by_the_beams_that_pass(beyond_m):
    """Also by beams that return nothing: no ghosts."""
    costmap = whole_map()
    costmap.refresh(costmap.observe(beams_of(scan(post(2.0, 0.5))), np.zeros(3), 0.0), 0.0)
    costmap.refresh(costmap.observe(beams_of(scan(np.full(BEAMS, beyond_m))), np.zeros(3), 0.1), 0.1)
    assert not (costmap.cost == LETHAL).any()
    assert costmap.cost.max() == FREE


def test_what_the_beams_cannot_reach_stays():
    costmap = whole_map()
    costmap.refresh(costmap.observe(beams_of(scan(post(3.0, 0.0))), np.zeros(3), 0.0), 0.0)
    nearer = np.where(np.abs(BEARINGS_RAD) < 0.3, 1.5, np.inf)
    costmap.refresh(costmap.observe(beams_of(scan(nearer)), np.zeros(3), 0.1), 0.1)
    assert costmap.cost_at(2.96, 0.0) == LETHAL
    silent = np.full(BEAMS, np.nan)
    costmap.refresh(costmap.observe(beams_of(scan(silent)), np.zeros(3), 0.2), 0.2)
    assert costmap.cost_at(2.96, 0.0) == LETHAL
    costmap.refresh(costmap.forget(0.3 + PARAMS.forget_s), 0.3 + PARAMS.forget_s)
    assert not (costmap.cost == LETHAL).any()


@pytest.mark.parametrize(("share", "reach"), [(0.0, 5), (0.01, 0), (0.01, 7), (0.002, 60), (1.0, 3)])
def test_squared_distances_are_exact_up_to_their_reach(share, reach):
    cells = np.random.default_rng(1).random((40, 70)) < share
    rows, columns = np.indices(cells.shape)
    true = np.full(cells.shape, (reach + 1) ** 2)
    for row, column in np.argwhere(cells):
        true = np.minimum(true, (rows - row) ** 2 + (columns - column) ** 2)
    found = squared_cells(cells, reach)
    within = true <= reach**2
    assert (found[within] == true[within]).all()
    assert (found[~within] > reach**2).all()


def test_distances_are_exact_and_costs_fall_with_them():
    costmap = whole_map()
    costmap.static_lethal[100, 100] = True
    costmap.refresh(costmap.whole, 0.0)
    rows, columns = np.mgrid[:200, :200]
    exact = np.minimum(np.hypot(rows - 100, columns - 100) * 0.05, PARAMS.inflation_radius_m)
    assert costmap.distance_m == pytest.approx(exact, abs=1e-5)
    inscribed_m = ROBOT.inscribed_radius_m
    between = (exact > inscribed_m) & (exact < PARAMS.inflation_radius_m)
    expected = 252 * np.exp(-PARAMS.inflation_rate_1_m * (exact - inscribed_m))
    assert costmap.cost[between] == pytest.approx(expected[between], abs=1.0)
    assert (costmap.cost[(exact > 0) & (exact <= inscribed_m)] == INSCRIBED).all()
    assert (costmap.cost[exact >= PARAMS.inflation_radius_m] == FREE).all()


def test_a_window_gives_the_same_as_the_whole():
    generator = np.random.default_rng(3)
    parts, whole = whole_map(), whole_map()
    for step in range(20):
        ranges = generator.uniform(0.5, 5.0, BEAMS)
        pose = np.array([*generator.uniform(-3, 3, 2), generator.uniform(-3, 3)])
        for costmap in (parts, whole):
            window = costmap.observe(beams_of(scan(ranges)), pose, step * 0.1)
            costmap.refresh(window if costmap is parts else whole.whole, step * 0.1)
        assert (parts.cost == whole.cost).all()
        assert (parts.distance_m == whole.distance_m).all()


def test_the_local_map_rolls_and_keeps_what_it_saw():
    local = LocalCostmap(PARAMS, ROBOT)
    local.follow(np.zeros(3), None)
    local.refresh(local.observe(beams_of(scan(post(1.5, 0.0))), np.zeros(3), 0.0), 0.0)
    before = np.array([local.raster.centre(*c) for c in np.argwhere(local.cost == LETHAL)])
    local.follow(np.array([1.0, 0.7, 0.0]), None)
    local.refresh(local.whole, 0.0)
    after = np.array([local.raster.centre(*c) for c in np.argwhere(local.cost == LETHAL)])
    assert after == pytest.approx(before, abs=1e-9)
    assert local.raster.contains(1.0 + 2.0, 0.7 + 2.0)
    assert not local.raster.contains(-2.0, 0.0)
    local.follow(np.array([50.0, 0.0, 0.0]), None)  # a jump leaves nothing behind
    local.refresh(local.whole, 0.0)
    assert local.cost.max() == FREE


def test_the_static_map_speaks_only_where_the_lidar_does_not():
    """A wall that the map draws 10 cm off is not a second wall; glass that the lidar does not see stays."""
    world = whole_map()
    world.static_lethal[:, world.raster.cell(1.63, 0.0)[1]] = True
    local = LocalCostmap(PARAMS, ROBOT)
    local.follow(np.array([1.0, 0.0, 0.0]) * 0.4, world)
    local.sample(world)
    wall = np.where(np.cos(BEARINGS_RAD) > 0.8, 1.1 / np.maximum(np.cos(BEARINGS_RAD), 0.1), np.inf)
    T = np.array([0.4, 0.0, 0.0])
    local.observe(beams_of(scan(wall)), T, 0.0)
    local.refresh(local.whole, 0.0)
    assert local.cost_at(1.5, 0.0) == LETHAL
    assert local.cost_at(1.625, 0.0) != LETHAL
    assert local.cost_at(1.625, 2.0) == LETHAL  # beyond the seen part of the wall


def test_what_moves_is_left_to_the_objects_but_still_clears():
    costmap = whole_map()
    costmap.observe(beams_of(scan(post(1.0, 0.5))), np.zeros(3), 0.0)
    moving = np.array([[2.0, 1.0, 0.3]])
    costmap.observe(beams_of(scan(post(2.0, 1.0))), np.zeros(3), 0.1, moving)
    costmap.refresh(costmap.whole, 0.1)
    assert not (costmap.cost == LETHAL).any()


def test_the_robot_does_not_stand_in_its_own_marks():
    costmap = whole_map()
    costmap.refresh(costmap.observe(beams_of(scan(np.full(BEAMS, 0.11))), np.zeros(3), 0.0), 0.0)
    assert costmap.cost_at(0.0, 0.0) != LETHAL
    assert costmap.cost_at(0.11, 0.0) != LETHAL


def test_a_beam_without_return_says_nothing_of_what_is_nearer_than_the_lidar_sees():
    costmap = whole_map()
    for x in (0.22, 1.0):
        costmap.seen_s[costmap.raster.cell(x, 0.01)] = 0.0
    nothing = np.full(BEAMS, np.inf, np.float32)
    blind = LaserScan(2, nothing, -math.pi, 2 * math.pi / BEAMS, 0.28, 12.0)
    costmap.refresh(costmap.observe(beams_of(blind), np.zeros(3), 0.1), 0.1)
    assert costmap.cost_at(0.22, 0.01) == LETHAL
    assert costmap.cost_at(1.0, 0.01) == FREE


def test_a_range_of_zero_says_nothing_also_where_the_least_range_is_zero():
    """As CARMEN logs have it; a beam that is too near (REP-117) still says that something is there."""
    costmap = whole_map()
    costmap.observe(beams_of(scan(post(2.0, 0.5))), np.zeros(3), 0.0)
    before = costmap.seen_s.copy()
    ranges_m = np.zeros(BEAMS, np.float32)
    ranges_m[0] = -np.inf
    zeros = LaserScan(2, ranges_m, -math.pi, 2 * math.pi / BEAMS, 0.0, 12.0)
    assert beams_of(zeros).usable == len(beams_of(zeros).returns_m) == 1
    costmap.observe(beams_of(zeros), np.zeros(3), 0.1)
    assert (costmap.seen_s == before).all()
