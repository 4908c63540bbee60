"""The best place of a cloud in a field within a large window, found exactly.

Branch and bound over a pyramid of maxima, as in Hess et al., "Real-time loop closure in 2D LIDAR SLAM"
(ICRA 2016): a coarse cell bounds the likelihood of all the finer offsets in it, so that most of the window is
ruled out without being looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose
from nanorover.slam.field import LIKELIHOOD_FULL, Field

LEVELS = 6
# The finest level has cells this many times as wide as the field's.
POOLED = 2
# A coarse cell that begins so many cells left of the window or below it may still reach into it.
BEFORE = (1 << (LEVELS - 1)) - 1
MOST_NODES = 400_000


@dataclass(frozen=True, eq=False)
class Zone:
    """Poses near one: within ``turn_rad``, ``along_m`` in a direction of the field and ``across_m`` across it."""

    pose: Pose
    turn_rad: float
    direction: NDArray[np.float64]  # (2,) unit vector
    along_m: float
    across_m: float


@dataclass(frozen=True, eq=False)
class Found:
    """The best pose with its mean likelihood, 0 to 1; ``complete`` is False when the search was given up."""

    pose: Pose
    likelihood: float
    complete: bool


@njit(cache=True, nogil=True)
def _larger(a: int, b: int) -> int:
    return a if a > b else b


@njit(cache=True, nogil=True)
def _pyramid(likelihood: NDArray[np.uint8], levels: NDArray[np.uint8]) -> None:
    """Level h holds the maximum over 2^h × 2^h cells to the right and above; beyond the edge counts the edge.

    Left of the likelihood and below it lie ``BEFORE`` cells more, in which level 0 stays 0.
    Plain loops over whole rows, which the compiler turns into vector instructions.
    """
    _, height, width = levels.shape
    joined = np.empty(max(POOLED * (width - BEFORE), width), np.uint8)
    for row in range(height - BEFORE):
        lower, upper = likelihood[POOLED * row], likelihood[POOLED * row + 1]
        for c in range(len(lower)):
            joined[c] = _larger(lower[c], upper[c])
        pooled = levels[0, BEFORE + row, BEFORE:]
        for c in range(len(pooled)):
            pooled[c] = _larger(joined[POOLED * c], joined[POOLED * c + 1])
    for level in range(1, len(levels)):
        half = 1 << (level - 1)
        for row in range(height):
            lower, upper = levels[level - 1, row], levels[level - 1, min(row + half, height - 1)]
            here, joined = levels[level, row], joined[:width]
            for c in range(width):
                joined[c] = _larger(lower[c], upper[c])
            left, right = joined[: width - half], joined[half:]
            for c in range(width - half):
                here[c] = _larger(left[c], right[c])
            for c in range(width - half, width):
                here[c] = _larger(joined[c], joined[width - 1])


@njit(cache=True, nogil=True)
def _sum(level: NDArray[np.uint8], cells: NDArray[np.int32], dx: int, dy: int) -> int:
    """Likelihood of all points, shifted; nothing outside."""
    height, width = level.shape
    total = 0
    for i in range(len(cells)):
        column, row = cells[i, 0] + dx, cells[i, 1] + dy
        if 0 <= column < width and 0 <= row < height:
            total += level[row, column]
    return total


@njit(cache=True, nogil=True)
def _rotated(
    points: NDArray[np.float64], x: float, y: float, yaws: NDArray[np.float64], cells_per_m: float
) -> NDArray[np.int32]:
    cells = np.empty((len(yaws), len(points), 2), np.int32)
    for a in range(len(yaws)):
        c, s = math.cos(yaws[a]), math.sin(yaws[a])
        for i in range(len(points)):
            cells[a, i, 0] = math.floor((x + c * points[i, 0] - s * points[i, 1]) * cells_per_m) + BEFORE
            cells[a, i, 1] = math.floor((y + s * points[i, 0] + c * points[i, 1]) * cells_per_m) + BEFORE
    return cells


@njit(cache=True, nogil=True)
def _is_in(a: int, dx: int, dy: int, zones: NDArray[np.float64]) -> bool:
    """Whether a leaf is in a zone: yaw index, dx, dy, direction x, y, half sizes in yaw, along and across it."""
    for z in zones:
        off_x, off_y = dx - z[1], dy - z[2]
        along, across = abs(off_x * z[3] + off_y * z[4]), abs(off_y * z[3] - off_x * z[4])
        if abs(a - z[0]) <= z[5] and along <= z[6] and across <= z[7]:
            return True
    return False


@njit(cache=True, nogil=True)
def _branch_and_bound(
    levels: NDArray[np.uint8],
    cells: NDArray[np.int32],
    half_cells: int,
    at_least: int,
    excluded: NDArray[np.float64],
    most_nodes: int,
) -> tuple[int, int, int, int, bool]:
    """Yaw index, column and row offset and sum of the best leaf above ``at_least``; and whether it is proven.

    Leaves in the ``excluded`` zones do not count.
    """
    top = len(levels) - 1
    span = 1 << top
    n_top = (2 * half_cells + span) // span
    count = len(cells) * n_top * n_top
    bounds = np.empty(count, np.int64)
    for a in range(len(cells)):
        for iy in range(n_top):
            for ix in range(n_top):
                k = (a * n_top + iy) * n_top + ix
                bounds[k] = _sum(levels[top], cells[a], ix * span - half_cells, iy * span - half_cells)
    order = np.argsort(-bounds)
    best, best_a, best_dx, best_dy = at_least, -1, 0, 0
    stack = np.empty((4 * (top + 2), 5), np.int64)
    nodes = 0
    for o in order:
        if bounds[o] <= best:
            break
        a, iy, ix = o // (n_top * n_top), (o // n_top) % n_top, o % n_top
        stack[0] = (a, ix * span - half_cells, iy * span - half_cells, top, bounds[o])
        size = 1
        while size > 0:
            size -= 1
            a, dx, dy, level, bound = stack[size]
            if bound <= best:
                continue
            if level == 0:
                if not _is_in(a, dx, dy, excluded):
                    best, best_a, best_dx, best_dy = bound, a, dx, dy
                continue
            nodes += 4
            if nodes > most_nodes:
                return best_a, best_dx, best_dy, best, False
            half = 1 << (level - 1)
            first = size
            for k in range(4):
                cx, cy = dx + half * (k & 1), dy + half * (k >> 1)
                if cx > half_cells or cy > half_cells:
                    continue
                value = _sum(levels[level - 1], cells[a], cx, cy)
                if value <= best:
                    continue
                at = size  # insertion keeps the best child on top
                while at > first and stack[at - 1, 4] > value:
                    stack[at] = stack[at - 1]
                    at -= 1
                stack[at] = (a, cx, cy, level - 1, value)
                size += 1
    return best_a, best_dx, best_dy, best, True


class Pyramid:
    """The maxima of one field, made once and searched as often as wanted."""

    def __init__(self, field: Field) -> None:
        cells = BEFORE + len(field.arrays.likelihood) // POOLED
        self._field = field
        self._levels = np.zeros((LEVELS, cells, cells), np.uint8)

    def draw(self) -> None:
        """Take over the present state of the field."""
        _pyramid(self._field.arrays.likelihood, self._levels)

    def search(
        self,
        points: NDArray[np.float64],
        centre: Pose,
        window_m: float,
        window_rad: float,
        *,
        at_least: float = 0.0,
        besides: Sequence[Zone] = (),
    ) -> Found | None:
        """The best pose within ``centre`` ± window for ``points`` (N, 2 or more columns).

        What lies in a zone of ``besides`` does not count. None when nothing is above ``at_least``.
        """
        cells_per_m = self._field.arrays.frame[2] / POOLED
        reach_m = float(np.sqrt((points[:, :2] ** 2).sum(axis=1).max()))
        step = min(1.0 / cells_per_m / max(reach_m, 1.0) * 1.5, 0.05)
        n = math.ceil(window_rad / step)
        yaws = centre[2] + step * np.arange(-n, n + 1)
        corner = self._field.arrays.frame
        cells = _rotated(points, centre[0] - corner[0], centre[1] - corner[1], yaws, cells_per_m)
        excluded = np.empty((len(besides), 8))
        for row, zone in zip(excluded, besides, strict=True):
            row[0] = (zone.pose[2] - centre[2]) / step + n
            row[1:3] = (zone.pose[:2] - centre[:2]) * cells_per_m
            row[3:5] = zone.direction
            row[5] = zone.turn_rad / step
            row[6:] = zone.along_m * cells_per_m, zone.across_m * cells_per_m
        full = LIKELIHOOD_FULL * len(points)
        a, dx, dy, total, complete = _branch_and_bound(
            self._levels, cells, math.ceil(window_m * cells_per_m), int(at_least * full), excluded, MOST_NODES
        )
        if a < 0:
            return None
        pose = np.array([centre[0] + dx / cells_per_m, centre[1] + dy / cells_per_m, yaws[a]])
        return Found(pose, total / full, complete)
