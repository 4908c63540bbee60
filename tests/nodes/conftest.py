"""A graph of real node processes for a test: own domain, own logs, stopped at the end."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed: ./scripts/test installs it")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from nav2_msgs.action import ComputePathToPose  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.node import Node  # noqa: E402

from nanorover.processes import Processes  # noqa: E402
from nanorover.tables import NODES  # noqa: E402
from nanorover_nodes import lifecycle  # noqa: E402
from nanorover_nodes.convert import pose_msg  # noqa: E402
from nanorover_nodes.declared_topics import hear_declared, publish_declared  # noqa: E402

DOMAINS = range(1, 100)  # the domain ids whose ports are free on every system


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain that no other test uses now and no process is left in."""
    for number in DOMAINS:
        # An abstract name holds where the ports of the domain do: in this network namespace, whatever its /tmp.
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0nanorover-domain-{number}")
            except OSError:
                continue
            if _is_inhabited(number):
                continue
            _forget_the_dead(number)
            monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
            monkeypatch.setenv("ROS_PYTHON_CHECK_FIELDS", "1")
            yield number
            return
    pytest.fail("all ROS domains are taken on this machine")


def _ports(domain: int) -> range:
    first = 7400 + 250 * domain  # RTPS 9.6.1.1: port base and domain gain
    return range(first, first + 250)


def _is_inhabited(domain: int) -> bool:
    """Whether a participant lives there: what an earlier test left running would answer for this one's nodes."""
    rows = Path("/proc/net/udp").read_text().splitlines()[1:]
    bound = {int(row.split()[1].rpartition(":")[2], 16) for row in rows}
    return not bound.isdisjoint(_ports(domain))


def _forget_the_dead(domain: int) -> None:
    """Remove what killed processes left in shared memory under the ports of this domain, which is ours now.

    Fast DDS takes an abandoned port for a living one, and what is sent there is lost.
    """
    for port in _ports(domain):
        for name in (f"fastrtps_port{port}", f"fastrtps_port{port}_el", f"sem.fastrtps_port{port}_mutex"):
            (Path("/dev/shm") / name).unlink(missing_ok=True)


class Graph:
    """Starts nodes of the table and talks to them."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.node = Node("test")

    def start(self, name: str, *ros_arguments: str) -> None:
        """Start a node of the table as a process; it stays unconfigured."""
        self.processes.start(name, ["-m", NODES[name].module, "--ros-args", *ros_arguments])

    def bring_up(self, name: str) -> None:
        """Configure and activate a started node."""
        lifecycle.bring_up(self.node, name, self.processes.check, timeout_s=120.0)

    def change_state(self, name: str, transition: str) -> bool:
        """Ask for one transition (``configure``, ``activate``, …); whether the node agreed."""
        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        request = ChangeState.Request(transition=Transition(id=number))
        return lifecycle.call(self.node, ChangeState, f"{name}/change_state", request, 20.0).success

    def call(self, service_type: type, name: str, request: Any) -> Any:
        """Call a service."""
        return lifecycle.call(self.node, service_type, name, request, 20.0)

    def collect(self, topic: str) -> list[Any]:
        """A list that grows with every message of a declared topic."""
        received: list[Any] = []
        hear_declared(self.node, topic, received.append)
        return received

    def offer(self, topic: str) -> Any:
        """A publisher of a declared topic."""
        return publish_declared(self.node, topic)

    def wait_until(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
        """Spin until ``condition`` holds; fails the test with ``what`` and the nodes' logs otherwise."""

        def holds() -> bool:
            self.processes.check()
            return bool(condition())

        if not lifecycle.wait_until(self.node, holds, timeout_s):
            logs = "\n".join(
                f"--- {p.name}\n{p.read_text()[-2000:]}" for p in self.processes.log_folder.rglob("*.log")
            )
            pytest.fail(f"not within {timeout_s:g} s: {what}\n{logs}")

    def way_to(self, x: float, y: float, live: Callable[[], None]) -> np.ndarray:
        """A running planner's way ``(N, 2)`` to a place of the map; ``live`` lets the robot say where it is."""

        def until(condition: Callable[[], Any], what: str) -> None:
            self.wait_until(lambda: live() or condition(), what)

        client = ActionClient(self.node, ComputePathToPose, "compute_path_to_pose")
        until(client.server_is_ready, "plans are made")
        goal = PoseStamped(pose=pose_msg(np.array([x, y, 0.0])))
        goal.header.frame_id = "map"
        sent = client.send_goal_async(ComputePathToPose.Goal(goal=goal))
        until(sent.done, "the goal is taken")
        found = sent.result().get_result_async()
        until(found.done, "there is a way")
        client.destroy()
        result = found.result().result
        assert result.error_code == 0, result.error_msg
        return np.array([[p.pose.position.x, p.pose.position.y] for p in result.path.poses])

    def health_of(self, name: str, diagnostics: list[Any]) -> Any | None:
        """The latest status of a node among collected /diagnostics messages."""
        of_node = [s for m in diagnostics for s in m.status if s.name == f"/{name}"]
        return of_node[-1] if of_node else None


@pytest.fixture
def graph(domain: int, tmp_path: Path) -> Iterator[Graph]:
    """A running ROS context in an own domain; every process started through it is stopped at the end."""
    rclpy.init()
    try:
        with Processes(tmp_path / "log") as processes:
            running = Graph(processes)
            yield running
            # Its participant would live as long as anything, a failure's traceback say, refers to the node.
            running.node.destroy_node()
    finally:
        rclpy.shutdown()


def pytest_configure() -> None:
    os.environ.setdefault("ROS_LOG_DIR", tempfile.mkdtemp(prefix="nanorover-ros-log-"))
