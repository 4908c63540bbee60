"""The base node as a real process, driving a motor controller on a pseudo terminal."""

import math
import time

import pytest
from base_rig import RunningController
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool

from nanorover.base.emulator import ControllerSpec, Firmware
from nanorover_nodes.convert import NS, pose_of, stamp_ns_of, transform_of_msg

pytestmark = pytest.mark.nodes


@pytest.fixture
def controller():
    with RunningController(Firmware(ControllerSpec(ticks_per_revolution=1560), time.monotonic())) as running:
        yield running


def start_base(graph, controller, *arguments: str) -> None:
    graph.start("base", "-p", f"port:={controller.port.path}", "-p", "answer_timeout_s:=0.1", *arguments)
    graph.bring_up("base")


@pytest.mark.parametrize("stamped", [False, True])
def test_drives_reports_and_stops(graph, controller, stamped):
    odometry, transforms, sent = graph.collect("odom"), graph.collect("/tf"), graph.collect("cmd_vel_sent")
    batteries, diagnostics = graph.collect("battery"), graph.collect("/diagnostics")
    stamped_too = f"enable_stamped_cmd_vel:={str(stamped).lower()}"
    start_base(graph, controller, "-p", stamped_too, "-p", "battery_pin:=0")
    velocity = graph.node.create_publisher(TwistStamped if stamped else Twist, "cmd_vel", 10)
    graph.wait_until(lambda: velocity.get_subscription_count() > 0, "the base listens to cmd_vel")
    wanted = Twist()
    wanted.linear.x, wanted.angular.z = 0.25, 0.6

    def driving(condition):
        velocity.publish(TwistStamped(twist=wanted) if stamped else wanted)
        return odometry and condition()

    graph.wait_until(lambda: driving(lambda: pose_of(odometry[-1].pose.pose)[2] > 0.8), "it turns")
    assert odometry[-1].header.frame_id == "odom" and odometry[-1].child_frame_id == "base_link"
    assert max(m.twist.twist.linear.x for m in odometry) > 0.2
    assert max(m.twist.linear.x for m in sent) == pytest.approx(0.25, abs=0.004)
    graph.wait_until(lambda: sent[-1].twist.linear.x == 0.0, "no command any more, so it stops")
    graph.wait_until(lambda: odometry[-1].twist.twist.linear.x == 0.0, "the wheels stand")
    wheels = controller.wheels
    yaw = 0.0325 * (wheels.right_rad - wheels.left_rad) / 0.16
    x, y, measured_yaw = pose_of(odometry[-1].pose.pose)
    assert measured_yaw == pytest.approx(yaw, abs=0.003)
    # about an arc; how exactly depends on how steadily a busy machine sends the commands
    radius = (wheels.right_rad + wheels.left_rad) * 0.0325 / 2.0 / yaw
    assert (x, y) == pytest.approx((radius * math.sin(yaw), radius * (1 - math.cos(yaw))), abs=0.1)
    graph.wait_until(
        lambda: any(
            stamp_ns_of(t.header.stamp) == stamp_ns_of(odometry[-1].header.stamp)
            for m in transforms
            for t in m.transforms
        ),
        "the transform of the newest odometry",
    )
    T = transform_of_msg(transforms[-1].transforms[0])
    assert T[:2, 3] == pytest.approx((x, y), abs=0.001)
    graph.wait_until(lambda: batteries, "the battery")
    assert batteries[-1].voltage == pytest.approx(12.0, abs=0.02)
    graph.wait_until(lambda: graph.health_of("base", diagnostics).level == b"\x00", "base says it is fine")


def test_emergency_stop(graph, controller):
    odometry, diagnostics = graph.collect("odom"), graph.collect("/diagnostics")
    start_base(graph, controller)
    velocity, stop = graph.offer("cmd_vel"), graph.offer("e_stop")
    graph.wait_until(lambda: velocity.get_subscription_count() and stop.get_subscription_count(), "base listens")
    wanted = Twist()
    wanted.linear.x = 0.2

    def speed_is(condition):
        velocity.publish(wanted)
        return odometry and condition(odometry[-1].twist.twist.linear.x)

    graph.wait_until(lambda: speed_is(lambda v: v > 0.15), "it drives")
    stop.publish(Bool(data=True))
    graph.wait_until(lambda: speed_is(lambda v: v == 0.0), "it stops though commands go on")
    graph.wait_until(lambda: graph.health_of("base", diagnostics).message == "emergency stop", "and says why")
    stop.publish(Bool(data=False))
    graph.wait_until(lambda: speed_is(lambda v: v > 0.15), "it drives again")


def test_stamps_that_no_clock_gives_are_said(graph, controller):
    odometry, diagnostics = graph.collect("odom"), graph.collect("/diagnostics")
    start_base(graph, controller, "-p", "use_sim_time:=true")
    clock = graph.offer("/clock")

    def says(words: str) -> bool:
        health = graph.health_of("base", diagnostics)
        return health is not None and words in health.message

    graph.wait_until(lambda: says("no /clock"), "a warning")
    assert {stamp_ns_of(m.header.stamp) for m in odometry} == {0}

    def well() -> bool:
        clock.publish(Clock(clock=Time(sec=5)))
        return says("no fresh command") and stamp_ns_of(odometry[-1].header.stamp) == 5 * NS

    graph.wait_until(well, "stamps by the clock")


def test_without_a_controller_the_diagnostics_say_so(graph, tmp_path):
    diagnostics = graph.collect("/diagnostics")
    graph.start("base", "-p", f"port:={tmp_path}/nothing")
    graph.bring_up("base")

    def named():
        health = graph.health_of("base", diagnostics)
        return health and health.level == b"\x02" and "there is no port" in health.message

    graph.wait_until(named, "an error that names the port")


def test_trouble_is_said_while_it_lasts_and_after_it_and_stands_in_the_log(graph, controller):
    diagnostics, batteries = graph.collect("/diagnostics"), graph.collect("battery")
    start_base(graph, controller)
    velocity = graph.offer("cmd_vel")
    graph.wait_until(lambda: velocity.get_subscription_count() > 0, "the base listens to cmd_vel")

    def says(wanted: Twist, level: bytes, words: str) -> None:
        def said():
            velocity.publish(wanted)
            health = graph.health_of("base", diagnostics)
            return health and health.level == level and words in health.message

        graph.wait_until(said, words)

    says(Twist(), b"\x00", "standing, as commanded")
    ahead = Twist()
    ahead.linear.x = 0.1
    says(ahead, b"\x00", "driving")
    answers = controller.port.firmware.receive
    controller.port.firmware.receive = lambda data, now_s: answers(data, now_s) and b""
    says(ahead, b"\x02", "nothing answers on")
    controller.port.firmware.receive = answers
    says(ahead, b"\x01", "well again since")
    said = [s.message for m in diagnostics for s in m.status if s.name == "/base"]
    assert any("before: no answer to '" in message for message in said), "the cause, not what followed from it"
    log = graph.processes.log_path("base").read_text()
    for words in ("driving", "nothing answers on", "well again since"):
        assert 1 <= log.count(words) <= 2, "a line where it changed, not one a second"
    assert not batteries, "a pin that nothing is connected to is not read"
