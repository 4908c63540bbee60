"""From where the robot is to where it should be, over the whole map; or why that is impossible.

Whether the goal can be reached is known from the connected parts of the map before any search begins. The
search is Lazy Theta* with the cost-to-go of a four times coarser map as its heuristic, so that it looks at
little more than the cells along the way.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose
from nanorover.params import param
from nanorover.planning.costmap import INSCRIBED, UNKNOWN, Raster, Window
from nanorover.planning.search import POOL, cost_to_go, lazy_theta_star, line_length, pooled

# Why there is no way, in the words and numbers of nav2_msgs/ComputePathToPose.
START_OUTSIDE, GOAL_OUTSIDE, START_OCCUPIED, GOAL_OCCUPIED, NO_WAY = 203, 204, 205, 206, 208

START_M = 0.25
AWAY_COST_1_M = 200.0  # by so much must a place be cheaper to be taken for the goal, per metre from it
STRAIGHT_M = 1e-6  # a point so near to the middle of its neighbours is smooth


@dataclass(frozen=True)
class GlobalPlannerParams:
    """Values in ``params/global_planner.yaml``."""

    cost_weight: float = param(
        "how many times longer the costliest passable cell counts than a free one, less one",
        minimum=0.0,
        maximum=100.0,
    )
    goal_tolerance_m: float = param(
        "a goal that is occupied or without room is moved by at most this", "m", minimum=0.0, maximum=2.0
    )
    roomy_cost: int = param(
        "a goal that costs more is without room to turn, and a cheaper place near it is taken",
        minimum=0,
        maximum=252,
    )
    point_spacing_m: float = param("distance of the path's points", "m", minimum=0.01, maximum=1.0)
    smoothing_rounds: int = param("rounds of smoothing", minimum=0, maximum=1000)
    smoothing_weight: float = param(
        "how far a point moves towards its neighbours per round", minimum=0.0, maximum=0.5
    )


@dataclass(frozen=True, eq=False)
class Plan:
    """A path ``(N, 3)`` of poses in the map frame, or none with an error code, the reason, and the nearest
    point that can be reached. Where only what is not on the map blocks the way, there is an error, and a path to
    just before ``blocked_m``."""

    path: NDArray[np.float64]
    error: int = 0
    reason: str = ""
    nearest_m: tuple[float, float] | None = None
    length_m: float = 0.0
    blocked_m: tuple[float, float] | None = None


def plan(
    cost: NDArray[np.uint8],
    raster: Raster,
    start: Pose,
    goal: Pose,
    params: GlobalPlannerParams,
    zones: NDArray[np.bool_] | None = None,
) -> Plan:
    """The cheapest way over ``cost`` (``(rows, columns)``, as ``Costmap.cost``) from pose to pose; no goal lies in
    the keep-out ``zones``, of the same shape."""
    for pose, name, error in ((start, "start", START_OUTSIDE), (goal, "goal", GOAL_OUTSIDE)):
        if not np.isfinite(pose).all():
            return _none(error, f"the {name} is not finite")
        if not raster.contains(pose[0], pose[1]):
            return _none(error, f"the {name} ({pose[0]:.2f}, {pose[1]:.2f}) is outside the map")
    cost = np.ascontiguousarray(cost)
    passable = (cost < INSCRIBED).astype(np.uint8)
    free_start = _nearest(passable.astype(bool), raster, start[:2])
    if free_start is None or math.dist(free_start, start[:2]) > max(
        params.goal_tolerance_m, 2 * raster.resolution_m
    ):
        in_zone = zones is not None and zones[raster.cell(*start[:2])]
        return _none(START_OCCUPIED, f"the robot stands in {'a keep-out zone' if in_zone else 'an obstacle'}")
    # Four neighbours, because the search does not squeeze through corners either.
    parts = cv2.connectedComponents(passable, connectivity=4)[1] if passable.any() else passable
    reachable = parts == parts[raster.cell(*free_start)]
    if zones is not None:
        reachable &= ~zones
    end_m = _place_at(cost, reachable, raster, goal, params)
    if end_m is None:
        error, reason = _why_not(cost, raster, goal, zones)
        return _none(error, reason, _nearest(reachable, raster, goal[:2]))
    start_cell, goal_cell = raster.cell(*free_start), raster.cell(*end_m)
    columns = raster.shape[1]
    to_go = cost_to_go(*pooled(cost), goal_cell[0] // POOL, goal_cell[1] // POOL, params.cost_weight)
    way = lazy_theta_star(
        cost,
        to_go,
        start_cell[0] * columns + start_cell[1],
        goal_cell[0] * columns + goal_cell[1],
        params.cost_weight,
    )
    if len(way) == 0:
        return _none(NO_WAY, "no way to the goal", end_m)
    corners = _shortened(cost, way, params.cost_weight)
    return _path(cost, raster, corners, start, goal, end_m, params)


@njit(cache=True)
def _weighted_m(
    path: NDArray[np.float64], cost: NDArray[np.uint8], corner: tuple[float, float, float], weight: float
) -> float:
    total, length = 0.0, 0.0
    for i in range(len(path) - 1):
        step = math.hypot(path[i + 1, 0] - path[i, 0], path[i + 1, 1] - path[i, 1])
        length += step
        row, column = int((path[i + 1, 1] - corner[1]) / corner[2]), int((path[i + 1, 0] - corner[0]) / corner[2])
        there = cost[row, column] if 0 <= row < cost.shape[0] and 0 <= column < cost.shape[1] else UNKNOWN
        if there >= INSCRIBED and length > START_M:
            return math.inf
        total += step * (1.0 + weight * min(there, INSCRIBED) / INSCRIBED)
    return total


def weighted_length_m(
    path: NDArray[np.float64], cost: NDArray[np.uint8], raster: Raster, params: GlobalPlannerParams
) -> float:
    """The length of a path ``(N, 2)`` or more, costly places counted longer as the search does; inf where it is
    blocked, but at its start, where the robot stands already."""
    return _weighted_m(path, cost, (raster.x_m, raster.y_m, raster.resolution_m), params.cost_weight)


def _none(error: int, reason: str, nearest: tuple[float, float] | None = None) -> Plan:
    if nearest is not None:
        reason += f"; the nearest reachable point is ({nearest[0]:.2f}, {nearest[1]:.2f})"
    return Plan(np.zeros((0, 3)), error, reason, nearest)


def _why_not(
    cost: NDArray[np.uint8], raster: Raster, goal: Pose, zones: NDArray[np.bool_] | None
) -> tuple[int, str]:
    there = cost[raster.cell(goal[0], goal[1])]
    if zones is not None and zones[raster.cell(goal[0], goal[1])]:
        return GOAL_OCCUPIED, "the goal is in a keep-out zone"
    if there == UNKNOWN:
        return NO_WAY, "the goal is in unknown space"
    if there >= INSCRIBED:
        return GOAL_OCCUPIED, "the goal is in or too near an obstacle"
    by = " by walls or keep-out zones" if zones is not None and zones.any() else ""
    return NO_WAY, f"no way to the goal: it is walled off{by}"


def _nearest(mask: NDArray[np.bool_], raster: Raster, point_m: NDArray[np.float64]) -> tuple[float, float] | None:
    """The middle of the nearest true cell; the point itself if its cell is true."""
    row, column = raster.cell(point_m[0], point_m[1])
    if mask[row, column]:
        return float(point_m[0]), float(point_m[1])
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return None
    i = int(np.argmin((rows - row) ** 2 + (columns - column) ** 2))
    return raster.centre(int(rows[i]), int(columns[i]))


def _place_at(
    cost: NDArray[np.uint8],
    reachable: NDArray[np.bool_],
    raster: Raster,
    goal: Pose,
    params: GlobalPlannerParams,
) -> tuple[float, float] | None:
    """The goal itself where there is room to turn, else a place within the tolerance that has it or comes near to
    it. Where it just fits beside a wall, a robot would fidget and not get there."""
    row, column = raster.cell(goal[0], goal[1])
    if reachable[row, column] and cost[row, column] <= params.roomy_cost:
        return float(goal[0]), float(goal[1])
    tolerance_m = max(params.goal_tolerance_m, raster.resolution_m)
    reach = math.ceil(tolerance_m / raster.resolution_m)
    part = Window(row, row + 1, column, column + 1).grown(reach, raster.shape)
    best, least = None, math.inf
    for row, column in np.argwhere(reachable[part.of]) + np.array([part.row, part.column]):
        place_m = raster.centre(int(row), int(column))
        away_m = math.dist(place_m, goal[:2])
        total = max(int(cost[row, column]), params.roomy_cost) + AWAY_COST_1_M * away_m
        if away_m <= tolerance_m and total < least:
            best, least = place_m, total
    return best


@njit(cache=True)
def _shortened(cost: NDArray[np.uint8], way: NDArray[np.int32], weight: float) -> NDArray[np.int32]:
    """Leave out turning points where the straight line is no costlier."""
    along = np.zeros(len(way))
    for j in range(1, len(way)):
        along[j] = along[j - 1] + line_length(cost, way[j - 1], way[j], weight)
    kept = [way[0]]
    i = 0
    while i < len(way) - 1:
        last = i + 1
        for j in range(i + 2, len(way)):
            if line_length(cost, way[i], way[j], weight) <= (along[j] - along[i]) * 1.001:
                last = j
        kept.append(way[last])
        i = last
    return np.array(kept, dtype=np.int32)


@njit(cache=True)
def _smooth(
    points: NDArray[np.float64],
    cost: NDArray[np.uint8],
    corner: tuple[float, float, float],
    rounds: int,
    weight: float,
) -> None:
    """Pull each point towards the middle of its neighbours, unless that leads to a costlier cell."""
    x_m, y_m, resolution_m = corner
    for _ in range(rounds):
        for i in range(1, len(points) - 1):
            dx = points[i - 1, 0] + points[i + 1, 0] - 2.0 * points[i, 0]
            dy = points[i - 1, 1] + points[i + 1, 1] - 2.0 * points[i, 1]
            if abs(dx) + abs(dy) < STRAIGHT_M:
                continue
            x, y = points[i, 0] + weight * dx, points[i, 1] + weight * dy
            now = cost[int((points[i, 1] - y_m) / resolution_m), int((points[i, 0] - x_m) / resolution_m)]
            then = cost[int((y - y_m) / resolution_m), int((x - x_m) / resolution_m)]
            if then < INSCRIBED and then <= max(now, 60):
                points[i, 0], points[i, 1] = x, y


def _path(
    cost: NDArray[np.uint8],
    raster: Raster,
    corners: NDArray[np.int32],
    start: Pose,
    goal: Pose,
    end_m: tuple[float, float],
    params: GlobalPlannerParams,
) -> Plan:
    """Turning points as a smooth path of poses."""
    rows, columns = np.divmod(corners, raster.shape[1])
    turns = np.column_stack(
        [raster.x_m + (columns + 0.5) * raster.resolution_m, raster.y_m + (rows + 0.5) * raster.resolution_m]
    )
    turns[0] = start[:2]
    if len(turns) > 1:
        turns[-1] = end_m
    else:
        turns = np.vstack([turns, end_m])
    points = _spaced(turns, params.point_spacing_m)
    _smooth(
        points,
        cost,
        (raster.x_m, raster.y_m, raster.resolution_m),
        params.smoothing_rounds,
        params.smoothing_weight,
    )
    path = poses_along(points, params.point_spacing_m, goal[2])
    return Plan(path, length_m=float(np.hypot(*np.diff(path[:, :2], axis=0).T).sum()))


def poses_along(points: NDArray[np.float64], spacing_m: float, last_yaw_rad: float) -> NDArray[np.float64]:
    """A line through points (K, 2) as poses (N, 3) at equal distances that look ahead, the last one as is said."""
    points = _spaced(points, spacing_m)
    steps = np.diff(points, axis=0)
    return np.column_stack([points, np.append(np.arctan2(steps[:, 1], steps[:, 0]), last_yaw_rad)])


def _spaced(points: NDArray[np.float64], spacing_m: float) -> NDArray[np.float64]:
    """The same line with points at equal distances."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(2, math.ceil(along[-1] / spacing_m) + 1)
    wanted = np.linspace(0.0, along[-1], count)
    return np.column_stack([np.interp(wanted, along, points[:, 0]), np.interp(wanted, along, points[:, 1])])
