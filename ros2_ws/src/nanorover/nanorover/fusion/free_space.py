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

# What is asked of a place.
HAS_ENTERED, HAS_COME, IS_NEW, HAS_GONE = range(4)


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
def _answers(layers: NDArray[np.float32], points: NDArray[np.float64], now_s: float) -> NDArray[np.bool_]:
    """The answer ``(4, N)`` to each question about each point (in cells), by its cell and the eight around it; no
    for what lies at the edge and beyond."""
    size = layers.shape[1]
    result = np.zeros((4, len(points)), np.bool_)
    for i in range(len(points)):
        column, row = math.floor(points[i, 0]), math.floor(points[i, 1])
        if row < 1 or column < 1 or row >= size - 1 or column >= size - 1:
            continue
        entered, new, left = True, True, now_s - layers[FREE_SINCE, row, column] >= GONE_FREE_S
        hits, came = 0, 0
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                seen = now_s - layers[PASSED, r, c] < FREE_FOR_S
                free = now_s - layers[FREE_SINCE, r, c] >= SURE_S
                just_came = now_s - layers[CAME, r, c] <= NEW_FOR_S
                entered = entered and seen and (free or just_came)
                if now_s - layers[HIT, r, c] <= AGAIN_S:
                    hits += 1
                    came += layers[CAME, r, c] > -math.inf
                new = new and layers[HIT, r, c] == -math.inf
                left = left and now_s - layers[HIT, r, c] > GONE_S
        result[HAS_ENTERED, i], result[HAS_COME, i] = entered, 0 < hits == came
        result[IS_NEW, i], result[HAS_GONE, i] = new, left
    return result


class FreeSpace:
    """A square about the robot, rolling with it, in the map frame."""

    def __init__(self) -> None:
        self.layers = np.empty((len(NOTHING), CELLS, CELLS), np.float32)
        self.layers[:] = NOTHING[:, None, None]
        self.corner_m = np.full(2, -CELLS * CELL_M / 2.0)
        self.start_ns: int | None = None

    def entered(self, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        """Whether each point ``(N, 2)`` lies amid what was free for sure until just now; ask before the scan is
        taken."""
        return self._ask(HAS_ENTERED, points_m, stamp_ns)

    def came(self, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        """Whether all that is hit at each point ``(N, 2)`` and right beside came to where it was free for sure;
        ask after the scan was taken."""
        return self._ask(HAS_COME, points_m, stamp_ns)

    def new(self, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        """Whether nothing was ever hit at each point ``(N, 2)``, nor right beside; ask before the scan is
        taken."""
        return self._ask(IS_NEW, points_m, stamp_ns)

    def gone(self, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        """Whether what was hit at each point ``(N, 2)`` shortly before is not there any longer, nor right beside;
        ask after the scan was taken."""
        return self._ask(HAS_GONE, points_m, stamp_ns)

    def _ask(self, question: int, points_m: NDArray[np.float64], stamp_ns: int) -> NDArray[np.bool_]:
        answers = _answers(self.layers, (points_m - self.corner_m) / CELL_M, self._seconds(stamp_ns))
        return answers[question]

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
