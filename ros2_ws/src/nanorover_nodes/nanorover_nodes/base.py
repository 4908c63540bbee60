"""The base node: ``cmd_vel`` and ``e_stop`` in; ``odom``, tf odom → base, battery and what was sent out."""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TransformStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry as OdometryMsg
from sensor_msgs.msg import BatteryState
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from nanorover.base.driver import BaseDriver, BaseState
from nanorover.base.gate import STILL
from nanorover.base.params import BaseParams
from nanorover.bringup.notes import STOPPED_NOTE, Note, RunParams
from nanorover.geometry.scan import Odometry
from nanorover.params import param
from nanorover_nodes import convert
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.process import run

# A planar base does not move in these; a small variance keeps filters that read them regular.
UNMOVED_VARIANCE = 1e-9


@dataclass(frozen=True)
class BaseNodeParams:
    """What only the node needs; the driver's parameters are ``BaseParams``."""

    odom_frame: str = param("frame of the odometry")
    base_frame: str = param("frame of the robot's base")
    publish_tf: bool = param("publish odom → base; false where a filter such as robot_localization does")
    enable_stamped_cmd_vel: bool = param("cmd_vel is TwistStamped, as from ROS 2 Kilted on, instead of Twist")


class BaseNode(Component):
    """Drives while active."""

    PARAMS = {"base": BaseParams, "base_node": BaseNodeParams, "run": RunParams}

    def __init__(self) -> None:
        super().__init__("base")

    def configure(self) -> None:
        self.settings: BaseNodeParams = self.params["base_node"]
        self.stop_note = Note(self.params["run"], STOPPED_NOTE)
        self.driver = self._driver()
        self.driver.odometry.track.advance(np.zeros(3), 0.0, 0.0)  # loads the compiled kernels now
        self.state: BaseState | None = None
        self.odometry_publisher = self.offer("odom")
        self.tf_publisher = self.offer("/tf")
        self.sent_publisher = self.offer("cmd_vel_sent")
        self.battery_publisher = self.offer("battery")
        if self.settings.enable_stamped_cmd_vel:
            self.listen("cmd_vel", lambda message: self.on_velocity(message.twist), convert.TWIST_STAMPED)
        else:
            self.listen("cmd_vel", self.on_velocity)
        self.listen("e_stop", self.on_stop)
        self.every(1.0 / self.driver.params.rate_hz, self.cycle)

    def _driver(self) -> BaseDriver:
        return BaseDriver(self.params["base"], stamp_clock=lambda: self.get_clock().now().nanoseconds)

    def activate(self) -> None:
        if self.stop_note.holds():
            self.driver.stop(True)

    def deactivate(self) -> None:
        self.driver.close()

    def cleanup(self) -> None:
        if hasattr(self, "driver"):
            self.driver.close()

    def on_velocity(self, message: Twist) -> None:
        if self.active:
            self.driver.want(message.linear.x, message.angular.z)

    def on_stop(self, message: Bool) -> None:
        self.driver.stop(message.data)
        self.stop_note.set(message.data)

    def cycle(self) -> None:
        if not self.active:
            return
        self.state = self.driver.cycle()
        if self.state is None:
            return
        self.odometry_publisher.publish(self._odometry(self.state))
        if self.settings.publish_tf:
            self.tf_publisher.publish(TFMessage(transforms=[self._transform(self.state)]))
        sent = TwistStamped(twist=convert.twist_msg(self.state.sent))
        sent.header.stamp = convert.time_of(self.state.stamp_ns)
        sent.header.frame_id = self.settings.base_frame
        self.sent_publisher.publish(sent)
        if self.state.battery_v is not None:
            self.battery_publisher.publish(_battery(self.state.stamp_ns, self.state.battery_v))

    def _odometry(self, state: BaseState) -> OdometryMsg:
        odometry = Odometry(state.stamp_ns, state.T_odom_base)
        message = convert.odometry_msg(odometry, self.settings.odom_frame, self.settings.base_frame)
        message.pose.covariance = _planar_in_six(state.covariance)
        message.twist.twist = convert.twist_msg(state.measured)
        # A reading is off by up to a tick per wheel; spread evenly, that has a variance of a twelfth each.
        params = self.driver.params
        wheel_variance = (params.m_per_tick * params.rate_hz) ** 2 / 12.0
        turn_variance = 2.0 * wheel_variance / params.wheel_separation_m**2
        twist_covariance = np.diag([wheel_variance / 2.0, UNMOVED_VARIANCE, turn_variance])
        message.twist.covariance = _planar_in_six(twist_covariance)
        return message

    def _transform(self, state: BaseState) -> TransformStamped:
        frames = (self.settings.odom_frame, self.settings.base_frame)
        return convert.transform_msg(state.stamp_ns, *frames, state.T_odom_base)

    def diagnose(self) -> Health:
        driver, state = self.driver, self.state
        values: dict[str, object] = {**driver.counts, "refused commands": driver.gate.refused}
        if state is None or driver.fault:
            return Health(ERROR, driver.fault or "no answer yet", values)
        values |= {
            "battery_v": driver.battery_v,
            "sent_m_s": state.sent.linear_m_s,
            "sent_rad_s": state.sent.angular_rad_s,
            "held": state.held_because,
        }
        if driver.gate.stopped:
            return Health(WARN, state.held_because, values)
        if trouble := driver.recent_trouble:
            return Health(WARN, trouble, values)
        if driver.battery_v is not None and driver.battery_v < driver.params.battery_low_v:
            return Health(WARN, f"battery low: {driver.battery_v:.1f} V", values)
        obeying = "standing, as commanded" if state.sent == STILL else "driving"
        return Health(OK, state.held_because or obeying, values)


def _battery(stamp_ns: int, volts: float) -> BatteryState:
    unknown = float("nan")
    message = BatteryState(current=unknown, charge=unknown, capacity=unknown, percentage=unknown)
    message.header.stamp = convert.time_of(stamp_ns)
    message.voltage, message.present = volts, True
    return message


def _planar_in_six(covariance: np.ndarray) -> np.ndarray:
    """The covariance of x, y, yaw as that of a pose or twist in space."""
    full = np.diag(np.full(6, UNMOVED_VARIANCE))
    full[np.ix_(convert.PLANAR, convert.PLANAR)] = covariance
    return full.ravel()


def main() -> None:
    """Run the node."""
    run(BaseNode)


if __name__ == "__main__":
    main()
