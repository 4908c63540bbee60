"""Keeping a map true over months: keyframes that no longer show what is there are renewed, not added to."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, compose, inverse
from nanorover.slam.graph import Graph
from nanorover.slam.tracker import Match

# A visit finds a change when the scan fits worse than this, or sees through more of the keyframe than this.
CHANGED_SCORE, SEEN_THROUGH = 0.75, 0.12
# So many visits in a row must find it: people walk by, furniture stays.
CHANGED_VISITS = 2
BEARINGS = 360
# A point is seen through when the rays on both sides of it go on for this much.
BEYOND_M = 0.3


@njit(cache=True, nogil=True)
def seen_through(now: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """The part of ``before`` (M, 2+) that the rays to ``now`` (N, 2+) go through, both in the laser frame.

    Points in directions where nothing is measured now do not count.
    """
    nearest = np.full(BEARINGS, math.inf)
    for i in range(len(now)):
        k = int((math.atan2(now[i, 1], now[i, 0]) + math.pi) / (2.0 * math.pi) * BEARINGS) % BEARINGS
        nearest[k] = min(nearest[k], math.hypot(now[i, 0], now[i, 1]))
    known, through = 0, 0
    for i in range(len(before)):
        k = int((math.atan2(before[i, 1], before[i, 0]) + math.pi) / (2.0 * math.pi) * BEARINGS) % BEARINGS
        low, high = math.inf, 0.0
        for beside in (k - 1, k, k + 1):
            low = min(low, nearest[beside % BEARINGS])
            high = max(high, nearest[beside % BEARINGS])
        if high == math.inf:
            continue
        known += 1
        if low > math.hypot(before[i, 0], before[i, 1]) + BEYOND_M:
            through += 1
    return through / max(known, 1)


class Changes:
    """Counts the visits at which a keyframe no longer fitted, and renews it when they suffice."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._visits: dict[int, int] = {}

    def visit(self, k: int, T_k_base: Pose, points: NDArray[np.float64], T_base_laser: Pose, match: Match) -> bool:
        """A scan taken beside keyframe ``k``; returns whether the keyframe was replaced by it."""
        T_laser_k = inverse(compose(T_k_base, T_base_laser))
        through = seen_through(moved(points, inverse(T_base_laser)), moved(self._graph.points[k], T_laser_k))
        if match.score >= CHANGED_SCORE and through < SEEN_THROUGH:
            self._visits.pop(k, None)
            return False
        self._visits[k] = self._visits.get(k, 0) + 1
        if self._visits[k] < CHANGED_VISITS:
            return False
        del self._visits[k]
        self._graph.replace_view(k, moved(points, T_k_base).astype(np.float32), compose(T_k_base, T_base_laser))
        return True


def moved(points: NDArray, T_a_b: Pose) -> NDArray[np.float64]:
    """Points with normals (N, 4) of frame b in frame a."""
    c, s = math.cos(T_a_b[2]), math.sin(T_a_b[2])
    R = np.array([[c, s], [-s, c]])
    return np.concatenate([points[:, :2] @ R + T_a_b[:2], points[:, 2:] @ R], axis=1, dtype=np.float64)
