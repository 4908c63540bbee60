"""The recorder node: every topic that the table says, as it comes, into a bag."""

import sys
from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.exceptions import NameValidationException
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from nanorover.errors import InputError
from nanorover.replay.messages import COMPRESSED, IMAGE, TF, compressed, without_transforms_from
from nanorover.replay.recorder import Recorder, RecorderParams
from nanorover.tables import TOPICS
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health, RCLError
from nanorover_nodes.convert import message_class
from nanorover_nodes.process import run

LOOK_PERIOD_S = 0.25
SUFFIX = "/compressed"
QUEUE = 100


class RecordNode(Component):
    """Records while active; every activation is a bag of its own."""

    PARAMS = {"recorder": RecorderParams}

    def __init__(self) -> None:
        super().__init__("recorder")
        self.recorder: Recorder | None = None
        self.subscriptions_of: dict[str, Any] = {}
        self.timer: Any = None
        self.ends_with_recording = False

    def activate(self) -> None:
        self.settings: RecorderParams = self.params["recorder"]
        self.not_recorded: Counter[str] = Counter()
        self.wanted = {self.resolve_topic_name(t.name) for t in TOPICS.values() if t.recorded}
        self.wanted |= {self._resolved(name) for name in self.settings.topics if name != "*"}
        name = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
        self.recorder = Recorder(Path(self.settings.folder) / name, self.settings)
        self.get_logger().info(f"recording into {self.recorder.path}")
        self.timer = self.create_timer(LOOK_PERIOD_S, self.look, clock=self.steady_clock)

    def _resolved(self, name: str) -> str:
        try:
            return self.resolve_topic_name(name)
        except (RCLError, NameValidationException) as error:
            text = f"'{name}' is no name of a topic: {str(error).split(', at ')[0]}"
            raise InputError(text, "letters, digits, _ and /, or '*' for all topics") from error

    def deactivate(self) -> None:
        if self.timer is not None:
            self.destroy_timer(self.timer)
        for subscription in self.subscriptions_of.values():
            self.destroy_subscription(subscription)
        self.timer, self.subscriptions_of = None, {}
        if self.recorder is not None:
            self.recorder.close()
            self.get_logger().info(f"{self.recorder.messages} messages in {self.recorder.path}")

    def look(self) -> None:
        """Subscribe to what has appeared, tend the recording, and end with it when it ended."""
        for raw in [topic for topic in self.subscriptions_of if self.count_publishers(topic + SUFFIX)]:
            if (subscription := self.subscriptions_of.pop(raw)) is not None:  # its JPEG is offered by now
                self.destroy_subscription(subscription)
        for topic, types in self.get_topic_names_and_types():
            source = self._source(topic)
            if source and source not in self.subscriptions_of and self.count_publishers(source):
                self._subscribe(source, types[0])
        assert self.recorder is not None
        self.recorder.tend()
        if self.recorder.stopped_because and self.subscriptions_of:
            self.get_logger().error(f"recording ended: {self.recorder.stopped_because}")
            self.deactivate()
            if self.ends_with_recording:
                sys.exit(1)

    def _source(self, topic: str) -> str | None:
        """The topic itself where it is wanted; a raw picture stands in for its JPEG where nobody offers that."""
        if topic in self.wanted or "*" in self.settings.topics:
            return None if self.count_publishers(topic + SUFFIX) else topic
        packed = topic + SUFFIX
        return topic if packed in self.wanted and not self.count_publishers(packed) else None

    def _subscribe(self, topic: str, type_name: str) -> None:
        try:
            kind = message_class(type_name)
        except (ImportError, AttributeError):
            self.not_recorded[f"{topic}: {type_name} is not installed"] += 1
            self.subscriptions_of[topic] = None
            return
        keep = partial(self.keep, topic, type_name)
        self.subscriptions_of[topic] = self.create_subscription(
            kind, topic, self.guarded(keep, f"recording {topic}"), self._offered_quality(topic), raw=True
        )

    def _offered_quality(self, topic: str) -> QoSProfile:
        """What all publishers of a topic can give: reliable or latched only if each of them is."""
        offers = [offer.qos_profile for offer in self.get_publishers_info_by_topic(topic)]
        reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
        latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
        return QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=QUEUE,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )

    def keep(self, topic: str, type_name: str, data: bytes) -> None:
        """Take one message as it came, a raw picture as JPEG."""
        assert self.recorder is not None
        received_ns = self.get_clock().now().nanoseconds
        if type_name == IMAGE:
            try:
                data, topic, type_name = compressed(data, self.settings.jpeg_quality), topic + SUFFIX, COMPRESSED
            except InputError as error:  # depth or Bayer: as it is
                self.not_recorded[f"{topic} as JPEG: {error}"] += 1
        if type_name == TF and self.settings.without_tf_from:
            kept = without_transforms_from(data, self.settings.without_tf_from)
            if kept is None:
                return
            data = kept
        self.recorder.add(topic, type_name, bytes(data), received_ns)

    def diagnose(self) -> Health:
        if self.recorder is None:
            return Health(WARN, "not recording")
        values = {"messages": self.recorder.messages, "folder": self.recorder.path, **self.not_recorded}
        if self.recorder.stopped_because:
            return Health(ERROR, f"recording ended: {self.recorder.stopped_because}", values)
        return Health(OK, "recording", values)


def _at_once() -> RecordNode:
    node = RecordNode()
    node.ends_with_recording = True
    if not (node.trigger_configure().name == "SUCCESS" and node.trigger_activate().name == "SUCCESS"):
        sys.exit(2)
    return node


def main() -> None:
    """Run the node; with ``--now`` it records at once, without anyone who activates it."""
    now = "--now" in sys.argv
    if now:
        sys.argv.remove("--now")
    run(_at_once if now else RecordNode)


if __name__ == "__main__":
    main()
