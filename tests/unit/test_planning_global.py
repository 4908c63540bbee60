"""The global planner against mazes, straight lines and an exhaustive search."""

import itertools
import math

import numpy as np
import pytest

from nanorover import params
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning import global_planner
from nanorover.planning.costmap import Costmap, Raster
from nanorover.planning.costmap_params import CostmapParams
from nanorover.planning.global_planner import GlobalPlannerParams, plan
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.search import line_length
from nanorover.robot import RobotParams

PARAMS = params.load(GlobalPlannerParams, "global_planner")
ROBOT = params.load(RobotParams, "robot")


def world(lethal: np.ndarray, resolution_m: float = 0.05) -> Costmap:
    """A map with these lethal cells, its corner at the origin."""
    costmap = Costmap(params.load(CostmapParams, "costmap"), ROBOT, Raster(0.0, 0.0, resolution_m, lethal.shape))
    costmap.static_lethal = lethal
    costmap.refresh(costmap.whole, 0.0)
    return costmap


def go(costmap: Costmap, start: tuple[float, float], goal: tuple[float, float]):
    return plan(costmap.cost, costmap.raster, np.array([*start, 0.0]), np.array([*goal, 1.0]), PARAMS)


def is_safe(costmap: Costmap, path: np.ndarray) -> bool:
    return all(costmap.cost_at(x, y) < 253 for x, y, _ in path)


def test_an_empty_room_gives_the_straight_line():
    found = go(world(np.zeros((200, 200), bool)), (1.0, 1.0), (9.0, 6.37))
    assert found.error == 0
    assert found.length_m == pytest.approx(math.hypot(8.0, 5.37), rel=1e-3)
    assert found.path[0, :2] == pytest.approx((1.0, 1.0))
    assert found.path[-1] == pytest.approx((9.0, 6.37, 1.0))
    assert found.path[:-1, 2] == pytest.approx(np.full(len(found.path) - 1, math.atan2(5.37, 8.0)), abs=0.02)


def test_around_a_wall_it_goes_through_the_door():
    lethal = np.zeros((200, 200), bool)
    lethal[:, 100] = True
    lethal[140:160, 100] = False  # a door of 1 m at y = 7 to 8
    costmap = world(lethal)
    found = go(costmap, (2.0, 2.0), (8.0, 2.0))
    shortest = 2 * math.hypot(3.0, 5.0)
    assert shortest < found.length_m < 1.1 * shortest
    assert is_safe(costmap, found.path)
    at_door = found.path[np.argmin(abs(found.path[:, 0] - 5.025)), 1]
    assert 7.2 < at_door < 7.8


def test_a_gap_of_the_footprint_and_ten_centimetres_is_passable():
    for shift in range(2):
        lethal = np.zeros((100, 100), bool)
        lethal[:, 50] = True
        lethal[40 + shift : 47 + shift, 50] = False  # 0.35 m
        assert go(world(lethal), (1.0, 1.0), (4.0, 4.0)).error == 0
    lethal = np.zeros((100, 100), bool)
    lethal[:, 50] = True
    lethal[40:44, 50] = False  # 0.2 m
    assert go(world(lethal), (1.0, 1.0), (4.0, 4.0)).error == global_planner.NO_WAY


def dijkstra_length(cost: np.ndarray, start: tuple[int, int], goal: tuple[int, int]) -> float:
    """The least weighted length on the grid with 16 directions: never shorter than the any-angle optimum."""
    import heapq

    steps = [(a, b) for a in range(-2, 3) for b in range(-2, 3) if math.gcd(a, b) == 1]
    columns = cost.shape[1]
    best = {start: 0.0}
    queue = [(0.0, start)]
    while queue:
        d, cell = heapq.heappop(queue)
        if cell == goal:
            return d
        if d > best[cell]:
            continue
        for a, b in steps:
            r, c = cell[0] + a, cell[1] + b
            if 0 <= r < cost.shape[0] and 0 <= c < columns:
                total = d + line_length(cost, cell[0] * columns + cell[1], r * columns + c, PARAMS.cost_weight)
                if total < best.get((r, c), math.inf):
                    best[r, c] = total
                    heapq.heappush(queue, (total, (r, c)))
    return math.inf


@pytest.mark.parametrize("seed", range(6))
def test_among_random_posts_it_is_nearly_the_cheapest(seed):
    generator = np.random.default_rng(seed)
    lethal = generator.random((120, 120)) < 0.006
    lethal[:12, :12] = lethal[-12:, -12:] = False
    costmap = world(lethal)
    found = go(costmap, (0.3, 0.3), (5.7, 5.7))
    expected = dijkstra_length(costmap.cost, (6, 6), (114, 114))
    if math.isinf(expected):
        assert found.error == global_planner.NO_WAY
        return
    assert is_safe(costmap, found.path)
    cells = (found.path[:, :2] / 0.05).astype(int)
    flat = cells[:, 1] * 120 + cells[:, 0]
    weighted = sum(
        line_length(costmap.cost, int(a), int(b), PARAMS.cost_weight) for a, b in itertools.pairwise(flat)
    )
    assert weighted < 1.25 * expected


@pytest.mark.parametrize(
    ("goal", "error", "words"),
    [
        ((20.0, 1.0), global_planner.GOAL_OUTSIDE, "outside"),
        ((math.nan, 1.0), global_planner.GOAL_OUTSIDE, "not finite"),
        ((5.0, 5.0), global_planner.GOAL_OCCUPIED, "obstacle"),
        ((8.5, 8.5), global_planner.NO_WAY, "walled off"),
    ],
)
def test_what_cannot_be_reached_is_said_with_the_nearest_point(goal, error, words):
    lethal = np.zeros((200, 200), bool)
    lethal[80:120, 80:120] = True
    lethal[160:180, [160, 180]] = lethal[[160, 180], 160:181] = True  # a closed room
    found = go(world(lethal), (1.0, 1.0), goal)
    assert found.error == error
    assert words in found.reason
    assert len(found.path) == 0
    if error in (global_planner.GOAL_OCCUPIED, global_planner.NO_WAY):
        x, y = found.nearest_m
        cells = np.argwhere(world(lethal).cost < 253)
        outside_room = [c for c in cells if not (158 < c[0] < 182 and 158 < c[1] < 182)]
        least = min(math.dist(goal, world_centre(c)) for c in outside_room)
        assert math.dist(goal, (x, y)) == pytest.approx(least, abs=0.08)
        assert f"({x:.2f}, {y:.2f})" in found.reason


def world_centre(cell: np.ndarray) -> tuple[float, float]:
    return (cell[1] + 0.5) * 0.05, (cell[0] + 0.5) * 0.05


def test_a_goal_a_little_too_near_a_wall_is_moved():
    lethal = np.zeros((100, 100), bool)
    lethal[:, 60] = True
    found = go(world(lethal), (1.0, 1.0), (2.95, 2.0))
    assert found.error == 0
    assert math.dist(found.path[-1, :2], (2.95, 2.0)) < PARAMS.goal_tolerance_m


@pytest.mark.parametrize("away_m", [0.05, 0.14, 0.19, 0.26, 0.6])
def test_a_goal_without_room_to_turn_is_moved_to_where_there_is_room_and_no_farther(away_m):
    """Of a robot 0.3 m long and 0.25 m wide each corner is 0.195 m from its middle."""
    lethal = np.zeros((100, 100), bool)
    lethal[:, 60:] = True
    x, y, _ = go(world(lethal), (1.0, 1.0), (3.0 - away_m, 2.01)).path[-1]
    room_m = 3.0 - x
    assert room_m > 0.195
    if away_m > 0.25:
        assert (room_m, y) == (pytest.approx(away_m), 2.01)
    else:
        assert room_m < max(0.195, away_m) + 0.08
        assert y == pytest.approx(2.01, abs=0.03)


def test_in_a_passage_too_narrow_to_turn_a_goal_stays_where_it_is():
    lethal = np.ones((100, 100), bool)
    lethal[40:47, 20:80] = lethal[20:67, 5:20] = False  # 0.35 m wide and 3 m long, before it a room
    found = go(world(lethal), (0.7, 2.2), (1.4, 2.17))
    assert math.dist(found.path[-1, :2], (1.4, 2.17)) < 0.05


def test_a_robot_within_an_obstacle_is_told_so():
    lethal = np.zeros((100, 100), bool)
    lethal[:40, :40] = True
    assert go(world(lethal), (0.5, 0.5), (4.0, 4.0)).error == global_planner.START_OCCUPIED


@pytest.mark.parametrize("seed", range(4))
def test_a_line_has_the_length_of_what_it_crosses(seed):
    generator = np.random.default_rng(seed)
    cost = generator.integers(0, 200, (60, 60)).astype(np.uint8)
    a, b = generator.integers(0, 60, 2), generator.integers(0, 60, 2)
    points = np.linspace(a + 0.5, b + 0.5, 200_001)
    cells = points.astype(int)
    exact = np.hypot(*(b - a)) * (1.0 + PARAMS.cost_weight * cost[cells[:, 0], cells[:, 1]].mean() / 253.0)
    assert line_length(cost, int(a[0] * 60 + a[1]), int(b[0] * 60 + b[1]), PARAMS.cost_weight) == pytest.approx(
        exact, rel=1e-3
    )


def test_a_path_is_kept_while_it_is_about_as_good():
    """Else a robot between two ways turns round at every plan."""
    navigator = Navigator(load_settings())
    cells = np.zeros((120, 120), np.int8)
    cells[[0, -1]] = cells[:, [0, -1]] = 100
    navigator.on_map(OccupancyGrid(cells, 0.05, np.zeros(3)), 0.0)
    start, straight = np.array([1.0, 3.0, 0.0]), line((1.0, 3.0), (5.0, 3.0))
    for by_m, kept in ((0.7, True), (1.8, False)):  # 6 % and 34 % longer
        navigator.follow(np.vstack([line((1.0, 3.0), (3.0, 3.0 + by_m)), line((3.0, 3.0 + by_m), (5.0, 3.0))]))
        assert navigator.worth_keeping(start, straight) == kept
    navigator.follow(line((1.0, 3.0), (5.0, 3.0)))
    assert navigator.worth_keeping(start, straight)
    assert not navigator.worth_keeping(np.array([1.0, 3.5, 0.0]), straight)  # the robot is elsewhere
    assert not navigator.worth_keeping(start, line((1.0, 3.0), (5.0, 4.0)))  # to another goal
    assert navigator.world is not None
    navigator.world.seen_s[navigator.world.raster.cell(3.0, 3.0)] = 0.0
    navigator.world.start_s = 0.0
    navigator.world.refresh(navigator.world.whole, 0.0)
    assert not navigator.worth_keeping(start, straight)  # something stands on it


def line(a: tuple[float, float], b: tuple[float, float]) -> np.ndarray:
    """A straight path of poses every 5 cm."""
    return np.column_stack([np.linspace(a[0], b[0], 81), np.linspace(a[1], b[1], 81), np.zeros(81)])
