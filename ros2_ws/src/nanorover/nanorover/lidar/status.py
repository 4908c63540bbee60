"""How the lidar is, in words and figures."""

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nanorover.lidar.params import LidarParams
from nanorover.lidar.protocol import DeviceInfo, Health
from nanorover.lidar.stream import Counts, LidarStream

OK, WARN, ERROR = 0, 1, 2

RECENT_S = 10.0  # what is said of damage and reconnects looks back this far
HISTORY_PERIOD_S = 0.5
RATE_S = 2.0  # the scan rate is counted over this time
EMPTY_S = 2.0  # scans without any return for this long are said
# A device that scans cannot be asked how it is: what it said before is said for so long.
HEALTH_SAID_S = 180.0
WEAK_SUPPLY_S = 60.0
WEAK_SUPPLY_RESTARTS = 3


@dataclass(frozen=True)
class Status:
    """The lidar's state at one moment: ``level`` as in diagnostics (0 ok, 1 warning, 2 error)."""

    level: int
    sentence: str
    scanning: bool
    device: str
    frequency_hz: float  # of the motor, measured; nan while unknown
    scan_rate_hz: float  # scans given per second, lately
    packets: int
    bad_checksums: int
    damaged_bytes: int
    dropped_packets: int  # as many as the lost samples would fill
    revolutions: int
    reconnects: int
    last_fault: str


class Watch:
    """Gathers what the driver notices. Written by the reader thread, read by anyone."""

    def __init__(self, params: LidarParams, stream: LidarStream) -> None:
        self.info: DeviceInfo | None = None
        self.motor_sentence = ""
        self._params = params
        self._stream = stream
        self._health, self._health_s = Health(0, 0), -math.inf  # what it said, and when
        self._returned_s = math.inf  # when there was a return last; inf while there is no scan
        self._down = "the lidar is not started"  # why there are no scans; empty while it scans
        self._last_fault = ""
        self._broken = False
        self._fault_s = -math.inf
        self._faults_s: deque[float] = deque(maxlen=WEAK_SUPPLY_RESTARTS)
        self._reconnects = 0
        self._off_frequency = ""
        self._given_s: deque[float] = deque()  # when revolutions came, lately
        self._history: deque[tuple[float, Counts]] = deque()

    def connected(self, info: DeviceInfo, health: Health) -> None:
        """The lidar answers and has its settings."""
        self._reconnects += self._broken
        self._broken = False
        self.info, self._health, self._health_s = info, health, time.monotonic()
        self._down = "the lidar starts up"

    def stopped(self) -> None:
        """The driver has ended."""
        self._down = "the lidar is stopped"

    def fault(self, sentence: str) -> None:
        """The connection is broken."""
        now_s = time.monotonic()
        if not self._broken:  # what follows while it is broken are failed attempts, not the cause
            self._faults_s.append(now_s)
            self._last_fault = sentence
        self._broken = True
        self._down = sentence
        self._fault_s = now_s
        self.motor_sentence = self._off_frequency = ""

    def motor(self, slow_hz: float | None) -> None:
        """The motor turns too slowly at ``slow_hz``, or (None) as it should."""
        if slow_hz is None:
            self.motor_sentence = ""
            return
        wanted = f"instead of {self._params.frequency_hz:g} Hz"
        self.motor_sentence = (
            f"the motor turns at {slow_hz:.1f} {wanted}: something blocks the rotor, or the 5 V supply is too weak"
        )
        self._last_fault = f"the motor stood still or turned too slowly {wanted}"
        self._fault_s = time.monotonic()

    def off_frequency(self, measured_hz: float) -> None:
        """The rotation cannot be brought to the wanted frequency."""
        self._off_frequency = (
            f"the rotation stays at {measured_hz:.2f} instead of {self._params.frequency_hz:g} Hz "
            "whatever is set: choose a frequency that the lidar reaches"
        )

    def read(self, now_s: float, revolutions: int, returns: int) -> None:
        """Some of the stream was read, with so many returns in whole revolutions."""
        if revolutions:
            if self._down or returns:
                self._returned_s = now_s
            self._down = ""
            self._given_s.append(now_s)
            while now_s - self._given_s[0] > RATE_S:
                self._given_s.popleft()
        if not self._history or now_s - self._history[-1][0] > HISTORY_PERIOD_S:
            self._history.append((now_s, replace(self._stream.counts)))
            while now_s - self._history[0][0] > RECENT_S:
                self._history.popleft()

    def status(self) -> Status:
        """How it is now."""
        counts = replace(self._stream.counts)
        level, sentence = next(self._complaints(counts), (OK, "the lidar scans"))
        packet_samples = counts.samples / counts.packets if counts.packets else 1.0
        return Status(
            level=level,
            sentence=sentence,
            scanning=not self._down,
            device=str(self.info) if self.info else "",
            frequency_hz=math.nan if self._down else self._stream.motor_hz,
            scan_rate_hz=self._scan_rate_hz(),
            packets=counts.packets,
            bad_checksums=counts.bad_checksums,
            damaged_bytes=counts.damaged_bytes,
            dropped_packets=math.ceil(counts.lost_samples / packet_samples),
            revolutions=counts.revolutions,
            reconnects=self._reconnects,
            last_fault=self._last_fault,
        )

    def _complaints(self, counts: Counts) -> Iterator[tuple[int, str]]:
        """What is wrong, the worst first."""
        now_s = time.monotonic()
        if self._down:
            yield ERROR, self._down
        if self.motor_sentence:
            yield ERROR, self.motor_sentence
        if not self._down and now_s - self._returned_s > EMPTY_S:
            limits = f"{self._params.range_min_m:g} and {self._params.range_max_m:g} m"
            yield WARN, f"the lidar scans, but nothing returns from between {limits}: is it covered?"
        if not self._health.ok and now_s - self._health_s < HEALTH_SAID_S:
            yield WARN, f"asked at its start, {now_s - self._health_s:.0f} s ago, {self._health}"
        if len(self._faults_s) == WEAK_SUPPLY_RESTARTS and now_s - self._faults_s[0] < WEAK_SUPPLY_S:
            yield (
                WARN,
                f"the connection broke {WEAK_SUPPLY_RESTARTS} times within a minute, lately: {self._last_fault}; "
                "the supply is probably too weak: the G4 needs 5 V and up to 550 mA, use a powered hub",
            )
        if now_s - self._fault_s < RECENT_S:
            yield WARN, f"well again since {now_s - self._fault_s:.0f} s, before: {self._last_fault}"
        if self._off_frequency:
            yield WARN, self._off_frequency
        before = self._history[0][1] if self._history else Counts()
        damaged = counts.damaged_bytes - before.damaged_bytes
        lost = counts.lost_samples - before.lost_samples
        wrong = counts.bad_checksums - before.bad_checksums
        if damaged or lost:
            yield (
                WARN,
                f"in the last {RECENT_S:.0f} s {damaged} bytes came damaged, with {wrong} wrong checksums, and "
                f"{lost} samples were lost: check the cable and the 5 V supply",
            )

    def _scan_rate_hz(self) -> float:
        given_s = list(self._given_s)
        if len(given_s) < 2 or time.monotonic() - given_s[-1] > RATE_S:
            return 0.0
        return (len(given_s) - 1) / (given_s[-1] - given_s[0])
