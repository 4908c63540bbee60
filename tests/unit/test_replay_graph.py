"""The lock-step graph and the comparison with references, on components whose answers are known."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
from bag_samples import NS, START_NS, scan

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.cases import FAILED, PASSED, Result
from nanorover.replay.compare import CHANGED, EQUAL, WITHIN, compare
from nanorover.replay.graph import Row, Several, run
from nanorover.replay.records import LidarBytes
from nanorover.replay.references import load_reference, save_reference
from nanorover.replay.topics import parse_choices
from nanorover.replay.verdict import text_report


@dataclass(frozen=True, eq=False)
class Nearest:
    stamp_ns: int
    range_m: float
    T_map_base: np.ndarray
    note: str
    took_ms: float


class NearestPart:
    """Says the nearest return of each scan."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, record):
        self.count += 1
        pose = np.array([float(self.count), 0.0, np.pi - 1e-9])
        yield Nearest(record.stamp_ns, float(record.ranges_m.min()), pose, "near", random.random())

    def finish(self):
        return {"count": self.count, "cells": np.zeros((4, 5), np.int8)}


class ScannerPart:
    """Makes a scan of every byte."""

    def take(self, record):
        for byte in record.data:
            yield scan(record.stamp_ns + byte, ranges_m=np.array([float(byte)], np.float32))

    def finish(self):
        return {}


@dataclass(frozen=True, eq=False)
class Return:
    stamp_ns: int
    range_m: float


class ReturnsPart:
    """Says every return nearer than 3 m, and first something that is not compared."""

    def take(self, record):
        yield Odometry(record.stamp_ns, np.zeros(3))
        near = [float(r) for r in record.ranges_m if r < 3.0]
        yield Several(record.stamp_ns, tuple(Return(record.stamp_ns, r) for r in near))

    def finish(self):
        return {}


RETURNS = Row(
    "returns", ReturnsPart, (LaserScan,), Return, tolerance={"range_m": 0.01}, allowed_share={"stamp_ns": 0.3}
)
SCANNER = Row("scanner", ScannerPart, inputs=(LidarBytes,), output=LaserScan, replaces=(LaserScan,))
NEAREST = Row(
    "nearest",
    NearestPart,
    inputs=(LaserScan,),
    output=Nearest,
    ignored=("took_ms",),
    tolerance={"range_m": 0.01, "T_map_base": 1e-6},
    allowed_share={"cells": 0.1},
)
ROWS = (SCANNER, NEAREST)
SCANS = [scan(START_NS + i * NS, ranges_m=np.array([2.0 + i, 9.0], np.float32)) for i in range(4)]


def test_outputs_are_collected_by_component_and_field():
    done = run(ROWS, [Odometry(START_NS, np.zeros(3)), *SCANS])
    assert done.records == 5
    assert list(done.outputs["nearest"]["range_m"]) == [2.0, 3.0, 4.0, 5.0]
    assert list(done.outputs["nearest"]["stamp_ns"]) == [s.stamp_ns for s in SCANS]
    assert done.ends["nearest"]["count"] == 4
    assert set(done.columns()) == {
        "nearest/stamp_ns", "nearest/range_m", "nearest/T_map_base", "nearest/note",
        "nearest/end/count", "nearest/end/cells",
    }  # fmt: skip


def test_what_a_component_makes_goes_to_those_after_it_and_replaces_what_was_recorded():
    records = [
        SCANS[0],
        LidarBytes(START_NS + 5 * NS, b"\x07\x05"),
        SCANS[1],
        LidarBytes(START_NS + 9 * NS, b"\x03"),
    ]
    done = run(ROWS, records)
    # before the first bytes the recorded scan counts, afterwards only those made of bytes
    assert list(done.outputs["nearest"]["range_m"]) == [2.0, 7.0, 5.0, 3.0]


def columns(**changed) -> dict[str, np.ndarray]:
    found = run(ROWS, SCANS).columns()
    return found | {name.replace("__", "/"): value for name, value in changed.items()}


def difference(field, **changed):
    differences = {d.field: d for d in compare(ROWS, columns(), columns(**changed))}
    assert all(d.status == EQUAL for name, d in differences.items() if name != field)
    return differences[field]


def test_equal_runs_are_equal_in_every_field():
    assert {d.status for d in compare(ROWS, columns(), columns())} == {EQUAL}


def test_a_small_difference_is_within_tolerance_and_a_larger_one_is_named_with_its_time():
    ranges = columns()["nearest/range_m"]
    small = difference("nearest/range_m", nearest__range_m=ranges + np.array([0, 0, 0.005, 0]))
    assert (small.status, small.differing) == (WITHIN, 1)
    large = difference("nearest/range_m", nearest__range_m=ranges + np.array([0, 0, 0.5, 0.005]))
    assert (large.status, large.first_ns, large.differing) == (CHANGED, SCANS[2].stamp_ns, 2)
    assert large.largest == pytest.approx(0.5)
    assert "nearest/range_m: changed: 2 of 4 values differ, by 0.5 at most" in large.sentence()


def test_yaw_wraps_around():
    poses = columns()["nearest/T_map_base"]
    turned = poses * [1, 1, 0] + [0, 0, -np.pi]
    assert difference("nearest/T_map_base", nearest__T_map_base=turned).status == WITHIN
    turned = poses * [1, 1, 0] + [0, 0, -np.pi + 0.01]
    assert difference("nearest/T_map_base", nearest__T_map_base=turned).status == CHANGED


def test_a_share_of_the_cells_may_differ():
    cells = np.zeros((4, 5), np.int8)
    cells[0, :2] = 100
    assert difference("nearest/end/cells", nearest__end__cells=cells).status == WITHIN
    cells[0, :3] = 100
    assert difference("nearest/end/cells", nearest__end__cells=cells).status == CHANGED


def test_shape_text_and_missing_fields():
    shorter = difference("nearest/range_m", nearest__range_m=np.zeros(3))
    assert shorter.status == CHANGED and "(4,), was (3,)" in shorter.detail
    assert difference("nearest/note", nearest__note=np.array(["near", "far", "near", "near"])).status == CHANGED
    then = columns()
    del then["nearest/note"]
    missing = {d.field: d for d in compare(ROWS, columns(), then)}["nearest/note"]
    assert missing.status == CHANGED and missing.detail == "not in the reference"
    now = columns()
    del now["nearest/note"]
    assert {d.field: d for d in compare(ROWS, now, columns())}["nearest/note"].detail == "only in the reference"


def returns(*per_scan: list[float]) -> dict[str, np.ndarray]:
    scans = [scan(START_NS + i * NS, ranges_m=np.array([9.0, *r], np.float32)) for i, r in enumerate(per_scan)]
    return run((RETURNS,), scans).columns()


def test_several_things_of_one_record_are_a_row_each():
    found = returns([1.0, 2.0], [], [1.5])
    assert list(found["returns/range_m"]) == [1.0, 2.0, 1.5]
    assert list(found["returns/stamp_ns"]) == [START_NS, START_NS, START_NS + 2 * NS]
    assert set(found) == {"returns/stamp_ns", "returns/range_m"}


def test_moments_with_more_or_fewer_things_are_counted_and_the_others_compared():
    then = returns([1.0], [1.0, 2.0], [1.0], [2.0])
    some = {d.field: d for d in compare((RETURNS,), returns([1.0], [1.0], [1.0], [2.0]), then)}
    moments = some["returns/stamp_ns"]
    assert (moments.status, moments.differing, moments.first_ns) == (WITHIN, 1, START_NS + NS)
    assert "of 1 of 4 moments there are more or fewer, first at" in moments.sentence()
    assert some["returns/range_m"].status == EQUAL and some["returns/range_m"].values == 3
    many = {d.field: d for d in compare((RETURNS,), returns([1.0], [1.0], [], [2.5]), then)}
    assert many["returns/stamp_ns"].status == CHANGED
    assert (many["returns/range_m"].status, many["returns/range_m"].first_ns) == (CHANGED, START_NS + 3 * NS)


def test_infinity_and_not_a_number_are_equal_to_themselves_only():
    base = np.array([np.inf, np.nan, 1.0, -np.inf])
    same = compare(ROWS, columns(nearest__range_m=base), columns(nearest__range_m=base.copy()))
    assert {d.status for d in same} == {EQUAL}
    other = compare(
        ROWS, columns(nearest__range_m=base), columns(nearest__range_m=np.array([1.0, 2.0, np.nan, np.inf]))
    )
    found = {d.field: d for d in other}["nearest/range_m"]
    assert (found.status, found.differing, found.largest) == (CHANGED, 4, np.inf)


def test_a_reference_comes_back_as_it_was_saved_with_its_commit(tmp_path):
    save_reference(tmp_path / "a.npz", columns(), {"recording": "a"})
    reference = load_reference(tmp_path / "a.npz")
    assert {d.status for d in compare(ROWS, columns(), reference.columns)} == {EQUAL}
    assert reference.note["recording"] == "a" and reference.note["commit"] == "unknown"
    assert load_reference(tmp_path / "b.npz") is None


def test_a_damaged_reference_is_named(tmp_path):
    save_reference(tmp_path / "a.npz", columns(), {"recording": "a"})
    whole = (tmp_path / "a.npz").read_bytes()
    for content in (b"PK nonsense", b"", whole[:-30], whole[: len(whole) // 2]):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz is damaged: \S"):
            load_reference(tmp_path / "a.npz")


def test_choices_of_topics():
    assert parse_choices(["scan=/front", "odom=/wheels"]) == {"scan": "/front", "odom": "/wheels"}
    for wrong in ("scan", "lidar=/front", "scan="):
        with pytest.raises(InputError, match="write ROLE=TOPIC"):
            parse_choices([wrong])


def test_the_report_of_a_recording_that_cannot_be_read_has_nothing_empty_in_it():
    whole = Result("b.mcap", PASSED, digest="8f3a", scans=30, duration_s=3.0, cpu_s=0.1)
    refused = Result("a.mcap", FAILED, "a.mcap does not exist\n  → give a bag")
    assert text_report([whole, refused]).splitlines() == [
        "FAILED  a.mcap  (0 scans)",
        "    a.mcap does not exist",
        "      → give a bag",
        "PASSED  b.mcap  (30 scans, 30 × real time, 8f3a)",
    ]
