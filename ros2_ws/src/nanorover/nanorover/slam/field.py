"""The local map that scans are matched against: surfaces in cells, and for every cell the nearest surface.

Each occupied cell keeps the mean of the points and normals that fell into it (a surfel), so the map is
finer than its cells. A new surfel writes itself into the cells around it where nothing nearer stands; hence
the map grows with every scan at a cost that depends on what is new, and a look-up is one memory access.
The idea of an incrementally kept distance map is that of Lau, Sprunk, Burgard, "Efficient grid-based spatial
representations for robot navigation in dynamic environments" (2013).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Neighbouring points this near, with normals this alike and across their connection, lie on one wall.
BRIDGE_M, BRIDGE_PARALLEL, BRIDGE_ACROSS = 1.0, 0.95, 0.2
BRIDGE_WEIGHT = 0.1
# How far a surfel is known around itself, in cells: the basin from which a match converges.
REACH_CELLS = 6
# Standard deviation of the likelihood that the correlative search looks up, in metres.
LIKELIHOOD_SIGMA_M = 0.10
LIKELIHOOD_FULL = 255
# Surfels are numbered by 16 bits from 1; 0 says that none is near. What nothing was drawn in is untouched memory.
NONE, MOST_SURFELS = 0, 65535
# A point this many cells from a surfel, facing the same way, is one more measurement of it.
SAME_CELLS, SAME_FACING = 0.6, 0.9
# A second surface this many cells behind the first makes a doubled wall; nearer ones are its own noise.
DOUBLED_CELLS = (3, 7)
# What was seen to be free is kept in coarser cells: this many cells of the field on a side.
FREE_CELLS = 4
# A ray says nothing of the space this near to the wall it ends at: of a wall seen at a flat angle from far away,
# most lies between the points, and is no free space. Where there is no normal, a part of the ray is left out.
FREE_CLEAR_M, FREE_SHORT_OF_PART = 0.4, 0.25


class FieldArrays(NamedTuple):
    """The arrays of a field, in the form that compiled code takes."""

    nearest: NDArray[np.uint16]  # (H, W) surfel of every cell, or NONE
    likelihood: NDArray[np.uint8]  # (H, W) 255 at a surface, falling with the distance from it
    sums: NDArray[np.float64]  # (MOST_SURFELS + 1, 5) x, y, nx, ny, count
    surfels: NDArray[np.float32]  # (MOST_SURFELS + 1, 4) mean x, y in the field's frame, unit normal or (0, 0)
    cells: NDArray[np.int32]  # (MOST_SURFELS + 1,) flat index of the surfel's own cell
    used: NDArray[np.int32]  # (1,) the last surfel's number
    frame: NDArray[np.float64]  # x, y of the lower-left corner, cells per metre
    disc: NDArray[np.uint8]  # (2 REACH_CELLS + 1)² likelihood around a surfel
    free: NDArray[np.bool_]  # (H / FREE_CELLS, W / FREE_CELLS) a ray went through
    free_to_the_cell: NDArray[np.bool_]  # (1,) whether ``free`` is known exactly, from a map


@njit(cache=True, nogil=True)
def _clear(f: FieldArrays) -> None:
    if f.used[0] > 0:
        rows, columns = np.divmod(f.cells[1 : f.used[0] + 1], f.nearest.shape[1])
        bottom, top = rows.min() - REACH_CELLS, rows.max() + REACH_CELLS + 1
        left, right = columns.min() - REACH_CELLS, columns.max() + REACH_CELLS + 1
        f.nearest[bottom:top, left:right] = NONE
        f.likelihood[bottom:top, left:right] = 0
    f.used[0] = 0
    f.free[:] = False
    f.free_to_the_cell[0] = False


@njit(cache=True, nogil=True)
def _bridge_points(dx: float, dy: float, nx: float, ny: float, parallel: float, cells_per_m: float) -> int:
    """How many points fill the gap between two neighbours on one wall.

    Far away the rays are sparse; left as dots, they would fit best where they lie on the same dots again, which
    holds a robot without odometry at its place in a corridor.
    """
    length = math.sqrt(dx * dx + dy * dy)
    if length > BRIDGE_M or parallel < BRIDGE_PARALLEL or abs(nx * dx + ny * dy) > BRIDGE_ACROSS * length:
        return 0
    return int(length * cells_per_m)


@njit(cache=True, nogil=True)
def _add_points(
    f: FieldArrays, points: NDArray[np.float32], T_map_points: NDArray[np.float64], bridged: bool
) -> None:
    """Add points (N, 4) ``x, y, nx, ny`` of a frame of the map, and between neighbours what bridges their gap.

    One loop without calls that take the field: each would count references to all its arrays, point by point.
    """
    height, width = f.nearest.shape
    cells_per_m = f.frame[2]
    near = SAME_CELLS / cells_per_m
    c, s = math.cos(T_map_points[2]), math.sin(T_map_points[2])
    tx, ty = T_map_points[0] - f.frame[0], T_map_points[1] - f.frame[1]
    x0, y0, nx0, ny0 = 0.0, 0.0, 0.0, 0.0
    for i in range(len(points)):
        # In the field's own frame.
        x1 = tx + c * points[i, 0] - s * points[i, 1]
        y1 = ty + s * points[i, 0] + c * points[i, 1]
        nx = c * points[i, 2] - s * points[i, 3]
        ny = s * points[i, 2] + c * points[i, 3]
        bridges = 0
        if bridged and i > 0:
            bridges = _bridge_points(x1 - x0, y1 - y0, nx, ny, nx0 * nx + ny0 * ny, cells_per_m)
        for k in range(bridges + 1):
            x, y, weight = x1, y1, 1.0
            if k > 0:
                part = k / (bridges + 1)
                x, y, weight = x0 + part * (x1 - x0), y0 + part * (y1 - y0), BRIDGE_WEIGHT
            column, row = math.floor(x * cells_per_m), math.floor(y * cells_per_m)
            if min(row, column) < REACH_CELLS or row >= height - REACH_CELLS or column >= width - REACH_CELLS:
                continue
            surfel = int(f.nearest[row, column])
            known = surfel != NONE
            if known and f.cells[surfel] != row * width + column:
                # A point of a neighbouring cell may belong to the surfel all the same: else a wall along the edge
                # of two cells would be cut in two by its noise, one half on either side.
                known = abs(x - f.surfels[surfel, 0]) <= near and abs(y - f.surfels[surfel, 1]) <= near
                known = known and nx * f.surfels[surfel, 2] + ny * f.surfels[surfel, 3] > SAME_FACING
            if not known:
                if f.used[0] >= len(f.cells) - 1:
                    return
                f.used[0] += 1
                surfel = int(f.used[0])
                f.cells[surfel] = row * width + column
                f.sums[surfel] = 0.0
                bottom, left = row - REACH_CELLS, column - REACH_CELLS
                for r in range(2 * REACH_CELLS + 1):
                    for q in range(2 * REACH_CELLS + 1):
                        if f.likelihood[bottom + r, left + q] < f.disc[r, q]:
                            f.likelihood[bottom + r, left + q] = f.disc[r, q]
                            f.nearest[bottom + r, left + q] = surfel
            count = f.sums[surfel, 4] + weight
            sx, sy = f.sums[surfel, 0] + weight * x, f.sums[surfel, 1] + weight * y
            snx, sny = f.sums[surfel, 2] + weight * nx, f.sums[surfel, 3] + weight * ny
            f.sums[surfel, 0], f.sums[surfel, 1], f.sums[surfel, 4] = sx, sy, count
            f.sums[surfel, 2], f.sums[surfel, 3] = snx, sny
            length = math.sqrt(snx * snx + sny * sny)
            # Normals that point every way cancel out: then the cell is a point, not a surface.
            unit = 1.0 / length if length > 0.5 * count else 0.0
            f.surfels[surfel, 0], f.surfels[surfel, 1] = sx / count, sy / count
            f.surfels[surfel, 2], f.surfels[surfel, 3] = unit * snx, unit * sny
        x0, y0, nx0, ny0 = x1, y1, nx, ny


@njit(cache=True, nogil=True)
def _mark_free(
    f: FieldArrays, points: NDArray[np.float32], T_map_base: NDArray[np.float64], T_base_laser: NDArray[np.float64]
) -> None:
    """Note what the rays to points (N, 4) ``x, y, nx, ny`` of the base frame went through."""
    height, width = f.free.shape
    cells_per_m = f.frame[2] / FREE_CELLS
    c, s = math.cos(T_map_base[2]), math.sin(T_map_base[2])
    x0 = (T_map_base[0] - f.frame[0] + c * T_base_laser[0] - s * T_base_laser[1]) * cells_per_m
    y0 = (T_map_base[1] - f.frame[1] + s * T_base_laser[0] + c * T_base_laser[1]) * cells_per_m
    for i in range(len(points)):
        dx, dy = points[i, 0] - T_base_laser[0], points[i, 1] - T_base_laser[1]
        length = math.sqrt(dx * dx + dy * dy)
        nx, ny = points[i, 2], points[i, 3]
        if nx == 0.0 and ny == 0.0:
            free_m = length - max(FREE_CLEAR_M, FREE_SHORT_OF_PART * length)
        else:
            free_m = length - FREE_CLEAR_M * length / max(abs(nx * dx + ny * dy), 0.01)
        if free_m <= 0.0:
            continue
        step_x, step_y = (c * dx - s * dy) / length, (s * dx + c * dy) / length
        column, row = x0, y0
        for _ in range(int(free_m * cells_per_m) + 1):
            if 0.0 <= row < height and 0.0 <= column < width:
                f.free[int(row), int(column)] = True
            column += step_x
            row += step_y


@njit(cache=True, nogil=True)
def _add_scan(
    f: FieldArrays, points: NDArray[np.float32], T_map_base: NDArray[np.float64], T_base_laser: NDArray[np.float64]
) -> None:
    _add_points(f, points, T_map_base, True)
    _mark_free(f, points, T_map_base, T_base_laser)


@njit(cache=True, nogil=True)
def doubled_part(f: FieldArrays) -> float:
    """The part of all surfaces that have another one close behind, facing the same way.

    A wall hides what is behind it; two in a row, seen from the same side, are one wall drawn twice.
    """
    height, width = f.nearest.shape
    surfaces, doubled = 0, 0
    for k in range(1, f.used[0] + 1):
        nx, ny = f.surfels[k, 2], f.surfels[k, 3]
        if nx == 0.0 and ny == 0.0:
            continue
        surfaces += 1
        for step in range(DOUBLED_CELLS[0], DOUBLED_CELLS[1] + 1):
            column = math.floor(f.surfels[k, 0] * f.frame[2] - step * nx)
            row = math.floor(f.surfels[k, 1] * f.frame[2] - step * ny)
            if row < 0 or column < 0 or row >= height or column >= width:
                break
            other = np.int64(f.nearest[row, column])
            if other == NONE or f.cells[other] != row * width + column:
                continue
            if nx * f.surfels[other, 2] + ny * f.surfels[other, 3] > 0.9:
                doubled += 1
                break
    return doubled / max(surfaces, 1)


def _disc(resolution_m: float) -> NDArray[np.uint8]:
    """The likelihood around a surfel, 0 out of its reach; farther cells get less, so nearer surfels win."""
    offsets = np.arange(-REACH_CELLS, REACH_CELLS + 1)
    distance = np.hypot(*np.meshgrid(offsets, offsets))
    likelihood = np.round(LIKELIHOOD_FULL * np.exp(-0.5 * (distance * resolution_m / LIKELIHOOD_SIGMA_M) ** 2))
    return np.where(distance <= REACH_CELLS, np.maximum(likelihood, 1), 0).astype(np.uint8)


class Field:
    """A square window of the map, ``size_m`` wide, in cells of ``resolution_m``."""

    def __init__(self, size_m: float, resolution_m: float) -> None:
        cells = FREE_CELLS * math.ceil(size_m / resolution_m / FREE_CELLS)
        self.arrays = FieldArrays(
            nearest=np.zeros((cells, cells), np.uint16),
            likelihood=np.zeros((cells, cells), np.uint8),
            sums=np.empty((MOST_SURFELS + 1, 5)),
            surfels=np.empty((MOST_SURFELS + 1, 4), np.float32),
            cells=np.empty(MOST_SURFELS + 1, np.int32),
            used=np.zeros(1, np.int32),
            frame=np.array([0.0, 0.0, 1.0 / resolution_m]),
            disc=_disc(resolution_m),
            free=np.zeros((cells // FREE_CELLS, cells // FREE_CELLS), np.bool_),
            free_to_the_cell=np.zeros(1, np.bool_),
        )
        self.size_m = cells * resolution_m
        self.clear(np.zeros(2))

    def clear(self, centre_m: NDArray[np.float64]) -> None:
        """Forget everything and centre the window on x, y of the map."""
        _clear(self.arrays)
        # Whole cells, so that a rebuilt window cuts the world into the same cells.
        corner = np.floor((centre_m[:2] - self.size_m / 2) * self.arrays.frame[2])
        self.arrays.frame[:2] = corner / self.arrays.frame[2]

    def add(
        self,
        points: NDArray[np.float32],
        T_map_base: NDArray[np.float64],
        T_base_laser: NDArray[np.float64],
    ) -> None:
        """Add points (N, 4) ``x, y, nx, ny`` of the base frame, seen from ``T_base_laser``."""
        _add_scan(self.arrays, points, T_map_base, T_base_laser)

    def add_surfaces(self, points: NDArray[np.float32]) -> None:
        """Add points (N, 4) ``x, y, nx, ny`` of the map of which only the place is known."""
        _add_points(self.arrays, points, np.zeros(3), False)

    def centre_m(self) -> NDArray[np.float64]:
        """x, y of the middle of the window in the map."""
        return self.arrays.frame[:2] + self.size_m / 2

    def __len__(self) -> int:
        return int(self.arrays.used[0])
