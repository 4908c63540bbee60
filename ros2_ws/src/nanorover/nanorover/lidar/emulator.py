"""A YDLIDAR G4 as a pure state machine: commands in, bytes out, time from outside.

Behaviour after the G4 development manual 01.13 and what the vendor's SDK expects of a device. What only a
real G4 can tell is a named constant here.
"""

import math
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.lidar.faults import HIT_SHARE, Fault, damaged
from nanorover.lidar.packets import HEADER_BYTES, angle_correction_deg, encode_packet
from nanorover.lidar.protocol import (
    BYTE_TIME_S,
    COMMAND_START,
    FASTEST_HZ,
    MODEL_G4,
    RATES_KHZ,
    SCAN_HEADER,
    SLOWEST_HZ,
    Command,
    DeviceInfo,
    Health,
    Reply,
    ReplyType,
)
from nanorover.lidar.worlds import Floats, World

# To be confirmed on a real G4.
SAMPLES_PER_PACKET = 40
INDEX_MARK_DEG = 348.3  # motor angle of the zero packet, as on real X4
SPIN_UP_S = 0.2  # time constant of the motor
JITTER = 0.003  # standard deviation of the rotation, relative
JITTER_TIME_S = 0.3  # over which it changes
OPEN_LOOP_SHARE = 0.97  # of the set frequency with constant frequency switched off
REPLY_DELAY_S = 0.001
HEARTBEAT_S = 3.0  # without one the device stops, once the host has asked for heartbeats
BOOT_BANNER = b"\x00\xff\x00"

# From the data sheet.
NEAREST_M, FARTHEST_M = 0.10, 16.0

STEPS_CENTIHZ = {
    Command.FASTER_TENTH: 10,
    Command.SLOWER_TENTH: -10,
    Command.FASTER_ONE: 100,
    Command.SLOWER_ONE: -100,
}
LEGAL_WHILE_SCANNING = (
    Command.FORCE_STOP,
    Command.STOP,
    Command.SCAN,
    Command.FORCE_SCAN,
    Command.DEVICE_INFO,
)
LINE_FAULTS = ("bit_errors", "lost_bytes", "truncated", "garbage")
TYPICAL_RANGE_MM = 2000.0  # first guess of a distance, to know where the laser points


@dataclass(frozen=True)
class Planned:
    """The packet that is being measured: ``count`` samples from ``first_s`` on, ``period_s`` apart."""

    first_s: float
    period_s: float
    first_deg: float
    step_deg: float
    count: int
    zero: bool
    frequency_hz: float

    @property
    def last_s(self) -> float:
        """When its last sample is measured."""
        return self.first_s + (self.count - 1) * self.period_s

    @property
    def size(self) -> int:
        """Its bytes."""
        return HEADER_BYTES + 2 * self.count


class G4:
    """The device. Times are seconds on any clock that never goes back; faults count from ``start_s``.

    ``receive`` takes what the host sends, ``transmit`` gives every byte whose turn on the line has come.
    Rays are asked of ``world`` at the very time at which the device measures them. ``rate_khz`` and
    ``frequency_hz`` are what it powers up with; ``slowness_hz`` is by how much the motor stays behind its setting.
    """

    def __init__(
        self,
        world: World,
        *,
        rate_khz: int = 9,
        frequency_hz: float = 10.0,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        start_s: float = 0.0,
        slowness_hz: float = 0.0,
        model: int = MODEL_G4,
    ) -> None:
        self.world = world
        self.info = DeviceInfo(model, (3, 2), 3, "2026010100000001")
        self.packets_sent = 0
        self.packets_damaged = 0
        self._power_up = (RATES_KHZ.index(rate_khz), round(frequency_hz * 100))
        self._slowness_hz = slowness_hz
        self._start_s = self._now_s = start_s
        self._random = np.random.default_rng(seed)
        self._faults: list[Fault] = []
        self._active: dict[str, Fault] = {}  # by kind
        self._turns: list[float] = []  # seconds after the start at which a fault begins or ends, the next one last
        for fault in faults:
            self.add_fault(fault)
        self._motor_hz = 0.0
        self._jitter = 0.0
        self._line: deque[tuple[float, bytes]] = deque()  # (time of the last byte, bytes)
        self._line_free_s = start_s
        self._reset(start_s)

    def _reset(self, ready_s: float) -> None:
        """Power up: idle, low power, constant frequency, settings of the factory."""
        self._rate_code, self._setting_centihz = self._power_up
        self._low_power = True
        self._constant_frequency = True
        self._heartbeat = False
        self._heard_s = ready_s  # last heartbeat
        self._ready_s = ready_s
        self._half_command = False
        self._at_mark = False
        self._motor_deg = float(self._random.uniform(0.0, 360.0))
        self._planned: Planned | None = None

    def add_fault(self, fault: Fault) -> None:
        """Let it happen; its time must not have passed."""
        self._faults.append(fault)
        self._turns = sorted({*self._turns, fault.at_s, fault.at_s + fault.duration_s}, reverse=True)

    @property
    def scanning(self) -> bool:
        """Whether it measures and sends packets."""
        return self._planned is not None

    @property
    def motor_hz(self) -> float:
        """How fast it turns."""
        return self._motor_hz

    @property
    def rate_khz(self) -> int:
        """The range frequency that is set."""
        return RATES_KHZ[self._rate_code]

    @property
    def frequency_setting_hz(self) -> float:
        """The rotation that is set."""
        return self._setting_centihz / 100.0

    @property
    def low_power(self) -> bool:
        """Whether it sleeps, motor off, when it does not scan."""
        return self._low_power

    @property
    def connected(self) -> bool:
        """Whether its port exists."""
        return not self._fault("disconnect")

    @property
    def due_s(self) -> float:
        """When ``transmit`` will next have something to give, as far as is known."""
        due = self._line[0][0] if self._line else math.inf
        if self._planned is not None:
            start = max(self._planned.last_s, self._line_free_s)
            due = min(due, start + self._planned.size * BYTE_TIME_S)
        return due

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes of the host that arrive at ``now_s``."""
        self._advance(now_s)
        if self._fault("silence") or self._fault("disconnect") or now_s < self._ready_s:
            return
        for octet in data:
            if self._half_command:
                self._half_command = False
                self._obey(octet)
            else:
                self._half_command = octet == COMMAND_START

    def transmit(self, until_s: float) -> bytes:
        """What the line carries up to ``until_s`` and was not given yet; packets and replies come whole."""
        self._advance(until_s)
        given = []
        while self._line and self._line[0][0] <= until_s:
            given.append(self._line.popleft()[1])
        return b"".join(given)

    def _fault(self, kind: str) -> bool:
        return kind in self._active

    def _advance(self, until_s: float) -> None:
        """Let the device live until then, from one beginning or end of a fault to the next."""
        while self._turns and self._start_s + self._turns[-1] <= until_s:
            elapsed_s = self._turns.pop()
            self._measure(self._start_s + elapsed_s)
            self._now_s = max(self._now_s, self._start_s + elapsed_s)
            before, self._active = self._active, {f.kind: f for f in self._faults if f.active(elapsed_s)}
            for kind in ("reboot", "disconnect"):
                if kind in self._active and kind not in before:
                    self._restart(self._active[kind])
        self._measure(until_s)
        self._now_s = max(self._now_s, until_s)
        if self._heartbeat and self.scanning and self._now_s - self._heard_s > HEARTBEAT_S:
            self._planned = None

    def _restart(self, fault: Fault) -> None:
        """Lose power, and come back when the fault is over."""
        self._line.clear()
        self._reset(self._now_s + fault.duration_s)
        if fault.kind == "reboot":
            self._send(BOOT_BANNER, self._now_s)

    # Commands

    def _obey(self, code: int) -> None:
        """Carry out one command; unknown ones and those not legal now are ignored, as the device does."""
        if self.scanning and code not in LEGAL_WHILE_SCANNING:
            return
        if code in (Command.SCAN, Command.FORCE_SCAN):
            self._start_scan()
        elif code in (Command.STOP, Command.FORCE_STOP):
            self._planned = None
        elif code in (Command.REBOOT, Command.REBOOT_SDK):
            self._reset(self._now_s + 0.5)
        elif code == Command.DEVICE_INFO:
            self._answer(self.info.encode())
        elif code in (Command.HEALTH, Command.HEALTH_SDK):
            health = Health(2, 0x0004) if self._fault("health") else Health(0, 0)
            self._answer(health.encode(), ReplyType.HEALTH)
        elif code in STEPS_CENTIHZ:
            wanted = self._setting_centihz + STEPS_CENTIHZ[Command(code)]
            self._setting_centihz = int(np.clip(wanted, SLOWEST_HZ * 100, FASTEST_HZ * 100))
            self._answer(struct.pack("<I", self._setting_centihz))
        elif code == Command.GET_FREQUENCY:
            self._answer(struct.pack("<I", self._setting_centihz))
        else:
            self._switch(code)

    def _switch(self, code: int) -> None:
        """The settings whose answer is one byte."""
        if code == Command.NEXT_RATE:
            self._rate_code = (self._rate_code + 1) % len(RATES_KHZ)
        elif code in (Command.LOW_POWER_ON, Command.LOW_POWER_OFF):
            self._low_power = code == Command.LOW_POWER_ON
        elif code in (Command.CONSTANT_FREQUENCY_ON, Command.CONSTANT_FREQUENCY_OFF):
            self._constant_frequency = code == Command.CONSTANT_FREQUENCY_ON
        elif code == Command.HEARTBEAT:
            self._heartbeat = not self._heartbeat
            self._heard_s = self._now_s
        answers = {
            Command.NEXT_RATE: self._rate_code,
            Command.GET_RATE: self._rate_code,
            Command.LOW_POWER_ON: self._low_power,
            Command.LOW_POWER_OFF: self._low_power,
            Command.LOW_POWER_QUERY: self._low_power,
            Command.CONSTANT_FREQUENCY_ON: self._constant_frequency,
            Command.CONSTANT_FREQUENCY_OFF: self._constant_frequency,
            Command.HEARTBEAT: not self._heartbeat,  # 0 says enabled
        }
        if code in answers:
            self._answer(bytes((answers[Command(code)],)))

    def _answer(self, payload: bytes, type: int = ReplyType.VALUE) -> None:
        self._send(Reply(type, payload).encode(), self._now_s + REPLY_DELAY_S)

    def _start_scan(self) -> None:
        self._heard_s = self._now_s
        if self.scanning and self._heartbeat:
            return  # it was only a sign of life
        self._send(SCAN_HEADER, self._now_s + REPLY_DELAY_S)
        if not self.scanning:
            self._plan(self._now_s)

    # Measuring

    def _measure(self, until_s: float) -> None:
        """Measure and send every packet whose last sample comes before ``until_s``."""
        if self._planned is None:
            self._spin(until_s - self._now_s)
            return
        done: list[Planned] = []
        while self._planned is not None and self._planned.last_s <= until_s:
            done.append(self._planned)
            self._plan(self._planned.last_s + self._planned.period_s)
        if not done:
            return
        samples = self._samples(done)
        place = 0
        for planned in done:
            last_deg = (planned.first_deg + (planned.count - 1) * planned.step_deg) % 360.0
            packet = encode_packet(
                planned.first_deg,
                last_deg,
                samples[place : place + planned.count],
                planned.zero,
                planned.frequency_hz,
            )
            place += planned.count
            self._send(packet, planned.last_s, is_packet=True)

    def _plan(self, first_s: float) -> None:
        """Decide what the next packet will hold; the motor turns meanwhile."""
        rate_hz = self.rate_khz * 1000
        step_deg = 360.0 * self._motor_hz * (1.0 + self._jitter) / rate_hz
        count, zero = SAMPLES_PER_PACKET, self._at_mark
        if zero:
            count = 1
        elif step_deg > 0:
            count = min(count, max(1, math.ceil((INDEX_MARK_DEG - self._motor_deg) % 360.0 / step_deg)))
        to_mark_deg = (INDEX_MARK_DEG - self._motor_deg) % 360.0
        self._planned = Planned(
            first_s, 1.0 / rate_hz, self._motor_deg, step_deg, count, zero, self._motor_hz * (1.0 + self._jitter)
        )
        self._at_mark = not zero and step_deg > 0 and count * step_deg >= to_mark_deg
        self._motor_deg = (self._motor_deg + count * step_deg) % 360.0
        self._spin(count / rate_hz)

    def _spin(self, elapsed_s: float) -> None:
        """The motor follows its setting, never quite evenly."""
        wanted_hz = 0.0
        if self.scanning or not self._low_power:
            wanted_hz = self.frequency_setting_hz - self._slowness_hz
            wanted_hz *= 1.0 if self._constant_frequency else OPEN_LOOP_SHARE
        self._motor_hz += (wanted_hz - self._motor_hz) * -math.expm1(-elapsed_s / SPIN_UP_S)
        if self._fault("stuck") or (wanted_hz == 0.0 and self._motor_hz < 0.01):
            self._motor_hz = 0.0
        keep = math.exp(-elapsed_s / JITTER_TIME_S)
        self._jitter = keep * self._jitter + JITTER * math.sqrt(1 - keep**2) * float(
            self._random.standard_normal()
        )

    def _samples(self, packets: list[Planned]) -> NDArray[np.uint16]:
        """Measure the samples of several packets: quarter millimetres, 0 without return."""
        stamp_s = np.concatenate([p.first_s + np.arange(p.count) * p.period_s for p in packets])
        motor_deg = np.concatenate([p.first_deg + np.arange(p.count) * p.step_deg for p in packets])
        # The laser sits beside the axis, so where it points depends on how far it sees: guess, look, look again.
        range_mm = self._look(stamp_s, motor_deg, np.full(len(stamp_s), TYPICAL_RANGE_MM))
        range_mm = self._look(stamp_s, motor_deg, np.where(range_mm > 0, range_mm, TYPICAL_RANGE_MM))
        return np.round(range_mm * 4.0).astype(np.uint16)

    def _look(self, stamp_s: Floats, motor_deg: Floats, expected_mm: Floats) -> Floats:
        bearing_rad = np.radians((motor_deg + angle_correction_deg(expected_mm)) % 360.0)
        range_m = self.world.ranges(stamp_s, bearing_rad)
        return np.where((range_m >= NEAREST_M) & (range_m <= FARTHEST_M), range_m * 1000.0, 0.0)

    # The line

    def _send(self, data: bytes, ready_s: float, is_packet: bool = False) -> None:
        """Put bytes on the line as soon as it is free, unless a fault is in the way."""
        if self._fault("silence") or self._fault("disconnect"):
            return
        if is_packet:
            self.packets_sent += 1
            for kind in LINE_FAULTS:
                if self._fault(kind) and self._random.random() < HIT_SHARE:
                    self.packets_damaged += kind != "garbage"
                    data = damaged(data, kind, self._random)
        self._line_free_s = max(self._line_free_s, ready_s) + len(data) * BYTE_TIME_S
        self._line.append((self._line_free_s, data))
