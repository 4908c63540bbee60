"""Where the known ends: frontiers, and which to look at next.

After Yamauchi, "A Frontier-Based Approach for Autonomous Exploration", CIRA 1997: a frontier is a run of passable
cells beside unknown ones; the next is the one that is cheapest to reach for its length.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose
from nanorover.planning.costmap import INSCRIBED, Costmap
from nanorover.planning.search import POOL, cost_to_go, pooled

NEIGHBOURS = np.ones((3, 3), np.uint8)
GIVE_UP_WITHIN_M = 0.5
NEAREST_M = 0.3  # what lies nearer is seen already; it is unknown because nothing can show it
COST_WEIGHT = 2.0


def next_frontier(
    cost: NDArray[np.uint8], world: Costmap, T_map_base: Pose, least_m: float, given_up: list[tuple[float, float]]
) -> tuple[Pose | None, int]:
    """A pose at the best frontier, looking into the unknown, and how many frontiers are left to explore.

    ``given_up`` are places that could not be reached.
    """
    raster = world.raster
    beside_unknown = cv2.dilate(world.unknown.astype(np.uint8), NEIGHBOURS).astype(bool)
    edge = beside_unknown & ~world.unknown & ~world.static_lethal
    count, labels = cv2.connectedComponents(edge.astype(np.uint8), connectivity=8)
    row, column = raster.cell(T_map_base[0], T_map_base[1])
    to_go = cost_to_go(*pooled(cost), row // POOL, column // POOL, COST_WEIGHT)
    passable = cost < INSCRIBED
    reach_m = (
        np.kron(to_go, np.ones((POOL, POOL), np.float32))[: cost.shape[0], : cost.shape[1]] * raster.resolution_m
    )
    best, best_value, left = None, math.inf, 0
    near_cells = math.ceil(2.0 * world.robot.inscribed_radius_m / raster.resolution_m) + 2
    for label in range(1, count):
        rows, columns = np.nonzero(labels == label)
        length_m = len(rows) * raster.resolution_m
        if length_m < least_m:
            continue
        stand = _standing_place(rows, columns, passable, reach_m, near_cells)
        if stand is None:
            continue
        x, y = raster.centre(*stand)
        if any(math.dist((x, y), place) < GIVE_UP_WITHIN_M for place in given_up):
            continue
        left += 1
        value = float(reach_m[stand]) - length_m
        if reach_m[stand] > NEAREST_M and value < best_value:
            middle = raster.centre(int(np.median(rows)), int(np.median(columns)))
            best = np.array([x, y, math.atan2(middle[1] - y, middle[0] - x)])
            best_value = value
    return best, left


def _standing_place(
    rows: NDArray, columns: NDArray, passable: NDArray[np.bool_], reach_m: NDArray[np.float32], near_cells: int
) -> tuple[int, int] | None:
    """The passable, reachable cell nearest to the middle of a frontier; None if there is none close by."""
    middle = np.argmin((rows - np.median(rows)) ** 2 + (columns - np.median(columns)) ** 2)
    row, column = int(rows[middle]), int(columns[middle])
    low_row, low_column = max(0, row - near_cells), max(0, column - near_cells)
    part = np.s_[low_row : row + near_cells + 1, low_column : column + near_cells + 1]
    free = np.argwhere(passable[part] & np.isfinite(reach_m[part]))
    if len(free) == 0:
        return None
    away = (free[:, 0] + low_row - row) ** 2 + (free[:, 1] + low_column - column) ** 2
    nearest = free[int(np.argmin(away))]
    return int(nearest[0] + low_row), int(nearest[1] + low_column)
