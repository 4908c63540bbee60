"""Keyframes and what was measured between them."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, between
from nanorover.geometry.symmetric import inverse3

# A turn counts as this much way when paths along the graph are measured.
METRES_PER_RADIAN = 0.3
# Standard deviations (x, y, yaw) below which no edge is believed.
EDGE_FLOOR = (0.01, 0.01, 0.003)
# An edge known worse than this only says that the robot went on; its ends lie far apart until a loop is found.
LOOSE_SIGMA_M, LOOSE_WAY_M = 0.3, 100.0


class Edge(NamedTuple):
    """``T_i_j`` between two keyframes with its information (3, 3); a loop joined parts long separate."""

    i: int
    j: int
    T_i_j: Pose
    information: NDArray[np.float64]
    loop: bool


class Adjacency(NamedTuple):
    """The edges as linked lists: ``first[node]``, then ``following[entry]``, −1 at the end."""

    first: NDArray[np.int32]
    following: NDArray[np.int32]
    neighbour: NDArray[np.int32]
    way_m: NDArray[np.float32]


@njit(cache=True, nogil=True)
def _path_lengths(start: int, limit_m: float, adjacency: Adjacency, path_m: NDArray[np.float64]) -> None:
    """Shortest ways from ``start`` along the edges, up to ``limit_m``; written into ``path_m``, inf beyond."""
    n = len(path_m)
    path_m[:] = np.inf
    path_m[start] = 0.0
    queue, queued = np.empty(n, np.int32), np.zeros(n, np.bool_)
    queue[0], head, size = start, 0, 1
    while size > 0:
        node = queue[head]
        head, size = (head + 1) % n, size - 1
        queued[node] = False
        entry = adjacency.first[node]
        while entry >= 0:
            other = adjacency.neighbour[entry]
            way = path_m[node] + adjacency.way_m[entry]
            if way <= limit_m and way < path_m[other] - 1e-6:
                path_m[other] = way
                if not queued[other]:
                    queue[(head + size) % n] = other
                    queued[other] = True
                    size += 1
            entry = adjacency.following[entry]


def _grown(array: NDArray, length: int) -> NDArray:
    """The array itself, or a copy twice as long when ``length`` does not fit any more."""
    if length <= len(array):
        return array
    return np.concatenate([array, np.zeros_like(array)])


def _reach_m(points: NDArray[np.float32]) -> float:
    return float(np.abs(points[:, :2]).max(initial=0.0))


class Graph:
    """Keyframes with their poses in the map, the scans taken there, and the edges between them.

    ``revision`` counts the changes of poses and views: whoever drew something from them compares it.
    """

    def __init__(self) -> None:
        self.points: list[NDArray[np.float32]] = []  # (K, 4) x, y, nx, ny in the base frame
        self.sensors: list[Pose] = []  # T_base_laser, where the rays start
        self.reaches_m: list[float] = []  # the largest coordinate of the points
        self.stamps_ns: list[int] = []
        self.edges: list[Edge] = []
        self.revision = 0
        self._poses = np.zeros((256, 3))
        self._adjacency = Adjacency(
            np.zeros(256, np.int32), np.zeros(1024, np.int32), np.zeros(1024, np.int32), np.zeros(1024, np.float32)
        )

    def __len__(self) -> int:
        return len(self.points)

    @property
    def poses(self) -> NDArray[np.float64]:
        """(N, 3) T_map_base of every keyframe; a view."""
        return self._poses[: len(self.points)]

    def add_keyframe(
        self, stamp_ns: int, T_map_base: Pose, points: NDArray[np.float32], T_base_laser: Pose
    ) -> int:
        """Append a keyframe and return its number."""
        n = len(self.points)
        self._poses = _grown(self._poses, n + 1)
        self._adjacency = self._adjacency._replace(first=_grown(self._adjacency.first, n + 1))
        self._poses[n] = T_map_base
        self._adjacency.first[n] = -1
        self.points.append(points)
        self.sensors.append(T_base_laser)
        self.reaches_m.append(_reach_m(points))
        self.stamps_ns.append(stamp_ns)
        return n

    def add_edge(
        self,
        i: int,
        j: int,
        information: NDArray[np.float64],
        T_i_j: Pose | None = None,
        loop: bool = False,
    ) -> None:
        """Tie two keyframes as ``T_i_j`` says, or as they lie now."""
        relative = between(self._poses[i], self._poses[j]) if T_i_j is None else T_i_j
        self.edges.append(Edge(i, j, relative, information, loop))
        entries = 2 * len(self.edges)
        a = self._adjacency = self._adjacency._replace(
            following=_grown(self._adjacency.following, entries),
            neighbour=_grown(self._adjacency.neighbour, entries),
            way_m=_grown(self._adjacency.way_m, entries),
        )
        way_m = math.hypot(relative[0], relative[1]) + METRES_PER_RADIAN * abs(relative[2])
        if _least_of_place(information) < LOOSE_SIGMA_M**-2:
            way_m += LOOSE_WAY_M
        for entry, (node, other) in ((entries - 2, (i, j)), (entries - 1, (j, i))):
            a.neighbour[entry], a.way_m[entry], a.following[entry] = other, way_m, a.first[node]
            a.first[node] = entry

    def replace_view(self, k: int, points: NDArray[np.float32], T_base_laser: Pose) -> None:
        """Let a keyframe show what is seen there now: points (K, 4) and sensor in its own frame."""
        self.points[k], self.sensors[k], self.reaches_m[k] = points, T_base_laser, _reach_m(points)
        self.revision += 1

    def set_poses(self, poses: NDArray[np.float64]) -> None:
        """Replace the poses of the first ``len(poses)`` keyframes, after optimisation."""
        self._poses[: len(poses)] = poses
        self.revision += 1

    def path_lengths(self, start: int, limit_m: float = math.inf) -> NDArray[np.float64]:
        """(N,) the way along the edges from ``start`` to every keyframe in metres, inf beyond the limit."""
        path_m = np.empty(len(self))
        _path_lengths(start, limit_m, self._adjacency, path_m)
        return path_m


@njit(cache=True, nogil=True)
def softened(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """The information of an edge that is believed no better than ``EDGE_FLOOR``."""
    covariance = inverse3(information + 1e-3 * np.eye(3))
    for k in range(3):
        covariance[k, k] += EDGE_FLOOR[k] ** 2
    return inverse3(covariance)


def _least_of_place(information: NDArray[np.float64]) -> float:
    """The information of x and y in the direction of which least is known: the smaller eigenvalue."""
    xx, xy, yy = float(information[0, 0]), float(information[0, 1]), float(information[1, 1])
    return 0.5 * (xx + yy) - math.hypot(0.5 * (xx - yy), xy)


def without(information: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """The information with nothing of the place along ``direction``, a unit vector (2,)."""
    keep = np.eye(3)
    keep[:2, :2] -= np.outer(direction, direction)
    return keep @ information @ keep
