"""The lidar's bytes → revolutions, without a port: for the driver, a capture or a replay in lock-step."""

import math
from dataclasses import dataclass

from nanorover.lidar.assemble import Assembler, Revolution
from nanorover.lidar.packets import PacketDecoder
from nanorover.lidar.params import LidarParams
from nanorover.lidar.protocol import BYTE_TIME_S
from nanorover.lidar.sample_clock import SampleClock

# Over this time the motor's speed is watched.
SPEED_WINDOW_S = 0.4


@dataclass
class Counts:
    """What came in."""

    packets: int = 0
    bad_checksums: int = 0
    damaged_bytes: int = 0
    lost_samples: int = 0
    samples: int = 0
    revolutions: int = 0


class LidarStream:
    """Decodes, times and assembles.

    ``feed`` takes any piece of the stream with the time at which its last byte arrived, on any clock. The
    stamps of the scans are on that clock plus ``offset_ns``.
    """

    def __init__(self, params: LidarParams) -> None:
        self.params = params
        self.counts = Counts()
        self.offset_ns = 0
        self.restart()

    def restart(self) -> None:
        """Forget the past, because the scan was stopped; the counts go on."""
        self._decoder = PacketDecoder()
        self._clock = SampleClock(self.params.rate_khz, self.params.frequency_hz)
        self._assembler = Assembler(self.params)
        self._epoch_ns: int | None = None
        self._turned: list[tuple[float, float]] = []  # (time of a sample, motor angle) over the speed window
        self._packet_bytes = 0

    @property
    def motor_hz(self) -> float:
        """How fast the motor turns now; nan before that is known."""
        if len(self._turned) < 2 or self._turned[-1][0] - self._turned[0][0] < SPEED_WINDOW_S / 2:
            return math.nan
        (start_s, start_deg), (end_s, end_deg) = self._turned[0], self._turned[-1]
        return (end_deg - start_deg) / 360.0 / (end_s - start_s)

    @property
    def settled(self) -> bool:
        """Whether scans have been given since the start."""
        return self._assembler.settled

    def feed(self, data: bytes, arrival_ns: int) -> list[Revolution]:
        """The revolutions that ``data`` completes, usually none or one."""
        before = (self._decoder.bad_checksums, self._decoder.damaged_bytes)
        packets = self._decoder.feed(data)
        self.counts.bad_checksums += self._decoder.bad_checksums - before[0]
        self.counts.damaged_bytes += self._decoder.damaged_bytes - before[1]
        if not len(packets):
            return []
        if self._epoch_ns is None:
            self._epoch_ns = arrival_ns
        self._assembler.epoch_ns = self._epoch_ns + self.offset_ns
        arrival_s = (arrival_ns - self._epoch_ns) / 1e9
        after = self._decoder.position - packets.end
        course = self._clock.follow(packets, arrival_s, after)
        revolutions = self._assembler.feed(packets, course)
        if revolutions:
            self._clock.measured(revolutions[-1].frequency_hz)
        span_deg = (packets.last_deg[-1] - packets.first_deg[-1]) % 360.0
        self._watch_motor(float(course.last_s[-1]), float(course.first_deg[-1] + span_deg))
        self._packet_bytes = int(packets.size.max())
        self.counts.packets += len(packets)
        self.counts.samples += int(packets.count.sum())
        self.counts.lost_samples += course.lost_samples
        self.counts.revolutions += len(revolutions)
        return revolutions

    def completion_ns(self) -> int | None:
        """When the bytes that complete the next revolution should have arrived; None where unknown.

        Packets start anew at each index mark, so each revolution is completed at about the same angle.
        """
        completed_deg = self._assembler.completed_deg
        if self._epoch_ns is None or completed_deg is None or not self.motor_hz > 0:
            return None
        last_s, turned_deg = self._turned[-1]
        to_go_s = (completed_deg + 360.0 - turned_deg) / 360.0 / self.motor_hz
        return self._epoch_ns + round((last_s + to_go_s + self._packet_bytes * BYTE_TIME_S) * 1e9)

    def _watch_motor(self, time_s: float, turned_deg: float) -> None:
        self._turned.append((time_s, turned_deg))
        while self._turned[-1][0] - self._turned[0][0] > SPEED_WINDOW_S:
            del self._turned[0]
