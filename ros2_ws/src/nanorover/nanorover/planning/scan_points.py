"""A scan's beams as points about the robot, with the robot's motion during the revolution taken out."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.base.gate import STILL, Velocity, velocity_between
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose
from nanorover.planning.contact import arc_pose

# What a beam says: nothing, that something is there, that nothing is within its reach.
SILENT, RETURN, OPEN = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Beams:
    """Ends ``(N, 2)`` of the beams in the base frame at the scan's stamp, and what each says, ``(N,)``.

    An open beam ends at the scan's greatest range. Of what is nearer than ``blind_m`` the lidar returns nothing.
    ``origin_m`` is the sensor's place ``(2,)``.
    """

    stamp_ns: int
    ends_m: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    origin_m: NDArray[np.float64]
    blind_m: float = 0.0

    @property
    def returns_m(self) -> NDArray[np.float64]:
        """The points ``(M, 2)`` where something is."""
        return self.ends_m[self.kinds == RETURN]

    @property
    def usable(self) -> int:
        """How many beams said anything."""
        return int(np.count_nonzero(self.kinds))


@njit(cache=True)
def _ends(
    ranges_m: NDArray[np.float32],
    angles: tuple[float, float],
    limits_m: tuple[float, float],
    T_base_laser: Pose,
    motion: tuple[float, float, float],
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    ends = np.zeros((len(ranges_m), 2))
    kinds = np.zeros(len(ranges_m), np.uint8)
    v, w, time_increment_s = motion
    for i in range(len(ranges_m)):
        r = float(ranges_m[i])
        if math.isnan(r) or r == 0.0:
            continue
        kinds[i] = OPEN if r > limits_m[1] else RETURN
        r = min(max(r, limits_m[0]), limits_m[1])
        bearing = T_base_laser[2] + angles[0] + i * angles[1]
        x, y = T_base_laser[0] + r * math.cos(bearing), T_base_laser[1] + r * math.sin(bearing)
        moved_x, moved_y, turned = arc_pose(v, w, i * time_increment_s)
        c, s = math.cos(turned), math.sin(turned)
        ends[i, 0], ends[i, 1] = moved_x + c * x - s * y, moved_y + s * x + c * y
    return ends, kinds


def velocity_over(scan: LaserScan, T_map_first: Pose, T_map_last: Pose) -> Velocity:
    """The mean velocity of the robot while a scan was taken, from its poses at the first ray and at the last."""
    duration_s = scan.time_increment_s * max(0, len(scan.ranges_m) - 1)
    return STILL if duration_s == 0.0 else velocity_between(T_map_first, T_map_last, duration_s)


def last_ray_ns(scan: LaserScan) -> int:
    """When the last ray of a scan was measured."""
    return scan.stamp_ns + round(scan.time_increment_s * max(0, len(scan.ranges_m) - 1) * 1e9)


def beams_of(scan: LaserScan, velocity: Velocity = STILL) -> Beams:
    """The beams of a scan that was taken while the robot moved at ``velocity``.

    A beam of −inf (too near, REP-117) or below the least range is a return at the least range: something
    is there. A beam of NaN, or of 0 as many drivers have it, says nothing.
    """
    ends_m, kinds = _ends(
        scan.ranges_m,
        (scan.angle_min_rad, scan.angle_increment_rad),
        (scan.range_min_m, scan.range_max_m),
        scan.T_base_laser,
        (velocity.linear_m_s, velocity.angular_rad_s, scan.time_increment_s),
    )
    origin_m = np.asarray(scan.T_base_laser[:2], dtype=np.float64)
    return Beams(scan.stamp_ns, ends_m, kinds, origin_m, scan.range_min_m)
