"""INT8 files: what they are calibrated on, and what in them is rounded."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from models_helpers import LABELS

torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")

from nanorover.errors import InputError
from nanorover_models import model as models
from nanorover_models.data import DataSet, Sample
from nanorover_models.export import BOXES, SCORES, export
from nanorover_models.lint import load_onnx
from nanorover_models.model import ModelSpec
from nanorover_models.quantize import calibration_tensors, quantize_file
from nanorover_models.report import SILENT

SPEC = ModelSpec("anchor_free", 0.25, 64, 64, LABELS)
GREYS = (30, 60, 90, 120, 150, 180, 210)


def test_calibration_looks_at_pictures_from_the_first_to_the_last(tmp_path: Path) -> None:
    samples = []
    for grey in GREYS:
        cv2.imwrite(str(tmp_path / f"{grey}.png"), np.full((40, 40, 3), grey, np.uint8))
        samples.append(Sample(tmp_path / f"{grey}.png", np.zeros((0, 4), np.float32), np.zeros(0, np.int64)))
    network = models.build(SPEC)
    for most, wanted in ((3, (30, 120, 210)), (99, GREYS)):
        tensors = calibration_tensors(SPEC, network, DataSet(samples, LABELS), most, SILENT)
        assert [t.shape for t in tensors] == [(1, 3, 64, 64)] * len(wanted)
        assert [float(t.mean()) for t in tensors] == pytest.approx([(g - 127.5) / 127.5 for g in wanted], abs=1e-6)


class File:
    """What a quantized ONNX file says of its convolutions."""

    def __init__(self, path: Path) -> None:
        graph = load_onnx(path).graph
        self.made_by = {name: node for node in graph.node for name in node.output}
        self.values = {v.name: v for v in graph.initializer}
        self.convolutions = [node for node in graph.node if node.op_type == "Conv"]

    def array(self, name: str) -> np.ndarray:
        import onnx

        return onnx.numpy_helper.to_array(self.values[name])

    def step(self, convolution: Any) -> Any:
        """What gives a convolution its weights back; None where they are not rounded."""
        return self.made_by.get(convolution.input[1])

    def predicting(self, *outputs: str) -> list[Any]:
        """The last convolutions before the outputs."""
        waiting, found = list(outputs), {}
        while waiting:
            node = self.made_by.get(waiting.pop())
            if node is not None and node.op_type == "Conv":
                found[node.name] = node
            elif node is not None:
                waiting.extend(node.input)
        return list(found.values())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, File]:
    """Both INT8 files of one network, calibrated on a faint picture and a strong one."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    export(SPEC, models.build(SPEC).eval(), folder / "plain.onnx")
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)
    picture[0, 0, 0, 0] = 1.0
    for target in ("cpu", "gpu"):
        quantize_file(folder / "plain.onnx", folder / f"{target}.onnx", target, [0.1 * picture, 0.8 * picture])
    with pytest.raises(InputError, match="no calibration pictures"):
        quantize_file(folder / "plain.onnx", folder / "none.onnx", "gpu", [])
    return {target: File(folder / f"{target}.onnx") for target in ("cpu", "gpu")}


def test_the_range_of_activations_is_that_of_every_calibration_picture(files: dict[str, File]) -> None:
    gpu = files["gpu"]
    reads = next(node for node in gpu.made_by.values() if "image" in node.input)
    assert reads.op_type == "QuantizeLinear"
    assert gpu.array(reads.input[1]) == pytest.approx(0.8 / 127, rel=0.01)
    assert gpu.array(reads.input[2]) == 0


def test_what_predicts_stays_in_floating_point(files: dict[str, File]) -> None:
    gpu, cpu = files["gpu"], files["cpu"]
    plain = {node.name for node in gpu.convolutions if gpu.step(node) is None}
    assert plain == {node.name for node in gpu.predicting(SCORES, BOXES)}
    assert len(plain) < len(gpu.convolutions) / 2
    of_boxes = {node.name for node in cpu.predicting(BOXES)}
    first = next(node.name for node in cpu.convolutions if "image" in node.input)
    assert {node.name for node in cpu.convolutions if cpu.step(node) is None} == {first, *of_boxes}


def test_weights_are_rounded_by_channel_and_as_their_engine_takes_them(files: dict[str, File]) -> None:
    for target, file in files.items():
        for convolution in file.convolutions:
            back = file.step(convolution)
            if back is None:
                continue
            assert back.op_type == "DequantizeLinear"
            scales = file.array(back.input[1])
            assert scales.size > 1, "one scale for each channel"
            if target == "gpu":  # TensorRT rounds them itself: its parser wants the weights and both steps
                assert file.made_by[back.input[0]].op_type == "QuantizeLinear"
            else:  # seven bits: the sum of two products must fit 16
                assert 32 < np.abs(file.array(back.input[0]).astype(int)).max() <= 64
