"""How engines are compared: boxes against boxes, and what a machine does not have."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from nanorover.cli.bench import register
from nanorover.perception.benchmark import agreement, iou_matrix
from nanorover.perception.detector import Detections
from nanorover.perception.images import write_image


def found(*boxes: tuple[float, float, float, float, float, int]) -> Detections:
    rows = np.array(boxes, float).reshape(-1, 6)
    return Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(int), {})


def test_overlap_of_boxes() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 1, 1]], float)
    b = np.array([[1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 2, 2]], float)
    assert iou_matrix(a, b) == pytest.approx(np.array([[2 / 6, 0, 1], [0, 0, 0.25]]))


def test_boxes_agree_by_class_and_overlap_and_each_counts_once() -> None:
    reference = [
        found((0, 0, 10, 10, 0.9, 0), (20, 0, 30, 10, 0.8, 1), (40, 0, 50, 10, 0.7, 0)),
        found(),
        found((0, 0, 4, 4, 0.9, 0), (0, 0, 4, 5, 0.5, 0)),
    ]
    others = [
        # moved by a tenth, of another class, gone
        found((1, 0, 11, 10, 0.85, 0), (20, 0, 30, 10, 0.8, 0)),
        found((0, 0, 1, 1, 0.6, 0)),
        # one box cannot stand for two
        found((0, 0, 4, 4, 0.8, 0)),
    ]
    result = agreement(reference, others)
    assert (result.same, result.missed, result.more) == (2, 3, 2)
    assert result.least_iou == pytest.approx(9 / 11)
    assert result.score_off == pytest.approx(0.1)
    exact = agreement(reference, reference)
    assert (exact.same, exact.missed, exact.more, exact.least_iou, exact.score_off) == (5, 0, 0, 1.0, 0.0)


def test_every_engine_is_measured_or_says_why_not(tmp_path: Path) -> None:
    write_image(tmp_path / "p.png", np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "p.png").read_bytes()[:99])
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    done = CliRunner().invoke(app, ["bench", "detect", str(tmp_path), "--runs", "10", "--json"])
    assert done.exit_code == 0, done.output
    rows = {(row["engine"], row["precision"]): row for row in json.loads(done.stdout)["engines"]}
    assert len(rows) == 5
    cpu = rows["onnxruntime", "fp32"]
    assert 0 < cpu["inference_ms_p50"] <= cpu["picture_ms_p50"]
    assert rows["onnxruntime", "int8"]["refused"] == "the model has no file 'int8_cpu'"
    assert "cut.png" in done.stderr
