"""CARMEN logs: ``FLASER`` and ``ROBOTLASER1`` lines of text, plain or packed with bzip2 or gzip.

The format is that of the CARMEN robot navigation toolkit: one message per line, its name first, the time
stamp (``ipc_timestamp``, seconds), the host and the logger's own time last.
"""

import bz2
import gzip
import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between
from nanorover.replay.records import Problems, Summary

# A SICK LMS reports 81.91 m where nothing came back; CARMEN writes the same or a rounded 80 or 81.83.
FLASER_RANGE_MAX_M = 80.0
FLASER_FIELD_OF_VIEW_RAD = math.pi
MOST_BEAMS = 100_000
FIELDS_AFTER_STAMP = 2  # host name and the logger's time
MOUNTING_TOLERANCE = 1e-9
# Message types of the logger that say nothing a map needs; what follows a "#" is a comment.
LEFT_OUT = frozenset(
    b"ODOM PARAM SYNC TRUEPOS MARKER RLASER LASER3 LASER4 LASER5 RAWLASER1 RAWLASER2 RAWLASER3 RAWLASER4"
    b" ROBOTLASER2 SONAR BUMPER IMU GPS NMEAGGA NMEARMC NMEAGGAEXT NMEARMCEXT VISION ARM PANTILT SCANMARK"
    b" POSITIONLASER".split()
)


class CarmenLog:
    """A CARMEN log. Iterating yields, in file order, an ``Odometry`` and a ``LaserScan`` for every scan line.

    A scan line carries two poses, of the laser and of the base; where they differ, ``T_base_laser`` of the
    scan is what lies between them. ``ODOM`` lines are left out: the scan lines carry the same odometry at the
    time of the scan, while the stamps of the two kinds are often out of order by a tenth of a second. Lines that
    cannot be read are counted in ``problems`` with the number of the first; a damaged end of a packed file ends
    the log there.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.problems = Problems()
        self.summary = Summary()

    def __iter__(self) -> Iterator[LaserScan | Odometry]:
        self.problems, self.summary = Problems(), Summary(topics={"scan": "FLASER", "odom": "FLASER"})
        self._beams = 0
        last_ns = None
        for number, line in self._lines():
            kind = line[:12].split(b" ", 1)[0]
            parse = PARSERS.get(kind)
            if parse is None:
                kind = kind.strip()
                if kind and kind not in LEFT_OUT and not kind.startswith(b"#"):
                    self.problems.add("unknown message type", f"line {number}: {kind.decode(errors='replace')}")
                continue
            try:
                records = parse(line.split())
            except (ValueError, IndexError) as error:
                self.problems.add(f"unreadable {kind.decode()} line", f"line {number}: {error}")
                continue
            if last_ns is not None and records[0].stamp_ns < last_ns:
                self.problems.add("time stamp that runs backwards", f"line {number}")
            last_ns = records[0].stamp_ns
            self._look_at(records[1].ranges_m, f"line {number}")
            for record in records:
                self.summary.count(record)
                yield record

    def _look_at(self, ranges_m: np.ndarray, place: str) -> None:
        """Count what is unusual in a scan; NaN becomes no return."""
        nan = np.isnan(ranges_m)
        if nan.any():
            self.problems.add("range NaN taken as no return", place, int(nan.sum()))
            ranges_m[nan] = np.inf
        self._beams = self._beams or len(ranges_m)
        if self._beams != len(ranges_m):
            self.problems.add("scan with another number of beams than the first", place)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines; what was read before a damaged place is kept and the damage is reported."""
        number = 0
        try:
            with _open(self.path) as file:
                for number, line in enumerate(file, start=1):
                    yield number, line
        except (EOFError, OSError, ValueError) as error:
            if number == 0:
                raise InputError(
                    f"{self.path} cannot be read: {error}", "it must be a whole CARMEN log"
                ) from error
            self.problems.add("damaged file, read up to there", f"after line {number}: {error}")


def _open(path: Path) -> BinaryIO:
    """The bytes of the log, unpacked by what they are rather than by what the name says."""
    try:
        with path.open("rb") as file:
            start = file.read(3)
        if start[:3] == b"BZh":
            return bz2.open(path, "rb")  # type: ignore[return-value]
        if start[:2] == b"\x1f\x8b":
            return gzip.open(path, "rb")  # type: ignore[return-value]
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


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
    return np.array(words, dtype="S").astype(np.float32)


def _count(word: bytes) -> int:
    count = int(word)
    if not 0 <= count <= MOST_BEAMS:
        raise ValueError(f"{count} ranges are announced")
    return count


def _mounting(T_odom_laser: Pose, T_odom_base: Pose) -> Pose:
    T_base_laser = between(T_odom_base, T_odom_laser)
    T_base_laser[np.abs(T_base_laser) < MOUNTING_TOLERANCE] = 0.0
    return T_base_laser


def _flaser(words: list[bytes]) -> tuple[Odometry, LaserScan]:
    count = _count(words[1])
    after = words[2 + count :]
    if len(after) < 6 + 1 + FIELDS_AFTER_STAMP:
        raise ValueError(f"{len(after)} words after {count} ranges")
    T_odom_laser, T_odom_base = _pose(after[0:3]), _pose(after[3:6])
    # 180 or 360 beams leave out the last ray of the half circle, 181 or 361 hold both ends.
    steps = count - 1 if count % 2 else count
    scan = LaserScan(
        stamp_ns=_stamp_ns(after[6]),
        ranges_m=_ranges_m(words[2 : 2 + count], count),
        angle_min_rad=-FLASER_FIELD_OF_VIEW_RAD / 2,
        angle_increment_rad=FLASER_FIELD_OF_VIEW_RAD / max(steps, 1),
        range_min_m=0.0,
        range_max_m=FLASER_RANGE_MAX_M,
        T_base_laser=_mounting(T_odom_laser, T_odom_base),
    )
    return Odometry(scan.stamp_ns, T_odom_base), scan


def _robotlaser(words: list[bytes]) -> tuple[Odometry, LaserScan]:
    angle_min, field_of_view, increment, range_max = (float(word) for word in words[2:6])
    if not all(math.isfinite(value) for value in (angle_min, field_of_view, increment, range_max)):
        raise ValueError("the laser's geometry is not finite")
    count = _count(words[8])
    remissions = _count(words[9 + count])
    after = words[10 + count + remissions :]
    if len(after) < 11 + 1 + FIELDS_AFTER_STAMP:
        raise ValueError(f"{len(after)} words after {count} ranges")
    T_odom_laser, T_odom_base = _pose(after[0:3]), _pose(after[3:6])
    scan = LaserScan(
        stamp_ns=_stamp_ns(after[11]),
        ranges_m=_ranges_m(words[9 : 9 + count], count),
        angle_min_rad=angle_min,
        angle_increment_rad=increment or field_of_view / max(count - 1, 1),
        range_min_m=0.0,
        range_max_m=range_max if range_max > 0.0 else FLASER_RANGE_MAX_M,
        T_base_laser=_mounting(T_odom_laser, T_odom_base),
    )
    return Odometry(scan.stamp_ns, T_odom_base), scan


PARSERS = {b"FLASER": _flaser, b"ROBOTLASER1": _robotlaser}
