"""One revolution of a planar lidar, and one reading of the wheels."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose


@dataclass(frozen=True, eq=False)
class LaserScan:
    """A planar scan in its own sensor frame, counter-clockwise, as ``sensor_msgs/LaserScan`` has it.

    ``ranges_m`` is ``(N,)`` float32; no return is +inf, too near is −inf (REP-117). ``stamp_ns`` is the
    time of ray 0; ray i was measured at ``stamp_ns + i * time_increment_s`` (which may be negative).
    ``T_base_laser`` is where the sensor sits on the robot.
    """

    stamp_ns: int
    ranges_m: NDArray[np.float32]
    angle_min_rad: float
    angle_increment_rad: float
    range_min_m: float
    range_max_m: float
    time_increment_s: float = 0.0
    scan_time_s: float = 0.0
    T_base_laser: Pose = field(default_factory=lambda: np.zeros(3))
    frame_id: str = "laser"

    @classmethod
    def of(cls, message: Any, stamp_ns: int) -> "LaserScan":
        """A ``sensor_msgs/LaserScan``, of ROS or of a recording, as it is."""
        return cls(
            stamp_ns=stamp_ns,
            ranges_m=np.asarray(message.ranges, dtype=np.float32),
            angle_min_rad=float(message.angle_min),
            angle_increment_rad=float(message.angle_increment),
            range_min_m=float(message.range_min),
            range_max_m=float(message.range_max),
            time_increment_s=float(message.time_increment),
            scan_time_s=float(message.scan_time),
            frame_id=message.header.frame_id.lstrip("/"),  # as ROS 1 allowed
        )

    def mounted(self, T_base_laser: Pose, upside_down: bool) -> "LaserScan":
        """The scan with its mounting; a sensor that hangs upside down turns clockwise as seen from above."""
        sign = -1.0 if upside_down else 1.0
        return replace(
            self,
            T_base_laser=T_base_laser,
            angle_min_rad=sign * self.angle_min_rad,
            angle_increment_rad=sign * self.angle_increment_rad,
        )


def scan_fault(message: Any) -> str:
    """Why a ``sensor_msgs/LaserScan``, of ROS or of a recording, says nothing; empty where it does."""
    if len(message.ranges) == 0 or not np.isfinite([message.angle_min, message.angle_increment]).all():
        return "scan without rays or angles"
    if len(message.ranges) > 1 and message.angle_increment == 0.0:
        return "scan with all rays in one direction"
    return "" if message.range_max > message.range_min else "scan without a range from nearest to farthest"


@dataclass(frozen=True, eq=False)
class Odometry:
    """Where the wheels say the base is: ``T_odom_base`` at ``stamp_ns``."""

    stamp_ns: int
    T_odom_base: Pose
