"""What every node of the robot has in common: a lifecycle, checked parameters, declared topics, diagnostics.

A node subclasses ``Component``, names its parameter classes, and writes ``configure``, ``activate``,
``deactivate`` and ``diagnose``. Everything repeated stands here.
"""

import contextlib
import dataclasses
import re
import time
import traceback
from array import array
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import InvalidParameterValueException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from nanorover import params
from nanorover.errors import InputError
from nanorover.tables import SERVICES, TOPICS
from nanorover_nodes.convert import message_class
from nanorover_nodes.declared_topics import hear_declared, publish_declared, qos_profile

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)

NOT_ACTIVE = "not active"
RCLError = rclpy_implementation.RCLError
DIAGNOSTICS_PERIOD_S = 1.0
FIGURE = re.compile(r"-?\d+(\.\d+)?")


@dataclasses.dataclass(frozen=True)
class Health:
    """A node's word on itself: level, one sentence, and the figures behind it."""

    level: bytes
    message: str
    values: dict[str, Any] = dataclasses.field(default_factory=dict)


class Component(LifecycleNode):
    """A lifecycle node with the manners of this robot.

    ``LIVE`` names parameters that take effect while the node runs; all others are refused then.
    ``PARAMS`` maps the name of a shipped parameter file to the dataclass that declares its parameters;
    after configuration ``self.params[name]`` holds the checked values.
    """

    PARAMS: dict[str, type] = {}
    LIVE: tuple[str, ...] = ()
    # What the subscriptions belong to; None for the node's own group.
    hearing_group: CallbackGroup | None = None

    def __init__(self, name: str) -> None:
        super().__init__(name, automatically_declare_parameters_from_overrides=True)
        self.params: dict[str, Any] = {}
        self.active = False
        self._callback_faults = 0
        self._last_fault = ""
        self._said = (STALE, NOT_ACTIVE)
        self._offered: list[Any] = []
        self.heard: list[Any] = []
        self._timers_made: list[Timer] = []
        self._services_served: list[Any] = []
        self._configured = False
        self._declare_parameters()
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = self.create_publisher(
            DiagnosticArray, "/diagnostics", qos_profile(TOPICS["/diagnostics"].publish)
        )
        # The steady clock: a stopped /clock must not silence the diagnostics.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=self.steady_clock)

    # -- what a node writes ---------------------------------------------------------------------------

    def configure(self) -> None:
        """Make everything that takes time or can fail; raise InputError with the reason."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working; what was configured stays."""

    def cleanup(self) -> None:
        """Release what ``configure`` made."""

    def change(self, values: dict[str, Any]) -> SetParametersResult:
        """Let parameters of ``LIVE`` take effect now."""
        return SetParametersResult(successful=True)

    def diagnose(self) -> Health:
        """Say how the node is; called once a second while it is active."""
        return Health(OK, "running")

    # -- what a node uses -----------------------------------------------------------------------------

    def offer(self, topic: str, type_name: str | None = None) -> Any:
        """A publisher of a declared topic; ``type_name`` is as in ``listen``."""
        publisher = publish_declared(self, topic, type_name)
        self._offered.append(publisher)
        return publisher

    def wait_until_heard(self, longest_s: float) -> None:
        """Wait for those who listen to have what was published last, all together at most so long."""
        end_s = time.monotonic() + longest_s
        for publisher in self._offered:
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, end_s - time.monotonic())))

    def listen(self, topic: str, callback: Callable[[Any], None], type_name: str | None = None) -> Subscription:
        """Subscribe to a declared topic; an unexpected exception is said and counted, never fatal.

        ``type_name`` is for the one topic whose type a parameter chooses.
        """
        guarded = self.guarded(callback, f"message on {topic}")
        self.heard.append(hear_declared(self, topic, guarded, type_name, self.hearing_group))
        return self.heard[-1]

    def every(self, period_s: float, call: Callable[[], None]) -> Timer:
        """Call again and again by the steady clock, until cleanup; an exception is treated as in ``listen``."""
        guarded = self.guarded(lambda _: call(), call.__name__)
        self._timers_made.append(self.create_timer(period_s, lambda: guarded(None), clock=self.steady_clock))
        return self._timers_made[-1]

    def guarded(self, callback: Callable[[Any], None], what: str) -> Callable[[Any], None]:
        """The callback, so that a fault in one call costs one call and stands in the diagnostics."""

        def call(message: Any) -> None:
            try:
                callback(message)
            except Exception as error:
                self._note_fault(what, error)

        return call

    def _note_fault(self, what: str, error: Exception) -> str:
        self._callback_faults += 1
        self._last_fault = f"{what}: {type(error).__name__}: {error}"
        self.get_logger().error(f"{self._last_fault}\n{traceback.format_exc()}", throttle_duration_sec=5.0)
        return self._last_fault

    def serve(self, name: str, answer: Callable[[Any], str]) -> None:
        """Offer a declared service whose response has ``success`` and ``message``, or nothing.

        ``answer`` takes the request and returns the sentence of success; an InputError becomes the
        sentence of failure.
        """

        def call(request: Any, response: Any) -> Any:
            try:
                message, success = answer(request), True
            except InputError as error:
                message, success = str(error), False
                self.get_logger().warning(f"{name}: {error}")
            except Exception as error:
                message, success = self._note_fault(f"service {name}", error), False
            if hasattr(response, "success"):
                response.message, response.success = message, success
            return response

        self._services_served.append(self.create_service(message_class(SERVICES[name].type), name, call))

    # -- lifecycle ------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._read_parameters()
            self.configure()
        except InputError as error:
            self.get_logger().error(str(error))
            self._last_fault = str(error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._last_fault = ""
        self._configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self.activate()
        except InputError as error:
            self.get_logger().error(str(error))
            self._last_fault = str(error)
            return TransitionCallbackReturn.FAILURE
        self.active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        self.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.cleanup()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self.active:
            self.active = False
            self.deactivate()
        self.cleanup()
        return TransitionCallbackReturn.SUCCESS

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """Refuse a transition that the present state does not have; rclpy lets such a request end the node."""
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)
        except RCLError as error:
            self.get_logger().warning(f"transition {transition_id} refused: {error}")
            return TransitionCallbackReturn.FAILURE

    def _release(self) -> None:
        self._configured = False
        for timer in self._timers_made:
            self.destroy_timer(timer)
        for subscription in self.heard:
            self.destroy_subscription(subscription)
        for publisher in self._offered:
            self.destroy_publisher(publisher)
        for service in self._services_served:
            self.destroy_service(service)
        self.heard, self._offered, self._services_served, self._timers_made = [], [], [], []

    # -- parameters -----------------------------------------------------------------------------------

    def _declare_parameters(self) -> None:
        for component, cls in self.PARAMS.items():
            shipped = params.read_yaml(params.FOLDER / f"{component}.yaml", component)
            for name, (kind, declaration) in params.declared(cls).items():
                descriptor = _descriptor(name, kind, declaration)
                if self.has_parameter(name):
                    descriptor.type = self.get_parameter(name).type_.value
                    # A value out of range stays as it is and is refused, with the reason, at configure.
                    with contextlib.suppress(InvalidParameterValueException):
                        self.set_descriptor(name, descriptor)
                else:
                    self.declare_parameter(name, shipped[name], descriptor)

    def _known_parameters(self) -> set[str]:
        return {name for cls in self.PARAMS.values() for name in params.declared(cls)}

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """A value that the node would not read must not seem to be set; of several then none takes effect."""
        if not self._configured:
            return SetParametersResult(successful=True)
        waiting = self._known_parameters() - set(self.LIVE)
        if (name := next((c.name for c in changes if c.name in waiting), None)) is not None:
            reason = f"{name} takes effect when the node is configured: clean it up first"
            return SetParametersResult(successful=False, reason=reason)
        return self.change({c.name: c.value for c in changes if c.name in self.LIVE})

    def _read_parameters(self) -> None:
        known = self._known_parameters()
        given = {name: p.value for name, p in self.get_parameters_by_prefix("").items()}
        named = [name for name in given if name.split(".")[0] not in params.ROS_OWN]
        source = f"node {self.get_name()}"
        params.refuse_unknown(named, known, f"{source}: unknown parameter")
        for component, cls in self.PARAMS.items():
            values = {name: given[name] for name in params.declared(cls)}
            values = {n: list(v) if isinstance(v, array) else v for n, v in values.items()}
            values = {n: [] if v == params.EMPTY_LIST else v for n, v in values.items()}
            self.params[component] = params.from_mapping(cls, values, source)

    # -- diagnostics ----------------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        if self.active:
            health = self.diagnose()
        elif self._last_fault:
            health = Health(ERROR, self._last_fault)
        else:
            health = Health(STALE, NOT_ACTIVE)
        values = dict(health.values)
        if self._callback_faults:
            values |= {"callback_faults": self._callback_faults, "last_fault": self._last_fault}
            if health.level == OK:
                health = Health(WARN, f"a callback failed: {self._last_fault}")
        if health.level == OK and self.get_clock().now().nanoseconds == 0:
            health = Health(WARN, "no /clock, though use_sim_time is true: every stamp is 0")
        message = " ".join(health.message.split())
        self._log_change(health.level, message)
        status = DiagnosticStatus(
            level=health.level,
            name=self.get_fully_qualified_name(),
            message=message,
            hardware_id="nanorover",
            values=[
                KeyValue(key=k, value=f"{v:.6g}" if isinstance(v, float) else str(v)) for k, v in values.items()
            ],
        )
        diagnostics = DiagnosticArray(status=[status])
        diagnostics.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics)

    def _log_change(self, level: bytes, message: str) -> None:
        """A line in the log for what is new, for whoever looks later; a sentence with new figures is not."""
        said, self._said = self._said, (level, FIGURE.sub("#", message))
        if self._said == said:
            return
        # rclpy keeps a severity for each line that logs
        if level == ERROR:
            self.get_logger().error(message)
        elif level == WARN:
            self.get_logger().warning(message)
        else:
            self.get_logger().info(message)


def _descriptor(name: str, kind: type, declaration: params.Declared) -> ParameterDescriptor:
    """What `ros2 param describe` shows; the bounds are checked by ROS on every later change too."""
    unit = f" [{declaration.unit}]" if declaration.unit else ""
    descriptor = ParameterDescriptor(
        name=name,
        description=declaration.description + unit,
        additional_constraints=declaration.allowed(),
    )
    low, high = declaration.minimum, declaration.maximum
    if low is not None and high is not None:
        if kind is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        elif kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
