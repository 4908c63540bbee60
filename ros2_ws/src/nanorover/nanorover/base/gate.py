"""What the robot is allowed to be told: fresh, finite, within its limits, and nothing while stopped."""

import math
from dataclasses import dataclass

from nanorover.base.params import BaseParams
from nanorover.geometry.se2 import Pose, between

STOPPED = "emergency stop"
STALE = "no fresh command"


@dataclass(frozen=True)
class Velocity:
    """Motion of the base in its own frame."""

    linear_m_s: float
    angular_rad_s: float


STILL = Velocity(0.0, 0.0)


def velocity_between(T_a_first: Pose, T_a_last: Pose, elapsed_s: float) -> Velocity:
    """The mean velocity of a base from its pose then to its pose now; elapsed time that runs back is allowed."""
    motion = between(T_a_first, T_a_last)
    return Velocity(float(motion[0]) / elapsed_s, float(motion[2]) / elapsed_s)


class VelocityGate:
    """Wanted velocities in, permitted velocities out, by the time of the monotonic clock.

    A command that is missing for ``command_timeout_s``, or an emergency stop, gives zero at once; every other
    change is limited by the accelerations. After a stop only a command that came later moves the robot.
    """

    def __init__(self, params: BaseParams) -> None:
        self.params = params
        self.refused = 0
        self.stopped = False
        self._wanted: Velocity | None = None
        self._wanted_at_s = -math.inf
        self._permitted = STILL

    def want(self, velocity: Velocity, now_s: float) -> None:
        """A command arrived; one that is not finite is refused and counted, and the last one ages on."""
        if not (math.isfinite(velocity.linear_m_s) and math.isfinite(velocity.angular_rad_s)):
            self.refused += 1
        elif not self.stopped:
            self._wanted, self._wanted_at_s = velocity, now_s

    def stop(self, stopped: bool) -> None:
        """The emergency stop is pressed or released; a release does not bring the old command back."""
        self.stopped = stopped
        if stopped:
            self._wanted, self._permitted = None, STILL

    def still(self) -> None:
        """The robot is known to stand: the next command accelerates from zero."""
        self._permitted = STILL

    def permit(self, now_s: float, elapsed_s: float) -> tuple[Velocity, str]:
        """The velocity to send, and why the robot is held (empty while it is not)."""
        fresh = now_s - self._wanted_at_s <= self.params.command_timeout_s
        if self.stopped or self._wanted is None or not fresh:
            self._permitted = STILL
            return STILL, STOPPED if self.stopped else STALE
        p, before = self.params, self._permitted
        linear = _limited(self._wanted.linear_m_s, p.max_linear_m_s)
        angular = _limited(self._wanted.angular_rad_s, p.max_angular_rad_s)
        up_m_s, down_m_s = p.linear_acceleration_m_s2 * elapsed_s, p.linear_deceleration_m_s2 * elapsed_s
        turn_rad_s = p.angular_acceleration_rad_s2 * elapsed_s
        self._permitted = Velocity(
            _approach(before.linear_m_s, linear, up_m_s, down_m_s),
            _approach(before.angular_rad_s, angular, turn_rad_s, turn_rad_s),
        )
        return self._permitted, ""

    def wheel_units(self, velocity: Velocity) -> tuple[int, int]:
        """Wheel speeds in the controller's units; too fast ones are scaled together, which keeps the curve."""
        p = self.params
        wheels = p.track.wheel_speeds(velocity.linear_m_s, velocity.angular_rad_s)
        scale = min(1.0, p.max_wheel_m_s / max(abs(wheels[0]), abs(wheels[1]), 1e-9))
        left, right = (round(speed * scale / p.m_s_per_unit) for speed in wheels)
        return left, right

    def velocity_of(self, units: tuple[int, int]) -> Velocity:
        """The motion that these units mean."""
        left, right = (n * self.params.m_s_per_unit for n in units)
        return Velocity(*self.params.track.body_speeds(left, right))


def _limited(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))


def _approach(value: float, target: float, up: float, down: float) -> float:
    """``value`` moved towards ``target``: by ``down`` at most towards zero, by ``up`` at most away from it."""
    if value * target < 0.0 or abs(target) < abs(value):  # first down, to zero at most when the sign changes
        floor = target if value * target > 0.0 else 0.0
        return floor + math.copysign(max(0.0, abs(value - floor) - down), value)
    return value + _limited(target - value, up)
