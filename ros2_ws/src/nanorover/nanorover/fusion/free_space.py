"""Has something come to where nothing was, or gone from where it stood? The memory of free space that tells what
moves from what is only seen for the first time.

A place where a beam has passed and where now something stands was entered by something that moves (after Wang,
Thorpe, Thrun, "Online simultaneous localization and mapping with detection and tracking of moving objects",
ICRA 2003). A thing that merely comes into view, or whose visible side changes as the robot drives by, stands
where no beam has ever passed, and beams go on ending there. Where beams pass now and ended shortly before,
something has gone: so whoever comes out of a door is known to walk before he is where the robot had looked long
enough.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, transform_points
from nanorover.planning.costmap import shifted
from nanorover.planning.scan_points import RETURN, Beams

CELL_M = 0.05
CELLS = 180
BEFORE_M = 0.1  # a beam says nothing about the last bit before what it hits
FREE_FOR_S = 6.0  # how long free space is remembered
SURE_S = 0.8  # what was free without a hit for so long was free
NEW_FOR_S = 0.5  # how long what came is new
AGAIN_S = 1.2  # something that is hit again after a shorter pause has been there all the time
GONE_S = 0.15  # not hit for so long, nor right beside: more than one scan
GONE_FREE_S = 0.08  # and passed in two scans at least

# Layers, all times in seconds: the last pass of a beam, the first pass since the last hit, the last hit, and when
# something last came to where it was free for sure.
PASSED, FREE_SINCE, HIT, CAME = range(4)
NOTHING = np.array([-np.inf, np.inf, -np.inf, -np.inf], np.float32)


@njit(cache=True)
def _take(
    layers: NDArray[np.float32],
    ends: NDArray[np.float64],
    kinds: NDArray[np.uint8],
    origin: tuple[float, float],
    now_s: float,
) -> None:
    """Take one scan, in cells."""
    size = layers.shape[1]
    for i in range(len(ends)):
        if kinds[i] != RETURN:  # a beam that got lost would make free what it should have hit
            continue
        dx, dy = ends[i, 0] - origin[0], ends[i, 1] - origin[1]
        length = math.hypot(dx, dy)
        for k in range(int(1.5 * (length - BEFORE_M / CELL_M))):
            share = k / (1.5 * length)
            column, row = math.floor(origin[0] + share * dx), math.floor(origin[1] + share * dy)
            if row < 0 or column < 0 or row >= size or column >= size:
                break
            layers[PASSED, row, column] = now_s
            layers[FREE_SINCE, row, column] = min(layers[FREE_SINCE, row, column], now_s)
        column, row = math.floor(ends[i, 0]), math.floor(ends[i, 1])
        if 0 <= row < size and 0 <= column < size:
            again = now_s - layers[HIT, row, column] <= AGAIN_S
            if not again and now_s - layers[FREE_SINCE, row, column] >= SURE_S:
                layers[CAME, row, column] = now_s
            layers[HIT, row, column] = now_s
            layers[FREE_SINCE, row, column] = math.inf


@njit(cache=True)
def _inner_cell(point: NDArray[np.float64], size: int) -> tuple[int, int]:
    """Row and column of a point (in cells) with neighbours on all sides; −1 and −1 at the edge and beyond."""
    column, row = math.floor(point[0]), math.floor(point[1])
    if row < 1 or column < 1 or row >= size - 1 or column >= size - 1:
        return -1, -1
    return row, column


@njit(cache=True)
def _entered(layers: NDArray[np.float32], points: NDArray[np.float64], now_s: float) -> NDArray[np.bool_]:
    """Whether each point (in cells) lies amid what was free for sure until just now."""
    size = layers.shape[1]
    result = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        row, column = _inner_cell(points[i], size)
        if row < 0:
            continue
        entered = True
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                seen = now_s - layers[PASSED, r, c] < FREE_FOR_S
                free = now_s - layers[FREE_SINCE, r, c] >= SURE_S
                came = now_s - layers[CAME, r, c] <= NEW_FOR_S
                entered = entered and seen and (free or came)
        result[i] = entered
    return result


@njit(cache=True)
def _came(layers: NDArray[np.float32], points: NDArray[np.float64], now_s: float) -> NDArray[np.bool_]:
    """Whether all that is hit at each point (in cells) and right beside came to where it was free for sure."""
    size = layers.shape[1]
    result = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        row, column = _inner_cell(points[i], size)
        if row < 0:
            continue
        hits, came = 0, 0
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                if now_s - layers[HIT, r, c] <= AGAIN_S:
                    hits += 1
                    came += layers[CAME, r, c] > -math.inf
        result[i] = 0 < hits == came
    return result


@njit(cache=True)
def _new(layers: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether nothing was ever hit at each point (in cells), nor right beside."""
    size = layers.shape[1]
    result = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        row, column = _inner_cell(points[i], size)
        if row < 0:
            continue
        result[i] = np.all(layers[HIT, row - 1 : row + 2, column - 1 : column + 2] == -math.inf)
    return result


@njit(cache=True)
def _gone(layers: NDArray[np.float32], points: NDArray[np.float64], now_s: float) -> NDArray[np.bool_]:
    """Whether what was hit at each point (in cells) is not there any longer, nor right beside."""
    size = layers.shape[1]
    result = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        row, column = _inner_cell(points[i], size)
        if row < 0:
            continue
        gone = now_s - layers[FREE_SINCE, row, column] >= GONE_FREE_S
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                gone = gone and now_s - layers[HIT, r, c] > GONE_S
        result[i] = gone
    return result


class FreeSpace:
    """A square about the robot, rolling with it, in the map frame."""

    def __init__(self) -> None:
        self.layers = np.empty((len(NOTHING), CELLS, CELLS), np.float32)
        self.layers[:] = NOTHING[:, None, None]
        self.corner_m = np.full(2, -CELLS * CELL_M / 2.0)
        self.start_ns: int | None = None

    def entered(self, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        """Whether something new has come to each point ``(N, 2)``; ask before the scan is taken."""
        return _entered(self.layers, (points_m - self.corner_m) / CELL_M, self._seconds(stamp_ns))

    def came(self, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        """Whether what stands at each point ``(N, 2)`` came there; ask after the scan was taken."""
        return _came(self.layers, (points_m - self.corner_m) / CELL_M, self._seconds(stamp_ns))

    def new(self, points_m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether nothing was ever hit at each point ``(N, 2)``; ask before the scan is taken."""
        return _new(self.layers, (points_m - self.corner_m) / CELL_M)

    def gone(self, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        """Whether what was hit at each point ``(N, 2)`` shortly before has gone; ask after the scan was taken."""
        return _gone(self.layers, (points_m - self.corner_m) / CELL_M, self._seconds(stamp_ns))

    def take(self, beams: Beams, T_map_base: Pose) -> None:
        """Remember where the beams of a scan have passed, and what they hit."""
        if self.start_ns is None:
            self.start_ns = beams.stamp_ns
        self._follow(T_map_base)
        ends = (transform_points(T_map_base, beams.ends_m) - self.corner_m) / CELL_M
        origin = (transform_points(T_map_base, beams.origin_m[None])[0] - self.corner_m) / CELL_M
        _take(self.layers, ends, beams.kinds, (origin[0], origin[1]), self._seconds(beams.stamp_ns))

    def _seconds(self, stamp_ns: int) -> float:
        """Since the first scan; before it nothing is known of any cell, at whatever time."""
        return 0.0 if self.start_ns is None else (stamp_ns - self.start_ns) * 1e-9

    def _follow(self, T_map_base: Pose) -> None:
        off = T_map_base[:2] - self.corner_m - CELLS * CELL_M / 2.0
        if np.abs(off).max() > CELLS * CELL_M / 8.0:
            columns, rows = (round(float(v) / CELL_M) for v in off)
            for layer, nothing in zip(self.layers, NOTHING, strict=True):
                layer[:] = shifted(layer, rows, columns, float(nothing))
            self.corner_m = self.corner_m + np.array([columns, rows]) * CELL_M
