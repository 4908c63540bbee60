"""Pictures become exactly the numbers that the description asks for."""

import cv2
import numpy as np
import pytest
from detect_helpers import described

from nanorover.errors import InputError
from nanorover.perception.preprocess import Preprocessor, boxes_to_picture, place


def test_colour_order_mean_and_std_are_applied_per_channel() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[:] = (10, 20, 30)  # blue, green, red
    spec = described({}, colour="rgb", mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0)).input
    tensor, _ = Preprocessor(spec)(image)
    assert tensor.shape == (1, 3, 64, 96)
    assert tensor.dtype == np.float32
    expected = [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 8]
    assert tensor[0, :, 5, 7] == pytest.approx(expected)
    tensor, _ = Preprocessor(spec._replace(colour="bgr"))(image)
    assert tensor[0, :, 5, 7] == pytest.approx([(10 - 1) / 2, (20 - 2) / 4, (30 - 3) / 8])


@pytest.mark.parametrize(("mode", "top"), [("letterbox_top_left", 0), ("letterbox_centre", 20)])
def test_letterbox_keeps_the_aspect_and_pads(mode: str, top: int) -> None:
    image = np.full((50, 200, 3), 200, np.uint8)  # fits 96 × 64 as 96 × 24
    tensor, placement = Preprocessor(described({}, resize=mode, pad=7.0).input)(image)
    rows = tensor[0, 0, :, 48]
    assert (rows[top : top + 24] == 200).all()
    assert (np.delete(rows, np.arange(top, top + 24)) == 7).all()
    assert (placement.scale_x, placement.offset_y) == (0.48, top)


@pytest.mark.parametrize("mode", ["stretch", "letterbox_centre"])
def test_every_picture_is_resized_as_opencv_does(mode: str) -> None:
    preprocess = Preprocessor(described({}, resize=mode, pad=7.0).input)
    for number, (width, height) in enumerate(((640, 480), (96, 64), (33, 517), (641, 333), (640, 480))):
        image = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
        tensor, placement = preprocess(image)
        size = (int(width * placement.scale_x + 1e-6), int(height * placement.scale_y + 1e-6))
        left, top = int(placement.offset_x), int(placement.offset_y)
        part = tensor[0, :, top : top + size[1], left : left + size[0]]
        assert (part.transpose(1, 2, 0) == cv2.resize(image, size)).all()


def test_boxes_come_back_to_the_picture_and_end_at_its_edges() -> None:
    placement = place(described({}, resize="letterbox_centre").input, 200, 50)  # at scale 0.48, 20 rows down
    boxes = np.array([[24.0, 32.0, 48.0, 38.0], [-9.0, 8.0, 99.0, 60.0]])
    assert boxes_to_picture(boxes, placement) == pytest.approx(
        np.array([[50.0, 25.0, 100.0, 37.5], [0.0, 0.0, 200.0, 50.0]])
    )


def test_a_second_picture_of_another_shape_leaves_nothing_of_the_first() -> None:
    preprocess = Preprocessor(described({}, resize="letterbox_centre", pad=7.0).input)
    preprocess(np.full((100, 100, 3), 255, np.uint8))
    tensor, _ = preprocess(np.full((50, 200, 3), 10, np.uint8))
    assert set(np.unique(tensor)) == {7.0, 10.0}


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.uint16),
        np.zeros((10, 10, 3), np.float32),
    ],
)
def test_what_is_no_picture_is_refused_by_its_shape(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        Preprocessor(described({}).input)(image)
