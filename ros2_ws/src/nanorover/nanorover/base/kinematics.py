"""The motion of a differential drive between two readings of its wheels."""

from dataclasses import dataclass

import numpy as np

from nanorover.geometry.se2 import Pose, arc, compose


@dataclass(frozen=True)
class Track:
    """Path of the base from the paths of its wheels, for wheels ``separation_m`` apart."""

    separation_m: float

    def motion(self, left_m: float, right_m: float) -> Pose:
        """The exact arc ``T_before_after`` driven while the wheels rolled ``left_m`` and ``right_m``."""
        forward_m = (left_m + right_m) / 2.0
        return np.array(arc(forward_m, (right_m - left_m) / self.separation_m))

    def advance(self, T_odom_base: Pose, left_m: float, right_m: float) -> Pose:
        """``T_odom_base`` after that motion."""
        return compose(T_odom_base, self.motion(left_m, right_m))

    def wheel_speeds(self, linear_m_s: float, angular_rad_s: float) -> tuple[float, float]:
        """Speeds of the left and right wheel (m/s) that give this motion of the base."""
        difference = angular_rad_s * self.separation_m / 2.0
        return linear_m_s - difference, linear_m_s + difference

    def body_speeds(self, left_m_s: float, right_m_s: float) -> tuple[float, float]:
        """Linear (m/s) and angular (rad/s) speed of the base from those of the wheels."""
        return (left_m_s + right_m_s) / 2.0, (right_m_s - left_m_s) / self.separation_m
