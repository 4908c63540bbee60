"""The safety node as a real process: what reaches ``cmd_vel``, and what does not."""

import math
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from nanorover.bringup.notes import STOPPED_NOTE
from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.scan import LaserScan
from nanorover_nodes.convert import NS, pose_with_covariance_msg, scan_msg, transform_msg
from nanorover_nodes.objects import objects_msg

pytestmark = pytest.mark.nodes

BEAMS = 360


class Surroundings:
    """Feeds everything that the node wants to hear, each time the test looks at the outcome."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.velocities = graph.collect("cmd_vel")
        self.outputs = {
            t: graph.offer(t)
            for t in (
                "scan",
                "pose",
                "objects",
                "cmd_vel_nav",
                "cmd_vel_teleop",
                "e_stop",
                "/tf_static",
                "/diagnostics",
            )
        }
        self.silent: set[str] = set()
        self.ahead_m = 6.0
        self.angle_min = -math.pi
        self.frame = "laser"
        self.robot = ""  # whose nodes are alive
        self.wanted = {"cmd_vel_nav": (0.4, 0.0)}
        self.people: list[TrackedObject] = []
        self.stamp_ns = 100 * NS
        for name in ("scan", "cmd_vel_nav", "/tf_static"):
            graph.wait_until(lambda name=name: self.outputs[name].get_subscription_count() > 0, f"{name} is heard")
        self.outputs["/tf_static"].publish(
            TFMessage(transforms=[transform_msg(0, "base_link", "laser", np.array([0.05, 0.0, 0.0]))])
        )
        self.sent_s = 0.0

    def feed(self) -> None:
        if time.monotonic() - self.sent_s < 0.05:
            return
        self.sent_s = time.monotonic()
        self.stamp_ns += NS // 20
        ranges = np.full(BEAMS, 6.0, np.float32)
        ranges[BEAMS // 2 - 5 : BEAMS // 2 + 6] = self.ahead_m
        scan = LaserScan(self.stamp_ns, ranges, self.angle_min, 2 * math.pi / BEAMS, 0.1, 12.0)
        certain = np.diag([1e-4] * 3)
        alive = [
            DiagnosticStatus(name=f"{self.robot}/{n}", level=DiagnosticStatus.OK) for n in ("slam", "planner")
        ]
        messages = {
            "scan": scan_msg(scan),
            "pose": pose_with_covariance_msg(self.stamp_ns, "map", np.array([2.0, 3.0, math.pi / 2]), certain),
            "objects": objects_msg(self.people, self.stamp_ns, "map"),
            "/diagnostics": DiagnosticArray(status=alive),
        }
        messages["scan"].header.frame_id = self.frame
        for name, (v, w) in self.wanted.items():
            messages[name] = Twist()
            messages[name].linear.x, messages[name].angular.z = v, w
        for name, message in messages.items():
            if name not in self.silent:
                self.outputs[name].publish(message)

    def until(self, condition, what: str) -> None:
        """Feed until the newest velocity fulfils the condition."""

        def holds() -> bool:
            self.feed()
            return bool(self.velocities) and condition(self.velocities[-1])

        self.graph.wait_until(holds, what)


@pytest.fixture
def safety(graph):
    graph.start("safety")
    graph.bring_up("safety")
    return Surroundings(graph)


def test_a_pressed_stop_outlives_the_node(graph, tmp_path):
    graph.start("safety", "-p", f"run_folder:={tmp_path}")
    graph.bring_up("safety")
    safety = Surroundings(graph)
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives")
    safety.outputs["e_stop"].publish(Bool(data=True))
    safety.until(lambda m: m.linear.x == 0.0, "it stops")
    graph.wait_until((tmp_path / STOPPED_NOTE).exists, "and notes it")
    graph.processes.kill("safety")
    graph.start("safety", "-p", f"run_folder:={tmp_path}")
    graph.bring_up("safety")
    diagnostics = graph.collect("/diagnostics")
    safety = Surroundings(graph)
    graph.wait_until(
        lambda: safety.feed() or ((s := graph.health_of("safety", diagnostics)) and s.message == "emergency stop"),
        "back, it obeys still",
    )
    assert {m.linear.x for m in safety.velocities} == {0.0}
    safety.outputs["e_stop"].publish(Bool(data=False))
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "released, it drives")


def test_what_passes_and_what_is_held(graph, safety):
    diagnostics = graph.collect("/diagnostics")
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "a free way passes the command on")
    safety.ahead_m = 0.5
    safety.until(lambda m: 0.02 < m.linear.x < 0.3, "an obstacle ahead slows down")
    safety.ahead_m = 0.12
    safety.until(lambda m: m.linear.x == 0.0, "an obstacle close by stops")
    graph.wait_until(
        lambda: safety.feed() or ((s := graph.health_of("safety", diagnostics)) and "obstacle" in s.message),
        "the reason in the diagnostics",
    )
    safety.wanted = {"cmd_vel_nav": (-0.2, 0.0)}
    safety.until(lambda m: m.linear.x == pytest.approx(-0.2), "backing away is free")

    def says(words: str) -> bool:
        safety.feed()
        return words in graph.health_of("safety", diagnostics).message

    safety.frame = "nowhere"
    graph.wait_until(lambda: says("no transform base_link → nowhere"), "scans that come are not called missing")
    safety.frame = "laser"
    past = graph.offer("cmd_vel")
    graph.wait_until(lambda: says("/test publishes cmd_vel past safety"), "who drives past it is named")
    graph.node.destroy_publisher(past)
    graph.wait_until(lambda: says("free"), "and forgotten")


@pytest.mark.parametrize("source", ["scan", "pose", "cmd_vel_nav", "/diagnostics"])
def test_silence_stops(safety, source):
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives")
    safety.silent = {source}
    safety.until(lambda m: m.linear.x == 0.0, f"without {source} it stops")
    safety.silent = set()
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives again")


@pytest.mark.parametrize(("name", "value"), [("robot", "/other"), ("angle_min", math.nan)])
def test_another_robots_nodes_and_beams_that_point_nowhere_are_silence(safety, name, value):
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives")
    setattr(safety, name, value)
    safety.until(lambda m: m.linear.x == 0.0, "it stops")


def test_a_limit_that_would_not_hold_is_not_set(graph, safety):
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.3)
    request = SetParameters.Request(parameters=[Parameter(name="reaction_s", value=value)])
    answer = graph.call(SetParameters, "safety/set_parameters", request).results[0]
    assert not answer.successful and "takes effect when the node is configured" in answer.reason


def test_a_person_comes_first_at_the_stick_and_on_the_way(safety):
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives")
    safety.wanted["cmd_vel_teleop"] = (-0.1, 0.5)
    safety.until(lambda m: m.linear.x == pytest.approx(-0.1), "teleop wins")
    del safety.wanted["cmd_vel_teleop"]
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "autonomy comes back")
    # the robot stands at (2, 3) and looks along +y; somebody walks towards it
    state = np.array([2.0, 4.6, 0.0, -0.8])
    safety.people = [TrackedObject(1, "person", 1.0, 0, state, np.eye(4) * 0.01, 0.25, True)]
    safety.until(lambda m: m.linear.x < 0.2, "a person who comes slows down")
    safety.people = [TrackedObject(1, "person", 1.0, 0, np.array([2.0, 3.7, 0.0, 0.0]), np.eye(4), 0.25, True)]
    safety.until(lambda m: m.linear.x == 0.0, "a person close by stops")
    safety.people = [TrackedObject(1, "chair", 1.0, 0, np.array([2.0, 3.7, 0.0, 0.0]), np.eye(4), 0.25, True)]
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "a chair is the scan's affair")


def test_emergency_stop(safety):
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives")
    safety.outputs["e_stop"].publish(Bool(data=True))
    safety.until(lambda m: m.linear.x == 0.0, "it stops")
    safety.outputs["e_stop"].publish(Bool(data=False))
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives again")


def test_nonsense_is_refused(safety):
    safety.until(lambda m: m.linear.x == pytest.approx(0.4), "it drives")
    safety.wanted = {"cmd_vel_nav": (math.nan, 0.0)}
    safety.until(lambda m: m.linear.x == 0.0, "nonsense is no command")


def test_stamped_velocities(graph):
    from geometry_msgs.msg import TwistStamped

    from nanorover.tables import TOPICS
    from nanorover_nodes.declared_topics import qos_profile

    received: list[TwistStamped] = []
    qos = qos_profile(TOPICS["cmd_vel"].subscribe)
    graph.start("safety", "-p", "enable_stamped_cmd_vel:=true")
    graph.bring_up("safety")
    graph.node.create_subscription(TwistStamped, "cmd_vel", received.append, qos)
    graph.wait_until(lambda: received, "stamped velocities")
    assert received[-1].header.frame_id == "base_link"


def test_braking_that_the_base_does_not_have_leaves_it_unconfigured(graph):
    graph.start("safety", "-p", "deceleration_m_s2:=9.0")
    assert not graph.change_state("safety", "configure")
    assert "deceleration_m_s2" in graph.processes.log_path("safety").read_text()


def test_the_running_base_is_asked(graph, safety):
    """A base that brakes worse than its shipped parameters say."""
    from rcl_interfaces.srv import GetParameters
    from rclpy.parameter import Parameter

    diagnostics = graph.collect("/diagnostics")

    def answer(request, response):
        values = {"linear_deceleration_m_s2": 0.3, "angular_acceleration_rad_s2": 6.0, "command_timeout_s": 0.25}
        response.values = [Parameter(n, value=values[n]).get_parameter_value() for n in request.names]
        return response

    graph.node.create_service(GetParameters, "base/get_parameters", answer)
    graph.wait_until(
        lambda: safety.feed() or ((s := graph.health_of("safety", diagnostics)) and s.level == b"\x02"), "an error"
    )
    assert "0.3" in graph.health_of("safety", diagnostics).message
    safety.until(lambda m: m.linear.x == 0.0, "and it stands")
