"""Figures of a detector, against what comes out by hand."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from models_helpers import LABELS, write_blocks

torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")

from torch import nn

from nanorover.errors import InputError
from nanorover.perception.detector import Detections
from nanorover_models import export as exporting
from nanorover_models import model as models
from nanorover_models.blocks import Network, conv_bn
from nanorover_models.data import DataSet, Sample, load_data
from nanorover_models.evaluate import evaluate
from nanorover_models.measure import count
from nanorover_models.model import ModelSpec

RIGHT_UP_TO_HALF = 51 / 101  # precision 1 at the recalls 0, 0.01 … 0.5 of COCO's 101


@pytest.fixture
def picture(tmp_path: Path) -> Sample:
    """Two cats, a dog, and a crowd of cats; each larger than what COCO calls small."""
    written = load_data(write_blocks(tmp_path, 1, seed=1)).samples[0]
    boxes = np.array([[0, 0, 50, 40], [60, 0, 110, 40], [0, 50, 40, 90]], np.float32)
    crowd = np.array([[60, 50, 110, 95]], np.float32)
    return replace(
        written, boxes_xyxy=boxes, labels=np.array([1, 1, 2]), ignored_xyxy=crowd, ignored_labels=np.array([1])
    )


class Answers:
    """A detector that knows what to say of each picture, and how long it takes."""

    def __init__(self, labels: tuple[str, ...], *answers: Detections) -> None:
        self.description = SimpleNamespace(labels=labels, source="the answers")
        self.rest = iter(answers)

    def __call__(self, image: np.ndarray) -> Detections:
        return next(self.rest)


def said(boxes: list[list[float]], scores: list[float], classes: list[int], ms: float = 1.0) -> Detections:
    return Detections(np.array(boxes, float), np.array(scores), np.array(classes), {"inference": ms})


def test_average_precision_by_hand(picture: Sample) -> None:
    """One cat is met exactly, one by an overlap of 0.72, the dog not at all; somebody finds a cat in the crowd."""
    data = DataSet([picture], ("bird", "cat", "dog"))
    boxes = [[0, 0, 50, 40], [60, 0, 96, 40], [70, 60, 80, 90], [0, 50, 40, 90]]
    answers = Answers(("cow", "dog", "cat"), said(boxes, [0.9, 0.8, 0.95, 0.7], [2, 2, 2, 0]))
    figures = evaluate(answers, data)
    assert figures.ap50_by_class == {"cat": 1.0, "dog": 0.0}
    assert figures.ap50 == pytest.approx(1 / 2)
    assert figures.ap75 == pytest.approx(RIGHT_UP_TO_HALF / 2)
    assert figures.ap == pytest.approx((5 + 5 * RIGHT_UP_TO_HALF) / 10 / 2)  # right from 0.5 to 0.7, then half
    assert (figures.pictures, figures.boxes, figures.unknown_classes) == (1, 3, ("bird",))


def test_milliseconds_are_those_of_the_middle_picture(picture: Sample) -> None:
    answers = [said([[0, 0, 50, 40]], [0.9], [0], ms) for ms in (9.0, 2.0, 4.0)]
    figures = evaluate(Answers(("cat",), *answers), DataSet([picture] * 3, ("bird", "cat", "dog")))
    assert figures.ms == {"inference": 4.0}


def test_costs_by_hand() -> None:
    class Small(Network):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(conv_bn(3, 8, stride=2), conv_bn(8, 8, groups=8), conv_bn(8, 16, 1))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.body(image)

    mmacs, parameters = count(SimpleNamespace(input_width=64, input_height=32), Small())
    assert mmacs * 1e6 == pytest.approx(16 * 32 * (8 * 27 + 8 * 9 + 16 * 8))
    assert parameters == 8 * 27 + 8 * 9 + 16 * 8 + 8 + 8 + 16, "batch norms are folded into biases"


def test_an_export_that_is_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec("anchor_free", 0.25, 64, 64, LABELS)
    torch.manual_seed(0)
    one, other = models.build(spec), models.build(spec)
    assert exporting.export(spec, one, tmp_path / "one.onnx") < 1e-4
    assert exporting.parity(spec, exporting.folded(other), tmp_path / "one.onnx") > 0.01
    monkeypatch.setitem(exporting.TOLERANCE, "fp16", 1e-7)
    with pytest.raises(InputError, match="the fp16 export differs from torch"):
        exporting.export(spec, one, tmp_path / "half.onnx", "fp16")
    assert not (tmp_path / "half.onnx").exists()
