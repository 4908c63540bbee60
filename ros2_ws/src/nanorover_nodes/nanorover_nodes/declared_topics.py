"""Publishers and subscriptions as the table of topics declares them."""

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from nanorover.tables import TOPICS, Qos
from nanorover_nodes.convert import message_class


def qos_profile(qos: Qos) -> QoSProfile:
    """A declared quality of service in rclpy's terms."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=qos.depth,
        reliability=ReliabilityPolicy.RELIABLE if qos.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if qos.transient_local else DurabilityPolicy.VOLATILE,
    )


def publish_declared(node: Node, topic: str, type_name: str | None = None) -> Any:
    """A publisher of a topic of the table; ``type_name`` is for the one topic whose type a parameter chooses."""
    declared = TOPICS[topic]
    kind = message_class(type_name or declared.type)
    return node.create_publisher(kind, declared.name, qos_profile(declared.publish))


def hear_declared(
    node: Node,
    topic: str,
    callback: Callable[[Any], None],
    type_name: str | None = None,
    group: CallbackGroup | None = None,
) -> Any:
    """A subscription to a topic of the table; ``type_name`` is as in ``publish_declared``."""
    declared = TOPICS[topic]
    kind = message_class(type_name or declared.type)
    qos = qos_profile(declared.subscribe)
    return node.create_subscription(kind, declared.name, callback, qos, callback_group=group)
