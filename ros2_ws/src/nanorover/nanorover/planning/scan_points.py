"""A scan's returns as points about the robot."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose


@njit(cache=True)
def _points(
    ranges_m: NDArray[np.float32],
    angle_min_rad: float,
    angle_increment_rad: float,
    range_min_m: float,
    range_max_m: float,
    T_base_laser: Pose,
) -> tuple[NDArray[np.float64], int]:
    points = np.empty((len(ranges_m), 2))
    found, usable = 0, 0
    for i in range(len(ranges_m)):
        r = float(ranges_m[i])
        if math.isnan(r):
            continue
        usable += 1
        if r > range_max_m:
            continue
        r = max(r, range_min_m)
        bearing = T_base_laser[2] + angle_min_rad + i * angle_increment_rad
        points[found, 0] = T_base_laser[0] + r * math.cos(bearing)
        points[found, 1] = T_base_laser[1] + r * math.sin(bearing)
        found += 1
    return points[:found].copy(), usable


def scan_points(scan: LaserScan) -> tuple[NDArray[np.float64], int]:
    """The returns ``(N, 2)`` in the base frame, and how many beams said anything at all.

    A beam of −inf (too near, REP-117) or below the least range is a return at the least range: something
    is there. A beam of NaN says nothing.
    """
    return _points(
        scan.ranges_m,
        scan.angle_min_rad,
        scan.angle_increment_rad,
        scan.range_min_m,
        scan.range_max_m,
        scan.T_base_laser,
    )
