"""Bringing lifecycle nodes up from outside, in order."""

import time
from collections.abc import Callable
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node

from nanorover.errors import InputError

SETTLE_S = 0.05
# A node that is configured for the first time compiles its kernels, on a slow machine for minutes.
PATIENCE_S = 600.0


def wait_until(node: Node, condition: Callable[[], bool], timeout_s: float) -> bool:
    """Spin ``node`` until ``condition`` holds; False when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        rclpy.spin_once(node, timeout_sec=SETTLE_S)
    return True


def call(
    node: Node,
    service_type: type,
    name: str,
    request: Any,
    timeout_s: float,
    watch: Callable[[], None] = lambda: None,
) -> Any:
    """Call a service and return its response; InputError when it does not answer in time.

    ``watch`` is called while it waits, and may raise what ends the waiting.
    """

    def after_a_look(condition: Callable[[], bool]) -> Callable[[], bool]:
        def holds() -> bool:
            watch()
            return condition()

        return holds

    client = node.create_client(service_type, name)
    try:
        if not wait_until(node, after_a_look(client.service_is_ready), timeout_s):
            raise InputError(f"service {name} did not appear within {timeout_s:g} s", "is its node running?")
        future = client.call_async(request)
        if not wait_until(node, after_a_look(future.done), timeout_s):
            raise InputError(f"service {name} did not answer within {timeout_s:g} s")
        return future.result()
    finally:
        node.destroy_client(client)


def bring_up(
    node: Node, name: str, watch: Callable[[], None] = lambda: None, timeout_s: float = PATIENCE_S
) -> None:
    """Configure and activate the lifecycle node ``name``; InputError when it refuses.

    ``watch`` is called while it waits, and raises where the node's process has ended.
    """
    for transition, verb in (
        (Transition.TRANSITION_CONFIGURE, "configured"),
        (Transition.TRANSITION_ACTIVATE, "activated"),
    ):
        request = ChangeState.Request(transition=Transition(id=transition))
        if not call(node, ChangeState, f"{name}/change_state", request, timeout_s, watch).success:
            raise InputError(f"node {name} could not be {verb}", "its log says why")
