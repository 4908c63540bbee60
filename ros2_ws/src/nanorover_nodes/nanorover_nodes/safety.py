"""The safety node, last before the base: ``cmd_vel_nav`` and ``cmd_vel_teleop`` in, ``cmd_vel`` out.

Every time-out runs on the steady clock: a stopped /clock stops the robot, it does not fool this node.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry as OdometryMsg
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import LaserScan as LaserScanMsg
from std_msgs.msg import Bool

from nanorover import params
from nanorover.base.gate import STILL, STOPPED, Velocity
from nanorover.base.params import BaseParams
from nanorover.bringup.notes import STOPPED_NOTE, Note, RunParams
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.params import param
from nanorover.planning.safety import AUTONOMY, TELEOP, Decision, Safety, people_about
from nanorover.planning.safety_params import SafetyParams, check_against_base
from nanorover.robot import RobotParams
from nanorover_interfaces.msg import TrackedObjects
from nanorover_nodes import convert
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.frames import FrameListener
from nanorover_nodes.objects import objects_of
from nanorover_nodes.process import run

# What the check against the base needs to know of it.
BASE_FACTS = ("linear_deceleration_m_s2", "angular_acceleration_rad_s2", "command_timeout_s")
ASK_PERIOD_S = 2.0


@dataclass(frozen=True)
class SafetyNodeParams:
    """What only the node needs; the rules' parameters are ``SafetyParams``."""

    base_frame: str = param("frame of the robot's base")
    base_node: str = param("node whose braking is asked for; empty to believe the shipped parameters of the base")
    animate_classes: tuple[str, ...] = param("classes of objects that count as people")
    enable_stamped_cmd_vel: bool = param("cmd_vel is TwistStamped, as from ROS 2 Kilted on, instead of Twist")


class SafetyNode(Component):
    """Decides while active; says zero when it stops."""

    PARAMS = {"safety": SafetyParams, "robot": RobotParams, "safety_node": SafetyNodeParams, "run": RunParams}

    def __init__(self) -> None:
        super().__init__("safety")

    def configure(self) -> None:
        self.settings: SafetyNodeParams = self.params["safety_node"]
        self.rules: SafetyParams = self.params["safety"]
        self.stop_note = Note(self.params["run"], STOPPED_NOTE)
        self.base = params.load(BaseParams, "base")
        check_against_base(self.rules, self.base)
        self.base_fault = ""
        self.base_checked = not self.settings.base_node
        self.safety = Safety(self.rules, self.params["robot"], time.monotonic())
        self._warm_up()
        self.decision = Decision(STILL, "", "nothing decided yet")
        self.T_map_base: np.ndarray | None = None
        self.frames = FrameListener(self.listen, self.get_logger())
        stamped = self.settings.enable_stamped_cmd_vel
        self.velocity_publisher = self.offer("cmd_vel", convert.TWIST_STAMPED if stamped else None)
        self.listen("cmd_vel_nav", lambda m: self.on_velocity(AUTONOMY, m))
        self.listen("cmd_vel_teleop", lambda m: self.on_velocity(TELEOP, m))
        self.listen("scan", self.on_scan)
        self.listen("odom", self.on_odometry)
        self.listen("pose", self.on_pose)
        self.listen("objects", self.on_objects)
        self.listen("e_stop", self.on_stop)
        self.listen("/diagnostics", self.on_diagnostics)
        self.every(1.0 / self.rules.rate_hz, self.decide)
        self.every(ASK_PERIOD_S, self.ask_base)
        self.base_client = self.create_client(GetParameters, f"{self.settings.base_node or 'base'}/get_parameters")

    def activate(self) -> None:
        if self.stop_note.holds():
            self.safety.stop(True)

    def deactivate(self) -> None:
        self._publish(STILL)

    def cleanup(self) -> None:
        if hasattr(self, "base_client"):
            self.destroy_client(self.base_client)
            del self.base_client

    def _warm_up(self) -> None:
        """Load the compiled kernels now, not in the first decision."""
        trial = Safety(self.rules, self.params["robot"], 0.0)
        ranges = np.full(16, 1.0, np.float32)
        trial.on_scan(LaserScan(1, ranges, -np.pi, 2 * np.pi / 16, 0.1, 8.0), 0.0)
        trial.on_people(np.ones((1, 5)), 0.0)
        for source in (TELEOP, AUTONOMY):
            trial._share(Velocity(0.1, 0.1), source, 0.0)

    # -- what arrives ---------------------------------------------------------------------------------

    def on_velocity(self, source: str, message: Twist) -> None:
        self.safety.on_velocity(source, Velocity(message.linear.x, message.angular.z), time.monotonic())
        if self.active:
            self.decide()

    def on_scan(self, message: LaserScanMsg) -> None:
        scan = self.frames.scan(self.settings.base_frame, message)
        if isinstance(scan, str):
            self.safety.on_refused_scan(scan, time.monotonic())
        else:
            self.safety.on_scan(scan, time.monotonic())

    def on_odometry(self, message: OdometryMsg) -> None:
        twist = message.twist.twist
        self.safety.on_measured(Velocity(twist.linear.x, twist.angular.z), time.monotonic())

    def on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.T_map_base = convert.pose_of(message.pose.pose)
        covariance = convert.planar_covariance_of(message)
        self.safety.on_pose(convert.stamp_ns_of(message.header.stamp), covariance, time.monotonic())

    def on_objects(self, message: TrackedObjects) -> None:
        if self.T_map_base is None:
            return
        animate = (o for o in objects_of(message) if o.class_id in self.settings.animate_classes)
        self.safety.on_people(people_about(animate, self.T_map_base), time.monotonic())

    def on_stop(self, message: Bool) -> None:
        self.safety.stop(message.data)
        if self.active:
            self.decide()
        self.stop_note.set(message.data)

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            namespace, _, node = status.name.rpartition("/")
            if namespace.strip("/") != self.get_namespace().strip("/"):
                continue  # another robot's
            fault = status.message if status.level in (ERROR, b"\x03") else ""
            self.safety.on_heartbeat(node, fault, time.monotonic())

    # -- what is decided ------------------------------------------------------------------------------

    def decide(self) -> None:
        if not self.active:
            return
        self.decision = self.safety.decide(time.monotonic())
        if self.base_fault:
            self.decision = Decision(STILL, self.decision.source, self.base_fault)
        self._publish(self.decision.velocity)

    def _publish(self, velocity: Velocity) -> None:
        message: Any = convert.twist_msg(velocity)
        if self.settings.enable_stamped_cmd_vel:
            message = TwistStamped(twist=message)
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = self.settings.base_frame
        self.velocity_publisher.publish(message)

    def ask_base(self) -> None:
        """Ask the running base what it can do: its own file may differ from the shipped one."""
        if self.base_checked or not self.base_client.service_is_ready():
            return
        future = self.base_client.call_async(GetParameters.Request(names=list(BASE_FACTS)))
        future.add_done_callback(self.guarded(self._check_base, "the base's parameters"))

    def _check_base(self, future: Any) -> None:
        values = [value.double_value for value in future.result().values]
        if len(values) != len(BASE_FACTS) or not all(values):
            return  # another make of base: it has no such parameters
        self.base_checked = True
        try:
            given = params.load(BaseParams, "base", None, **dict(zip(BASE_FACTS, values, strict=True)))
            check_against_base(self.rules, given)
        except InputError as error:
            self.base_fault = str(error).replace("\n", " ")
            self.get_logger().error(str(error))

    def _other_publishers(self) -> str:
        """Who else tells the base what to do."""
        topic = self.velocity_publisher.topic_name
        ours = (self.get_name(), self.get_namespace())
        who = {(p.node_name, p.node_namespace) for p in self.get_publishers_info_by_topic(topic)} - {ours}
        return ", ".join(f"{namespace.rstrip('/')}/{name}" for name, namespace in sorted(who))

    def diagnose(self) -> Health:
        d = self.decision
        values = {
            "source": d.source,
            "share": d.share,
            "linear_m_s": d.velocity.linear_m_s,
            "angular_rad_s": d.velocity.angular_rad_s,
            "refused commands": self.safety.refused,
            STOPPED: self.safety.stopped,  # for those who came after it was raised
            "base checked": self.base_checked,
        }
        if self.base_fault:
            return Health(ERROR, self.base_fault, values)
        if others := self._other_publishers():
            why = f"{others} publishes cmd_vel past safety: it belongs on cmd_vel_teleop or cmd_vel_nav"
            return Health(WARN, why, values)
        idle = d.reason == "no fresh command"
        return Health(OK if idle or not d.reason else WARN, d.reason or "free", values)


def main() -> None:
    """Run the node."""
    run(SafetyNode)


if __name__ == "__main__":
    main()
