"""How long a scan takes to become a velocity, listened to from outside while the real nodes drive.

A scan's way: its last ray, the scan on its topic, the objects that fusion made of it (the planner's costmaps are
up to date then), the next velocity of the planner, the next one that safety lets pass. All stamps and times are
this machine's clock.
"""

import time

import numpy as np
from geometry_msgs.msg import Twist
from rclpy.node import Node
from sensor_msgs.msg import LaserScan as LaserScanMsg

from nanorover_interfaces.msg import TrackedObjects
from nanorover_nodes.convert import stamp_ns_of
from nanorover_nodes.declared_topics import hear_declared


class ScanToVelocity:
    """Collects the times while its node is spun."""

    def __init__(self, node: Node) -> None:
        self.from_topic_s: list[float] = []
        self.from_last_ray_s: list[float] = []
        # stamp → when it was heard, when its last ray was measured
        self._scans: dict[int, tuple[float, float]] = {}
        self._waiting: list[int] = []  # scans that are objects now and no velocity of the planner yet
        self._planned: list[int] = []  # scans that are a velocity of the planner, not yet one of safety
        for topic, callback in (
            ("scan", self._on_scan), ("objects", self._on_objects), ("cmd_vel_nav", self._on_planned),
            ("cmd_vel", self._on_permitted),
        ):  # fmt: skip
            hear_declared(node, topic, callback)

    def begin(self) -> None:
        """The robot is sent on its way now: earlier scans were not waiting for a velocity."""
        self._waiting, self._planned = [], []
        self.from_topic_s, self.from_last_ray_s = [], []

    def figures(self) -> dict[str, float]:
        """Milliseconds at the median and at 99 %, and how many scans were followed."""
        found: dict[str, float] = {"scans": len(self.from_topic_s)}
        for name, times_s in (("scan", self.from_topic_s), ("last_ray", self.from_last_ray_s)):
            for percent in (50, 99) if times_s else ():
                time_ms = 1e3 * float(np.percentile(times_s, percent))
                found[f"{name}_to_cmd_vel_p{percent}_ms"] = round(time_ms, 1)
        return found

    def _on_scan(self, message: LaserScanMsg) -> None:
        stamp_ns = stamp_ns_of(message.header.stamp)
        # a lidar that turns clockwise measures the ray of the stamp, at the least angle, last
        last_ray_s = stamp_ns * 1e-9 + max(0.0, message.time_increment * (len(message.ranges) - 1))
        self._scans[stamp_ns] = (time.time(), last_ray_s)

    def _on_objects(self, message: TrackedObjects) -> None:
        stamp_ns = stamp_ns_of(message.header.stamp)
        if stamp_ns in self._scans:
            self._waiting.append(stamp_ns)

    def _on_planned(self, _: Twist) -> None:
        self._planned += self._waiting
        self._waiting = []

    def _on_permitted(self, _: Twist) -> None:
        now_s = time.time()
        for stamp_ns in self._planned:
            heard_s, last_ray_s = self._scans.pop(stamp_ns)
            self.from_topic_s.append(now_s - heard_s)
            self.from_last_ray_s.append(now_s - last_ray_s)
        self._planned = []
