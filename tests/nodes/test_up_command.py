"""``nanorover up``, ``status`` and ``stop`` as a person uses them, with the real driver on an emulated base."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from base_rig import RunningController
from geometry_msgs.msg import Twist
from std_msgs.msg import Bool

from nanorover.base.emulator import ControllerSpec, Firmware
from nanorover.tables import NODES

pytestmark = pytest.mark.nodes

NANOROVER = [sys.executable, "-c", "from nanorover.cli import main; main()"]
LEFT_OUT = "without:=" + ",".join(name for name in NODES if name not in ("static_frames", "base"))


class Robot:
    """The commands, for one robot in an own domain."""

    def __init__(self, tmp_path) -> None:
        self.tmp_path = tmp_path
        self.process: subprocess.Popen[str] | None = None
        self.said = tmp_path / "said.txt"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*NANOROVER, *words], capture_output=True, text=True, check=False, timeout=60.0)

    def up(self, *words: str) -> None:
        command = [*NANOROVER, "up", *words, "--log-dir", str(self.tmp_path / "log")]
        with self.said.open("w") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)

    def status(self) -> dict:
        return json.loads(self.run("status", "--json").stdout)

    def wait_for(self, condition, timeout_s: float = 40.0) -> dict:
        deadline = time.monotonic() + timeout_s
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, (status, self.said.read_text())
            assert self.process.poll() is None, self.said.read_text()
        return status


@pytest.fixture
def robot(domain, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    made = Robot(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.send_signal(signal.SIGINT)
        made.process.wait(timeout=10.0)


def active(status: dict) -> bool:
    nodes = status.get("nodes", {}).values()
    return bool(nodes) and all(n["state"] == "active" and n["level"] == "OK" for n in nodes)


def test_a_robot_from_start_to_stop(robot, tmp_path):
    assert robot.run("status").returncode == 3
    assert "no robot runs here" in robot.run("stop").stderr
    with RunningController(Firmware(ControllerSpec(ticks_per_revolution=1560), time.monotonic())) as controller:
        robot.up("robot", f"base_port:={controller.port.path}", LEFT_OUT, "namespace:=alpha")
        # Another name, so another lock: status looks at the robot without a namespace.
        assert not robot.status()["running"]
        deadline = time.monotonic() + 40.0
        while robot.run("status", "--namespace", "alpha").returncode != 0:
            assert time.monotonic() < deadline, robot.said.read_text()
        status = json.loads(robot.run("status", "--namespace", "alpha", "--json").stdout)
        assert set(status["nodes"]) == {"static_frames", "base", "lifecycle_manager"}
        assert status["nodes"]["base"]["state"] == "active"
        refused = robot.run("up", "robot", f"base_port:={controller.port.path}", LEFT_OUT, "namespace:=/alpha")
        assert refused.returncode == 2 and f"runs already (process {robot.process.pid})" in refused.stderr

        started = time.monotonic()
        assert robot.run("stop", "--namespace", "alpha").returncode == 0
        assert robot.process.wait(timeout=5.0) == 0
        assert time.monotonic() - started < 6.0, "3 s for the nodes, the rest to start the command"
    for node in status["nodes"].values():
        assert not os.path.exists(f"/proc/{node['pid']}")
        assert os.path.exists(node["log"])
        assert "Traceback" not in Path(node["log"]).read_text()
    parameters = (tmp_path / "log" / next(iter(os.listdir(tmp_path / "log"))) / "base.yaml").read_text()
    assert f"port: {controller.port.path}" in parameters, "the effective parameters lie beside the logs"


def test_nodes_that_die_or_hang_come_back(robot, tmp_path):
    quick = tmp_path / "quick.yaml"
    quick.write_text("supervisor: {ros__parameters: {heartbeat_timeout_s: 2.5}}\n")
    robot.up("robot", "without:=drivers,slam,perception,navigation", f"params_file:={quick}")
    first = robot.wait_for(active)["nodes"]["static_frames"]["pid"]
    os.kill(first, signal.SIGKILL)
    second = robot.wait_for(lambda s: active(s) and s["nodes"]["static_frames"]["pid"] != first)
    assert second["nodes"]["static_frames"]["restarts"] == 1
    os.kill(second["nodes"]["static_frames"]["pid"], signal.SIGSTOP)
    third = robot.wait_for(lambda s: active(s) and s["nodes"]["static_frames"]["restarts"] == 2)
    assert third["nodes"]["lifecycle_manager"]["restarts"] == 0
    robot.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert robot.process.wait(timeout=5.0) == 0
    assert time.monotonic() - started < 3.0
    said = robot.said.read_text()
    assert "ended by signal 9" in said and "said nothing for 2.5 s" in said


def test_a_pressed_stop_outlives_the_base_node(robot, graph):
    stop, velocity = graph.offer("e_stop"), graph.offer("cmd_vel")
    diagnostics = graph.collect("/diagnostics")
    ahead = Twist()
    ahead.linear.x = 0.2
    with RunningController(Firmware(ControllerSpec(ticks_per_revolution=1560), time.monotonic())) as controller:
        robot.up("robot", f"base_port:={controller.port.path}", LEFT_OUT)
        first = robot.wait_for(active)["nodes"]["base"]["pid"]
        graph.wait_until(stop.get_subscription_count, "the base hears of it")
        stop.publish(Bool(data=True))

        def obeys() -> bool:
            velocity.publish(ahead)
            health = graph.health_of("base", diagnostics)
            return health is not None and health.message == "emergency stop"

        graph.wait_until(obeys, "it obeys")
        os.kill(first, signal.SIGKILL)
        robot.wait_for(lambda s: s["nodes"]["base"]["restarts"] == 1)
        stood_rad = controller.wheels.left_rad
        diagnostics.clear()
        graph.wait_until(obeys, "back, it obeys still")
        assert controller.wheels.left_rad == stood_rad
        stop.publish(Bool(data=False))
        graph.wait_until(
            lambda: not obeys() and controller.wheels.left_rad > stood_rad + 0.5, "released, it drives"
        )


def test_a_node_that_waits_for_another_says_so(robot):
    robot.up("robot", "port:=/dev/null", "base_port:=/dev/null", LEFT_OUT.replace("lidar,", ""))
    status = robot.wait_for(
        lambda s: (
            (nodes := s.get("nodes", {})).get("base", {}).get("message") == "waits for lidar"
            and "/dev/null" in nodes["lidar"]["message"]
            and "node lidar cannot begin" in robot.said.read_text()
        )
    )
    assert status["nodes"]["base"]["state"] == "inactive"
    assert robot.said.read_text().count(f"node lidar cannot begin: {status['nodes']['lidar']['message']}") == 1


def test_a_parameter_that_is_an_empty_list_reaches_its_node(robot, tmp_path):
    """ROS cannot say one; the recorder's list of further topics is one."""
    own = tmp_path / "own.yaml"
    own.write_text(f"recorder: {{ros__parameters: {{folder: {tmp_path / 'kept'}}}}}\n")
    robot.up("record", f"params_file:={own}")
    robot.wait_for(lambda _: "all 2 nodes are active" in robot.said.read_text())
    assert list((tmp_path / "kept").iterdir()), "it records"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["robot", "prot:=/dev/ttyUSB0"], ["no argument 'prot'", "did you mean 'port'"]),
        (["robto"], ["unknown mode 'robto'", "did you mean 'robot'"]),
        (["robot", "base_port:=/dev/ttyNO", LEFT_OUT], ["'/dev/ttyNO' of node base does not exist"]),
        (["robot", "params_file:=RANGE"], ["'max_linear_m_s' is 9.0", "at most 5 m/s"]),
        (["robot", "params_file:=NAME"], ["'max_linear'", "did you mean 'max_linear_m_s'"]),
        (["robot", "params_file:=SECTION"], ["unknown section 'bse'", "did you mean 'base'"]),
        (["robot", "params_file:=BROKEN"], ["is not valid YAML"]),
    ],
)
def test_bad_input_is_refused_at_the_start(robot, tmp_path, words, named):
    files = {
        "RANGE": "base: {ros__parameters: {max_linear_m_s: 9.0}}",
        "NAME": "base: {ros__parameters: {max_linear: 0.2}}",
        "SECTION": "bse: {ros__parameters: {max_linear_m_s: 0.2}}",
        "BROKEN": "base: {ros__parameters: {max_linear_m_s: ",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    given = [w if not w.startswith("params_file") else f"params_file:={tmp_path / w.split('=')[1]}" for w in words]
    extra = [LEFT_OUT] if words[0] == "robot" and LEFT_OUT not in words and len(words) > 1 else []
    refused = robot.run("up", *given, *extra)
    # A port may come yet: who starts the robot with the machine tries again.
    assert refused.returncode == (5 if "base_port:=/dev/ttyNO" in words else 2)
    for text in named:
        assert text in refused.stderr.replace("\n", " ")
    assert "Traceback" not in refused.stderr
    assert robot.run("status").returncode == 3


def test_the_arguments_are_described(robot):
    described = robot.run("up", "--show-args").stdout
    for name in ("namespace", "use_sim_time", "params_file", "map", "use_respawn", "port", "camera", "model"):
        assert f"\n{name} (default" in "\n" + described
