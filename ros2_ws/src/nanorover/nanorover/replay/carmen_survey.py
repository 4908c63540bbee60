"""What only a whole CARMEN log says of its laser: which lines carry scans, how it is mounted, how far it sees."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, are_close, between

# Words from the end of a line back to its two poses: of the laser, then of the base.
POSES_FROM_END = {b"FLASER": 9, b"ROBOTLASER1": 14}
RANGES_FROM_START = {b"FLASER": (1, 2), b"ROBOTLASER1": (8, 9)}  # words before the count, and before the ranges

# A laser is screwed to its robot. What moves farther is a pose that SLAM has corrected, as other programs write.
MOUNTING_MOVES_M = 0.01
MOUNTING_TURNS_RAD = 0.01
MOUNTING_TOLERANCE = 1e-9

# The greatest reading of a log means "nothing came back" where at least this part of the readings are exactly it,
# of beams in many directions, and several times as many as in the last stretch before it: of walls, ever fewer are
# seen the farther they are.
NOTHING_PART = 0.002
NOTHING_BEAMS = 10
NOTHING_TIMES_BEFORE = 3.0
BEFORE_M = 0.25
SAMPLED_SCANS = 200


@dataclass(frozen=True)
class Survey:
    """``kinds`` counts messages; ``T_base_laser`` is the mounting that the two poses of the lines show.

    ``corrected`` says that they show none, as the pose of the laser wanders. Readings from ``nothing_from_m`` on
    mean that nothing came back. ``parameters`` are the log's own, by name.
    """

    kinds: Counter[bytes] = field(default_factory=Counter)
    T_base_laser: Pose = field(default_factory=lambda: np.zeros(3))
    corrected: bool = False
    nothing_from_m: float = np.inf
    parameters: dict[bytes, bytes] = field(default_factory=dict)


def survey(lines: Iterable[bytes]) -> Survey:
    """Look through a log; lines that cannot be read are passed over."""
    kinds: Counter[bytes] = Counter()
    parameters: dict[bytes, bytes] = {}
    sampled: list[bytes] = []
    step = 1
    for line in lines:
        kind = (line[:16].split(None, 1) or [b""])[0]
        kinds[kind] += 1
        if kind == b"PARAM":
            words = line.split()
            parameters.update({words[1]: words[2]} if len(words) > 2 else {})
        if kind not in POSES_FROM_END:
            continue
        if kinds[kind] % step == 0:
            sampled.append(line)
            if len(sampled) == 2 * SAMPLED_SCANS:  # of a log of any length about as many, evenly
                sampled, step = sampled[1::2], 2 * step
    T_base_laser, corrected = _common([pose for line in sampled for pose in _mounting(line)])
    return Survey(kinds, T_base_laser, corrected, _nothing_from_m(sampled), parameters)


def readings_m(words: list[bytes]) -> NDArray[np.float32]:
    """Printed readings as numbers, infinite beyond all measure; ValueError for what is no number."""
    with np.errstate(over="ignore"):
        return np.array(words, dtype="S").astype(np.float32)


def _mounting(line: bytes) -> list[Pose]:
    """Of one line, as a list that is empty where it cannot be read."""
    words = line.split()
    poses = words[len(words) - POSES_FROM_END[words[0]] :][:6]
    try:
        values = np.array(poses, dtype="S").astype(float)
    except ValueError:
        return []
    return [between(values[3:], values[:3])] if len(values) == 6 and np.isfinite(values).all() else []


def _common(mountings: list[Pose]) -> tuple[Pose, bool]:
    """The mounting that the scans share; zero and True where they share none."""
    if not mountings:
        return np.zeros(3), False
    first = mountings[0]
    same = [are_close(first, other, MOUNTING_MOVES_M, MOUNTING_TURNS_RAD) for other in mountings]
    if sum(same) < 0.99 * len(same):
        return np.zeros(3), True
    return np.where(np.abs(first) < MOUNTING_TOLERANCE, 0.0, first), False


def _nothing_from_m(lines: list[bytes]) -> float:
    """From which reading on nothing came back, as far as these scans show it; infinite where they do not."""
    parts = [np.zeros(0, np.float32)]
    for line in lines:
        words = line.split()
        count, start = RANGES_FROM_START[words[0]]
        try:
            parts.append(readings_m(words[start : start + int(words[count])]))
        except (ValueError, IndexError):
            continue
    readings, beams = np.concatenate(parts), np.concatenate([np.arange(len(part)) for part in parts])
    readings, beams = readings[np.isfinite(readings)], beams[np.isfinite(readings)]
    if len(readings) == 0:
        return np.inf
    greatest = readings.max()
    at, before = np.sum(readings == greatest), np.sum((readings >= greatest - BEFORE_M) & (readings < greatest))
    if at < NOTHING_PART * len(readings) or at < NOTHING_TIMES_BEFORE * before:
        return np.inf
    if len(np.unique(beams[readings == greatest])) < NOTHING_BEAMS:
        return np.inf
    return float(greatest)
