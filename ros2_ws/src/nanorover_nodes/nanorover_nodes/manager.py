"""The lifecycle manager: configures and activates the robot's nodes in order, and again after a restart.

It hears every node's diagnostics and writes what it knows into a health file, from which the supervisor and
``nanorover status`` read. It starts no process and moves nothing; without it the nodes stay as they are.
"""

import argparse
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from nanorover.bringup.supervisor import REFUSED_EXIT_CODE
from nanorover.files import replacing
from nanorover.tables import NODES, TOPICS
from nanorover_nodes.component import DIAGNOSTICS_PERIOD_S
from nanorover_nodes.convert import level_of
from nanorover_nodes.declared_topics import qos_profile
from nanorover_nodes.process import ignore_signals, leave_quickly

CYCLE_S = 0.05
WRITE_PERIOD_S = 0.5
# A node's state is asked for this often: a node that was started again is unconfigured.
ASK_PERIOD_S = 1.0
# A service whose node died never answers.
ANSWER_TIMEOUT_S = 120.0
# A node that refused is asked again after this long: a cable may have been plugged in.
RETRY_S = 2.0
# Groups of nodes that wait for no other.
WATCHERS = ("view", "recording")

# Two nodes of one name: so many heartbeats in less than this fraction of the time that one node needs.
TWIN_BEATS, TWIN_SPAN = 8, 0.7
# A manager that finds twins so soon after its own start is the second one.
NEWCOMER_S = 20.0

NEXT = {
    State.PRIMARY_STATE_UNCONFIGURED: (Transition.TRANSITION_CONFIGURE, "configuring"),
    State.PRIMARY_STATE_INACTIVE: (Transition.TRANSITION_ACTIVATE, "activating"),
}


class Managed:
    """One node as seen from outside."""

    def __init__(self, manager: Node, name: str) -> None:
        self.name = name
        self.state = State.PRIMARY_STATE_UNKNOWN
        self.label = "starting"
        self.level = self.message = ""
        self.waits_for = ""
        self.values: dict[str, str] = {}
        self._beats_s: deque[float] = deque(maxlen=TWIN_BEATS)
        self._manager = manager
        self._states = manager.create_client(GetState, f"{name}/get_state")
        self._changes = manager.create_client(ChangeState, f"{name}/change_state")
        self._asked: Any = None
        self._asked_s = self._changed_s = -ANSWER_TIMEOUT_S
        self._change: Any = None

    def step(self, may_configure: bool, waits_for: str, autostart: bool) -> None:
        """Ask for its state, and for the next transition where one is due.

        ``waits_for`` names the node that must be active before; empty if none.
        """
        self.waits_for = waits_for
        now = time.monotonic()
        if self._change is not None:
            self._await_change(now)
            return
        if self._asked is not None and self._asked.done():
            self._take(self._asked.result().current_state)
            self._asked = None
            may = {
                State.PRIMARY_STATE_UNCONFIGURED: autostart and may_configure,
                State.PRIMARY_STATE_INACTIVE: autostart and not waits_for,
            }
            if may.get(self.state, False):
                self._advance(now)
        elif now - self._asked_s > ASK_PERIOD_S and self._states.service_is_ready():
            self._asked, self._asked_s = self._states.call_async(GetState.Request()), now

    def _take(self, state: State) -> None:
        if state.id == State.PRIMARY_STATE_ACTIVE != self.state:
            self._manager.get_logger().info(f"node {self.name} is active")
        self.state, self.label = state.id, state.label

    def _advance(self, now: float) -> None:
        if now < self._changed_s or not self._changes.service_is_ready():
            return
        transition, self.label = NEXT[self.state]
        request = ChangeState.Request(transition=Transition(id=transition))
        self._change, self._changed_s = self._changes.call_async(request), now

    def _await_change(self, now: float) -> None:
        if self._change.done():
            agreed = self._change.result().success
            if agreed:
                self._asked_s = -ANSWER_TIMEOUT_S  # look at once whether there is more to do
            else:
                self._manager.get_logger().error(f"node {self.name} refuses: {self.message or 'its log says why'}")
                self._changed_s = now + RETRY_S
            self._change = None
        elif now - self._changed_s > ANSWER_TIMEOUT_S or not self._changes.service_is_ready():
            self._change, self.label = None, "starting"

    def heard(self, now_s: float) -> None:
        """Note a heartbeat."""
        self._beats_s.append(now_s)

    @property
    def heard_s(self) -> float:
        """When it was heard last, on the monotonic clock; 0 if never."""
        return self._beats_s[-1] if self._beats_s else 0.0

    def has_twin(self) -> bool:
        """Whether it beats much faster than one node does."""
        full = len(self._beats_s) == TWIN_BEATS
        return full and self._beats_s[-1] - self._beats_s[0] < TWIN_SPAN * (TWIN_BEATS - 1) * DIAGNOSTICS_PERIOD_S

    def health(self) -> dict[str, Any]:
        """What is known of it."""
        waits = self.waits_for and self.state == State.PRIMARY_STATE_INACTIVE
        return {
            "state": self.label,
            "level": self.level,
            "message": f"waits for {self.waits_for}" if waits else self.message,
            "values": self.values,
            "heard_s": self.heard_s,
        }


class Manager(Node):
    """Brings the named nodes up in order and keeps them up."""

    def __init__(self, names: list[str], autostart: bool, health_file: Path | None) -> None:
        super().__init__("lifecycle_manager")
        self.autostart = autostart
        self.health_file = health_file
        self.managed = {name: Managed(self, name) for name in names}
        self.twins: list[str] = []
        self._written_s = 0.0
        declared = TOPICS["/diagnostics"]
        self.create_subscription(DiagnosticArray, declared.name, self._on_health, qos_profile(declared.subscribe))
        self.started_s = time.monotonic()
        self._prefix = self.get_namespace().rstrip("/") + "/"

    def _on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            node = self.managed.get(status.name.removeprefix(self._prefix))
            if node is not None:
                node.level, node.message = level_of(status), status.message
                node.values = {v.key: v.value for v in status.values}
                node.heard(time.monotonic())

    def step(self) -> None:
        """One round over all nodes.

        They are configured side by side, because that takes the time, but not before the ports of a simulated
        robot are there; a node is activated once all before it are active. What only watches waits for nobody: it
        is wanted most when another refuses.
        """
        waits_for = ""
        ports_there = all(
            node.state == State.PRIMARY_STATE_ACTIVE
            for name, node in self.managed.items()
            if NODES[name].group == "simulator"
        )
        for node in self.managed.values():
            group = NODES[node.name].group
            may_configure = ports_there or group in ("simulator", *WATCHERS)
            node.step(may_configure, "" if group in WATCHERS else waits_for, self.autostart)
            if not waits_for and node.state != State.PRIMARY_STATE_ACTIVE:
                waits_for = node.name
        if time.monotonic() - self._written_s > WRITE_PERIOD_S:
            self._written_s = time.monotonic()
            self._look_for_twins()
            self._write()

    def _look_for_twins(self) -> None:
        """Twice the heartbeats of one node mean a second robot of the same names; the newcomer gives way."""
        twins = sorted(name for name, node in self.managed.items() if node.has_twin())
        if twins and twins != self.twins:
            self.get_logger().error(
                f"there are two nodes named {', '.join(twins)}: another robot runs in this ROS domain; "
                "give one of them another ROS_DOMAIN_ID"
            )
        self.twins = twins
        if twins and time.monotonic() - self.started_s < NEWCOMER_S:
            sys.exit(REFUSED_EXIT_CODE)

    def _write(self) -> None:
        if self.health_file is None:
            return
        content = {name: node.health() for name, node in self.managed.items()}
        content["lifecycle_manager"] = {
            "state": "active",
            "level": "ERROR" if self.twins else "OK",
            "message": f"two nodes named {', '.join(self.twins)}" if self.twins else "managing",
            "heard_s": time.monotonic(),
        }
        with replacing(self.health_file) as temporary:
            temporary.write_text(json.dumps(content))


def main() -> None:
    """Manage until SIGINT."""
    words = rclpy.utilities.remove_ros_args(sys.argv)[1:]
    parser = argparse.ArgumentParser(prog="lifecycle_manager")
    parser.add_argument("nodes", nargs="+", choices=sorted(NODES))
    parser.add_argument("--no-autostart", action="store_true")
    parser.add_argument("--health-file", type=Path)
    arguments = parser.parse_args(words)
    leave_quickly()
    rclpy.init()
    manager = Manager(arguments.nodes, not arguments.no_autostart, arguments.health_file)
    try:
        while rclpy.ok():
            rclpy.spin_once(manager, timeout_sec=CYCLE_S)
            manager.step()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        ignore_signals()
        manager.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
