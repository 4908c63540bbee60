"""Sparse optimisation of a pose graph: Gauss-Newton with a block Cholesky factorisation.

Residuals and Jacobians as in Grisetti et al., "A tutorial on graph-based SLAM" (2010), with the poses moved in
map coordinates. The order of elimination is that of minimum degree. Loops are weighted by the kernel of
Geman and McClure, so that a false one loses its pull.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import wrap_angle, wrap_angles
from nanorover.slam.graph import Edge

# A loop whose residual has this chi-square keeps a quarter of its weight.
LOOP_KERNEL_CHI2 = 30.0
ANCHOR_INFORMATION = 1e10


@njit(cache=True, nogil=True)
def _bits(word: np.uint64) -> int:
    count = 0
    while word:
        word &= word - np.uint64(1)
        count += 1
    return count


@njit(cache=True, nogil=True)
def _eliminate(n: int, ends: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Minimum-degree order; returns position of every node, and per position the rows of its column of L."""
    words = (n + 63) // 64
    one = np.uint64(1)
    linked = np.zeros((n, words), np.uint64)
    for k in range(len(ends)):
        i, j = ends[k, 0], ends[k, 1]
        linked[i, j >> 6] |= one << np.uint64(j & 63)
        linked[j, i >> 6] |= one << np.uint64(i & 63)
    degree = np.zeros(n, np.int32)
    for i in range(n):
        linked[i, i >> 6] &= ~(one << np.uint64(i & 63))
        for w in range(words):
            degree[i] += _bits(linked[i, w])
    position = np.full(n, -1, np.int32)
    starts = np.zeros(n + 1, np.int64)
    rows = np.empty(max(16 * n, 16), np.int32)
    neighbours = np.empty(n, np.int32)
    for p in range(n):
        v, least = -1, n + 1
        for i in range(n):
            if position[i] < 0 and degree[i] < least:
                v, least = i, degree[i]
        position[v] = p
        count = 0
        for w in range(words):
            word = linked[v, w]
            while word:
                low = word & (~word + one)
                neighbours[count] = 64 * w + _bits(low - one)
                count += 1
                word ^= low
        if starts[p] + count > len(rows):
            rows = np.concatenate((rows, np.empty(len(rows) + count, np.int32)))
        for k in range(count):
            u = neighbours[k]
            rows[starts[p] + k] = u
            degree[u] = 0
            for w in range(words):
                linked[u, w] |= linked[v, w]
            linked[u, u >> 6] &= ~(one << np.uint64(u & 63))
            linked[u, v >> 6] &= ~(one << np.uint64(v & 63))
            for w in range(words):
                degree[u] += _bits(linked[u, w])
        starts[p + 1] = starts[p] + count
    for p in range(n):
        for k in range(starts[p], starts[p + 1]):
            rows[k] = position[rows[k]]
        rows[starts[p] : starts[p + 1]].sort()
    return position, starts, rows[: starts[n]]


@njit(cache=True, nogil=True)
def _find(rows: NDArray[np.int32], start: int, end: int, row: int) -> int:
    """Where ``row`` stands in a sorted column."""
    return int(start + np.searchsorted(rows[start:end], row))


@njit(cache=True, nogil=True)
def _add_product(target: NDArray[np.float64], J: NDArray[np.float64], B: NDArray[np.float64]) -> None:
    """Add the transpose of J times B, both (3, 3)."""
    for a in range(3):
        for b in range(3):
            target[a, b] += J[0, a] * B[0, b] + J[1, a] * B[1, b] + J[2, a] * B[2, b]


@njit(cache=True, nogil=True)
def square(information: NDArray[np.float64], e: NDArray[np.float64]) -> float:
    """The chi-square of a residual."""
    total = 0.0
    for a in range(3):
        for b in range(3):
            total += e[a] * information[a, b] * e[b]
    return total


@njit(cache=True, nogil=True)
def _linearised(
    poses: NDArray[np.float64],
    ends: NDArray[np.int32],
    measured: NDArray[np.float64],
    information: NDArray[np.float64],
    loops: NDArray[np.bool_],
    kernel_chi2: float,
    position: NDArray[np.int32],
    starts: NDArray[np.int64],
    rows: NDArray[np.int32],
    diagonal: NDArray[np.float64],
    below: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> None:
    """Fill the blocks of the normal equations in the order of elimination."""
    diagonal[:] = 0.0
    below[:] = 0.0
    gradient[:] = 0.0
    J, W, e = np.zeros((2, 3, 3)), np.empty((3, 3)), np.zeros(3)
    WJ, We = np.empty((2, 3, 3)), np.empty(3)
    for k in range(len(ends)):
        i, j = ends[k, 0], ends[k, 1]
        residual(poses[i], poses[j], measured[k], e)
        c, s = math.cos(poses[i, 2]), math.sin(poses[i, 2])
        dx, dy = poses[j, 0] - poses[i, 0], poses[j, 1] - poses[i, 1]
        J[0, 0, 0], J[0, 0, 1], J[0, 1, 0], J[0, 1, 1], J[0, 2, 2] = -c, -s, s, -c, -1.0
        J[0, 0, 2], J[0, 1, 2] = -s * dx + c * dy, -c * dx - s * dy
        J[1, 0, 0], J[1, 0, 1], J[1, 1, 0], J[1, 1, 1], J[1, 2, 2] = c, s, -s, c, 1.0
        weight = 1.0
        if loops[k]:
            weight = 1.0 / (1.0 + square(information[k], e) / kernel_chi2) ** 2
        for a in range(3):
            We[a] = 0.0
            for b in range(3):
                W[a, b] = weight * information[k, a, b]
                We[a] += W[a, b] * e[b]
        for side in range(2):
            for a in range(3):
                for b in range(3):
                    WJ[side, a, b] = W[a, 0] * J[side, 0, b] + W[a, 1] * J[side, 1, b] + W[a, 2] * J[side, 2, b]
        pi, pj = position[i], position[j]
        _add_product(diagonal[pi], J[0], WJ[0])
        _add_product(diagonal[pj], J[1], WJ[1])
        for a in range(3):
            gradient[pi, a] += J[0, 0, a] * We[0] + J[0, 1, a] * We[1] + J[0, 2, a] * We[2]
            gradient[pj, a] += J[1, 0, a] * We[0] + J[1, 1, a] * We[1] + J[1, 2, a] * We[2]
        if pi < pj:
            _add_product(below[_find(rows, starts[pi], starts[pi + 1], pj)], J[1], WJ[0])
        else:
            _add_product(below[_find(rows, starts[pj], starts[pj + 1], pi)], J[0], WJ[1])
    for d in range(3):
        diagonal[position[0], d, d] += ANCHOR_INFORMATION


@njit(cache=True, nogil=True)
def residual(pose_i: NDArray, pose_j: NDArray, T_i_j: NDArray, e: NDArray) -> None:
    """What the edge's measurement lacks, in the frame of i; written into ``e``."""
    c, s = math.cos(pose_i[2]), math.sin(pose_i[2])
    dx, dy = pose_j[0] - pose_i[0], pose_j[1] - pose_i[1]
    e[0], e[1] = c * dx + s * dy - T_i_j[0], -s * dx + c * dy - T_i_j[1]
    e[2] = wrap_angle(pose_j[2] - pose_i[2] - T_i_j[2])


@njit(cache=True, nogil=True)
def _factorise_and_solve(
    starts: NDArray[np.int64],
    rows: NDArray[np.int32],
    diagonal: NDArray[np.float64],
    below: NDArray[np.float64],
    x: NDArray[np.float64],
) -> bool:
    """Solve in place for ``x`` (the right-hand side before); False when the system is singular."""
    n = len(diagonal)
    for p in range(n):
        D = diagonal[p]
        for a in range(3):  # D becomes its lower Cholesky factor
            for b in range(a + 1):
                v = D[a, b]
                for m in range(b):
                    v -= D[a, m] * D[b, m]
                if a == b:
                    if not v > 0.0:
                        return False
                    D[a, a] = math.sqrt(v)
                else:
                    D[a, b] = v / D[b, b]
        first, end = starts[p], starts[p + 1]
        for k in range(first, end):
            B = below[k]
            for a in range(3):
                for b in range(3):
                    v = B[a, b]
                    for m in range(b):
                        v -= B[a, m] * D[b, m]
                    B[a, b] = v / D[b, b]
        for k in range(first, end):
            q = rows[k]
            at, stop = starts[q], starts[q + 1]
            for m in range(k, end):
                target = diagonal[q]
                if m > k:
                    while at < stop and rows[at] < rows[m]:
                        at += 1
                    target = below[at]
                for a in range(3):
                    for b in range(3):
                        target[a, b] -= (
                            below[m, a, 0] * below[k, b, 0]
                            + below[m, a, 1] * below[k, b, 1]
                            + below[m, a, 2] * below[k, b, 2]
                        )
        for a in range(3):
            for m in range(a):
                x[p, a] -= D[a, m] * x[p, m]
            x[p, a] /= D[a, a]
        for k in range(first, end):
            for a in range(3):
                for m in range(3):
                    x[rows[k], a] -= below[k, a, m] * x[p, m]
    for p in range(n - 1, -1, -1):
        for k in range(starts[p], starts[p + 1]):
            for a in range(3):
                for m in range(3):
                    x[p, a] -= below[k, m, a] * x[rows[k], m]
        D = diagonal[p]
        for a in range(2, -1, -1):
            for m in range(a + 1, 3):
                x[p, a] -= D[m, a] * x[p, m]
            x[p, a] /= D[a, a]
    return True


class PoseGraph:
    """One problem: poses (N, 3), the first of which stays where it is, and edges between them."""

    def __init__(self, poses: NDArray[np.float64], edges: list[Edge]) -> None:
        self.poses = poses.copy()
        self._ends = np.array([(e.i, e.j) for e in edges], dtype=np.int32).reshape(-1, 2)
        self._measured = np.array([e.T_i_j for e in edges]).reshape(-1, 3)
        self._information = np.array([e.information for e in edges]).reshape(-1, 3, 3)
        self._loops = np.array([e.loop for e in edges], dtype=np.bool_)
        self._structure = _eliminate(len(poses), self._ends)
        n, blocks = len(poses), len(self._structure[2])
        self._diagonal, self._below, self._gradient = (
            np.empty((n, 3, 3)),
            np.empty((blocks, 3, 3)),
            np.empty((n, 3)),
        )

    def iterate(self, kernel_chi2: float = LOOP_KERNEL_CHI2) -> float:
        """One Gauss-Newton step; returns the longest way a pose moved (m), inf when there is no solution.

        ``kernel_chi2`` may start at inf: a loop not yet closed has a large residual without being false.
        """
        position, starts, rows = self._structure
        edges = (self._ends, self._measured, self._information, self._loops, kernel_chi2)
        _linearised(self.poses, *edges, position, starts, rows, self._diagonal, self._below, self._gradient)
        if not _factorise_and_solve(starts, rows, self._diagonal, self._below, self._gradient):
            return math.inf
        step = self._gradient[position]
        self.poses -= step
        self.poses[:, 2] = wrap_angles(self.poses[:, 2])
        return float(np.hypot(step[:, 0], step[:, 1]).max())

    def chi2(self) -> NDArray[np.float64]:
        """(E,) the weighted square of every edge's residual, without the loops' kernel."""
        return _chi2(self.poses, self._ends, self._measured, self._information)


@njit(cache=True, nogil=True)
def _chi2(
    poses: NDArray[np.float64],
    ends: NDArray[np.int32],
    measured: NDArray[np.float64],
    information: NDArray[np.float64],
) -> NDArray[np.float64]:
    made, e = np.empty(len(ends)), np.zeros(3)
    for k in range(len(ends)):
        residual(poses[ends[k, 0]], poses[ends[k, 1]], measured[k], e)
        made[k] = square(information[k], e)
    return made
