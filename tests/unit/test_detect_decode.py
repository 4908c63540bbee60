"""Each decoder against outputs written by hand for a box that is known."""

import numpy as np
import pytest
from detect_helpers import described

from nanorover.errors import InputError
from nanorover.perception.decode import make_decoder
from nanorover.perception.detector import Detector, Limits
from nanorover.perception.engines import Engine
from nanorover.perception.priors import grid_points, ssd_priors

# Input 96 × 64 at stride 16: 6 columns, 4 rows, after the 12 × 8 of stride 8 where a head has both. The object:
# label 2, box (20, 10)…(44, 50).
BOX = np.array([20.0, 10.0, 44.0, 50.0])
CENTRE = np.array([32.0, 30.0])
SIZE = np.array([24.0, 40.0])
COLUMN, ROW = 2, 1
CELL = ROW * 6 + COLUMN
FINER = 12 * 8


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def only(head: dict, outputs: list[np.ndarray]):
    """Box, score and label of the one object, which is found up to its score and not beyond."""
    decoder, outputs = make_decoder(described(head)), [o.astype(np.float32) for o in outputs]
    found = decoder.candidates(outputs, 0.5)
    assert len(found.scores) == 1
    counts = [len(decoder.candidates(outputs, found.scores[0] * part).scores) for part in (0.999, 1.001)]
    assert counts == [1, 0]
    return found.boxes_xyxy[0], found.scores[0], found.classes[0]


def test_yolox() -> None:
    output = np.zeros((1, FINER + 24, 8))
    output[0, FINER + CELL] = [
        CENTRE[0] / 16 - COLUMN,
        CENTRE[1] / 16 - ROW,
        *np.log(SIZE / 16),
        0.9,
        0.1,
        0.2,
        0.8,
    ]
    box, score, label = only({"kind": "yolox", "strides": [8, 16]}, [output])
    assert box == pytest.approx(BOX, abs=1e-4)
    assert score == pytest.approx(0.72)
    assert label == 2


def test_anchor_free() -> None:
    logits, distances = np.full((1, FINER + 24, 3), -9.0), np.zeros((1, FINER + 24, 4))
    point = (np.array([COLUMN, ROW]) + 0.5) * 16
    logits[0, FINER + CELL, 2] = logit(0.7)
    distances[0, FINER + CELL] = [*(point - BOX[:2]) / 16, *(BOX[2:] - point) / 16]
    box, score, label = only({"kind": "anchor_free", "strides": [8, 16]}, [logits, distances])
    assert box == pytest.approx(BOX, abs=1e-4)
    assert (round(float(score), 4), label) == (0.7, 2)


@pytest.mark.parametrize("form", ["sigmoid", "logits"])
def test_gfl_takes_the_mean_of_each_side_s_distribution(form: str) -> None:
    nothing = 0.01 if form == "sigmoid" else -9.0
    scores, sides = np.full((1, 24, 3), nothing), np.zeros((1, 24, 4, 8))
    point = (np.array([COLUMN, ROW]) + 0.5) * 16
    distances = np.array([*(point - BOX[:2]) / 16, *(BOX[2:] - point) / 16])
    sides[:] = -50.0
    for side, distance in enumerate(distances):
        low = int(distance)
        # A distribution over two neighbouring bins whose mean is the distance.
        for part, at in ((1 - (distance - low), low), (distance - low, low + 1)):
            sides[0, CELL, side, at] = np.log(max(part, 1e-20))
    scores[0, CELL, 2] = 0.8 if form == "sigmoid" else logit(0.8)
    head = {"kind": "gfl", "strides": [8, 16], "reg_max": 7, "scores": form}
    finer = np.full((1, FINER, 3), nothing), np.zeros((1, FINER, 32))
    box, score, label = only(head, [finer[0], scores, finer[1], sides.reshape(1, 24, 32)])
    assert box == pytest.approx(BOX, abs=1e-3)
    assert (round(float(score), 4), label) == (0.8, 2)


def test_fastestdet() -> None:
    output = np.zeros((1, 8, 4, 6))
    offset = CENTRE / 16 - (COLUMN, ROW)
    size = SIZE / (96, 64)
    output[0, :, ROW, COLUMN] = [0.9, *np.arctanh(offset - 1e-9), logit(size[0]), logit(size[1]), 0.1, 0.1, 0.8]
    box, score, label = only({"kind": "fastestdet", "strides": [16]}, [output])
    assert box == pytest.approx(BOX, abs=1e-3)
    assert score == pytest.approx(0.9**0.6 * 0.8**0.4, rel=1e-5)
    assert label == 2


@pytest.mark.parametrize(("objectness", "found"), [(0.32, 1), (0.31, 0)])
def test_fastestdet_takes_a_doubtful_object_of_a_sure_class(objectness: float, found: int) -> None:
    """0.32^0.6 is 0.505 and 0.31^0.6 is 0.495, about a threshold of 0.5."""
    output = np.zeros((1, 8, 4, 6), np.float32)
    output[0, [0, 7], ROW, COLUMN] = objectness, 1.0
    head = {"kind": "fastestdet", "strides": [16]}
    assert len(make_decoder(described(head)).candidates([output], 0.5).scores) == found


def test_yolov5_and_yolov8_exports() -> None:
    five, eight = np.zeros((1, 10, 8)), np.zeros((1, 7, 10))
    five[0, 4] = [*CENTRE, *SIZE, 0.9, 0.0, 0.1, 0.8]
    eight[0, :, 4] = [*CENTRE, *SIZE, 0.0, 0.1, 0.8]
    box, score, label = only({"kind": "yolov5", "predictions": 10}, [five])
    assert (list(box), round(float(score), 3), label) == (list(BOX), 0.72, 2)
    box, score, label = only({"kind": "yolov8", "predictions": 10}, [eight])
    assert (list(box), round(float(score), 3), label) == (list(BOX), 0.8, 2)


def test_ssd() -> None:
    head = {"kind": "ssd", "strides": [16], "sizes": [0.3, 0.6], "ratios": [2.0, 0.5]}
    priors = ssd_priors(96, 64, head)
    assert priors.shape == (24 * 4, 4)
    row = CELL * 4 + 1
    assert list(priors[row][:2]) == [(COLUMN + 0.5) * 16, (ROW + 0.5) * 16]
    assert priors[row][2:] == pytest.approx(np.sqrt(0.3 * 0.6) * np.array([96, 64]))
    assert priors[row + 1][2:] == pytest.approx(0.3 * np.array([96 * np.sqrt(2.0), 64 / np.sqrt(2.0)]))
    logits, deltas = np.zeros((1, 96, 4)), np.zeros((1, 96, 4))
    logits[..., 0] = 9.0
    logits[0, row] = [0.0, 0.0, 0.0, np.log(9 * 3)]  # softmax of label 2: 27 / 30
    deltas[0, row, :2] = (CENTRE - priors[row, :2]) / (0.1 * priors[row, 2:])
    deltas[0, row, 2:] = np.log(SIZE / priors[row, 2:]) / 0.2
    box, score, label = only(head, [logits, deltas])
    assert box == pytest.approx(BOX, abs=1e-3)
    assert (round(float(score), 4), label) == (0.9, 2)


@pytest.mark.parametrize(
    "head",
    [{"kind": "yolox", "strides": [16]}, {"kind": "ssd", "strides": [16], "sizes": [0.3, 0.6], "ratios": []}],
)
def test_a_size_beyond_all_bounds_does_not_overflow(head: dict) -> None:
    decoder = make_decoder(described(head))
    outputs = [np.full(shape, 1e4, np.float32) for shape in decoder.expected()]
    with np.errstate(over="raise"):
        found = decoder.candidates([np.minimum(outputs[0], 1e3), *outputs[1:]], 0.2)
    assert np.isfinite(found.boxes_xyxy).all()


def test_grid_points_go_level_by_level_and_row_by_row() -> None:
    points, strides = grid_points(96, 64, [16, 32], offset=0.5)
    assert len(points) == 6 * 4 + 3 * 2
    assert points[:3].tolist() == [[8, 8], [24, 8], [40, 8]]
    assert points[24].tolist() == [16, 16]
    assert (strides[23], strides[24]) == (16, 32)


def test_a_label_list_of_another_length_is_named() -> None:
    decoder = make_decoder(described({"kind": "yolox", "strides": [16]}, labels=20))
    with pytest.raises(InputError, match=r"20 labels returns outputs of shape 1×24×25, but .* returns 1×24×85"):
        decoder.check([np.zeros((1, 24, 85), np.float32)])


def test_outputs_that_are_no_numbers_are_said() -> None:
    decoder, output = make_decoder(described({"kind": "yolox", "strides": [16]})), np.zeros((1, 24, 8), np.float32)
    decoder.check([output])
    output[0, 7, 3] = np.nan
    with pytest.raises(InputError, match=r"(?s)made_up\.yaml: head: the network returns .*NaN.*may be damaged"):
        decoder.check([output])


@pytest.mark.parametrize(
    ("head", "named"),
    [
        ({"kind": "yolox"}, "'strides' is missing"),
        ({"kind": "yolox", "strides": [8, "x"]}, "'strides' is"),
        ({"kind": "gfl", "strides": [8], "scores": "sigmoid"}, "'reg_max' is missing"),
        ({"kind": "gfl", "strides": [8], "reg_max": 7, "scores": "maybe"}, "'scores' is 'maybe'"),
        ({"kind": "ssd", "strides": [16], "sizes": [0.2], "ratios": []}, "one entry more"),
        ({"kind": "ssd", "strides": [16], "sizes": [0.2, "big"], "ratios": []}, "'sizes' is"),
        ({"kind": "ssd", "strides": [16], "sizes": [0.2, 0.4], "ratios": [-1]}, "'ratios' is"),
        ({"kind": "yolov8"}, "'predictions' is missing"),
    ],
)
def test_a_head_that_lacks_something_is_named(head: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        make_decoder(described(head))


def test_boxes_wholly_beside_the_picture_are_none() -> None:
    class Written(Engine):
        def run(self, _: np.ndarray) -> list[np.ndarray]:
            output = np.zeros((1, 7, 4), np.float32)
            output[0, :, 0] = [48, 4, 20, 8, 0.9, 0, 0]  # in the padding above a wide picture
            output[0, :, 1] = [48, 32, 20, -8, 0.8, 0, 0]  # of negative height
            output[0, :, 2] = [48, 20, 20, 16, 0.7, 0, 0]  # half of it in the picture
            return [output]

    model = described({"kind": "yolov8", "predictions": 4}, resize="letterbox_centre")
    found = Detector(model, Written(), Limits(0.3, 0.5, 100, 100))(np.zeros((32, 96, 3), np.uint8))
    assert found.scores == pytest.approx([0.7])
    assert found.boxes_xyxy[0] == pytest.approx([38, 0, 58, 12])
