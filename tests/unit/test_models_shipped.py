"""The shipped detector on renders of worlds that it was never trained on: it must keep what its card says."""

import re
from pathlib import Path

import pytest
from models_helpers import MODELS

from nanorover.errors import InputError
from nanorover.perception.description import load_model
from nanorover.perception.detector import Detector
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine

pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")

from nanorover_models import model as models
from nanorover_models.data import load_data
from nanorover_models.evaluate import LIMITS, evaluate
from nanorover_models.export import TOLERANCE, parity
from nanorover_models.lint import lint
from nanorover_models.report import SILENT
from nanorover_models.synthetic import render

SEED, WORLDS, PICTURES_PER_WORLD = 9001, 2, 16  # the first worlds of the card's own pictures
CARD_ROW = re.compile(r"\| fp32 \| [\d.]+ \| ([\d.]+) \|")

# So few pictures spread by this much around the figure of all.
SPREAD = 0.1


def test_the_shipped_detector_keeps_its_figure(tmp_path: Path) -> None:
    row = CARD_ROW.search((MODELS / "weights/rover/rover.md").read_text())
    assert row
    try:
        data = load_data(render(tmp_path, SEED, WORLDS * PICTURES_PER_WORLD, SILENT))
    except InputError as error:
        pytest.skip(f"no pictures can be drawn on this machine: {error}")
    description = load_model("rover")
    for variant, onnx in description.files.items():
        with OnnxRuntimeEngine(onnx, variant, as_written=variant == "int8_gpu") as engine:
            figures = evaluate(Detector(description, engine, LIMITS), data)
        assert figures.ap50 > float(row[1]) - SPREAD, variant
        assert figures.ap50_by_class["person"] > 0.9, variant


def test_the_shipped_weights_and_files_are_the_same_network() -> None:
    description = load_model("rover")
    assert set(description.files) == {"fp32", "int8_gpu"}
    spec, network = models.load(MODELS / "weights/rover/rover.pt")
    assert spec.labels == description.labels
    assert parity(spec, network, description.files["fp32"]) < TOLERANCE["fp32"]
    assert lint(description.files["int8_gpu"]) == []
