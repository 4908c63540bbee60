"""The part of the map around the robot that is trusted as one piece, drawn into a field."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose
from nanorover.slam.field import Field
from nanorover.slam.graph import METRES_PER_RADIAN, Graph

# The window has this much room around the longest rays of a robot in its middle. It is drawn anew when the robot
# has come so near to its edge that rays as long as those drawn would leave it.
MARGIN_M = 8.0
# Keyframes that left the neighbourhood stay in the field until they are this many times as many as belong.
STALE_FACTOR = 1.5
# So many keyframes are drawn, besides those within this way: more would say the same again.
MOST_DRAWN, CLOSE_BY_M = 80, 2.0
# A new keyframe is tied to this many others.
SUPPORTERS = 3


@njit(cache=True, nogil=True)
def _apart(
    poses: NDArray[np.float64], members: NDArray[np.int64], T_map_base: Pose
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distance (m) and the turn (rad) from a pose to every member."""
    away, turn = np.empty(len(members)), np.empty(len(members))
    for k in range(len(members)):
        pose = poses[members[k]]
        away[k] = math.hypot(pose[0] - T_map_base[0], pose[1] - T_map_base[1])
        turn[k] = abs((pose[2] - T_map_base[2] + math.pi) % (2.0 * math.pi) - math.pi)
    return away, turn


class LocalMap:
    """A field of the keyframes within ``path_m`` of way along the graph.

    Way along the graph and not distance decides: what lies beside the robot but was last seen a kilometre of
    driving ago is off by the drift of that kilometre, until a closed loop makes its way short.
    """

    def __init__(self, graph: Graph, path_m: float, max_range_m: float, resolution_m: float) -> None:
        self.graph = graph
        self.path_m = path_m
        self.field = Field(2.0 * (max_range_m + MARGIN_M), resolution_m)
        self.members: NDArray[np.int64] = np.empty(0, np.int64)
        self._drawn: set[int] = set()
        self._reach_m = 0.0  # of the rays drawn
        self._revision = -1

    def follow(self, reference: int) -> None:
        """Make the field hold what belongs to the neighbourhood of keyframe ``reference``."""
        path_m = self.graph.path_lengths(reference, self.path_m)
        self.members = np.flatnonzero(np.isfinite(path_m))
        here = self.graph.poses[reference]
        off_m = np.abs(self.field.centre_m() - here[:2]).max()
        if (
            self._revision != self.graph.revision
            or off_m > max(MARGIN_M, self.field.size_m / 2.0 - MARGIN_M - self._reach_m)
            or len(self._drawn) > STALE_FACTOR * min(len(self.members), MOST_DRAWN) + 20
        ):
            self.field.clear(here[:2])
            self._drawn.clear()
            self._reach_m = 0.0
            self._revision = self.graph.revision
        for k in self._worth_drawing(path_m[self.members]):
            if k not in self._drawn:
                self.draw(k)

    def _worth_drawing(self, path_m: NDArray[np.float64]) -> list[int]:
        """All members, or, where the robot has been often, those close by and an even choice of the others."""
        every = math.ceil(len(self.members) / MOST_DRAWN)
        return self.members[(self.members % every == 0) | (path_m < CLOSE_BY_M)].tolist()

    def draw(self, keyframe: int) -> None:
        """Add one keyframe to the field."""
        g = self.graph
        self.field.add(g.points[keyframe], g.poses[keyframe], g.sensors[keyframe])
        self._drawn.add(keyframe)
        self._reach_m = max(self._reach_m, float(np.abs(g.points[keyframe][:, :2]).max(initial=0.0)))

    def nearest(self, T_map_base: Pose) -> tuple[int, float, float]:
        """The member seen from most nearly the same pose: its number, the distance (m) and the turn (rad)."""
        away, turn = _apart(self.graph.poses, self.members, T_map_base)
        best = int(np.argmin(away + METRES_PER_RADIAN * turn))
        return int(self.members[best]), float(away[best]), float(turn[best])

    def supporters(self, T_map_base: Pose) -> list[int]:
        """The members that see most nearly the same, nearest first: what a new keyframe is tied to."""
        away, turn = _apart(self.graph.poses, self.members, T_map_base)
        nearest = np.argsort(away + METRES_PER_RADIAN * turn)[:SUPPORTERS]
        return [int(self.members[k]) for k in nearest]
