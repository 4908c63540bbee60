"""Plays a recording into a running graph: as fast as it is digested, or against the clock."""

import time
from array import array
from collections.abc import Callable, Iterable
from typing import Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from tf2_msgs.msg import TFMessage

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose
from nanorover.replay.records import STANDING, Picture, Record
from nanorover_nodes.convert import (
    odometry_msg,
    pose_of,
    scan_msg,
    stamp_ns_of,
    time_of,
    transform_msg,
)
from nanorover_nodes.declared_topics import hear_declared, publish_declared

BASE, ODOM = "base_link", "odom"
PICTURES = "camera/image_raw/compressed"

# Messages under way at once. Of scans one is being worked on while the next is on the wire; of pictures the
# detector keeps only the newest, so that of two at once it may never see the first.
SCANS_UNDER_WAY, PICTURES_UNDER_WAY = 2, 1
ANSWER_TIMEOUT_S = 5.0

# A best-effort listener that is just being discovered misses what is sent meanwhile: until the first answer
# what was sent is sent again after this time.
RESEND_S = 1.0


class Conversation:
    """Messages sent on one topic and the answers to them, matched by stamp."""

    def __init__(self, publisher: Publisher, under_way: int) -> None:
        self.under_way = under_way  # messages at once, at most
        self._publisher = publisher
        self._sent: dict[int, tuple[Any, float]] = {}  # stamp → the message, and when it was sent
        self._heard = False
        self.answer_ms: list[float] = []
        self.unanswered = 0

    def send(self, stamp_ns: int, message: Any) -> None:
        """Send a message that expects an answer with the same stamp."""
        self._sent[stamp_ns] = (message, time.monotonic())
        self._publisher.publish(message)

    def on_answer(self, stamp_ns: int) -> None:
        """Take an answer; one that nobody waits for any more is ignored."""
        self._heard = True
        if (sent := self._sent.pop(stamp_ns, None)) is not None:
            self.answer_ms.append((time.monotonic() - sent[1]) * 1e3)

    def waiting(self) -> int:
        """How many messages still wait, after giving up on the overdue and repeating the unheard."""
        now = time.monotonic()
        for stamp_ns, (message, sent) in list(self._sent.items()):
            if now - sent > ANSWER_TIMEOUT_S:
                del self._sent[stamp_ns]
                self.unanswered += 1
            elif not self._heard and now - sent > RESEND_S:
                self.send(stamp_ns, message)
        return len(self._sent)


class Player:
    """Publishes the records of a recording from within ``node``.

    With ``speed`` None the next scan waits until the pose of an earlier one has come back, and so does the next
    picture for its detections where ``with_detector``: nothing is dropped however slow the machine. With a
    number the recording runs at that multiple of real time.
    """

    def __init__(self, node: Node, speed: float | None = None, with_detector: bool = False) -> None:
        self._node = node
        self._speed = speed
        self._publishers = {
            topic: publish_declared(node, topic)
            for topic in ("scan", "odom", "/tf", "/tf_static", PICTURES, "/clock")
        }
        self._mountings: dict[str, Pose] = {}
        self._with_detector = with_detector
        self.scans = Conversation(self._publishers["scan"], SCANS_UNDER_WAY)
        self.pictures = Conversation(self._publishers[PICTURES], PICTURES_UNDER_WAY)
        self.T_map_base: dict[int, Pose] = {}
        hear_declared(node, "pose", self._on_pose)
        if with_detector:
            hear_declared(
                node, "detections", lambda message: self.pictures.on_answer(stamp_ns_of(message.header.stamp))
            )

    def ready(self) -> bool:
        """Whether somebody listens to the scans, and to the pictures where detections are expected."""
        asked = ("scan", PICTURES) if self._with_detector else ("scan",)
        return all(self._publishers[topic].get_subscription_count() > 0 for topic in asked)

    def play(self, records: Iterable[Record], on_record: Callable[[Record], None]) -> None:
        """Play every record; ``on_record`` is called after each one, for progress."""
        started, first_ns = time.monotonic(), None
        for record in records:
            if not isinstance(record, STANDING):  # these say nothing of the time, and scans bring their mounting
                first_ns = record.stamp_ns if first_ns is None else first_ns
                if self._speed is not None:
                    self._spin_until(started + (record.stamp_ns - first_ns) / 1e9 / self._speed)
                self.publish(record)
            on_record(record)
        for conversation in (self.scans, self.pictures):
            self._wait_for_answers(conversation, allowed=0)

    def publish(self, record: Record) -> None:
        """Publish one record, after the time that it carries."""
        self._publishers["/clock"].publish(Clock(clock=time_of(record.stamp_ns)))
        if isinstance(record, LaserScan):
            self._say_mounting(record)
            self._ask(self.scans, record.stamp_ns, scan_msg(record))
        elif isinstance(record, Odometry):
            self._publishers["odom"].publish(odometry_msg(record, ODOM, BASE))
            transform = transform_msg(record.stamp_ns, ODOM, BASE, record.T_odom_base)
            self._publishers["/tf"].publish(TFMessage(transforms=[transform]))
        elif isinstance(record, Picture) and record.compressed:
            message = CompressedImage(format=record.encoding, data=array("B", record.data))
            message.header.stamp, message.header.frame_id = time_of(record.stamp_ns), record.frame_id
            if self._with_detector:
                self._ask(self.pictures, record.stamp_ns, message)
            else:
                self._publishers[PICTURES].publish(message)

    def _say_mounting(self, scan: LaserScan) -> None:
        known = self._mountings.get(scan.frame_id)
        if known is None or (known != scan.T_base_laser).any():
            self._mountings[scan.frame_id] = scan.T_base_laser
            transform = transform_msg(scan.stamp_ns, BASE, scan.frame_id, scan.T_base_laser)
            self._publishers["/tf_static"].publish(TFMessage(transforms=[transform]))

    def _ask(self, conversation: Conversation, stamp_ns: int, message: Any) -> None:
        if self._speed is None:
            self._wait_for_answers(conversation, allowed=conversation.under_way - 1)
        else:
            conversation.waiting()  # gives up on the overdue, so that they do not pile up
        conversation.send(stamp_ns, message)

    def _wait_for_answers(self, conversation: Conversation, allowed: int) -> None:
        while conversation.waiting() > allowed:
            rclpy.spin_once(self._node, timeout_sec=0.1)

    def _spin_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            rclpy.spin_once(self._node, timeout_sec=left)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        stamp_ns = stamp_ns_of(message.header.stamp)
        self.T_map_base[stamp_ns] = pose_of(message.pose.pose)
        self.scans.on_answer(stamp_ns)
