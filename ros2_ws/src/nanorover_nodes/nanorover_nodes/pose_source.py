"""Where the base is in the map, at any recent moment: SLAM's map → odom on top of the wheels' history."""

import numpy as np
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry as OdometryMsg

from nanorover.base.gate import STILL, Velocity
from nanorover.geometry.pose_history import PoseHistory
from nanorover.geometry.se2 import Pose, compose
from nanorover_nodes import convert
from nanorover_nodes.frames import FrameListener

KEPT = 120
GAP_NS = 300_000_000


class PoseSource:
    """Odometry by its own stamps, map → odom as it was said last."""

    def __init__(self, frames: FrameListener, map_frame: str, odom_frame: str, base_frame: str) -> None:
        self.frames = frames
        self.map_frame, self.odom_frame, self.base_frame = map_frame, odom_frame, base_frame
        self.velocity = STILL
        self._odometry = PoseHistory(KEPT, GAP_NS)

    def on_odometry(self, message: OdometryMsg) -> None:
        """A reading of the wheels; one that is older than the last restarts the history."""
        odometry = convert.odometry_of(message)
        if not np.isfinite(odometry.T_odom_base).all():
            return
        self._odometry.add(odometry.stamp_ns, odometry.T_odom_base)
        self.velocity = velocity_of(message.twist.twist)

    def latest(self) -> Pose | None:
        """``T_map_base`` by the newest odometry; None while the chain of frames has a gap."""
        newest = self._odometry.newest()
        if newest is None:
            found = self.frames.planar(self.map_frame, self.base_frame)
            return None if found is None else found[0]
        return self._in_map(newest)

    def at(self, stamp_ns: int) -> Pose | None:
        """``T_map_base`` at a stamp; None where the odometry does not reach it."""
        if self._odometry.newest() is None:
            return self.latest()
        T_odom_base = self._odometry.at(stamp_ns)
        return None if T_odom_base is None else self._in_map(T_odom_base)

    def _in_map(self, T_odom_base: Pose) -> Pose | None:
        T_map_odom = self.frames.planar(self.map_frame, self.odom_frame)
        return None if T_map_odom is None else compose(T_map_odom[0], T_odom_base)


def velocity_of(message: Twist) -> Velocity:
    """The planar part of a twist; nonsense counts as standing."""
    v, w = message.linear.x, message.angular.z
    return Velocity(v, w) if np.isfinite([v, w]).all() else STILL
