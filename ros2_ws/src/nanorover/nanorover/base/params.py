"""Parameters of the base driver; their values stand in ``params/base.yaml``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nanorover.base.kinematics import Track
from nanorover.base.protocol import Gains
from nanorover.errors import InputError
from nanorover.params import param


@dataclass(frozen=True)
class BaseParams:
    """The wheels, their controller, and how fast the robot may be driven."""

    port: str = param("serial port of the motor controller")
    baud: int = param("baud rate of that port", choices=(9600, 19200, 38400, 57600, 115200))
    answer_timeout_s: float = param("wait for the controller's answer", "s", minimum=0.005, maximum=0.2)
    boot_timeout_s: float = param(
        "a controller that restarts when its port is opened may stay silent for this long",
        "s",
        minimum=0.1,
        maximum=10.0,
    )
    reconnect_period_s: float = param("time between attempts to reconnect", "s", minimum=0.05, maximum=10.0)

    wheel_radius_m: float = param("radius of a driven wheel", "m", minimum=0.005, maximum=1.0)
    wheel_separation_m: float = param("distance between the driven wheels' tracks", "m", minimum=0.02, maximum=3.0)
    ticks_per_revolution: int = param("encoder ticks per revolution of the wheel", minimum=1, maximum=1_000_000)
    counter_bits: int = param("size of the controller's encoder counters", "bit", choices=(16, 32))
    controller_rate_hz: float = param(
        "cycles of the controller's speed loop per second; speeds are sent as ticks per cycle",
        "Hz",
        minimum=1.0,
        maximum=1000.0,
    )
    odometry_variance_m2_per_m: float = param(
        "variance of a wheel's way per metre driven", "m", minimum=0.0, maximum=1.0
    )

    kp: int = param("proportional gain of the controller", minimum=0, maximum=10_000)
    kd: int = param("differential gain of the controller", minimum=0, maximum=10_000)
    ki: int = param("integral gain of the controller", minimum=0, maximum=10_000)
    ko: int = param("divisor of all gains of the controller", minimum=1, maximum=10_000)

    rate_hz: float = param(
        "encoder readings and motor commands per second; the controller's own watchdog must be slower",
        "Hz",
        minimum=5.0,
        maximum=100.0,
    )
    command_timeout_s: float = param(
        "a wanted velocity older than this stops the robot", "s", minimum=0.05, maximum=1.0
    )
    max_linear_m_s: float = param("largest linear speed", "m/s", minimum=0.0, maximum=5.0)
    max_angular_rad_s: float = param("largest angular speed", "rad/s", minimum=0.0, maximum=20.0)
    max_wheel_m_s: float = param("largest speed that a wheel can hold", "m/s", minimum=0.01, maximum=10.0)
    linear_acceleration_m_s2: float = param("largest linear acceleration", "m/s²", minimum=0.01, maximum=20.0)
    linear_deceleration_m_s2: float = param("largest linear deceleration", "m/s²", minimum=0.01, maximum=20.0)
    angular_acceleration_rad_s2: float = param(
        "largest angular acceleration", "rad/s²", minimum=0.01, maximum=100.0
    )

    battery_pin: int = param("analog pin of the battery's divider; −1 where there is none", minimum=-1, maximum=15)
    battery_full_scale_v: float = param("battery voltage that reads full scale", "V", minimum=1.0, maximum=60.0)
    battery_period_s: float = param("time between battery readings", "s", minimum=0.1, maximum=60.0)
    battery_low_v: float = param(
        "voltage below which the battery is said to be low", "V", minimum=0.0, maximum=60.0
    )

    @property
    def track(self) -> Track:
        """The geometry of the drive."""
        return Track(self.wheel_separation_m)

    @property
    def m_per_tick(self) -> float:
        """Way of a wheel per encoder tick."""
        return 2.0 * math.pi * self.wheel_radius_m / self.ticks_per_revolution

    @property
    def m_s_per_unit(self) -> float:
        """Speed of a wheel per tick of the controller's cycle: the step in which speeds can be sent."""
        return self.m_per_tick * self.controller_rate_hz

    @property
    def gains(self) -> Gains:
        """The controller's gains."""
        return Gains(self.kp, self.kd, self.ki, self.ko)

    def require(self, who: str, wanted: Any, names: Mapping[str, str]) -> None:
        """InputError where ``who`` wants more than the base gives: ``names`` of its parameters to the base's."""
        for name, own in names.items():
            asked, given = getattr(wanted, name), getattr(self, own)
            if asked > given:
                raise InputError(
                    f"{who} relies on {name} {asked:g}, the base's {own} is only {given:g}",
                    f"lower {name} of {who}, or raise {own} of the base",
                )
