"""The motor controller's side of the protocol as a state machine without a clock or a port of its own.

A simulated robot drives it: bytes in, bytes out, wheel angles in, motor duties out, and the time given with
every call. Nothing here is random, so two runs are equal to the bit.
"""

import math
from dataclasses import dataclass

from nanorover.base import protocol as p

SHIPPED_GAINS = p.Gains(kp=20, kd=12, ki=0, ko=50)
LONGS = 1 << 32  # the encoders are counted in signed 32-bit numbers


@dataclass(frozen=True)
class ControllerSpec:
    """How a motor controller is built: encoders, rate of its loop, its own watchdog, its battery's divider.

    ``auto_stop_s`` is what the firmware calls AUTO_STOP_INTERVAL: without a motor command for this long it
    stops the motors by itself: as docs/hardware.md asks for, not the 2 s that it is shipped with. A battery of
    ``battery_full_scale_v`` reads 1023 on ``battery_pin``.
    """

    ticks_per_revolution: int
    loop_rate_hz: float = 30.0
    auto_stop_s: float = 0.2
    baud: int = 57600
    battery_pin: int = 0
    battery_full_scale_v: float = 15.0
    first_tick: int = 0


class _Wheel:
    """Encoder and PID of one wheel."""

    def __init__(self, spec: ControllerSpec) -> None:
        self.spec = spec
        self.angle_rad = 0.0
        self.zero = -spec.first_tick
        self.reset(0)

    @property
    def ticks(self) -> int:
        """The counter as the firmware reports it."""
        turned = math.floor(self.angle_rad / (2.0 * math.pi) * self.spec.ticks_per_revolution)
        return (turned - self.zero + LONGS // 2) % LONGS - LONGS // 2

    def zero_encoder(self) -> None:
        self.zero = math.floor(self.angle_rad / (2.0 * math.pi) * self.spec.ticks_per_revolution)
        self.seen_ticks = 0

    def reset(self, target: int) -> None:
        self.target, self.output, self.error_sum, self.last_speed = target, 0, 0, 0
        self.seen_ticks = self.ticks

    def control(self, gains: p.Gains) -> None:
        """One cycle: the measured speed in ticks per cycle is brought towards the target."""
        speed = p.wrapped_difference(self.ticks, self.seen_ticks, 32)
        self.seen_ticks = self.ticks
        error = self.target - speed
        change = gains.kp * error - gains.kd * (speed - self.last_speed) + self.error_sum
        wanted = self.output + int(change / gains.ko)  # towards zero, as the controller divides
        self.output = max(-p.MAX_PWM, min(p.MAX_PWM, wanted))
        if self.output == wanted:  # no winding up at the stop
            self.error_sum += gains.ki * error
        self.last_speed = speed


class Firmware:
    """The controller: ``receive`` bytes and answer, ``step`` with the wheels and get the motor duties."""

    def __init__(self, spec: ControllerSpec, now_s: float = 0.0) -> None:
        self.spec = spec
        self.gains = SHIPPED_GAINS
        self.battery_v = 12.0
        self._left, self._right = _Wheel(spec), _Wheel(spec)
        self._line = bytearray()
        self._moving = False
        self._last_command_s = now_s
        self._next_cycle_s = now_s
        self.auto_stops = 0

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the serial line; the answers to the commands that they complete."""
        answers = bytearray()
        for byte in data:
            if byte in b"\r":
                answers += self._obey(bytes(self._line), now_s).encode("ascii") + p.ANSWER_END
                self._line.clear()
            elif len(self._line) < p.LONGEST_LINE_BYTES:
                self._line.append(byte)
        return bytes(answers)

    def _obey(self, line: bytes, now_s: float) -> str:
        try:
            letter, arguments = p.parse_command(line)
        except p.ProtocolError:
            return p.INVALID
        if letter == p.BAUD_RATE:
            return str(self.spec.baud)
        if letter == p.READ_ENCODERS:
            return f"{self._left.ticks} {self._right.ticks}"
        if letter == p.ANALOG_READ:
            volts = self.battery_v if arguments[0] == self.spec.battery_pin else 0.0
            reading = round(volts / self.spec.battery_full_scale_v * p.ANALOG_FULL_SCALE)
            return str(max(0, min(p.ANALOG_FULL_SCALE, reading)))
        if letter == p.RESET_ENCODERS:
            for wheel in (self._left, self._right):
                wheel.zero_encoder()
        elif letter == p.UPDATE_PID:
            kp, kd, ki, ko = arguments
            self.gains = p.Gains(kp, kd, ki, max(1, ko))
        else:
            self._drive(letter, arguments, now_s)
        return p.OK

    def _drive(self, letter: str, arguments: tuple[int, ...], now_s: float) -> None:
        self._last_command_s = now_s
        left, right = arguments
        if letter == p.MOTOR_PWM:
            self._stop()
            self._left.output, self._right.output = (max(-p.MAX_PWM, min(p.MAX_PWM, a)) for a in arguments)
        elif (left, right) == (0, 0):
            self._stop()
        else:
            if not self._moving:
                self._left.reset(left)
                self._right.reset(right)
            self._left.target, self._right.target = left, right
            self._moving = True

    def _stop(self) -> None:
        self._moving = False
        self._left.reset(0)
        self._right.reset(0)

    def step(self, now_s: float, left_rad: float, right_rad: float) -> tuple[float, float]:
        """Advance to ``now_s`` with the wheels at these angles; duties of the motors in −1 … 1."""
        self._left.angle_rad, self._right.angle_rad = left_rad, right_rad
        driving = self._moving or self._left.output or self._right.output
        if driving and now_s - self._last_command_s > self.spec.auto_stop_s:
            self._stop()
            self.auto_stops += 1
        while self._next_cycle_s <= now_s:
            if self._moving:
                self._left.control(self.gains)
                self._right.control(self.gains)
            self._next_cycle_s += 1.0 / self.spec.loop_rate_hz
        return self._left.output / p.MAX_PWM, self._right.output / p.MAX_PWM
