"""Detections, tracks and plans against truth, where the answer follows from the construction."""

import numpy as np
import pytest

from nanorover.replay.records import CameraInfo, TrueBoxes, TrueMap, TrueObjects
from nanorover.replay.truth_objects import detection_figures, track_figures, way_clearance_m

NS = 1_000_000_000
NO_MOTION = np.zeros(3)
K = np.array([[200.0, 0.0, 159.5], [0.0, 200.0, 119.5], [0.0, 0.0, 1.0]])
CAMERA = CameraInfo(0, 320, 240, K, np.zeros(5))
# 8 m × 6 m, a wall along x = 4 with a gap from y = 4 on.
CELLS = np.zeros((120, 160), np.int8)
CELLS[:80, 80] = 100
WORLD = TrueMap(0, CELLS, 0.05)


def boxes(stamp_ns: int, *things: tuple[str, tuple[float, ...], bool]) -> TrueBoxes:
    """Things with their boxes in pixels."""
    px = np.array([box for _, box, _ in things], float).reshape(-1, 4)
    boxes_m = (px - 0.5 - np.array([159.5, 119.5] * 2)) / 200.0
    return TrueBoxes(stamp_ns, tuple(kind for kind, _, _ in things), boxes_m, np.array([f for *_, f in things]))


def said(*detections: tuple[int, str, float, tuple[float, ...]]) -> dict[str, np.ndarray]:
    stamps_ns, names, scores, corners = zip(*detections, strict=True)
    return {
        "stamp_ns": np.array(stamps_ns), "class_id": np.array(names), "score": np.array(scores),
        "box_px": np.array(corners, np.float32),
    }  # fmt: skip


def test_a_detection_is_right_by_class_and_overlap_and_once_per_thing():
    truth = [
        boxes(1, ("person", (10, 20, 50, 120), True), ("chair", (100, 100, 140, 160), True)),
        boxes(2, ("person", (10, 20, 50, 120), True)),
    ]
    exact = said((1, "person", 0.9, (10, 20, 50, 120)), (1, "chair", 0.8, (100, 100, 140, 160)))
    found = detection_figures(exact, truth, CAMERA)
    assert found.detections_found == pytest.approx(2 / 3) and found.detections_right == 1.0
    poor = said(
        (1, "person", 0.9, (10, 20, 50, 120)),
        (1, "person", 0.7, (11, 20, 50, 120)),  # the same person again
        (1, "cat", 0.8, (100, 100, 140, 160)),  # another class
        (2, "person", 0.8, (60, 20, 100, 120)),  # beside it
    )
    found = detection_figures(poor, truth, CAMERA)
    assert found.detections_found == pytest.approx(1 / 3) and found.detections_right == pytest.approx(1 / 4)


def test_what_hardly_shows_counts_neither_way():
    truth = [boxes(1, ("person", (10, 20, 50, 120), True), ("cat", (200, 200, 206, 206), False))]
    both = said((1, "person", 0.9, (10, 20, 50, 120)), (1, "cat", 0.8, (200, 200, 206, 206)))
    person = said((1, "person", 0.9, (10, 20, 50, 120)))
    for found in (detection_figures(both, truth, CAMERA), detection_figures(person, truth, CAMERA)):
        assert (found.detections_found, found.detections_right) == (1.0, 1.0)
    assert detection_figures(person, [], CAMERA) is None


def walking() -> list[TrueObjects]:
    """A chair that stands at (1, 5), and a person who goes along y = 2 from x = 2 at 0.5 m/s for 10 s."""
    first = TrueObjects(
        0,
        ("chair 0", "person w0"),
        ("chair", "person"),
        np.array([[1.0, 5.0, 0.0], [2.0, 2.0, 0.0]]),
        np.ones((2, 3)),
    )
    last = TrueObjects(10 * NS, ("person w0",), ("person",), np.array([[7.0, 2.0, 0.0]]), np.ones((1, 3)))
    return [first, last]


def tracks(*rows: tuple[int, float, float]) -> dict[str, np.ndarray]:
    table = np.array(rows, float)
    states = np.column_stack([table[:, 1:], np.zeros((len(table), 2))])
    return {"stamp_ns": table[:, 0].astype(np.int64), "state": states}


def test_a_track_is_judged_by_the_walker_at_its_time():
    scans_ns = np.array([0, 2 * NS, 8 * NS])
    eyes = np.array([[1.5, 2.0, 0.0]] * 3)
    # 0 s at (2, 2), 2 s at (3, 2), 8 s at (6, 2) behind the wall
    found = track_figures(
        tracks((0, 2.0, 2.1), (2 * NS, 3.3, 2.0), (2 * NS, 1.0, 5.1), (8 * NS, 2.0, 4.0)),
        scans_ns, eyes, walking(), WORLD, NO_MOTION,
    )  # fmt: skip
    assert found.tracks_rmse_m == pytest.approx(np.sqrt((0.1**2 + 0.3**2) / 2))
    assert found.walkers_tracked == 1.0, "twice near and open, twice tracked; then behind the wall and far"
    assert found.tracks_of_nothing == pytest.approx(1 / 4), "the one on the chair is of something"


def test_a_near_walker_without_a_track_is_missed_but_not_one_behind_a_wall():
    scans_ns, behind = np.array([0, 2 * NS]), np.array([[4.5, 2.0, 0.0]] * 2)
    for eyes, tracked in ((np.array([[1.5, 2.0, 0.0]] * 2), 0.0), (behind, 1.0)):
        found = track_figures(tracks((0, 6.0, 5.0)), scans_ns, eyes, walking(), WORLD, NO_MOTION)
        assert found.walkers_tracked == tracked and found.tracks_rmse_m is None
    assert track_figures(tracks((0, 6.0, 5.0)), scans_ns, behind, walking()[:0], WORLD, NO_MOTION) is None


def test_the_clearance_of_plans_is_that_of_their_nearest_point_in_the_frame_of_the_truth():
    ways_m = np.full((2, 4, 2), np.nan, np.float32)
    ways_m[0] = [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [3.5, 1.0]]
    assert way_clearance_m(ways_m, WORLD, NO_MOTION) == pytest.approx(0.5, abs=0.06)
    assert way_clearance_m(ways_m, WORLD, np.array([0.3, 0.0, 0.0])) == pytest.approx(0.2, abs=0.06)
    assert way_clearance_m(ways_m[1:], WORLD, NO_MOTION) is None
