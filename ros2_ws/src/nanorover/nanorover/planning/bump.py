"""Is the robot held by something that its lidar does not see? Its wheels turn, or should; the world stands still.

A scan is held against an earlier one, without map and pose, for both go wrong where the wheels err so much: of
what was seen, how much is seen now where it was, and how much where it would be after the motion of the wheels?
What is seen in both places, as a smooth wall along the way, says nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.base.gate import STILL, Velocity
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose, compose, inverse, transform_points
from nanorover.params import param
from nanorover.planning.contact import arc_pose
from nanorover.planning.motion import STANDS_M_S, STANDS_RAD_S
from nanorover.robot import RobotParams

# Two ranges differ when they do so by more than this, and this part of the range: more than a lidar's noise.
SAME_M, SAME_PART = 0.025, 0.02
STILL_SHARE = 0.8  # of what is seen stands where it was: the rest may walk
LEAST_SEEN = 0.2  # of the beams
LEAST_TOLD = 0.1  # of what is seen tells the one from the other
AGAINST = 5  # times as many beams speak for standing as for moving
# What was compared over a longer way of the wheels, or for longer, says as much of the wheels' errors.
LONGEST_M, LONGEST_RAD, LONGEST_S = 0.4, 1.5, 3.0
TURNS_M = 0.1  # about the way of a wheel for a radian
UNHEARD_S = 0.3  # wheels of which nothing was heard for so long may have turned meanwhile
AHEAD_M = 0.03  # of the outline is marked what was touched
SPACING_M = 0.02


@dataclass(frozen=True)
class BumpParams:
    """Values in ``params/bump.yaml``."""

    bump_way_m: float = param(
        "wheels that went so far while the world stood still are held", "m", minimum=0.03, maximum=0.3
    )
    bump_turn_rad: float = param("or turned the robot by so much", "rad", minimum=0.1, maximum=1.2)
    bump_scans: int = param("so many scans in a row must say so", minimum=1, maximum=20)
    bump_memory_s: float = param(
        "what was touched and cannot be seen is an obstacle for this long", "s", minimum=0.0, maximum=3600.0
    )


class Bump:
    """Tell it of the wheels at every cycle and of every scan; ``held`` is the motion ``(3,)`` that the wheels of a
    held robot made in vain, else None."""

    def __init__(self, params: BumpParams) -> None:
        self.params = params
        self.held: Pose | None = None
        self._velocity = STILL
        self._wheels = np.zeros(3)  # the motion since the scan that the next ones are held against
        self._heard_s = -math.inf
        self._began: LaserScan | None = None
        self._began_s = 0.0
        self._scans = 0

    def on_wheels(self, measured: Velocity, told: Velocity, now_s: float) -> None:
        """What the wheels do now, and what they were told: what holds the robot may hold them too."""
        velocity = max(measured, told, key=lambda v: abs(v.linear_m_s) + TURNS_M * abs(v.angular_rad_s))
        elapsed_s, self._heard_s, self._velocity = now_s - self._heard_s, now_s, velocity
        if elapsed_s > UNHEARD_S:
            self.begin_anew()
        else:
            way = arc_pose(velocity.linear_m_s, velocity.angular_rad_s, elapsed_s)
            self._wheels = compose(self._wheels, np.array(way))

    def begin_anew(self) -> None:
        """What was seen before says nothing any more."""
        self._began, self.held, self._scans = None, None, 0

    def on_scan(self, scan: LaserScan, now_s: float) -> None:
        """A revolution of the lidar."""
        began, self.held = self._began, None
        if began is None or not self._comparable(began, scan, now_s) or not _stands(began, scan):
            self.begin_anew()
            self._began, self._began_s, self._wheels = scan, now_s, np.zeros(3)
        elif self._turn() and all(_stands_rather(began, scan, motion) for motion in self._expected()):
            self._scans += 1
            if self._scans >= self.params.bump_scans:
                self.held = self._wheels.copy()
        else:
            self._scans = 0

    def _turn(self) -> bool:
        """Whether the wheels have driven or turned the robot far enough to tell, and still do."""
        p, v, (x, y, yaw) = self.params, self._velocity, self._wheels
        if math.hypot(x, y) > p.bump_way_m and v.linear_m_s * math.copysign(1.0, x) > STANDS_M_S:
            return True
        return abs(float(yaw)) > p.bump_turn_rad and v.angular_rad_s * math.copysign(1.0, yaw) > STANDS_RAD_S

    def _expected(self) -> list[Pose]:
        """Where the base may be if it is not held: as the wheels say, or straight on, for along smooth walls only
        a small error of their turning tells that from standing."""
        way_m = math.hypot(*self._wheels[:2])
        straight = np.array([math.copysign(way_m, self._wheels[0]), 0.0, 0.0])
        return [self._wheels, straight] if way_m > self.params.bump_way_m else [self._wheels]

    def _comparable(self, began: LaserScan, scan: LaserScan, now_s: float) -> bool:
        x, y, yaw = self._wheels
        far = math.hypot(x, y) > LONGEST_M or abs(yaw) > LONGEST_RAD or now_s - self._began_s > LONGEST_S
        alike = len(began.ranges_m) == len(scan.ranges_m) and scan.angle_increment_rad != 0.0
        return alike and not far and now_s - self._heard_s < UNHEARD_S


def _stands(before: LaserScan, scan: LaserScan) -> bool:
    """Whether what is seen stands where it was seen before, as far as that says anything."""
    both = np.isfinite(before.ranges_m) & np.isfinite(scan.ranges_m)
    stand = _same(before.ranges_m[both], scan.ranges_m[both])
    return len(stand) > LEAST_SEEN * len(both) and stand.sum() > STILL_SHARE * len(stand)


def _stands_rather(before: LaserScan, scan: LaserScan, T_before_now: Pose) -> bool:
    """Whether what is seen tells that the base stands, and did not move like this."""
    count = len(before.ranges_m)
    at = np.flatnonzero(np.isfinite(before.ranges_m) & (before.ranges_m > before.range_min_m))
    ranges_m, bearings = before.ranges_m[at], before.angle_min_rad + before.angle_increment_rad * at
    ends_m = np.column_stack([ranges_m * np.cos(bearings), ranges_m * np.sin(bearings)])
    T_laser_before = compose(inverse(scan.T_base_laser), compose(inverse(T_before_now), before.T_base_laser))
    ends_m = transform_points(T_laser_before, ends_m)
    moved_m = np.hypot(ends_m[:, 0], ends_m[:, 1])
    turns = (np.arctan2(ends_m[:, 1], ends_m[:, 0]) - scan.angle_min_rad) / scan.angle_increment_rad
    beam = np.round(turns).astype(int) % max(count, round(2.0 * math.pi / abs(scan.angle_increment_rad)))
    found_m, found_moved_m = scan.ranges_m[at], scan.ranges_m[np.minimum(beam, count - 1)]
    both = np.isfinite(found_m) & np.isfinite(found_moved_m) & (beam < count)
    stand, moved = _same(ranges_m, found_m)[both], _same(moved_m, found_moved_m)[both]
    stand_only, moved_only = (stand & ~moved).sum(), (moved & ~stand).sum()
    return bool(stand_only > max(LEAST_TOLD * both.sum(), AGAINST * moved_only))


def _same(expected_m: NDArray, found_m: NDArray) -> NDArray[np.bool_]:
    return abs(found_m - expected_m) < SAME_M + SAME_PART * expected_m


def touched_by(robot: RobotParams, motion: Pose) -> NDArray[np.float64]:
    """Points ``(N, 2)`` in the base frame just before the end of the robot that a motion pushes forward; none
    where it mostly turns, for then any corner may be what is held."""
    if abs(motion[0]) < robot.half_width_m * abs(motion[2]):
        return np.zeros((0, 2))
    end = robot.footprint_front_m + AHEAD_M if motion[0] > 0.0 else -robot.footprint_rear_m - AHEAD_M
    across = np.arange(-robot.half_width_m, robot.half_width_m + SPACING_M, SPACING_M)
    return np.column_stack([np.full(len(across), end), across])
