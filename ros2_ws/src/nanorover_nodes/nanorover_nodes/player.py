"""Plays a recording into a running graph: as fast as it is digested, or against the clock."""

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from tf2_msgs.msg import TFMessage

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose
from nanorover.replay.records import Picture, Record
from nanorover.tables import TOPICS
from nanorover_nodes.component import qos_profile
from nanorover_nodes.convert import (
    message_class,
    odometry_msg,
    pose_of,
    scan_msg,
    stamp_ns_of,
    time_of,
    transform_msg,
)

BASE, ODOM = "base_link", "odom"

# Scans under way at once: one is being worked on while the next is on the wire.
WINDOW = 2
ANSWER_TIMEOUT_S = 5.0

# A best-effort listener that is just being discovered misses what is sent meanwhile: until the first answer
# the oldest scan is sent again after this time.
RESEND_S = 1.0


class Player:
    """Publishes the records of a recording from within ``node``.

    With ``speed`` None the next scan waits until the pose of an earlier one has come back, so nothing is
    dropped however slow the machine; with a number the recording runs at that multiple of real time.
    """

    def __init__(self, node: Node, speed: float | None = None) -> None:
        self._node = node
        self._speed = speed
        self._publishers = {
            topic: node.create_publisher(message_class(d.type), d.name, qos_profile(d.publish))
            for topic, d in TOPICS.items()
            if topic in ("scan", "odom", "/tf", "/tf_static", "camera/image_raw/compressed", "/clock")
        }
        self._mountings: dict[str, Pose] = {}
        self._awaited: OrderedDict[int, float] = OrderedDict()  # stamp of a scan → when it was sent
        self._unheard: list[LaserScan] = []  # what was sent before the first answer
        self.answer_ms: list[float] = []
        self.unanswered = 0
        self.T_map_base: dict[int, Pose] = {}
        pose = TOPICS["pose"]
        node.create_subscription(PoseWithCovarianceStamped, pose.name, self._on_pose, qos_profile(pose.subscribe))

    def ready(self) -> bool:
        """Whether somebody listens to the scans."""
        return self._publishers["scan"].get_subscription_count() > 0

    def play(self, records: Iterable[Record], on_record: Callable[[Record], None]) -> None:
        """Play every record; ``on_record`` is called after each one, for progress."""
        started, first_ns = time.monotonic(), None
        for record in records:
            first_ns = record.stamp_ns if first_ns is None else first_ns
            if self._speed is not None:
                self._spin_until(started + (record.stamp_ns - first_ns) / 1e9 / self._speed)
            self._publish(record)
            on_record(record)
        self._wait_for_answers(allowed=0)

    def _publish(self, record: Record) -> None:
        self._publishers["/clock"].publish(Clock(clock=time_of(record.stamp_ns)))
        if isinstance(record, LaserScan):
            self._publish_scan(record)
        elif isinstance(record, Odometry):
            self._publishers["odom"].publish(odometry_msg(record, ODOM, BASE))
            transform = transform_msg(record.stamp_ns, ODOM, BASE, record.T_odom_base)
            self._publishers["/tf"].publish(TFMessage(transforms=[transform]))
        elif isinstance(record, Picture) and record.compressed:
            message = CompressedImage(format=record.encoding, data=array("B", record.data))
            message.header.stamp, message.header.frame_id = time_of(record.stamp_ns), record.frame_id
            self._publishers["camera/image_raw/compressed"].publish(message)

    def _publish_scan(self, scan: LaserScan) -> None:
        known = self._mountings.get(scan.frame_id)
        if known is None or (known != scan.T_base_laser).any():
            self._mountings[scan.frame_id] = scan.T_base_laser
            transform = transform_msg(scan.stamp_ns, BASE, scan.frame_id, scan.T_base_laser)
            self._publishers["/tf_static"].publish(TFMessage(transforms=[transform]))
        if self._speed is None:
            self._wait_for_answers(allowed=WINDOW - 1)
        if not self.T_map_base:
            self._unheard.append(scan)
        self._awaited[scan.stamp_ns] = time.monotonic()
        self._publishers["scan"].publish(scan_msg(scan))

    def _wait_for_answers(self, allowed: int) -> None:
        while len(self._awaited) > allowed:
            rclpy.spin_once(self._node, timeout_sec=0.1)
            self._resend_unheard()
            for stamp_ns, sent in list(self._awaited.items()):
                if time.monotonic() - sent > ANSWER_TIMEOUT_S:
                    del self._awaited[stamp_ns]
                    self.unanswered += 1

    def _resend_unheard(self) -> None:
        if self.T_map_base:
            self._unheard = []
        for scan in self._unheard:
            sent = self._awaited.get(scan.stamp_ns)
            if sent is not None and time.monotonic() - sent > RESEND_S:
                self._awaited[scan.stamp_ns] = time.monotonic()
                self._publishers["scan"].publish(scan_msg(scan))

    def _spin_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            rclpy.spin_once(self._node, timeout_sec=left)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        stamp_ns = stamp_ns_of(message.header.stamp)
        self.T_map_base[stamp_ns] = pose_of(message.pose.pose)
        sent = self._awaited.pop(stamp_ns, None)
        if sent is not None:
            self.answer_ms.append((time.monotonic() - sent) * 1e3)
