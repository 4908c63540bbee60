"""Where in a whole map a scan was taken, without knowing anything, and how sure that is.

All places and directions are scored on a coarse map (correlation by shifting and adding, which compiles to wide
additions); the best of them are refined and judged on the fine map, with free space and walls seen through as
evidence against. The judged places then compete with each other and with "nowhere in this map": the winner's share
is the confidence. Places that look alike share it, so none of them is confident.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, are_close, wrap_angles
from nanorover.slam.field import LIKELIHOOD_FULL, NONE, Field, FieldArrays
from nanorover.slam.map_field import MapWalls, walls_crossed
from nanorover.slam.matching import EXACTLY, judge, refine, search
from nanorover.slam.tracker import NO_PRIOR, Match

COARSE_M = 0.2
# Turns of the scan that are tried: a point at this distance moves by one coarse cell from one to the next.
TURN_AT_M = 5.0
COARSE_POINTS, JUDGED_POINTS = 60, 240
# Points further away than this are left out of the coarse score: the turns miss them.
COARSE_REACH_M = 10.0
# What a point in unknown space counts, as a part of one at a wall: about what chance gives it in a furnished room.
UNKNOWN_PART = 0.3
# Candidates of the same place and direction differ by less than this.
SAME_M, SAME_RAD = 0.6, math.pi / 4
SECTORS = 8
CANDIDATES = 60
FINE_WINDOW = np.array([0.25, 0.0, 0.05])
FINE_STEP_M, FINE_STEP_RAD = 0.05, 0.017
# Walls seen before are met again to within this: half of what counts as explained anyhow is counted by closeness.
CLOSE_M = 0.03
# What a point counts that has no direction to compare.
WITHOUT_NORMAL = 0.7
# Judged places nearer than this are the same one.
MERGED_M, MERGED_RAD = 0.5, 0.35
# New things stand in free space now and then; walls do not vanish, so seeing through one weighs more.
CONTRADICTED_WEIGHT, THROUGH_WEIGHT = 2.0, 3.0
# The weight of evidence: a scan of so many points or more is worth so many independent measurements.
WHOLE_SCAN, INDEPENDENT = 150, 80.0
# Noise and the cells of the map make this much difference between places that are the same.
ALIKE = 0.06
# The part that a scan from outside the map would find explained somewhere, less what contradicts it.
NOWHERE = 0.19
# The field for the whole map has at most this many cells on a side.
MOST_CELLS = 4000


@njit(cache=True, nogil=True)
def _coarse(
    likelihood: NDArray[np.uint8], free: NDArray[np.bool_], per: int, pad: int, unknown: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The best likelihood in every coarse cell, ``unknown`` where nothing is known; and where a robot can stand.

    The first is padded by unknown space on all sides.
    """
    height, width = len(likelihood) // per, likelihood.shape[1] // per
    score = np.full((height + 2 * pad, width + 2 * pad), unknown, np.uint8)
    stand = np.zeros((height, width), np.bool_)
    free_per = len(likelihood) // len(free)
    for row in range(height):
        for column in range(width):
            best = 0
            for r in range(row * per, (row + 1) * per):
                for c in range(column * per, (column + 1) * per):
                    best = max(best, likelihood[r, c])
                    if free[r // free_per, c // free_per]:
                        stand[row, column] = True
            if stand[row, column]:
                score[row + pad, column + pad] = best
            else:
                score[row + pad, column + pad] = max(best, unknown)
                stand[row, column] = best == 0
    return score, stand


@njit(cache=True, nogil=True)
def _score_all(
    score: NDArray[np.uint8],
    stand: NDArray[np.bool_],
    pad: int,
    points: NDArray[np.float64],
    turns: int,
    cells_per_m: float,
) -> tuple[NDArray[np.uint16], NDArray[np.int16]]:
    """The best sum (SECTORS, H, W) over the turns of each sector, and the turn that it came with."""
    height, width = stand.shape
    best = np.zeros((SECTORS, height, width), np.uint16)
    best_turn = np.zeros((SECTORS, height, width), np.int16)
    total = np.empty((height, width), np.uint16)
    for turn in range(turns):
        yaw = 2.0 * math.pi * turn / turns
        c, s = math.cos(yaw), math.sin(yaw)
        total[:] = 0
        for i in range(len(points)):
            # From the middle of one coarse cell to the cell of the point.
            column = math.floor((c * points[i, 0] - s * points[i, 1]) * cells_per_m + 0.5) + pad
            row = math.floor((s * points[i, 0] + c * points[i, 1]) * cells_per_m + 0.5) + pad
            for y in range(height):
                source, target = score[row + y, column : column + width], total[y]
                for x in range(width):
                    target[x] += source[x]
        sector = turn * SECTORS // turns
        for y in range(height):
            for x in range(width):
                if stand[y, x] and total[y, x] > best[sector, y, x]:
                    best[sector, y, x], best_turn[sector, y, x] = total[y, x], turn
    return best, best_turn


@njit(cache=True, nogil=True)
def _closely_explained(f: FieldArrays, points: NDArray[np.float64], pose: NDArray[np.float64]) -> float:
    """The part of the points explained, each weighted by how near and how parallel it is to the wall there."""
    height, width = f.nearest.shape
    c, s = math.cos(pose[2]), math.sin(pose[2])
    tx, ty = pose[0] - f.frame[0], pose[1] - f.frame[1]
    total = 0.0
    for i in range(len(points)):
        x, y = tx + c * points[i, 0] - s * points[i, 1], ty + s * points[i, 0] + c * points[i, 1]
        column, row = math.floor(x * f.frame[2]), math.floor(y * f.frame[2])
        if row < 0 or column < 0 or row >= height or column >= width or f.nearest[row, column] == NONE:
            continue
        surfel = f.surfels[f.nearest[row, column]]
        dx, dy = x - surfel[0], y - surfel[1]
        mx, my = c * points[i, 2] - s * points[i, 3], s * points[i, 2] + c * points[i, 3]
        facing = surfel[2] * mx + surfel[3] * my
        without_normal = (mx == 0.0 and my == 0.0) or (surfel[2] == 0.0 and surfel[3] == 0.0)
        away = math.hypot(dx, dy) if without_normal else surfel[2] * dx + surfel[3] * dy
        weight = WITHOUT_NORMAL if without_normal else max(facing, 0.0)
        total += weight * math.exp(-0.5 * (away / CLOSE_M) ** 2)
    return total / max(len(points), 1)


@dataclass(frozen=True, eq=False)
class Place:
    """A judged place: the match, the part of the scan that goes through walls there, and its share of belief."""

    match: Match
    through: float
    share: float

    @property
    def T_map_base(self) -> Pose:
        return self.match.T_map_base


class GlobalSearch:
    """A whole map made ready for searching."""

    def __init__(self, walls: MapWalls, match_resolution_m: float, point_noise_m: float) -> None:
        centre, half_m = walls.centre_and_extent()
        size_m = 2.0 * half_m + 4.0
        resolution_m = max(match_resolution_m, size_m / MOST_CELLS)
        self._walls = walls
        self._noise_m = point_noise_m
        self.field = Field(size_m, resolution_m)
        walls.draw(self.field, centre)
        per = max(round(COARSE_M / resolution_m), 1)
        self._coarse_m = per * resolution_m
        self._pad = math.ceil(COARSE_REACH_M / self._coarse_m) + 2
        self._score, self._stand = _coarse(
            self.field.arrays.likelihood,
            self.field.arrays.free,
            per,
            self._pad,
            round(UNKNOWN_PART * LIKELIHOOD_FULL),
        )
        self._turns = SECTORS * math.ceil(2.0 * math.pi * TURN_AT_M / self._coarse_m / SECTORS)

    def places(self, points: NDArray[np.float64], believed: Pose | None = None) -> list[Place]:
        """The places where ``points`` (N, 4) of the base frame may have been seen, the likeliest first.

        ``share`` is the belief in each, of 1 for all places and "nowhere in this map" together.
        A ``believed`` pose is judged too.
        """
        some = np.ascontiguousarray(points[:: max(len(points) // JUDGED_POINTS, 1)])
        candidates = self._candidates(points) + ([] if believed is None else [believed])
        judged = [self._judged(some, pose) for pose in candidates]
        apart: list[tuple[float, Match, float]] = []
        for value, match, through in sorted(judged, key=lambda one: -one[0]):
            if not any(
                are_close(match.T_map_base, other.T_map_base, MERGED_M, MERGED_RAD) for _, other, _ in apart
            ):
                apart.append((value, match, through))
        evidence = np.array([value for value, _, _ in apart] + [NOWHERE])
        behind = evidence.max() - evidence
        behind[:-1] = np.maximum(behind[:-1] - ALIKE, 0.0)
        weights = np.exp(-INDEPENDENT * min(len(points) / WHOLE_SCAN, 1.0) * behind)
        shares = weights / weights.sum()
        return [
            Place(match, through, float(share)) for (_, match, through), share in zip(apart, shares, strict=False)
        ]

    def _candidates(self, points: NDArray[np.float64]) -> list[Pose]:
        near = points[points[:, 0] ** 2 + points[:, 1] ** 2 < COARSE_REACH_M**2]
        if len(near) == 0:
            return []
        some = np.ascontiguousarray(near[:: max(math.ceil(len(near) / COARSE_POINTS), 1)])
        best, best_turn = _score_all(self._score, self._stand, self._pad, some, self._turns, 1.0 / self._coarse_m)
        corner, found = self.field.arrays.frame[:2], []
        around = math.ceil(SAME_M / self._coarse_m)
        flat = best.ravel()
        for _ in range(CANDIDATES):
            at = int(flat.argmax())
            if flat[at] == 0:
                break
            sector, row, column = np.unravel_index(at, best.shape)
            yaw = 2.0 * math.pi * float(best_turn[sector, row, column]) / self._turns
            x, y = corner + (np.array([column, row]) + 0.5) * self._coarse_m
            found.append(np.array([x, y, yaw]))
            rows = slice(max(row - around, 0), row + around + 1)
            columns = slice(max(column - around, 0), column + around + 1)
            for beside in range(SECTORS):
                turned = 2.0 * math.pi * best_turn[beside, rows, columns] / self._turns - yaw
                same = np.abs(wrap_angles(turned)) < SAME_RAD
                best[beside, rows, columns][same] = 0
        return found

    def _judged(self, points: NDArray[np.float64], start: Pose) -> tuple[float, Match, float]:
        """Value, match and part seen through of a candidate, refined."""
        arrays = self.field.arrays
        some = points[:: max(len(points) // COARSE_POINTS, 1)]
        start, _ = search(arrays, some, start, FINE_WINDOW, FINE_STEP_M, FINE_STEP_RAD, np.array([1.0, 1.0]))
        pose, information, rms_m = refine(arrays, points, start, start, NO_PRIOR, self._noise_m, EXACTLY)
        match = Match(pose, information, rms_m, *judge(arrays, points, pose), start, NO_PRIOR)
        through = walls_crossed(self._walls.grid, points, pose)
        explained = 0.5 * (match.explained + _closely_explained(arrays, points, pose))
        value = explained - CONTRADICTED_WEIGHT * match.contradicted - THROUGH_WEIGHT * through
        return value, match, through
