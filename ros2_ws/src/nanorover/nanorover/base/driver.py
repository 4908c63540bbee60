"""The base driver: wanted velocities to motor commands, encoders to odometry, over a link that may fail."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nanorover.base import protocol as p
from nanorover.base.gate import STILL, Velocity, VelocityGate
from nanorover.base.link import Link, LinkError, PortLost, SerialLink
from nanorover.base.odometry import WheelOdometry
from nanorover.base.params import BaseParams
from nanorover.geometry.se2 import Pose

T = TypeVar("T")

# A wheel that seems to have turned this much faster than it can has not: the controller restarted.
IMPLAUSIBLE = 3.0
# So many answers in a row may be wrong before the port is opened anew.
FAILURES_ALLOWED = 3


@dataclass(frozen=True)
class BaseState:
    """The base after one cycle.

    ``sent`` is the velocity that the accepted motor command means, after limits and rounding; ``measured``
    is what the encoders say. ``held_because`` is empty while commands are obeyed. ``covariance`` is ``(3, 3)``
    of x, y, yaw. ``stamp_ns`` is when the encoders were read; ``battery_v`` is set in the cycles that read it.
    """

    stamp_ns: int
    T_odom_base: Pose
    covariance: NDArray[np.float64]
    measured: Velocity
    sent: Velocity
    held_because: str
    battery_v: float | None


class BaseDriver:
    """Call ``cycle`` at ``rate_hz``; it never raises for a fault of the link but says it in ``fault``.

    ``clock`` is the monotonic clock that all time-outs use, ``stamp_clock`` the one of stamps; ``open_link``
    opens the line to the controller, by port, baud rate and time-out.
    """

    def __init__(
        self,
        params: BaseParams,
        *,
        clock: Callable[[], float] = time.monotonic,
        stamp_clock: Callable[[], int] = time.time_ns,
        open_link: Callable[[str, int, float], Link] = SerialLink,
    ) -> None:
        self.params = params
        self.gate = VelocityGate(params)
        self.odometry = WheelOdometry(
            params.track, params.m_per_tick, params.counter_bits, params.odometry_variance_m2_per_m
        )
        self.fault = "not connected yet"
        self.counts: Counter[str] = Counter()
        self.battery_v: float | None = None
        self._clock, self._stamp_clock, self._open_link = clock, stamp_clock, open_link
        self._link: Link | None = None
        self._ready = False
        self._opened_s = -np.inf
        self._next_attempt_s = -np.inf
        self._next_battery_s = -np.inf
        self._read_s: float | None = None
        self._failures = 0

    @property
    def connected(self) -> bool:
        """Whether the controller answers."""
        return self._ready

    def want(self, linear_m_s: float, angular_rad_s: float) -> None:
        """A wanted velocity arrived now."""
        self.gate.want(Velocity(linear_m_s, angular_rad_s), self._clock())

    def stop(self, stopped: bool) -> None:
        """Emergency stop on or off; the motors are told at once."""
        self.gate.stop(stopped)
        if stopped and self._ready:
            self._guarded(self._send, (0, 0))

    def cycle(self) -> BaseState | None:
        """One cycle; None while the controller does not answer."""
        if not self._ready and not self._guarded(self._connect):
            return None
        return self._guarded(self._drive)

    def close(self) -> None:
        """Stop the motors and close the port."""
        if self._ready:
            self._guarded(self._send, (0, 0))
        self._disconnect("closed")

    def _guarded(self, action: Callable[..., T], *arguments: object) -> T | None:
        """The result of an action on the link, or None with the fault noted."""
        try:
            return action(*arguments)
        except (LinkError, p.ProtocolError) as error:
            self.fault = str(error)
            self.counts["wrong answers" if isinstance(error, p.ProtocolError) else "link errors"] += 1
            self._failures += 1
            booting = not self._ready and self._clock() - self._opened_s < self.params.boot_timeout_s
            if isinstance(error, PortLost) or (self._failures >= FAILURES_ALLOWED and not booting):
                self._disconnect(self.fault)
            return None

    def _connect(self) -> bool:
        """Open the port when it is time and greet the controller; True once it has answered."""
        now_s = self._clock()
        if self._link is None:
            if now_s < self._next_attempt_s:
                return False
            self._next_attempt_s = now_s + self.params.reconnect_period_s
            self._link = self._open_link(self.params.port, self.params.baud, self.params.answer_timeout_s)
            self._opened_s, self._failures = now_s, 0
        p.parse_number(self._link.ask(p.command(p.BAUD_RATE)))
        self._send((0, 0))
        p.parse_ok(self._link.ask(p.gains_command(self.params.gains)))
        # What the wheels did in between is unknown: motion counts from here.
        self.odometry.restart(self._encoders())
        self.counts["connections"] += 1
        self._read_s, self._failures, self._ready, self.fault = self._clock(), 0, True, ""
        return True

    def _disconnect(self, reason: str) -> None:
        if self._link is not None:
            self._link.close()
        self._link, self._ready, self._read_s, self.fault = None, False, None, reason
        self.battery_v = None
        self.gate.still()

    def _ask(self, command: bytes) -> str:
        if self._link is None:
            raise LinkError("not connected")
        return self._link.ask(command)

    def _encoders(self) -> tuple[int, int]:
        return p.parse_encoders(self._ask(p.command(p.READ_ENCODERS)))

    def _send(self, units: tuple[int, int]) -> Velocity:
        p.parse_ok(self._ask(p.command(p.MOTOR_SPEEDS, *units)))
        return self.gate.velocity_of(units)

    def _drive(self) -> BaseState:
        before_s = self._read_s if self._read_s is not None else self._clock()
        asked_s, asked_ns = self._clock(), self._stamp_clock()
        ticks = self._encoders()
        now_s, stamp_ns = self._clock(), (asked_ns + self._stamp_clock()) // 2
        self._read_s = (asked_s + now_s) / 2.0
        elapsed_s = max(self._read_s - before_s, 1e-3)
        measured = self._measure(ticks, elapsed_s)
        permitted, held_because = self.gate.permit(now_s, elapsed_s)
        sent = self._send(self.gate.wheel_units(permitted))
        battery_v = self._read_battery(now_s)
        self._failures, self.fault = 0, ""
        return BaseState(
            stamp_ns,
            self.odometry.T_odom_base,
            self.odometry.covariance,
            measured,
            sent,
            held_because,
            battery_v,
        )

    def _measure(self, ticks: tuple[int, int], elapsed_s: float) -> Velocity:
        ways_m = self.odometry.difference_m(ticks)
        if max(abs(way) for way in ways_m) > IMPLAUSIBLE * self.params.max_wheel_m_s * max(elapsed_s, 0.1):
            self.counts["encoder jumps"] += 1
            self.odometry.restart(ticks)
            return STILL
        left_m, right_m = self.odometry.add(ticks)
        return Velocity(*self.params.track.body_speeds(left_m / elapsed_s, right_m / elapsed_s))

    def _read_battery(self, now_s: float) -> float | None:
        """A new reading, or None until the next is due."""
        params = self.params
        if params.battery_pin < 0 or now_s < self._next_battery_s:
            return None
        self._next_battery_s = now_s + params.battery_period_s
        reading = p.parse_number(self._ask(p.command(p.ANALOG_READ, params.battery_pin)))
        self.battery_v = reading / p.ANALOG_FULL_SCALE * params.battery_full_scale_v
        return self.battery_v
