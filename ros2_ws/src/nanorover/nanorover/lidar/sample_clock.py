"""When each sample was measured, from when its bytes arrived.

The device sends no time. Its samples are evenly spaced, a packet leaves once its last sample is measured
and takes the line's time for its bytes; so an arrival tells the latest time at which the last sample can
have been measured. Delays of the host only ever make it later: the truth is the lower envelope.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.lidar.packets import Packets
from nanorover.lidar.protocol import BYTE_TIME_S

# The envelope is lifted by the least lateness seen over this time, so that it follows a slower device clock.
WINDOW_S = 2.0
# Angles of following packets may overlap by this much because they are rounded and the motor is not even.
OVERLAP_DEG = 5.0


@dataclass(frozen=True, eq=False)
class Course:
    """How the device went on with ``P`` packets, from the first packet on.

    ``last_s`` is when the last sample of a packet was measured, on the clock of the arrivals; ``last_sample`` is
    its number, lost ones counted in; ``first_deg`` is the motor angle at the first sample, clockwise, counted on
    through the revolutions.
    """

    last_s: NDArray[np.float64]
    last_sample: NDArray[np.int64]
    first_deg: NDArray[np.float64]
    lost_samples: int


class SampleClock:
    """Follows the device's samples on the host's clock through delays and losses."""

    def __init__(self, rate_khz: int, frequency_hz: float) -> None:
        self._period_s = 1e-3 / rate_khz
        self._step_deg = 360.0 * frequency_hz * self._period_s  # between two samples, as measured
        self._turn_s = 1.0 / frequency_hz
        self._last_deg: float | None = None
        self._last_s = 0.0
        self._last_sample = -1
        self._turned_deg = 0.0
        self._window_end_s = 0.0
        self._least_late_s = np.inf

    def follow(self, packets: Packets, arrival_s: float, after: NDArray[np.int64]) -> Course:
        """Take packets of one read that ended at ``arrival_s``, ``after`` ``(P,)`` bytes behind each."""
        times_s, turned_deg = np.empty(len(packets)), np.empty(len(packets))
        last_sample = np.empty(len(packets), np.int64)
        latest_s = arrival_s - (after + packets.size) * BYTE_TIME_S
        lost_samples = 0
        rows = zip(
            latest_s.tolist(),
            packets.count.tolist(),
            packets.damaged.tolist(),
            packets.first_deg.tolist(),
            packets.last_deg.tolist(),
            strict=True,
        )
        for i, (late_s, count, damaged, first_deg, last_deg) in enumerate(rows):
            if self._last_deg is None:
                self._last_s, lost = late_s - count * self._period_s, 0
                self._turned_deg = first_deg
            else:
                ahead_deg = (first_deg - self._last_deg + OVERLAP_DEG) % 360.0 - OVERLAP_DEG
                lost = self._lost(ahead_deg, late_s - count * self._period_s, damaged > 0)
                whole_turns = round((lost + 1 - ahead_deg / self._step_deg) * self._step_deg / 360.0)
                self._turned_deg += ahead_deg + 360.0 * max(whole_turns, 0)
            lost_samples += lost
            self._last_s = self._towards(late_s, self._last_s + (count + lost) * self._period_s)
            self._last_sample += count + lost
            times_s[i], turned_deg[i], last_sample[i] = self._last_s, self._turned_deg, self._last_sample
            span_deg = (last_deg - first_deg) % 360.0
            self._turned_deg += span_deg
            self._last_deg = last_deg
        return Course(times_s, last_sample, turned_deg, lost_samples)

    def measured(self, frequency_hz: float) -> None:
        """Say how fast the motor turns, so that lost samples are counted well."""
        self._turn_s = 1.0 / frequency_hz
        self._step_deg = 360.0 * frequency_hz * self._period_s

    def _lost(self, ahead_deg: float, late_s: float, damaged: bool) -> int:
        """Samples that are missing where the motor is ``ahead_deg`` of the last one."""
        lost = max(round(ahead_deg / self._step_deg) - 1, 0)
        if not damaged and lost < 3:  # the motor is uneven: this is no loss
            return 0
        # The angle cannot tell a loss of whole revolutions, the time can; it may be late, so round down.
        turns = (late_s - self._last_s - lost * self._period_s) / self._turn_s
        return lost + max(int(turns + 0.1), 0) * round(self._turn_s / self._period_s)

    def _towards(self, late_s: float, expected_s: float) -> float:
        """The time of a last sample that by arrival is at most ``late_s``, by counting ``expected_s``."""
        if late_s <= expected_s:
            self._least_late_s = 0.0
            return late_s
        self._least_late_s = min(self._least_late_s, late_s - expected_s)
        if expected_s >= self._window_end_s:
            expected_s += self._least_late_s if np.isfinite(self._least_late_s) else 0.0
            self._window_end_s = expected_s + WINDOW_S
            self._least_late_s = np.inf
        return expected_s
