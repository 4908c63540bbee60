"""The occupancy grid: what navigation and people see of the map."""

import math
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, compose

UNKNOWN, FREE, OCCUPIED = -1, 0, 100
# A cell counts as a wall from the first on, and as free up to the second, both included, as map_server has it.
WALL_FROM, FREE_UP_TO = 65, 25

TILE_BITS = 6
TILE = 1 << TILE_BITS
# The directory covers DIRECTORY × DIRECTORY tiles around the origin: 3.2 km at 5 cm.
DIRECTORY = 1024
TILES_AT_ONCE = 64
# A ray that ends in a cell weighs as much as this many that pass through it: rays graze walls.
HIT_WEIGHT = 4.0
MOST_COUNT = 255
HITS, PASSES = 0, 1


@register_jitable
def is_wall(cells: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of the cells are walls."""
    return cells >= WALL_FROM


@register_jitable
def is_free(cells: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of the cells are free."""
    return (cells >= FREE) & (cells <= FREE_UP_TO)


@dataclass(frozen=True, eq=False)
class OccupancyGrid:
    """Cells (H, W) int8 as in ``nav_msgs/OccupancyGrid``: −1 unknown, 0 free … 100 occupied; row 0 is lowest.

    ``T_map_origin`` is the lower-left corner of cell (0, 0).
    """

    cells: NDArray[np.int8]
    resolution_m: float
    T_map_origin: Pose = field(default_factory=lambda: np.zeros(3))


@njit(cache=True, nogil=True)
def _tile(counts: NDArray, directory: NDArray, used: NDArray, tile_x: int, tile_y: int) -> int:
    """The tile at a place of the directory, taken into use when it is new; −1 where nothing can be stored."""
    if tile_x < 0 or tile_y < 0 or tile_x >= DIRECTORY or tile_y >= DIRECTORY:
        return -1
    tile = directory[tile_y, tile_x]
    if tile < 0 and used[0] < len(counts):
        tile = used[0]
        used[0] += 1
        directory[tile_y, tile_x] = tile
    return tile


@njit(cache=True, nogil=True)
def _cast(
    counts: NDArray,
    directory: NDArray,
    used: NDArray,
    points: NDArray[np.float32],
    T_map_base: Pose,
    T_base_laser: Pose,
    cells_per_m: float,
    sign: int,
    first: int,
) -> int:
    """Add (sign 1) or take away again (−1) the rays of one scan: cells passed, and the cell hit.

    Begins with ray ``first``; returns the first for which there may not be enough tiles, or the number of rays.
    """
    c, s = math.cos(T_map_base[2]), math.sin(T_map_base[2])
    x0 = (T_map_base[0] + c * T_base_laser[0] - s * T_base_laser[1]) * cells_per_m
    y0 = (T_map_base[1] + s * T_base_laser[0] + c * T_base_laser[1]) * cells_per_m
    for i in range(first, len(points)):
        x1 = (T_map_base[0] + c * points[i, 0] - s * points[i, 1]) * cells_per_m
        y1 = (T_map_base[1] + s * points[i, 0] + c * points[i, 1]) * cells_per_m
        column, row = math.floor(x0), math.floor(y0)
        last_column, last_row = math.floor(x1), math.floor(y1)
        dx, dy = x1 - x0, y1 - y0
        step_x, step_y = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
        # The walk of Amanatides and Woo (1987): next crossing of a column and of a row, as a part of the ray.
        t_x = ((column + (step_x > 0)) - x0) / dx if dx != 0.0 else math.inf
        t_y = ((row + (step_y > 0)) - y0) / dy if dy != 0.0 else math.inf
        d_x, d_y = (abs(1.0 / dx) if dx != 0.0 else math.inf), (abs(1.0 / dy) if dy != 0.0 else math.inf)
        steps = abs(last_column - column) + abs(last_row - row)
        if used[0] + steps // TILE + 3 > len(counts):
            return i
        tile, tile_x, tile_y = -1, -1, -1
        for step in range(steps + 1):
            here_x, here_y = (column >> TILE_BITS) + DIRECTORY // 2, (row >> TILE_BITS) + DIRECTORY // 2
            if here_x != tile_x or here_y != tile_y:
                tile, tile_x, tile_y = _tile(counts, directory, used, here_x, here_y), here_x, here_y
            if tile >= 0:
                cell = counts[tile, row & (TILE - 1), column & (TILE - 1)]
                kind = PASSES if step < steps else HITS
                cell[kind] = min(max(int(cell[kind]) + sign, 0), MOST_COUNT)
            if t_x < t_y:
                column, t_x = column + step_x, t_x + d_x
            else:
                row, t_y = row + step_y, t_y + d_y
    return len(points)


@njit(cache=True, nogil=True)
def _emit(counts: NDArray, directory: NDArray, tile_x: int, tile_y: int, cells: NDArray[np.int8]) -> None:
    """Write the state of all cells into the dense grid whose first tile is given."""
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            tile = directory[tile_y + row // TILE, tile_x + column // TILE]
            if tile < 0:
                continue
            hits = HIT_WEIGHT * counts[tile, row % TILE, column % TILE, HITS]
            passes = counts[tile, row % TILE, column % TILE, PASSES]
            if hits + passes > 0:
                cells[row, column] = round(OCCUPIED * hits / (hits + passes))


class GridMap:
    """Counts of rays in sparse tiles. A scan that moved is taken away where it was and cast anew."""

    # A scan is cast anew when its pose moved by more than this.
    MOVED_M, MOVED_RAD = 0.02, 0.004

    def __init__(self, resolution_m: float) -> None:
        self.resolution_m = resolution_m
        self._counts = np.zeros((0, TILE, TILE, 2), np.uint8)
        self._directory = np.full((DIRECTORY, DIRECTORY), -1, np.int32)
        self._used = np.zeros(1, np.int64)
        self._cast: list[tuple[NDArray[np.float32], Pose, Pose]] = []  # what was cast: points, base, laser

    def update(self, points: list[NDArray[np.float32]], poses: NDArray[np.float64], sensors: list[Pose]) -> None:
        """Bring the counts to the present state of all scans: points (K, 4), T_map_base, T_base_laser."""
        for k in range(len(points)):
            if k < len(self._cast):
                cast_points, cast_at, cast_from = self._cast[k]
                off = np.abs(poses[k] - cast_at)
                still = max(off[0], off[1]) < self.MOVED_M and off[2] < self.MOVED_RAD
                if still and cast_points is points[k]:
                    continue
                self._add(cast_points, cast_at, cast_from, -1)
                self._cast[k] = (points[k], poses[k].copy(), sensors[k])
            else:
                self._cast.append((points[k], poses[k].copy(), sensors[k]))
            self._add(points[k], poses[k], sensors[k], 1)

    def _add(self, points: NDArray[np.float32], T_map_base: Pose, T_base_laser: Pose, sign: int) -> None:
        scan, done = (points, T_map_base, T_base_laser, 1.0 / self.resolution_m, sign), 0
        while (done := _cast(self._counts, self._directory, self._used, *scan, done)) < len(points):
            # Grown in place: a copy would for a moment need twice the memory.
            self._counts.resize((len(self._counts) + TILES_AT_ONCE, TILE, TILE, 2), refcheck=False)

    def grid(self) -> OccupancyGrid:
        """The map as it is now; empty (0, 0) before the first scan."""
        tile_ys, tile_xs = np.nonzero(self._directory >= 0)
        if len(tile_ys) == 0:
            return OccupancyGrid(np.zeros((0, 0), np.int8), self.resolution_m)
        x, y = int(tile_xs.min()), int(tile_ys.min())
        cells = np.full(
            ((int(tile_ys.max()) - y + 1) * TILE, (int(tile_xs.max()) - x + 1) * TILE), UNKNOWN, np.int8
        )
        _emit(self._counts, self._directory, x, y, cells)
        corner = (np.array([x, y]) - DIRECTORY // 2) * TILE * self.resolution_m
        return cropped(OccupancyGrid(cells, self.resolution_m, np.array([*corner, 0.0])))


def cropped(grid: OccupancyGrid, margin: int = 2) -> OccupancyGrid:
    """The part of the grid that is known, with a margin of unknown cells where there are any."""
    rows = np.flatnonzero((grid.cells != UNKNOWN).any(axis=1))
    columns = np.flatnonzero((grid.cells != UNKNOWN).any(axis=0))
    if len(rows) == 0:
        return grid
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    cells = np.ascontiguousarray(grid.cells[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1])
    offset = np.array([left * grid.resolution_m, top * grid.resolution_m, 0.0])
    return OccupancyGrid(cells, grid.resolution_m, compose(grid.T_map_origin, offset))
