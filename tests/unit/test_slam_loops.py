"""What passes for a loop and what is refused, with walls known exactly."""

import math

import numpy as np
import pytest
from slam_rooms import rectangle, seen_from

from nanorover.geometry.se2 import between, compose
from nanorover.slam import loops
from nanorover.slam.branch_and_bound import Pyramid
from nanorover.slam.field import LIKELIHOOD_FULL, Field
from nanorover.slam.graph import Graph
from nanorover.slam.loops import EVERY_M, Find, LoopCloser
from nanorover.slam.params import slam_params

INFORMATION = np.diag([1e4, 1e4, 1e5])
DRIFT = np.array([0.5, -0.4, 0.05])
WAY_M = 100.0
# One side of a box in a corridor, which tells it from the next one, but hardly.
BOX = np.array([[1.0, y, -1.0, 0.0] for y in np.arange(-0.25, 0.25, 0.04)])


def corridor(niches_every_m: float = 0.0) -> np.ndarray:
    """Two walls 2 m apart and 60 m long; niches 0.3 m deep, as of doors, on both sides."""
    x = np.arange(-30.0, 30.0, 0.04)
    depth = np.zeros(len(x))
    if niches_every_m:
        depth[np.mod(x, niches_every_m) < 0.9] = 0.3
    sides = [
        np.column_stack([x, side * (1.0 + depth), np.zeros(len(x)), np.full(len(x), -side)])
        for side in (1.0, -1.0)
    ]
    if niches_every_m:
        for edge in np.flatnonzero(np.diff(depth)):
            y = np.arange(1.0, 1.3, 0.04)
            facing = np.full(len(y), 1.0 if depth[edge + 1] > depth[edge] else -1.0)
            for side in (1.0, -1.0):
                sides.append(np.column_stack([np.full(len(y), x[edge]), side * y, facing, np.zeros(len(y))]))
    return np.concatenate(sides)


def found(old_walls: np.ndarray, recent_walls: np.ndarray, recent_drift: np.ndarray = DRIFT):
    """A place mapped twice, the second time with drift: the find and what was counted."""
    graph = Graph()
    rounds = ((old_walls, 14.0, 0.0, np.zeros(3)), (recent_walls, 8.0, 0.1, recent_drift))
    for walls, reach_m, offset, drift in rounds:
        first = len(graph)
        for k in range(3):
            pose = np.array([0.4 * k + offset, 0.1, 0.3])
            near = walls[np.hypot(*(walls[:, :2] - pose[:2]).T) < reach_m]
            graph.add_keyframe(k, pose + drift, seen_from(near, pose).astype(np.float32), np.zeros(3))
        for k in range(first, first + 2):
            graph.add_edge(k, k + 1, INFORMATION)
    closer = LoopCloser(graph, slam_params())
    search = closer._find(1, 4, WAY_M)
    try:
        while True:
            next(search)
    except StopIteration as done:
        return done.value, closer.counts


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_no_place_is_better_than_the_one_found_even_at_the_edge_of_the_field(side):
    """Against every place, one by one: the walls lie in a corner of the field, the search reaches beyond it."""
    field, rng = Field(12.0, 0.05), np.random.default_rng(0)
    pyramid = Pyramid(field)
    for _ in range(20):
        field.clear(np.zeros(2))
        walls = np.zeros((60, 4), np.float32)
        walls[:, :2] = side * (6.0 - rng.uniform(0.5, 2.0, (60, 2)))
        field.add_surfaces(walls)
        pyramid.draw()
        centre = np.array([side * 1.2, side * 1.2, 0.0])
        points = walls[:, :2] - side * np.array([0.35, 0.25])
        cells = np.floor((centre[:2] + points - field.arrays.frame[:2]) * 10.0).astype(int)
        likelihood = np.pad(field.arrays.likelihood.reshape(120, 2, 120, 2).max(axis=(1, 3)).astype(int), 50)
        offsets = range(-20, 21)
        sums = [likelihood[cells[:, 1] + y + 50, cells[:, 0] + x + 50].sum() for y in offsets for x in offsets]
        found = pyramid.search(points.astype(float), centre, 2.0, 0.0)
        assert found.complete and found.likelihood == pytest.approx(max(sums) / 60 / LIKELIHOOD_FULL)


def test_a_place_is_recognised_and_the_drift_taken_out():
    room = rectangle(7.0, 5.0)
    find, _ = found(room, room)
    truth = between(np.array([0.4, 0.1, 0.3]), np.array([0.5, 0.1, 0.3]))
    assert find is not None
    off = between(truth, find.T_old_recent)
    assert math.hypot(off[0], off[1]) < 0.01
    assert abs(off[2]) < 0.003


@pytest.mark.parametrize("niches_every_m", [0.0, 2.5], ids=["smooth walls", "doors all alike"])
def test_a_corridor_says_how_it_lies_and_nothing_along_it(niches_every_m):
    walls = corridor(niches_every_m)
    find, _ = found(walls, walls)
    assert find is not None
    along = np.array([math.cos(0.3), -math.sin(0.3)])  # seen from the old keyframe
    assert abs(find.free @ along) == pytest.approx(1.0, abs=1e-3)
    assert along @ find.information[:2, :2] @ along < 1.0
    off = between(np.array([0.4, 0.1, 0.3]), np.array([0.5, 0.1, 0.3])) - find.T_old_recent
    assert abs(off[0] * along[1] - off[1] * along[0]) < 0.01
    assert abs(off[2]) < 0.003


def test_a_corridor_is_not_taken_for_the_next_one():
    find, counts = found(corridor(), corridor(), np.array([0.5, -1.5, 0.05]))
    assert find is None
    assert counts["loops refused: sliding along walls"] == 1


@pytest.mark.parametrize(
    ("old", "recent", "why", "switched_off"),
    [
        (
            np.concatenate([corridor(), BOX, corridor() + np.array([0.0, 3.0, 0.0, 0.0])]),
            np.concatenate([corridor(), BOX]),
            "ambiguous",
            {"MOST_AMBIGUOUS": 2.0},
        ),
        (
            rectangle(7.0, 5.0),
            np.concatenate([rectangle(7.0, 5.0), rectangle(1.5, 1.0)]),
            "contradicted",
            {"MOST_CONTRADICTED": 1.0, "LEAST_EXPLAINED": 0.3},
        ),
        (
            np.concatenate([rectangle(7.0, 5.0), rectangle(1.5, 1.0)]),
            rectangle(7.0, 5.0),
            "contradicted the other way round",
            {"MOST_CONTRADICTED": 1.0},
        ),
    ],
)
def test_what_only_looks_alike_is_refused_by_its_own_check(monkeypatch, old, recent, why, switched_off):
    find, counts = found(old, recent)
    assert find is None
    assert counts[f"loops refused: {why}"] == 1
    for name, value in switched_off.items():
        monkeypatch.setattr(loops, name, value)
    find, _ = found(old, recent)
    assert find is not None


def closing(off_m: float, odometry_information: np.ndarray = INFORMATION) -> tuple[LoopCloser, list[Find]]:
    """Ten keyframes a metre apart, and two finds that see the last one ``off_m`` beside its place."""
    graph = Graph()
    for k in range(10):
        graph.add_keyframe(k, np.array([k, 0.0, 0.0]), np.zeros((0, 4), np.float32), np.zeros(3))
        if k > 0:
            graph.add_edge(k - 1, k, odometry_information)
    finds = [
        Find(old, 9, np.array([9.0 - old, off_m, 0.0]), INFORMATION, np.zeros(2), EVERY_M * old) for old in (0, 1)
    ]
    return LoopCloser(graph, slam_params()), finds


def test_finds_agree_only_when_they_were_made_a_way_apart():
    """The same view twice says the same twice, be it right or wrong."""
    closer, (first, second) = closing(0.3)
    assert closer._agree(first, second)
    at_once = Find(**{**vars(second), "travelled_m": first.travelled_m + 0.9 * EVERY_M})
    assert not closer._agree(first, at_once)


def test_a_closed_loop_takes_along_what_was_mapped_while_it_was_computed():
    closer, finds = closing(0.3)
    graph, T_last_new = closer.graph, np.array([0.5, 0.1, 0.4])
    work = closer._close(finds)
    next(work)
    graph.add_keyframe(10, compose(graph.poses[9], T_last_new), np.zeros((0, 4), np.float32), np.zeros(3))
    for _ in work:
        pass
    assert closer.counts["loops closed"] == 1
    assert graph.poses[9] == pytest.approx([9.0, 0.3, 0.0], abs=0.05)
    assert between(graph.poses[9], graph.poses[10]) == pytest.approx(T_last_new)


@pytest.mark.parametrize(("off_m", "is_closed"), [(2.0, True), (5.0, False)])
def test_a_loop_that_strains_what_was_measured_is_undone(off_m, is_closed):
    """The way is known to 0.05 m and 0.9 degrees a metre: five metres off is too much for that."""
    closer, finds = closing(off_m, INFORMATION / 25.0)
    before = closer.graph.poses.copy()
    for _ in closer._close(finds):
        pass
    assert closer.counts["loops closed"] == is_closed
    assert closer.counts["loops refused: strained the graph"] == (not is_closed)
    assert any(edge.loop for edge in closer.graph.edges) == is_closed
    expected = [9.0, off_m, 0.0] if is_closed else before[9]
    assert closer.graph.poses[9] == pytest.approx(expected, abs=0.01)
