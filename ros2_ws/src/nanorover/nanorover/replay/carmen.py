"""CARMEN logs: ``FLASER`` and ``ROBOTLASER1`` lines of text, plain or packed.

The format is that of the CARMEN robot navigation toolkit: one message per line, its name first, the time
stamp (``ipc_timestamp``, seconds), the host and the logger's own time last.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose
from nanorover.replay.carmen_survey import Survey, readings_m, survey
from nanorover.replay.packed import unpacked
from nanorover.replay.records import Problems, Summary

# A SICK LMS reports 81.91 m where nothing came back; CARMEN writes the same or a rounded 80 or 81.83.
FLASER_RANGE_MAX_M = 80.0
PRINTED_M = 0.01  # the logger prints centimetres, and so rounds the greatest range too

# FLASER does not say its angles. As CARMEN has it, 400 beams are a quarter degree apart; the others are those of
# lasers of 270° (SICK LMS1xx, Hokuyo UTM-30LX) and 240° (Hokuyo URG-04LX). All others see half a circle, as SICK's
# LMS2xx do.
INCREMENT_DEG = {400: 0.25, 401: 0.25, 541: 0.5, 682: 360 / 1024, 1081: 0.25}
HALF_CIRCLE_BEAMS = (90, 91, 180, 181, 360, 361)
MOST_BEAMS = 100_000
FIELDS_AFTER_STAMP = 2  # host name and the logger's time
FURTHER_ROUND_RAD = 1.1 * 2 * math.pi  # nothing sees farther round; degrees written for radians would
# Message types of the logger that say nothing a map needs; what follows a "#" is a comment.
LEFT_OUT = frozenset(
    b"ODOM PARAM SYNC TRUEPOS MARKER RLASER LASER3 LASER4 LASER5 RAWLASER1 RAWLASER2 RAWLASER3 RAWLASER4"
    b" ROBOTLASER2 SONAR BUMPER IMU GPS NMEAGGA NMEARMC NMEAGGAEXT NMEARMCEXT VISION ARM PANTILT SCANMARK"
    b" POSITIONLASER".split()
)


class CarmenLog:
    """A CARMEN log. Iterating yields, in file order, an ``Odometry`` and a ``LaserScan`` for every scan line.

    A scan line carries two poses, of the laser and of the base; where they always differ by the same, that is
    ``T_base_laser`` of the scans. Where they do not, another program has written its corrected poses in place of
    the laser's, and only the base's is used. ``ODOM`` lines are left out: the scan lines carry the same odometry
    at the time of the scan, while the stamps of the two kinds are often out of order by a tenth of a second. They
    count where the scans are ``RAWLASER1`` lines, which carry none. Lines that cannot be read, and whatever had to
    be assumed, are counted in ``problems`` with the first place; a damaged end of a packed file ends the log.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.problems = Problems()
        self.summary = Summary()

    def __iter__(self) -> Iterator[LaserScan | Odometry]:
        self.problems = Problems()
        with ExitStack() as stack:
            yield from self._records(unpacked(self.path, self.problems, stack))

    def _records(self, plain: Path) -> Iterator[LaserScan | Odometry]:
        known = survey(line for _, line in _lines(plain))
        parsers = PARSERS if known.kinds.keys() & PARSERS.keys() else RAW_PARSERS
        scans = [kind.decode() for kind in known.kinds if kind in parsers and kind != b"ODOM"]
        self.summary = Summary(topics=dict.fromkeys(("scan", "odom"), "/".join(scans)))
        self._report(known, parsers)
        self._beams = 0
        last_ns = None
        for number, line in _lines(plain):
            kind = (line[:16].split(None, 1) or [b""])[0]
            parse = parsers.get(kind)
            if parse is None:
                if kind and kind not in LEFT_OUT and not kind.startswith(b"#"):
                    self.problems.add("unknown message type", f"line {number}: {kind.decode(errors='replace')}")
                continue
            try:
                records = parse(line.split(), known)
            except (ValueError, IndexError) as error:
                self.problems.add(f"unreadable {kind.decode()} line", f"line {number}: {error}")
                continue
            for record in records:
                if isinstance(record, LaserScan):
                    if last_ns is not None and record.stamp_ns < last_ns:
                        self.problems.add("time stamp that runs backwards", f"line {number}")
                    last_ns = record.stamp_ns
                    self._look_at(record.ranges_m, kind, f"line {number}")
                self.summary.count(record)
                yield record

    def _report(self, known: Survey, parsers: "Mapping[bytes, Parser]") -> None:
        """Say what is assumed of the whole log, and what in it is not read."""
        add = self.problems.add
        if known.corrected:
            add("log with corrected poses for the laser's: its laser is taken to be at the base", "all scans")
        if known.nothing_from_m < FLASER_RANGE_MAX_M:
            add(f"greatest reading, {known.nothing_from_m:g} m, taken as no return", "all scans")
        offset = known.parameters.get(b"robot_frontlaser_offset", b"0").decode(errors="replace")
        if offset.strip("+-0.") and not known.T_base_laser.any():
            add(f"robot_frontlaser_offset {offset} not used, as the poses of the scans show none", "all scans")
        for kind, count in known.kinds.items():
            if not known.kinds.keys() & (parsers.keys() - {b"ODOM"}) and kind in LEFT_OUT and b"LASER" in kind:
                add(f"{kind.decode()} line, which is not read", "all of them", count)

    def _look_at(self, ranges_m: np.ndarray, kind: bytes, place: str) -> None:
        """Count what is unusual in a scan; NaN becomes no return."""
        nan = np.isnan(ranges_m)
        if nan.any():
            self.problems.add("range NaN taken as no return", place, int(nan.sum()))
            ranges_m[nan] = np.inf
        if not self._beams and kind == b"FLASER" and len(ranges_m) not in HALF_CIRCLE_BEAMS:
            degrees = INCREMENT_DEG.get(len(ranges_m), 0.0) * (len(ranges_m) - 1) or 180
            self.problems.add(
                f"field of view that the log does not say: {len(ranges_m)} beams taken as {degrees:.0f}°", place
            )
        self._beams = self._beams or len(ranges_m)
        if self._beams != len(ranges_m):
            self.problems.add("scan with another number of beams than the first", place)


def _lines(plain: Path) -> Iterator[tuple[int, bytes]]:
    with plain.open("rb") as file:
        yield from enumerate(file, start=1)


def _stamp_ns(text: bytes) -> int:
    """Nanoseconds of decimal seconds, exactly: a float would lose the last digits."""
    whole, _, fraction = text.partition(b".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise ValueError(f"'{text.decode(errors='replace')[:20]}' is no time stamp")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0") or 0)


def _pose(words: list[bytes]) -> Pose:
    pose = np.array([float(word) for word in words])
    if pose.shape != (3,) or not np.isfinite(pose).all():
        raise ValueError("a pose is not three finite numbers")
    return pose


def _ranges_m(words: list[bytes], count: int) -> np.ndarray:
    if len(words) != count:
        raise ValueError(f"{count} ranges are announced, {len(words)} are there")
    return readings_m(words)


def _count(word: bytes) -> int:
    count = int(word)
    if not 0 <= count <= MOST_BEAMS:
        raise ValueError(f"{count} ranges are announced")
    return count


def _flaser(words: list[bytes], known: Survey) -> tuple[Odometry, LaserScan]:
    count = _count(words[1])
    after = words[2 + count :]
    if len(after) < 6 + 1 + FIELDS_AFTER_STAMP:
        raise ValueError(f"{len(after)} words after {count} ranges")
    increment_deg = INCREMENT_DEG.get(count)
    if increment_deg is None:
        # 180 or 360 beams leave out the last ray of the half circle, 181 or 361 hold both ends.
        increment_deg, first_deg = 180 / max(count - 1 if count % 2 else count, 1), -90.0
    else:
        first_deg = -increment_deg * (count // 2)
    scan = LaserScan(
        stamp_ns=_stamp_ns(after[6]),
        ranges_m=_ranges_m(words[2 : 2 + count], count),
        angle_min_rad=math.radians(first_deg),
        angle_increment_rad=math.radians(increment_deg),
        range_min_m=0.0,
        range_max_m=_range_max_m(0.0, known),
        T_base_laser=known.T_base_laser,
    )
    _pose(after[0:3])  # of the laser: a line in which it is damaged is not trusted either
    return Odometry(scan.stamp_ns, _pose(after[3:6])), scan


def _robotlaser(words: list[bytes], known: Survey) -> tuple[Odometry, LaserScan]:
    scan, after = _scan(words, known, before_stamp=11)
    _pose(after[0:3])
    return Odometry(scan.stamp_ns, _pose(after[3:6])), scan


def _raw_laser(words: list[bytes], known: Survey) -> tuple[LaserScan]:
    return (_scan(words, known, before_stamp=0)[0],)


def _odometry(words: list[bytes], _: Survey) -> tuple[Odometry]:
    if len(words) < 8 + FIELDS_AFTER_STAMP:
        raise ValueError(f"{len(words)} words")
    return (Odometry(_stamp_ns(words[7]), _pose(words[1:4])),)


def _scan(words: list[bytes], known: Survey, before_stamp: int) -> tuple[LaserScan, list[bytes]]:
    """The scan of a line that says its own geometry, and the words behind the remissions."""
    angle_min, field_of_view, increment, range_max = (float(word) for word in words[2:6])
    if not all(math.isfinite(value) for value in (angle_min, field_of_view, increment, range_max)):
        raise ValueError("the laser's geometry is not finite")
    count = _count(words[8])
    remissions = _count(words[9 + count])
    after = words[10 + count + remissions :]
    if len(after) < before_stamp + 1 + FIELDS_AFTER_STAMP:
        raise ValueError(f"{len(after)} words after {count} ranges")
    increment = increment or field_of_view / max(count - 1, 1)
    if abs(increment) * (count - 1) > FURTHER_ROUND_RAD:
        raise ValueError(f"{count} beams {increment:g} rad apart go more than round: are they degrees?")
    scan = LaserScan(
        stamp_ns=_stamp_ns(after[before_stamp]),
        ranges_m=_ranges_m(words[9 : 9 + count], count),
        angle_min_rad=angle_min,
        angle_increment_rad=increment,
        range_min_m=0.0,
        range_max_m=_range_max_m(range_max, known),
        T_base_laser=known.T_base_laser,
    )
    return scan, after


def _range_max_m(stated_m: float, known: Survey) -> float:
    """From where on a reading says nothing; the logger rounds the greatest one too."""
    stated_m = stated_m - PRINTED_M if stated_m > PRINTED_M else FLASER_RANGE_MAX_M
    return min(stated_m, known.nothing_from_m - PRINTED_M / 2)


Parser = Callable[[list[bytes], Survey], tuple[LaserScan | Odometry, ...]]
PARSERS: dict[bytes, Parser] = {b"FLASER": _flaser, b"ROBOTLASER1": _robotlaser}
# For logs without such lines.
RAW_PARSERS: dict[bytes, Parser] = {b"RAWLASER1": _raw_laser, b"ODOM": _odometry}
