"""Suppression against the textbook's loop, over all kinds of boxes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nanorover.perception.nms import suppress, top_k

# No overlap of boxes with whole-numbered corners is exactly one of these, where rounding would decide.
LIMITS = [0.1**0.5, 0.2**0.5, 0.37**0.5]


def textbook(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, limit: float) -> list[int]:
    """Greedy suppression, one class at a time, one pair at a time."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        for k in kept:
            if classes[i] == classes[k] and iou(boxes[i], boxes[k]) > limit:
                break
        else:
            kept.append(int(i))
    return kept


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union


@st.composite
def crowds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Up to 300 boxes with whole-numbered corners, crowded or scattered, in up to 4 classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, spread = draw(st.integers(1, 300)), draw(st.sampled_from([20, 100, 1000]))
    low = rng.integers(-spread, spread, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(1, 60, (count, 2))], axis=1)
    return boxes, rng.permutation(count) / count, rng.integers(0, draw(st.integers(1, 4)), count)


@given(crowd=crowds(), limit=st.sampled_from(LIMITS))
def test_the_same_boxes_stay_as_in_the_textbook(crowd, limit) -> None:
    boxes, scores, classes = crowd
    assert list(suppress(boxes, scores, classes, limit, most=1000)) == textbook(boxes, scores, classes, limit)


@given(crowd=crowds(), most=st.integers(1, 20))
def test_a_limit_on_the_number_keeps_the_best(crowd, most) -> None:
    boxes, scores, classes = crowd
    assert (
        list(suppress(boxes, scores, classes, LIMITS[1], most))
        == textbook(boxes, scores, classes, LIMITS[1])[:most]
    )


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 200), k=st.integers(1, 40))
def test_top_k_gives_the_highest_in_order(seed, count, k) -> None:
    values = np.random.default_rng(seed).choice(np.array([0.1, 0.2, 0.3, 0.5], np.float32), count)
    chosen = top_k(values, k)
    assert list(values[chosen]) == sorted(values, reverse=True)[:k]
    assert list(chosen) == sorted(set(chosen), key=lambda i: (-values[i], i))


def test_no_boxes_give_no_boxes() -> None:
    assert len(suppress(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), 0.5, 10)) == 0
