"""Packets → scans: one revolution is one scan, counter-clockwise, always with the same rays."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.lidar.packets import FAR_CORRECTION_DEG, Packets
from nanorover.lidar.params import LidarParams
from nanorover.lidar.protocol import BYTE_TIME_S
from nanorover.lidar.sample_clock import Course

Floats = NDArray[np.float64]

# The rotation has settled once two revolutions in a row differ by less.
SETTLED_SHARE = 0.03
# A revolution in which the motor was off a steady turn by more, as a share of the turn, has no time line.
UNEVEN_SHARE = 0.03
# A motor that does not turn must not fill the memory: this many revolutions' worth of samples are kept at most.
MOST_PENDING_REVOLUTIONS = 20
# A revolution of which less was received takes its time line from the one before.
FITTED_ARC_DEG = 90.0


@dataclass(frozen=True, eq=False)
class Revolution:
    """A scan and what does not fit into one.

    ``ray_time_s`` ``(N,)`` is when each ray was measured, relative to the scan's stamp: the time of its very
    sample where there is a return. The points ``(M,)`` are all returns within the range limits in the order of
    time, in the sensor frame: ``bearing_rad`` counter-clockwise in [−π, π), ``time_s`` relative to the stamp.
    ``samples`` counts what was received for the whole revolution, with or without return. ``arrival_ns`` is when
    the last byte that it needed arrived, as well as that can be told.
    """

    scan: LaserScan
    ray_time_s: NDArray[np.float32]
    bearing_rad: Floats
    range_m: Floats
    time_s: Floats
    intensity: NDArray[np.int64]
    samples: int
    frequency_hz: float
    arrival_ns: int


class Assembler:
    """Cuts the stream of samples at −π.

    The laser sits beside the axis, so a far sample lies up to 8° behind a near one that is measured at the same
    time; each sample goes to the revolution in which it lies, and a scan is given once the motor has passed
    the cut by those 8°. What comes before the first index mark and until the rotation has settled is dropped.
    """

    def __init__(self, params: LidarParams) -> None:
        self.params = params
        self.frequency_hz = math.nan  # as measured over the last revolution
        self.epoch_ns = 0  # what the time 0 of the samples is
        self.completed_deg: float | None = (
            None  # motor angle at the end of the packet that completed the last turn
        )
        self._beams = params.beams
        self._step_deg = 360.0 / self._beams
        self._kept = _kept_rays(params)
        self._ignored = _ignored_rays(params)
        # Pieces (6, N) of samples: place, range, time, motor angle, number, intensity.
        self._samples: list[Floats] = []
        self._pending = 0
        self._turn = -1  # the revolution being collected
        self._marked = False  # whether the first index mark was seen
        self.settled = False

    @property
    def turn_ends_deg(self) -> float:
        """Motor angle, counted on as in ``feed``, that completes the next scan; +inf before the first mark."""
        return self._cut_deg(self._turn + 1) - FAR_CORRECTION_DEG if self._marked else math.inf

    def feed(self, packets: Packets, course: Course) -> list[Revolution]:
        """The revolutions that these packets complete."""
        if not self._marked:
            marks = np.flatnonzero(packets.zero)
            if not len(marks):
                return []
            self._turn = math.floor((course.first_deg[marks[0]] - self._cut_deg(0)) / 360.0) + 1
            self._marked = True
        self._collect(packets, course)
        reached_deg = course.first_deg + (packets.last_deg - packets.first_deg) % 360.0
        complete = []
        while reached_deg[-1] >= self.turn_ends_deg:
            last = int(np.searchsorted(reached_deg, self.turn_ends_deg))
            self.completed_deg = float(reached_deg[last])
            revolution = self._complete(course.last_s[last] + packets.size[last] * BYTE_TIME_S)
            if revolution is not None:
                complete.append(revolution)
            self._turn += 1
        if self._pending > MOST_PENDING_REVOLUTIONS * self._beams:
            self._samples, self._pending, self._marked, self.settled = [], 0, False, False
        return complete

    def _cut_deg(self, turn: int) -> float:
        """Clockwise angle at which a revolution begins: half a ray before −π, so that no ray is cut."""
        return 180.0 + self._step_deg / 2 + 360.0 * (turn - 1)

    def _collect(self, packets: Packets, course: Course) -> None:
        count = packets.count
        number = np.arange(len(packets.range_m)) - np.repeat(np.cumsum(count) - count, count)
        before_last = np.repeat(count - 1, count) - number
        time_s = np.repeat(course.last_s, count) - before_last * (1e-3 / self.params.rate_khz)
        motor_deg = np.repeat(course.first_deg, count) + packets.ahead_deg
        # Rays counted clockwise from the cut before turn 0, so that floor(place / beams) is the turn.
        place = (motor_deg + packets.correction_deg - self._cut_deg(0)) / self._step_deg
        number = np.repeat(course.last_sample, count) - before_last
        self._samples.append(np.array([place, packets.range_m, time_s, motor_deg, number, packets.intensity]))
        self._pending += len(place)

    def _complete(self, arrival_s: float) -> Revolution | None:
        """Take the samples of the current turn out; None while the rotation is not steady."""
        samples = np.concatenate(self._samples, axis=1)
        turn = np.floor(samples[0] / self._beams)
        later = samples[:, turn > self._turn]
        self._samples, self._pending = [later], later.shape[1]
        place, range_m, time_s, motor_deg, number, intensity = samples[:, turn == self._turn]
        place = place - self._turn * self._beams
        line = self._time_line(place, range_m, time_s, motor_deg, number)
        if line is None:
            return None
        frequency_hz = 1.0 / (line[1] * self._beams)
        self.settled |= abs(frequency_hz - self.frequency_hz) < SETTLED_SHARE * frequency_hz
        self.frequency_hz = frequency_hz
        if not self.settled:
            return None
        returned = (range_m > 0) & (range_m <= self.params.range_max_m)
        near = returned & (range_m < self.params.range_min_m)
        good = returned & ~near
        ranges_m, ray_time_s = self._rays(place[good], range_m[good], time_s[good], place[near], line)
        kept = self._kept
        stamp_s = line[0] + line[1] * (self._beams - kept.start - 0.5)
        scan = LaserScan(
            stamp_ns=self.epoch_ns + round(stamp_s * 1e9),
            ranges_m=ranges_m[kept],
            angle_min_rad=-math.pi + kept.start * 2 * math.pi / self._beams,
            angle_increment_rad=2 * math.pi / self._beams,
            range_min_m=self.params.range_min_m,
            range_max_m=self.params.range_max_m,
            time_increment_s=-line[1],
            scan_time_s=line[1] * self._beams,
            frame_id=self.params.frame_id,
        )
        return Revolution(
            scan=scan,
            ray_time_s=(ray_time_s[kept] - stamp_s).astype(np.float32),
            bearing_rad=np.mod(-(place[good] + 0.5) * (2 * math.pi / self._beams), 2 * math.pi) - math.pi,
            range_m=range_m[good],
            time_s=time_s[good] - stamp_s,
            intensity=intensity[good].astype(np.int64),
            samples=len(place),
            frequency_hz=frequency_hz,
            arrival_ns=self.epoch_ns + round(arrival_s * 1e9),
        )

    def _time_line(
        self, place: Floats, range_m: Floats, time_s: Floats, motor_deg: Floats, number: Floats
    ) -> tuple[float, float] | None:
        """Time at place 0 and time per place: a straight line through all samples; None if there is none."""
        if not len(place):
            return None
        # Samples without return have no place of their own: they stand where a typical return would.
        returned = range_m > 0
        ray = motor_deg / self._step_deg
        lags = (ray - place)[returned]
        if len(lags):
            middle = [(len(lags) - 1) // 2, len(lags) // 2]
            ray -= np.partition(lags, middle)[middle].mean()  # the median, at a fraction of np.median's cost
        else:
            ray -= (self._cut_deg(0) - FAR_CORRECTION_DEG) / self._step_deg + self._turn * self._beams
        slope_s = 1.0 / (self.frequency_hz * self._beams)
        if np.ptp(ray) * self._step_deg >= FITTED_ARC_DEG:
            aside = ray - ray.mean()
            # The device counts its samples more evenly than their arrival can tell.
            per_ray = float(aside @ number) / float(aside @ aside)
            uneven = number - number.mean() - per_ray * aside
            if np.abs(uneven).max() > UNEVEN_SHARE * self._beams * abs(per_ray):
                return None
            slope_s = per_ray * 1e-3 / self.params.rate_khz
        if not slope_s > 0:  # also without a revolution before
            return None
        return float(time_s.mean() - slope_s * ray.mean()), slope_s

    def _rays(
        self, place: Floats, range_m: Floats, time_s: Floats, near_place: Floats, line: tuple[float, float]
    ) -> tuple[NDArray[np.float32], Floats]:
        """Range and time of every ray, from returns and too near returns whose places count clockwise."""
        beams = self._beams
        # Clockwise number k is ray beams − 1 − k, whose middle is at place k + ½.
        ray_time_s = line[0] + line[1] * (np.arange(beams, dtype=np.float64)[::-1] + 0.5)
        ranges_m: NDArray[np.float32] = np.full(beams, np.inf, np.float32)
        ranges_m[beams - 1 - near_place.astype(int)] = -np.inf
        ray = beams - 1 - place.astype(int)
        nearest_last = np.argsort(-range_m, kind="stable")
        ranges_m[ray[nearest_last]] = range_m[nearest_last]
        ray_time_s[ray[nearest_last]] = time_s[nearest_last]
        # Where following samples pass over a ray, because the motor runs a little fast, the closer one fills it.
        followed = (np.diff(ray) == -2) & (np.diff(time_s) < 1.5e-3 / self.params.rate_khz)
        before = np.flatnonzero(followed)
        passed = ray[before] - 1
        middle = beams - passed - 0.5
        closer = np.where(middle - place[before] <= place[before + 1] - middle, before, before + 1)
        empty = np.isposinf(ranges_m[passed])
        ranges_m[passed[empty]] = range_m[closer[empty]]
        ranges_m[self._ignored] = np.nan
        return ranges_m, ray_time_s


def _kept_rays(params: LidarParams) -> slice:
    """The rays within the angle crop. Raises InputError for a crop narrower than one ray."""
    step_deg = 360.0 / params.beams
    first = math.ceil((params.angle_min_deg + 180.0) / step_deg - 1e-9)
    last = math.floor((params.angle_max_deg + 180.0) / step_deg + 1e-9)
    if last < first:
        raise InputError(
            f"no ray lies between angle_min_deg {params.angle_min_deg:g} and "
            f"angle_max_deg {params.angle_max_deg:g}",
            f"rays are {step_deg:.2f}° apart; widen the crop",
        )
    return slice(first, min(last + 1, params.beams))


def _ignored_rays(params: LidarParams) -> NDArray[np.bool_]:
    """Which rays lie in an ignored sector."""
    bearing_rad = -math.pi + np.arange(params.beams) * 2 * math.pi / params.beams
    ignored = np.zeros(params.beams, bool)
    for start_rad, end_rad in params.ignored_sectors_rad:
        width_rad = (end_rad - start_rad) % (2 * math.pi)
        # a ray on the very edge belongs to the sector, however it was rounded
        ignored |= (bearing_rad - start_rad + 1e-9) % (2 * math.pi) <= width_rad + 2e-9
    return ignored
