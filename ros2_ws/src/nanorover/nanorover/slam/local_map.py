"""The part of the map around the robot that is trusted as one piece, drawn into a field."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, wrap_angle
from nanorover.slam.field import Field
from nanorover.slam.graph import METRES_PER_RADIAN, Graph

# The window has this much room around the longest rays of a robot in its middle. It is drawn anew when the robot
# has come so near to its edge that rays as long as those drawn would leave it.
MARGIN_M = 8.0
# Keyframes that left the neighbourhood stay in the field until they are this many times as many as belong.
STALE_FACTOR = 2.0
# So many keyframes are drawn, besides those within this way: more would say the same again.
MOST_DRAWN, CLOSE_BY_M = 120, 2.0
# So many are drawn at once when the neighbourhood changes, and so many of the others after each scan.
DRAWN_AT_FIRST, DRAWN_AT_ONCE = 30, 8
# A new keyframe is tied to this many others.
SUPPORTERS = 3


@njit(cache=True, nogil=True)
def _apart(pose: Pose, T_map_base: Pose) -> tuple[float, float]:
    """The distance (m) and the turn (rad) between two poses."""
    turn = abs(wrap_angle(pose[2] - T_map_base[2]))
    return math.hypot(pose[0] - T_map_base[0], pose[1] - T_map_base[1]), turn


@njit(cache=True, nogil=True)
def _all_apart(poses: NDArray[np.float64], members: NDArray[np.int64], T_map_base: Pose) -> NDArray[np.float64]:
    """How far every member is from a pose, distance and turn together as metres."""
    apart = np.empty(len(members))
    for k in range(len(members)):
        away_m, turn_rad = _apart(poses[members[k]], T_map_base)
        apart[k] = away_m + METRES_PER_RADIAN * turn_rad
    return apart


@njit(cache=True, nogil=True)
def _nearest(poses: NDArray[np.float64], members: NDArray[np.int64], T_map_base: Pose) -> tuple[int, float, float]:
    """See ``LocalMap.nearest``."""
    best = members[_all_apart(poses, members, T_map_base).argmin()]
    away_m, turn_rad = _apart(poses[best], T_map_base)
    return best, away_m, turn_rad


class Drawing:
    """A field and the keyframes that are drawn in it."""

    def __init__(self, graph: Graph, size_m: float, resolution_m: float) -> None:
        self.field = Field(size_m, resolution_m)
        self.drawn: set[int] = set()
        self._graph = graph
        self._reach_m = 0.0  # of the rays drawn

    def clear(self, centre_m: NDArray[np.float64]) -> None:
        """Begin anew around x, y of the map."""
        self.field.clear(centre_m)
        self.drawn.clear()
        self._reach_m = 0.0

    def draw(self, keyframe: int) -> None:
        """Add one keyframe."""
        g = self._graph
        self.field.add(g.points[keyframe], g.poses[keyframe], g.sensors[keyframe])
        self.drawn.add(keyframe)
        self._reach_m = max(self._reach_m, g.reaches_m[keyframe])

    def has_room(self, here_m: NDArray[np.float64]) -> bool:
        """Whether rays as long as those drawn stay in the window of a robot at x, y."""
        off_m = np.abs(self.field.centre_m() - here_m).max()
        return bool(off_m <= max(MARGIN_M, self.field.size_m / 2.0 - MARGIN_M - self._reach_m))


class LocalMap:
    """A field of the keyframes within ``path_m`` of way along the graph.

    Way along the graph and not distance decides: what lies beside the robot but was last seen a kilometre of
    driving ago is off by the drift of that kilometre, until a closed loop makes its way short.

    No scan waits for much of the drawing: what is near is drawn at once, the rest bit by bit after the scans. When
    too much in the field has left the neighbourhood, the next field is drawn beside it and then takes its place.
    """

    def __init__(self, graph: Graph, path_m: float, max_range_m: float, resolution_m: float) -> None:
        self.graph = graph
        self.path_m = path_m
        self.members: NDArray[np.int64] = np.empty(0, np.int64)
        size_m = 2.0 * (max_range_m + MARGIN_M)
        self._now, self._next = (Drawing(graph, size_m, resolution_m) for _ in range(2))
        self._redrawing = False
        self._wanted: list[int] = []
        self._revision = -1

    @property
    def field(self) -> Field:
        """What scans are matched against now."""
        return self._now.field

    def follow(self, reference: int) -> None:
        """Make the field hold what belongs to the neighbourhood of keyframe ``reference``."""
        path_m = self.graph.path_lengths(reference, self.path_m)
        self.members = np.flatnonzero(np.isfinite(path_m))
        self._wanted = self._worth_drawing(path_m[self.members])
        here_m = self.graph.poses[reference, :2]
        if self._revision != self.graph.revision or not self._now.has_room(here_m):
            self._now.clear(here_m)
            self._revision, self._redrawing = self.graph.revision, False
        elif not self._redrawing and len(self._now.drawn) > STALE_FACTOR * len(self._wanted) + 20:
            self._next.clear(here_m)
            self._redrawing = True
        self._complete(self._now, DRAWN_AT_FIRST)

    def step(self) -> None:
        """Go on with what is still to be drawn, after a scan."""
        is_complete = self._complete(self._now, DRAWN_AT_ONCE)
        if is_complete and self._redrawing and self._complete(self._next, DRAWN_AT_ONCE):
            self._now, self._next = self._next, self._now
            self._redrawing = False

    def _complete(self, drawing: Drawing, most: int) -> bool:
        """Draw up to ``most`` of the missing keyframes, the nearest first; whether none is missing now."""
        missing = [k for k in self._wanted if k not in drawing.drawn]
        for k in missing[:most]:
            drawing.draw(k)
        return len(missing) <= most

    def _worth_drawing(self, path_m: NDArray[np.float64]) -> list[int]:
        """All members, or, where the robot has been often, those close by and an even choice of the others.

        The nearest come first.
        """
        every = math.ceil(len(self.members) / MOST_DRAWN)
        worth = (self.members % every == 0) | (path_m < CLOSE_BY_M)
        return self.members[worth][np.argsort(path_m[worth], kind="stable")].tolist()

    def nearest(self, T_map_base: Pose) -> tuple[int, float, float]:
        """The member seen from most nearly the same pose: its number, the distance (m) and the turn (rad)."""
        return _nearest(self.graph.poses, self.members, T_map_base)

    def supporters(self, T_map_base: Pose) -> list[int]:
        """The members that see most nearly the same, nearest first: what a new keyframe is tied to."""
        apart = _all_apart(self.graph.poses, self.members, T_map_base)
        return self.members[np.argsort(apart)[:SUPPORTERS]].tolist()
