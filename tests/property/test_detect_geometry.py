"""Boxes survive the way into the network's input and back, whatever the picture's shape."""

import numpy as np
import pytest
from detect_helpers import described
from hypothesis import given, settings
from hypothesis import strategies as st

from nanorover.perception.decode import make_decoder
from nanorover.perception.description import RESIZE_MODES
from nanorover.perception.preprocess import Preprocessor, boxes_to_picture, place

sizes = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


@given(size=sizes, mode=st.sampled_from(RESIZE_MODES))
def test_a_box_returns_to_where_it_was(size, mode) -> None:
    width, height = size
    placement = place(described({}, resize=mode).input, width, height)
    scale = np.array([placement.scale_x, placement.scale_y] * 2)
    offset = np.array([placement.offset_x, placement.offset_y] * 2)
    box = np.array([[0.1 * width, 0.2 * height, 0.8 * width, 0.9 * height]], np.float32)
    assert boxes_to_picture(box * scale + offset, placement) == pytest.approx(box, rel=1e-3, abs=1e-2)


@settings(max_examples=30)
@given(
    size=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    mode=st.sampled_from(RESIZE_MODES),
    place_in=st.tuples(st.floats(0.1, 0.5), st.floats(0.1, 0.5)),
)
def test_a_bright_patch_lies_where_the_placement_says(size, mode, place_in) -> None:
    """The picture itself is followed, not only the arithmetic: what is white in it is white there."""
    width, height = size
    left, top = int(place_in[0] * width), int(place_in[1] * height)
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + max(1, height // 3), left : left + max(1, width // 3)] = 255
    tensor, placement = Preprocessor(described({}, resize=mode).input)(image)
    ys, xs = np.nonzero(tensor[0, 0] > 127)
    if len(xs):
        seen = boxes_to_picture(np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]), placement)[0]
        true = [left, top, left + max(1, width // 3), top + max(1, height // 3)]
        tolerance = 1.5 + 1.0 / min(placement.scale_x, placement.scale_y)
        assert np.abs(seen - true).max() <= tolerance


HEADS = (
    {"kind": "yolox", "strides": [8, 16]},
    {"kind": "anchor_free", "strides": [8, 16]},
    {"kind": "gfl", "strides": [8, 16], "reg_max": 7, "scores": "sigmoid"},
    {"kind": "fastestdet", "strides": [16]},
    {"kind": "yolov5", "predictions": 10},
    {"kind": "yolov8", "predictions": 10},
    {"kind": "ssd", "strides": [16, 32], "sizes": [0.2, 0.5, 0.9], "ratios": [2.0, 0.5]},
)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), threshold=st.floats(0.05, 0.9))
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["kind"])
def test_whatever_a_network_returns_the_candidates_are_finite_and_above_the_threshold(
    head, seed, threshold
) -> None:
    decoder = make_decoder(described(head))
    rng = np.random.default_rng(seed)
    outputs = [rng.normal(0, 5, shape).astype(np.float32) for shape in decoder.expected()]
    if head["kind"] in ("yolox", "yolov5", "yolov8", "gfl"):  # these return probabilities
        outputs = [np.abs(np.tanh(output)) for output in outputs]
    if head["kind"] == "fastestdet":
        outputs[0] = np.abs(np.tanh(outputs[0]))
    outputs[0].flat[rng.integers(0, outputs[0].size)] = np.nan
    with np.errstate(invalid="ignore"):
        found = decoder.candidates(outputs, threshold)
    assert np.isfinite(found.boxes_xyxy).all()
    assert (found.scores > threshold).all()
    assert ((found.classes >= 0) & (found.classes < 3)).all()
