"""A saved occupancy grid as something that scans can be matched to."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose
from nanorover.mapping.grid import OccupancyGrid, is_free, is_wall
from nanorover.slam.field import FREE_CELLS, Field, FieldArrays

NORMAL_CELLS = 3
# A ray crosses a wall that it meets this far before its end, for so many half cells: grazing does not count.
SHORT_OF_M, CROSSED_STEPS = 0.3, 2
FLATNESS = 0.3


@njit(cache=True, nogil=True)
def _walls(cells: NDArray[np.int8]) -> NDArray[np.float32]:
    """Wall cells as (N, 4) column, row, and the normal towards the free side, (0, 0) where there is none."""
    height, width = cells.shape
    made = np.empty((int(np.sum(is_wall(cells))), 4), np.float32)
    count = 0
    for row in range(height):
        for column in range(width):
            if not is_wall(cells[row, column]):
                continue
            n, sx, sy, sxx, sxy, syy, fx, fy = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for r in range(max(row - NORMAL_CELLS, 0), min(row + NORMAL_CELLS + 1, height)):
                for c in range(max(column - NORMAL_CELLS, 0), min(column + NORMAL_CELLS + 1, width)):
                    dx, dy = float(c - column), float(r - row)
                    if is_wall(cells[r, c]):
                        n += 1
                        sx, sy = sx + dx, sy + dy
                        sxx, sxy, syy = sxx + dx * dx, sxy + dx * dy, syy + dy * dy
                    elif is_free(cells[r, c]):
                        fx, fy = fx + dx, fy + dy
            nx, ny = 0.0, 0.0
            cxx, cxy, cyy = sxx - sx * sx / n, sxy - sx * sy / n, syy - sy * sy / n
            mean, half = 0.5 * (cxx + cyy), math.hypot(0.5 * (cxx - cyy), cxy)
            if n >= 3 and mean - half <= FLATNESS * (mean + half):
                along = 0.5 * math.atan2(2.0 * cxy, cxx - cyy)
                nx, ny = -math.sin(along), math.cos(along)
                side = nx * fx + ny * fy
                # A wall with free space on both sides has no side that it is seen from.
                if abs(side) < 0.5 * math.hypot(fx, fy) or side == 0.0:
                    nx, ny = 0.0, 0.0
                elif side < 0.0:
                    nx, ny = -nx, -ny
            made[count, 0], made[count, 1] = column + 0.5, row + 0.5
            made[count, 2], made[count, 3] = nx, ny
            count += 1
    return made


@njit(cache=True, nogil=True)
def _mark_free(f: FieldArrays, cells: NDArray[np.int8], origin: NDArray[np.float64], resolution_m: float) -> None:
    """Note the grid's free cells in the field."""
    f.free_to_the_cell[0] = True
    c, s = math.cos(origin[2]), math.sin(origin[2])
    per_m = f.frame[2] / FREE_CELLS
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            if is_free(cells[row, column]):
                x, y = (column + 0.5) * resolution_m, (row + 0.5) * resolution_m
                to_column = math.floor((origin[0] + c * x - s * y - f.frame[0]) * per_m)
                to_row = math.floor((origin[1] + s * x + c * y - f.frame[1]) * per_m)
                if 0 <= to_row < f.free.shape[0] and 0 <= to_column < f.free.shape[1]:
                    f.free[to_row, to_column] = True


class MapWalls:
    """The walls of a grid as points (N, 4) ``x, y, nx, ny`` in the map, and its free space."""

    def __init__(self, grid: OccupancyGrid) -> None:
        self.grid = grid
        walls = _walls(grid.cells)
        walls[:, :2] *= grid.resolution_m
        x, y, yaw = grid.T_map_origin
        R = np.array([[math.cos(yaw), math.sin(yaw)], [-math.sin(yaw), math.cos(yaw)]], np.float32)
        self.points = np.concatenate(
            [walls[:, :2] @ R + np.array([x, y], np.float32), walls[:, 2:] @ R], axis=1, dtype=np.float32
        )

    def centre_and_extent(self) -> tuple[NDArray[np.float64], float]:
        """The middle of all walls, and half the side of the square around them, in metres."""
        low, high = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        return (low + high).astype(np.float64) / 2.0, float((high - low).max()) / 2.0

    def covariance(self) -> NDArray[np.float64]:
        """(3, 3) x, y, yaw: what the map itself leaves open, as a wall may be anywhere in its cells."""
        return np.diag([self.grid.resolution_m**2 / 12.0, self.grid.resolution_m**2 / 12.0, 0.0])

    def draw(self, field: Field, centre: Pose) -> None:
        """Draw the part of the map around a place into a field."""
        field.clear(centre[:2])
        field.add_surfaces(self.points)
        _mark_free(field.arrays, self.grid.cells, self.grid.T_map_origin, self.grid.resolution_m)


@njit(cache=True, nogil=True)
def _crossed(
    cells: NDArray[np.int8],
    origin: NDArray[np.float64],
    resolution_m: float,
    points: NDArray[np.float64],
    T_map_base: NDArray[np.float64],
) -> float:
    height, width = cells.shape
    oc, os = math.cos(origin[2]), math.sin(origin[2])
    c, s = math.cos(T_map_base[2]), math.sin(T_map_base[2])
    x, y = T_map_base[0] - origin[0], T_map_base[1] - origin[1]
    x0, y0 = (oc * x + os * y) / resolution_m, (-os * x + oc * y) / resolution_m
    crossed = 0
    for i in range(len(points)):
        dx, dy = c * points[i, 0] - s * points[i, 1], s * points[i, 0] + c * points[i, 1]
        gx, gy = oc * dx + os * dy, -os * dx + oc * dy
        length_m = math.hypot(gx, gy)
        steps = int((length_m - SHORT_OF_M) / (0.5 * resolution_m))
        walls = 0
        for k in range(steps):
            way = 0.5 * (k + 1) * resolution_m / length_m
            column, row = math.floor(x0 + way * gx / resolution_m), math.floor(y0 + way * gy / resolution_m)
            if 0 <= row < height and 0 <= column < width and is_wall(cells[row, column]):
                walls += 1
                if walls == CROSSED_STEPS:
                    crossed += 1
                    break
    return crossed / max(len(points), 1)


def walls_crossed(grid: OccupancyGrid, points: NDArray[np.float64], T_map_base: Pose) -> float:
    """The part of the points (N, 2 or more columns, base frame) that a wall of the grid hides from the base."""
    return float(_crossed(grid.cells, grid.T_map_origin, grid.resolution_m, points, T_map_base))
