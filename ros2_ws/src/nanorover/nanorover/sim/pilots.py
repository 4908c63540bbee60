"""Who drives the simulated robot: a scripted tour along known points, and a wanderer that sees only scans."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose, wrap_angle

CRUISE_M_S = 0.45
TURN_RAD_S = 1.2
LIDAR_SHADOW_M = 0.1  # returns nearer than this are the robot itself


class Pilot(Protocol):
    """Says how to drive."""

    @property
    def done(self) -> bool:
        """Whether it has come to its end."""
        ...

    def command(self, scan: LaserScan | None, T_map_base: Pose) -> tuple[float, float]:
        """Linear (m/s) and angular (rad/s) velocity wanted now; ``scan`` is the newest one."""
        ...


def points_of(scan: LaserScan) -> NDArray[np.float64]:
    """Returns of a scan as points ``(N, 2)`` in the base frame."""
    bearing = scan.angle_min_rad + scan.angle_increment_rad * np.arange(len(scan.ranges_m)) + scan.T_base_laser[2]
    there = np.isfinite(scan.ranges_m) & (scan.ranges_m > LIDAR_SHADOW_M)
    r = scan.ranges_m[there].astype(float)
    return np.column_stack([r * np.cos(bearing[there]), r * np.sin(bearing[there])]) + scan.T_base_laser[:2]


def free_ahead_m(
    points: NDArray[np.float64], heading_rad: float, half_width_m: float, farthest_m: float = 3.0
) -> float:
    """How far a lane in this direction is free of points ``(N, 2)``."""
    c, s = math.cos(heading_rad), math.sin(heading_rad)
    along = points[:, 0] * c + points[:, 1] * s
    aside = np.abs(points[:, 1] * c - points[:, 0] * s)
    return float(np.min(along[(aside < half_width_m) & (along > 0.0)], initial=farthest_m))


class Tour:
    """Follows points in the map by pure pursuit (Coulter 1992), from the true pose, and waits for people."""

    LOOKAHEAD_M = 0.35
    HALF_WIDTH_M = 0.125
    STOPS_AT_M = 0.34  # feet reach farther than the legs that the lidar sees

    def __init__(self, way_m: tuple[tuple[float, float], ...], *, speed_m_s: float = CRUISE_M_S) -> None:
        corners = np.array(way_m, float)
        lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        marks = np.concatenate([[0.0], np.cumsum(lengths)])
        even = np.arange(0.0, marks[-1], 0.02)
        self._way = np.column_stack([np.interp(even, marks, corners[:, k]) for k in (0, 1)])
        self._speed = speed_m_s
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether the end is reached."""
        return self._at >= len(self._way) - 5

    def command(self, scan: LaserScan | None, T_map_base: Pose) -> tuple[float, float]:
        """See ``Pilot``."""
        if self.done:
            return 0.0, 0.0
        ahead = self._way[self._at : self._at + 40]
        self._at += int(np.argmin(np.linalg.norm(ahead - T_map_base[:2], axis=1)))
        target = self._way[min(len(self._way) - 1, self._at + round(self.LOOKAHEAD_M / 0.02))] - T_map_base[:2]
        off = float(wrap_angle(math.atan2(target[1], target[0]) - T_map_base[2]))
        if abs(off) > 0.9:
            return 0.0, math.copysign(TURN_RAD_S, off)
        free = free_ahead_m(points_of(scan), off, self.HALF_WIDTH_M) if scan is not None else math.inf
        speed = self._speed * math.cos(off) * min(1.0, max(0.0, (free - self.STOPS_AT_M) / 0.3))
        return speed, 2.0 * max(speed, 0.15) * math.sin(off) / self.LOOKAHEAD_M


class Wander:
    """Drives where there is room, with a whim that changes now and then; sees nothing but scans."""

    NEAREST_M = 0.38
    HALF_WIDTH_M = 0.17  # of the lane that it wants free
    HEADINGS = np.radians(np.arange(-100, 101, 10))
    WHIM_KEPT = 0.985

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._whim = 0.0
        self._turning = 0.0

    @property
    def done(self) -> bool:
        """It goes on for ever."""
        return False

    def command(self, scan: LaserScan | None, T_map_base: Pose) -> tuple[float, float]:
        """See ``Pilot``."""
        if scan is None:
            return 0.0, 0.0
        points = points_of(scan)
        self._whim = self.WHIM_KEPT * self._whim + 0.12 * float(self._rng.standard_normal())
        free = np.array([free_ahead_m(points, heading, self.HALF_WIDTH_M) for heading in self.HEADINGS])
        worth = np.minimum(free, 2.0) - 0.35 * np.abs(self.HEADINGS - self._whim)
        best = int(np.argmax(worth))
        straight = free_ahead_m(points, 0.0, self.HALF_WIDTH_M)
        if free[best] < self.NEAREST_M + 0.1 or straight < self.NEAREST_M:
            if self._turning == 0.0:
                self._turning = math.copysign(TURN_RAD_S, self.HEADINGS[best] or self._whim or 1.0)
            return 0.0, self._turning
        self._turning = 0.0
        speed = CRUISE_M_S * min(1.0, (straight - self.NEAREST_M) / 0.5)
        return speed, float(np.clip(1.6 * self.HEADINGS[best], -TURN_RAD_S, TURN_RAD_S))
