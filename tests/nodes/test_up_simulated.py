"""A whole simulated robot, started as a person starts it: from the bytes of its ports to the map on the page."""

import json
import struct
import subprocess
import sys
import time

import pytest
from rclpy.node import Node
from websockets.sync.client import connect

from nanorover.bringup.security import policy
from nanorover.mapping.map_files import load_map
from nanorover.planning.zones import Zone, read
from nanorover.view.server import KINDS

pytest.importorskip("mujoco", reason="the simulated world needs ./scripts/setup sim")
pytestmark = [pytest.mark.nodes, pytest.mark.slow]

NANOROVER = [sys.executable, "-c", "from nanorover.cli import main; main()"]


def test_a_simulated_robot_maps_can_be_driven_from_the_page_and_keeps_to_its_policy(
    domain, graph, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    port = 20000 + domain
    words = [
        "up",
        "sim",
        "--view",
        f"view_port:={port}",
        "--log-dir",
        str(tmp_path / "log"),
    ]
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        robot = subprocess.Popen([*NANOROVER, *words], stdout=output, stderr=subprocess.STDOUT)
    try:
        with opened(f"ws://127.0.0.1:{port}/socket", robot, said) as page:
            seen: dict[str, dict] = {}
            wait_for(page, seen, lambda: "map" in seen and "scan" in seen and seen.get("state", {}).get("pose"))
            before = seen["state"]["pose"]
            wait_for(page, seen, lambda: distance(seen["state"]["pose"], before) > 0.1, drive=True)
            wait_for(page, seen, lambda: all(n["level"] == "ok" for n in seen["health"].values()), drive=True)
            alive = {"simulator", "lidar", "base", "slam", "detector", "planner", "safety", "web"}
            assert alive <= set(seen["health"])
            graph.wait_until(lambda: alive <= set(endpoints(graph.node)), "the nodes are seen")
            assert {name: beyond_policy(name, used) for name, used in endpoints(graph.node).items()} == {
                name: set() for name in alive | {"static_frames", "lifecycle_manager"}
            }
            wait_for(page, seen, lambda: seen.get("zones", {}).get("undrawable") == "")
            page.send(json.dumps({"type": "add_zone", "name": "stairs", "corners": [[1, 1], [2, 1], [1, 2]]}))
            wait_for(page, seen, lambda: seen["zones"]["zones"])
            page.send(json.dumps({"type": "stop"}))
            wait_for(page, seen, lambda: seen["state"]["stopped"])
        flat = tmp_path / "flat.yaml"
        zones = tmp_path / "flat.zones.yaml"
        written = f"map written: {flat}\nkeep-out zones written: {zones}\n"
        assert commanded("map", "save", str(flat.with_suffix(""))) == (0, written)
        assert read(zones) == [Zone("stairs", ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0)))]
        assert (load_map(flat).cells > 65).sum() > 50
        exit_code, _ = commanded("map", "open", str(tmp_path / "nowhere.yaml"))
        assert exit_code == 2
    finally:
        assert commanded("stop")[0] == 0
    assert robot.wait(timeout=5.0) == 0
    assert "ended" not in said.read_text(), "no node had to be started again"


def commanded(*words: str) -> tuple[int, str]:
    """Exit code and output of a command."""
    made = subprocess.run([*NANOROVER, *words], capture_output=True, text=True, check=False)
    print(made.stderr)  # stands in the report of a test that fails
    return made.returncode, made.stdout


def opened(address: str, robot: subprocess.Popen, said):
    deadline = time.monotonic() + 60.0
    while True:
        try:
            return connect(address, max_size=None, compression=None)
        except OSError:
            assert time.monotonic() < deadline and robot.poll() is None, said.read_text()
            time.sleep(0.1)


def wait_for(page, seen: dict[str, dict], condition, drive: bool = False) -> None:
    """Take frames until the condition holds; driving repeats its command, as the page does."""
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, {kind: str(value)[:300] for kind, value in seen.items()}
        if drive:
            page.send(json.dumps({"type": "drive", "linear": 0.5, "angular": 0.4}))
        data = page.recv(timeout=30.0)
        number, length = struct.unpack_from("<BI", data)
        seen[list(KINDS)[number]] = json.loads(data[5 : 5 + length], parse_constant=pytest.fail)


def distance(a: list[float], b: list[float]) -> float:
    return ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5


def endpoints(node: Node) -> dict[str, set[tuple[str, str]]]:
    """What every node of the robot does: pairs of what and with which topic or service."""
    look = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
        "request": node.get_client_names_and_types_by_node,
    }
    others = [place for place in node.get_node_names_and_namespaces() if place[0] != node.get_name()]
    return {
        name: {(action, used) for action, ask in look.items() for used, _ in ask(name, namespace)}
        for name, namespace in others
    }


def beyond_policy(node: str, used: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What a node does that its SROS2 policy does not allow; an action stands for its topics and services."""
    path = f"enclaves/enclave[@path='/nanorover/{node}']/profiles/profile/*"
    allowed = set()
    for rules in policy().findall(path):
        (action,) = rules.attrib
        for item in rules:
            name = "/" + item.text.replace("~", node).lstrip("/")
            if action == "execute":
                allowed |= {("reply", f"{name}/_action/{s}") for s in ("send_goal", "cancel_goal", "get_result")}
                allowed |= {("publish", f"{name}/_action/{t}") for t in ("feedback", "status")}
            allowed.add((action, name))
    return used - allowed
