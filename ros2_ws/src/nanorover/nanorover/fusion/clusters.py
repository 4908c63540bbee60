"""A scan cut into things: runs of neighbouring returns that lie close together."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, transform_points
from nanorover.planning.scan_points import RETURN, Beams

LEG_WIDTH_M = 0.25
LEAST_RETURNS = 2


@dataclass(frozen=True, eq=False)
class Cluster:
    """Returns of one thing: points ``(N, 2)``, their middle, and half their greatest extent."""

    points_m: NDArray[np.float64]
    centre_m: NDArray[np.float64]
    radius_m: float


@njit(cache=True)
def _labels(
    ends: NDArray[np.float64],
    kinds: NDArray[np.uint8],
    origin: NDArray[np.float64],
    limits: tuple[float, float, float],
) -> tuple[NDArray[np.int32], int]:
    """Number of the cluster of each beam, −1 for none. The last run and the first are joined across the seam."""
    gap_m, gap_per_m, range_max_m = limits
    labels = np.full(len(ends), -1, np.int32)
    last, first, count = -1, -1, 0
    for i in range(len(ends)):
        if kinds[i] != RETURN:
            continue
        r = math.hypot(ends[i, 0] - origin[0], ends[i, 1] - origin[1])
        if r > range_max_m:
            continue
        joined = False
        if last >= 0:
            apart = math.hypot(ends[i, 0] - ends[last, 0], ends[i, 1] - ends[last, 1])
            joined = apart <= gap_m + gap_per_m * r
        else:
            first = i
        if not joined:
            count += 1
        labels[i] = count - 1
        last = i
    if count > 1:
        apart = math.hypot(ends[first, 0] - ends[last, 0], ends[first, 1] - ends[last, 1])
        r = math.hypot(ends[first, 0] - origin[0], ends[first, 1] - origin[1])
        if apart <= gap_m + gap_per_m * r:
            for i in range(len(ends)):
                if labels[i] == count - 1:
                    labels[i] = 0
            count -= 1
    return labels, count


def clusters_of(
    beams: Beams, gap_m: float, gap_per_m: float, range_max_m: float, T_map_base: Pose | None = None
) -> list[Cluster]:
    """The things in a scan, in the frame of the beams or placed by ``T_map_base``; single returns are left out.

    All are measured at once: one by one most of the time would go to calls.
    """
    labels, count = _labels(beams.ends_m, beams.kinds, beams.origin_m, (gap_m, gap_per_m, range_max_m))
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    of_many = labels >= 0
    of_many[of_many] = sizes[labels[of_many]] >= LEAST_RETURNS
    rows = np.flatnonzero(of_many)
    if not len(rows):
        return []
    rows = rows[np.argsort(labels[rows], kind="stable")]
    points_m = beams.ends_m[rows]
    if T_map_base is not None:
        points_m = transform_points(T_map_base, points_m)
    sizes = sizes[sizes >= LEAST_RETURNS]
    ends = np.cumsum(sizes)
    starts = ends - sizes
    centres_m = np.add.reduceat(points_m, starts) / sizes[:, None]
    extents_m = np.maximum.reduceat(points_m, starts) - np.minimum.reduceat(points_m, starts)
    radii_m = np.hypot(extents_m[:, 0], extents_m[:, 1]) / 2.0
    return [
        Cluster(points_m[a:b], centre_m, float(radius_m))
        for a, b, centre_m, radius_m in zip(starts, ends, centres_m, radii_m, strict=True)
    ]


def cluster_of(points_m: NDArray[np.float64]) -> Cluster:
    """The cluster of these points."""
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    return Cluster(points_m, points_m.mean(axis=0), math.hypot(high[0] - low[0], high[1] - low[1]) / 2.0)


def walkers(clusters: list[Cluster], legs_apart_m: float, widest_m: float) -> list[Cluster]:
    """Clusters that may walk about: narrow ones, and two legs joined where they stand close together."""
    legs = [c for c in clusters if 2.0 * c.radius_m <= LEG_WIDTH_M]
    others = [c for c in clusters if LEG_WIDTH_M < 2.0 * c.radius_m <= widest_m]
    joined: list[Cluster] = []
    while legs:
        leg = legs.pop()
        near = [(math.dist(leg.centre_m, c.centre_m), i) for i, c in enumerate(legs)]
        apart, i = min(near, default=(math.inf, -1))
        if apart <= legs_apart_m:
            joined.append(cluster_of(np.vstack([leg.points_m, legs.pop(i).points_m])))
        else:
            joined.append(leg)
    return joined + others
