"""A run against its reference, field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nanorover.geometry.se2 import wrap_angles
from nanorover.replay.graph import Column, Row

EQUAL, WITHIN, CHANGED = "equal", "within tolerance", "changed"


@dataclass(frozen=True)
class FieldDifference:
    """How one field differs from its reference; ``first_ns`` is the stamp of the first value out of tolerance."""

    field: str
    status: str
    detail: str = ""
    largest: float = 0.0
    tolerance: float = 0.0
    differing: int = 0
    values: int = 0
    first_ns: int | None = None

    def sentence(self) -> str:
        """One line for a person."""
        if self.status == EQUAL:
            return f"{self.field}: equal ({self.values} values)"
        if self.detail:
            return f"{self.field}: {self.status}: {self.detail}"
        where = "" if self.first_ns is None else f", first at {self.first_ns / 1e9:.3f} s"
        return (
            f"{self.field}: {self.status}: {self.differing} of {self.values} values differ, "
            f"by {self.largest:.3g} at most (tolerance {self.tolerance:g}){where}"
        )


def compare(rows: Sequence[Row], now: Mapping[str, Column], then: Mapping[str, Column]) -> list[FieldDifference]:
    """Every field of a run (``Run.columns``) against the reference, in the order of the run."""
    differences = []
    for name in [*now, *(name for name in then if name not in now)]:
        if name not in then:
            differences.append(FieldDifference(name, CHANGED, "not in the reference"))
        elif name not in now:
            differences.append(FieldDifference(name, CHANGED, "only in the reference"))
        else:
            row = next(row for row in rows if row.name == name.split("/")[0])
            stamps = f"{row.name}/stamp_ns"
            if "/end/" in name:
                differences.append(_field(name, row, now[name], then[name], None))
            elif np.array_equal(now[stamps], then[stamps]) or len(now[name]) != len(now[stamps]):
                differences.append(_field(name, row, now[name], then[name], now[stamps]))
            elif name == stamps:
                differences.append(_moments(name, row, now[name], then[name]))
            else:
                ours, theirs = _same_moments(now[stamps], then[stamps])
                differences.append(_field(name, row, now[name][ours], then[name][theirs], now[stamps][ours]))
    return differences


def _counts(now_ns: Column, then_ns: Column) -> tuple[Column, Column, Column]:
    """Every stamp of either run, and how many things each run has of it."""
    stamps_ns = np.union1d(now_ns, then_ns)
    ours, theirs = (
        np.bincount(np.searchsorted(stamps_ns, s), minlength=len(stamps_ns)) for s in (now_ns, then_ns)
    )
    return stamps_ns, ours, theirs


def _same_moments(now_ns: Column, then_ns: Column) -> tuple[Column, Column]:
    """Which rows of either run are of a moment of which both have equally many."""
    stamps_ns, ours, theirs = _counts(now_ns, then_ns)
    same = stamps_ns[ours == theirs]
    return np.isin(now_ns, same), np.isin(then_ns, same)


def _moments(name: str, row: Row, now_ns: Column, then_ns: Column) -> FieldDifference:
    """The moments of which one run has more things than the other."""
    stamps_ns, ours, theirs = _counts(now_ns, then_ns)
    odd = np.flatnonzero(ours != theirs)
    share = len(odd) / len(stamps_ns)
    first = odd[0]
    detail = (
        f"of {len(odd)} of {len(stamps_ns)} moments there are more or fewer, first at "
        f"{stamps_ns[first] / 1e9:.3f} s: {ours[first]}, was {theirs[first]}"
    )
    status = WITHIN if share <= row.allowed_share.get("stamp_ns", 0.0) else CHANGED
    return FieldDifference(
        name, status, detail, differing=len(odd), values=len(stamps_ns), first_ns=int(stamps_ns[first])
    )


def _field(name: str, row: Row, now: Column, then: Column, stamps_ns: Column | None) -> FieldDifference:
    if now.shape != then.shape:
        return FieldDifference(name, CHANGED, f"has the shape {now.shape}, was {then.shape}")
    if now.dtype.kind in "US" or then.dtype.kind in "US":
        apart = (now != then).astype(np.float64)
    else:
        apart = _distance(name, now, then)
    differing = int((apart > 0.0).sum())
    if differing == 0:
        return FieldDifference(name, EQUAL, values=apart.size)
    key = name.rsplit("/", maxsplit=1)[-1]
    tolerance = row.tolerance.get(key, 0.0)
    beyond = apart > tolerance
    passed = beyond.mean() <= row.allowed_share.get(key, 0.0)
    first_ns = None
    if stamps_ns is not None and beyond.any() and len(stamps_ns) == len(apart):
        first_ns = int(stamps_ns[int(np.argmax(beyond.reshape(len(apart), -1).any(axis=1)))])
    return FieldDifference(
        name,
        WITHIN if passed else CHANGED,
        largest=float(apart.max()),
        tolerance=tolerance,
        differing=differing,
        values=apart.size,
        first_ns=first_ns,
    )


def _distance(name: str, now: Column, then: Column) -> Column:
    """Absolute differences; not-a-number and infinity are equal to themselves, yaws wrap around."""
    a, b = now.astype(np.float64), then.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    if name.rsplit("/", maxsplit=1)[-1].startswith("T_") and apart.shape[-1:] == (3,):
        apart[..., 2] = np.abs(wrap_angles(a[..., 2] - b[..., 2]))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
