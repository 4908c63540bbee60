"""Looks at the running robot for some seconds and hands what it saw to the doctor.

``python -m nanorover_nodes.observe SECONDS FILE [NAMESPACE]`` writes an ``Evidence`` as a pickle.
"""

import pickle
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosgraph_msgs.msg import Clock as ClockMsg

from nanorover.doctor.evidence import STAMPED, TRANSFORMS, Endpoint, Evidence
from nanorover.files import replacing
from nanorover.tables import TOPICS, Qos
from nanorover_nodes.convert import level_of, message_class
from nanorover_nodes.declared_topics import qos_profile

SELF = "doctor"


class Observer(Node):
    """Listens to what the checks look at, with the least demanding quality of service."""

    def __init__(self, namespace: str) -> None:
        super().__init__(SELF, namespace=namespace or None)
        self.evidence = Evidence(live=True)
        for topic in TOPICS.values():
            if topic.type in (*STAMPED, *TRANSFORMS):
                self._listen(topic.name, topic.type, topic.subscribe)
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_health, qos_profile(TOPICS["/diagnostics"].subscribe)
        )
        self.create_subscription(ClockMsg, "/clock", self._on_clock, qos_profile(TOPICS["/clock"].subscribe))

    def _listen(self, topic: str, kind: str, qos: Qos) -> None:
        # What was said before we came is only sent to reliable listeners.
        loose = Qos(depth=200, reliable=qos.transient_local, transient_local=qos.transient_local)

        def take(message: Any) -> None:
            self.evidence.note(topic, kind, message, time.time_ns(), "static" in topic)

        self.create_subscription(message_class(kind), topic, take, qos_profile(loose))

    def _on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.evidence.health[status.name.lstrip("/")] = (level_of(status), status.message)

    def _on_clock(self, message: ClockMsg) -> None:
        self.evidence.uses_sim_time = True

    def look_at_graph(self) -> None:
        """Note every publisher and subscription but our own."""
        self.evidence.endpoints = []
        for topic, _ in self.get_topic_names_and_types():
            ends = [(e, True) for e in self.get_publishers_info_by_topic(topic)]
            ends += [(e, False) for e in self.get_subscriptions_info_by_topic(topic)]
            self.evidence.endpoints += [_endpoint(topic, e, out) for e, out in ends if e.node_name != SELF]


def _endpoint(topic: str, info: TopicEndpointInfo, publishes: bool) -> Endpoint:
    profile = info.qos_profile
    qos = Qos(
        depth=profile.depth,
        reliable=profile.reliability == ReliabilityPolicy.RELIABLE,
        transient_local=profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
    )
    name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
    return Endpoint(topic, info.topic_type, name, publishes, qos)


def main() -> None:
    """Look, then write."""
    seconds, path = float(sys.argv[1]), Path(sys.argv[2])
    rclpy.init()
    try:
        observer = Observer(sys.argv[3] if len(sys.argv) > 3 else "")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            rclpy.spin_once(observer, timeout_sec=0.1)
        observer.look_at_graph()
        with replacing(path) as temporary:
            temporary.write_bytes(pickle.dumps(observer.evidence))
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
