"""The base driver: wanted velocities to motor commands, encoders to odometry, over a link that may fail."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nanorover.base import protocol as p
from nanorover.base.gate import Velocity, VelocityGate
from nanorover.base.link import Link, LinkError, PortLost, SerialLink, explained
from nanorover.base.odometry import WheelOdometry
from nanorover.base.params import BaseParams
from nanorover.geometry.se2 import Pose

T = TypeVar("T")

STOP = p.command(p.MOTOR_SPEEDS, 0, 0)

# A wheel that seems to have turned this much faster than it can, and some ticks more, has not: its counter jumped.
IMPLAUSIBLE, SOME_TICKS = 1.5, 10
# An emulated controller on a busy machine may be late by this, and makes up for it at once.
LATE_S = 0.1
# A wheel that nobody drives rolls on, or is pushed, at most as far as its fastest goes in this time.
ROLL_S = 0.2
# So many answers in a row may be wrong before the port is opened anew.
FAILURES_ALLOWED = 3
# What was wrong is said for this long after it is well again.
RECENT_S = 10.0


class CountersJumped(Exception):
    """The encoders say what the wheels cannot have done."""


COUNTED = {
    CountersJumped: "encoder jumps",
    LinkError: "link errors",
    PortLost: "link errors",
    p.ProtocolError: "wrong answers",
}


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
        # When the counters that the odometry has seen were asked for, and the speeds last ordered, in units.
        self._counted_s: float | None = None
        self._ordered = (0, 0)
        self._failed_s: deque[float] = deque(maxlen=FAILURES_ALLOWED)
        self._trouble, self._trouble_s = "", -math.inf

    @property
    def connected(self) -> bool:
        """Whether the controller answers."""
        return self._ready

    @property
    def recent_trouble(self) -> str:
        """What was wrong lately and is well again, in a sentence; empty if nothing was."""
        since_s = self._clock() - self._trouble_s
        return f"well again since {since_s:.0f} s, before: {self._trouble}" if since_s < RECENT_S else ""

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
        self._disconnect("closed")

    def _guarded(self, action: Callable[..., T], *arguments: object) -> T | None:
        """The result of an action on the link, or None with the fault noted."""
        try:
            return action(*arguments)
        except (LinkError, p.ProtocolError, CountersJumped) as error:
            now_s, was_ready = self._clock(), self._ready
            self.fault = str(error)
            self.counts[COUNTED[type(error)]] += 1
            self._failures += 1
            self._failed_s.append(now_s)
            booting = not was_ready and now_s - self._opened_s < self.params.boot_timeout_s
            if isinstance(error, PortLost) or (self._failures >= FAILURES_ALLOWED and not booting):
                self._disconnect(self.fault)
            elif isinstance(error, CountersJumped):
                self._ready = False  # it has restarted, with gains of its own: greet it again
            if self.counts["connections"]:
                self._note_trouble(now_s, was_ready)
            return None

    def _note_trouble(self, now_s: float, was_ready: bool) -> None:
        """A single lost answer is none. What is wrong while there is no connection follows from what ended it."""
        often = len(self._failed_s) == FAILURES_ALLOWED and now_s - self._failed_s[0] < RECENT_S
        if often or not self._ready:
            self._trouble_s = now_s
            self._trouble = self.fault if was_ready else self._trouble

    def _connect(self) -> bool:
        """Open the port when it is time and greet the controller; True once it has answered."""
        now_s = self._clock()
        if self._link is None:
            if now_s < self._next_attempt_s:
                return False
            self._next_attempt_s = now_s + self.params.reconnect_period_s
            self._link = self._open_link(self.params.port, self.params.baud, self.params.answer_timeout_s)
            self._opened_s, self._failures = now_s, 0
        self.gate.still()
        with explained(self.params.port, self.params.baud):
            self._send((0, 0))  # first of all: it may hear us though we do not understand it
            p.parse_number(self._ask(p.command(p.BAUD_RATE)))
        p.parse_ok(self._ask(p.gains_command(self.params.gains)))
        asked_s = self._clock()
        self._take_up(self._encoders(), asked_s)
        self.counts["connections"] += 1
        self._read_s, self._failures, self._ready, self.fault = self._clock(), 0, True, ""
        return True

    def _take_up(self, ticks: tuple[int, int], asked_s: float) -> None:
        """Counters after a time without: motion where they can have gone on, else a new start from them."""
        if self._counted_s is None:
            self.odometry.restart(ticks)
        else:
            unheard_s = self._clock() - self._counted_s
            if self._went_on(ticks, unheard_s):
                self.odometry.add(ticks)
            else:
                self.odometry.restart(ticks, self.params.max_wheel_m_s * unheard_s)
                self.counts["unknown ways"] += 1
        self._counted_s, self._ordered = asked_s, (0, 0)

    def _went_on(self, ticks: tuple[int, int], unheard_s: float) -> bool:
        """Whether the same counters went on: by what the wheels were ordered or less, and not from zero."""
        roll_m = min(self.params.max_wheel_m_s * ROLL_S, self._farthest_m(unheard_s))
        ways_m = self.odometry.difference_m(ticks)
        # A controller that restarted has counted no more than how the wheels rolled out.
        from_zero = max(abs(n) for n in ticks) * self.params.m_per_tick <= roll_m
        went = max(abs(way_m) for way_m in ways_m) > roll_m
        return self._as_ordered(ways_m, unheard_s + LATE_S, roll_m) and not (from_zero and went)

    def _as_ordered(self, ways_m: tuple[float, float], ordered_s: float, more_m: float) -> bool:
        """Whether the wheels may have gone so, by the last order for that long and so much to either side."""
        ordered_m = (IMPLAUSIBLE * n * self.params.m_s_per_unit * ordered_s for n in self._ordered)
        return all(
            min(0.0, most_m) - more_m <= way_m <= max(0.0, most_m) + more_m
            for way_m, most_m in zip(ways_m, ordered_m, strict=True)
        )

    def _farthest_m(self, elapsed_s: float) -> float:
        """The longest way of a wheel that is believed."""
        return IMPLAUSIBLE * self.params.max_wheel_m_s * elapsed_s + SOME_TICKS * self.params.m_per_tick

    def _disconnect(self, reason: str) -> None:
        """Stop the motors, as far as the controller still hears, and close the port."""
        if self._link is not None:
            with suppress(LinkError, p.ProtocolError):
                self._link.ask(STOP)
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
        ways_m = self._count(ticks, asked_s, now_s)
        self._read_s = (asked_s + now_s) / 2.0
        elapsed_s = max(self._read_s - before_s, 1e-3)
        measured = Velocity(*self.params.track.body_speeds(*(way_m / elapsed_s for way_m in ways_m)))
        permitted, held_because = self.gate.permit(now_s, elapsed_s)
        self._ordered = self.gate.wheel_units(permitted)
        sent = self._send(self._ordered)
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

    def _count(self, ticks: tuple[int, int], asked_s: float, answered_s: float) -> tuple[float, float]:
        """The way of each wheel since the last reading. Raises CountersJumped where it cannot be."""
        # The controller has read them at some time between question and answer, so this is the longest it can be.
        elapsed_s = answered_s - (asked_s if self._counted_s is None else self._counted_s)
        ways_m = self.odometry.difference_m(ticks)
        if not self._as_ordered(ways_m, LATE_S, self._farthest_m(elapsed_s)):
            way_m = max(abs(way_m) for way_m in ways_m)
            raise CountersJumped(
                f"an encoder jumped by {way_m:.3f} m in {1e3 * elapsed_s:.0f} ms: "
                "the controller restarted (a weak supply?), or the line is bad"
            )
        self._counted_s = asked_s
        return self.odometry.add(ticks)

    def _read_battery(self, now_s: float) -> float | None:
        """A new reading, or None until the next is due."""
        params = self.params
        if params.battery_pin < 0 or now_s < self._next_battery_s:
            return None
        self._next_battery_s = now_s + params.battery_period_s
        reading = p.parse_number(self._ask(p.command(p.ANALOG_READ, params.battery_pin)))
        self.battery_v = reading / p.ANALOG_FULL_SCALE * params.battery_full_scale_v
        return self.battery_v
