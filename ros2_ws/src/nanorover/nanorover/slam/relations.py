"""The error of a trajectory against known relations between pairs of its poses.

Kümmerle et al., "On Measuring the Accuracy of SLAM Algorithms", Autonomous Robots 27 (2009): the mean over
all relations of the absolute translational and rotational difference between estimated and true relative
pose. It needs no global frame, so an error early in the log is not counted again in everything after it.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.se2 import between_all, wrap_angles

# Relation files round their times, some to hundredths of a second. A relation belongs to the scan nearest to its
# time, which lies no further off than this, and than this part of the usual time between two scans.
STAMP_TOLERANCE_NS = 5_000_000
PART_OF_PERIOD = 0.25
LINE = "'t1 t2 x y z roll pitch yaw'"


@dataclass(frozen=True)
class Relations:
    """``stamps_ns`` is (N, 2) int64, ``T_1_2`` (N, 3): the second pose seen from the first."""

    stamps_ns: NDArray[np.int64]
    T_1_2: NDArray[np.float64]


@dataclass(frozen=True)
class RelationError:
    """Mean and standard deviation over the ``n`` of ``given`` relations that have a scan at both their times.

    ``stamps_off_ms`` is how far these times lie from the scans' at most.
    """

    n: int
    given: int
    stamps_off_ms: float
    trans_m_mean: float
    trans_m_std: float
    rot_deg_mean: float
    rot_deg_std: float


def _stamp_ns(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))


def read_relations(path: Path) -> Relations:
    """Read lines ``t1 t2 x y z roll pitch yaw`` (seconds, metres, radians).

    Raises InputError naming the line that cannot be read.
    """
    stamps, poses = [], []
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise InputError(
            f"cannot read relations {path}: {error.strerror}", "give a file of lines " + LINE
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text", "give a file of lines " + LINE) from error
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            pose = [float(words[i]) for i in (2, 3, 7)]
            if not np.isfinite(pose).all():
                raise ValueError("a value is not finite")
            stamps.append((_stamp_ns(words[0]), _stamp_ns(words[1])))
        except (ValueError, IndexError) as error:
            raise InputError(f"{path} line {number} is no relation: {error}", "expected is " + LINE) from error
        poses.append(pose)
    if not poses:
        raise InputError(f"{path} holds no relations", "expected are lines " + LINE)
    return Relations(np.array(stamps, dtype=np.int64), np.array(poses))


def _nearest(sorted_ns: NDArray[np.int64], wanted_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    right = np.clip(np.searchsorted(sorted_ns, wanted_ns), 1, len(sorted_ns) - 1)
    closer_left = wanted_ns - sorted_ns[right - 1] < sorted_ns[right] - wanted_ns
    return right - closer_left


def _scans_of(
    relations: Relations, stamps_ns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """The scans (N, 2) nearest to the times of the relations, how far off they are (N, 2) ns, and which fit (N,).

    Raises InputError when no relation fits.
    """
    wanted_ns = relations.stamps_ns
    if len(stamps_ns) >= 2:
        order = np.argsort(stamps_ns, kind="stable")
        sorted_ns = np.asarray(stamps_ns)[order]
        found = _nearest(sorted_ns, wanted_ns)
        off_ns = np.abs(sorted_ns[found] - wanted_ns)
        limit_ns = min(STAMP_TOLERANCE_NS, PART_OF_PERIOD * float(np.median(np.diff(sorted_ns))))
        known = (off_ns <= limit_ns).all(axis=1)
        if known.any():
            return order[found], off_ns, known
    raise InputError(
        f"none of the {len(wanted_ns)} relations has a scan at both its times: they tell of {_span(wanted_ns)},"
        f" the scans of {_span(stamps_ns)}",
        "do the relations belong to this log?",
    )


def _span(stamps_ns: NDArray[np.int64]) -> str:
    if len(stamps_ns) == 0:
        return "no time"
    return f"{stamps_ns.min() * 1e-9:.3f} to {stamps_ns.max() * 1e-9:.3f} s"


def errors_of(
    relations: Relations, stamps_ns: NDArray[np.int64], poses: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Absolute error of every relation: ``(trans_m (N,), rot_rad (N,))``, NaN where a time has no scan.

    ``stamps_ns`` (M,) and ``poses`` (M, 3) need not be sorted. Raises InputError when no relation fits.
    """
    index, _, known = _scans_of(relations, stamps_ns)
    return _errors(relations, poses, index, known)


def _errors(
    relations: Relations, poses: NDArray[np.float64], index: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As ``errors_of``, with the scans (N, 2) of the relations and which of these fit (N,)."""
    made = between_all(poses[index[:, 0]], poses[index[:, 1]])
    # The paper's T_true ⊖ T_estimated; its translation has the length of the difference.
    trans = np.hypot(made[:, 0] - relations.T_1_2[:, 0], made[:, 1] - relations.T_1_2[:, 1])
    rot = np.abs(wrap_angles(made[:, 2] - relations.T_1_2[:, 2]))
    trans[~known] = rot[~known] = np.nan
    return trans, rot


def relation_error(
    relations: Relations, stamps_ns: NDArray[np.int64], poses: NDArray[np.float64]
) -> RelationError:
    """Mean and standard deviation of the absolute errors, as published results state them."""
    index, off_ns, known = _scans_of(relations, stamps_ns)
    trans, rot = _errors(relations, poses, index, known)
    return RelationError(
        n=int(known.sum()),
        given=len(known),
        stamps_off_ms=round(float(off_ns[known].max()) * 1e-6, 6),
        trans_m_mean=float(trans[known].mean()),
        trans_m_std=float(trans[known].std()),
        rot_deg_mean=math.degrees(float(rot[known].mean())),
        rot_deg_std=math.degrees(float(rot[known].std())),
    )
