"""Odometry from wheel encoders, with the uncertainty that grows as the robot drives."""

import math

import numpy as np
from numpy.typing import NDArray

from nanorover.base.kinematics import Track
from nanorover.base.protocol import wrapped_difference
from nanorover.geometry.se2 import Pose

# The standard deviation of a heading that can be any.
UNKNOWN_TURN_RAD = math.pi / math.sqrt(3.0)


class WheelOdometry:
    """Integrates encoder readings along exact arcs.

    ``covariance`` is ``(3, 3)`` of x, y, yaw in the odom frame. Each wheel's path has a variance of
    ``variance_m2_per_m`` times its length (Siegwart & Nourbakhsh, Autonomous Mobile Robots, 5.2.4), so it
    stays as it is while the robot stands and never shrinks. A way not measured adds what it can have been.
    """

    def __init__(self, track: Track, m_per_tick: float, counter_bits: int, variance_m2_per_m: float) -> None:
        self.track = track
        self.m_per_tick = m_per_tick
        self.counter_bits = counter_bits
        self.variance_m2_per_m = variance_m2_per_m
        self.T_odom_base: Pose = np.zeros(3)
        self.covariance: NDArray[np.float64] = np.zeros((3, 3))
        self._ticks: tuple[int, int] | None = None

    def restart(self, ticks: tuple[int, int], unknown_way_m: float = 0.0) -> None:
        """Take a reading as the new zero of motion; each wheel went some unknown way of up to so much before."""
        self._ticks = ticks
        turn_rad = min(2.0 * unknown_way_m / self.track.separation_m, UNKNOWN_TURN_RAD)
        self.covariance = self.covariance + np.diag([unknown_way_m, unknown_way_m, turn_rad]) ** 2

    def difference_m(self, ticks: tuple[int, int]) -> tuple[float, float]:
        """The way of the left and right wheel since the last reading, across an overflow of the counter."""
        before = self._ticks or ticks
        left, right = (wrapped_difference(a, b, self.counter_bits) for a, b in zip(ticks, before, strict=True))
        return left * self.m_per_tick, right * self.m_per_tick

    def add(self, ticks: tuple[int, int]) -> tuple[float, float]:
        """Take a reading; returns the way of each wheel since the one before."""
        left_m, right_m = self.difference_m(ticks)
        self._ticks = ticks
        self._grow(left_m, right_m)
        self.T_odom_base = self.track.advance(self.T_odom_base, left_m, right_m)
        return left_m, right_m

    def _grow(self, left_m: float, right_m: float) -> None:
        forward_m = (left_m + right_m) / 2.0
        turn_rad = (right_m - left_m) / self.track.separation_m
        heading = self.T_odom_base[2] + turn_rad / 2.0
        c, s = math.cos(heading), math.sin(heading)
        by_pose = np.array([[1.0, 0.0, -forward_m * s], [0.0, 1.0, forward_m * c], [0.0, 0.0, 1.0]])
        lever = forward_m / (2.0 * self.track.separation_m)
        by_wheels = np.array(
            [
                [0.5 * c + lever * s, 0.5 * c - lever * s],
                [0.5 * s - lever * c, 0.5 * s + lever * c],
                [-1.0 / self.track.separation_m, 1.0 / self.track.separation_m],
            ]
        )
        ways = np.diag(self.variance_m2_per_m * np.abs([left_m, right_m]))
        self.covariance = by_pose @ self.covariance @ by_pose.T + by_wheels @ ways @ by_wheels.T
