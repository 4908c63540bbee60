"""Models for tests of the detector: a description alone, and a network small enough to write by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nanorover.perception.description import InputSpec, ModelDescription


def described(head: dict[str, Any], labels: int = 3, **input_changes: Any) -> ModelDescription:
    """A model with a head and made-up labels; input 96 × 64, unless changed."""
    spec = InputSpec(96, 64, "bgr", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "stretch", 0.0)._replace(**input_changes)
    names = tuple(f"label{i}" for i in range(labels))
    return ModelDescription("made_up", Path("made_up.yaml"), {}, spec, head, names, "")


def write_tiny_yaml(folder: Path) -> Path:
    """The description of a YOLOX-like network of 96 × 64 with three labels."""
    path = folder / "tiny.yaml"
    document = {
        "name": "tiny",
        "files": {"fp32": "tiny.onnx"},
        "input": {
            "width": 96,
            "height": 64,
            "colour": "bgr",
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
            "resize": "stretch",
        },
        "head": {"kind": "yolox", "strides": [16]},
        "labels": ["label0", "label1", "label2"],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def write_tiny_onnx(folder: Path) -> Path:
    """The network: each of the 24 cells of 16 × 16 pixels says its mean grey, 0…1, as all of its 8 values.

    So a white cell is an object of label 0 with score 1, centre (column + 1, row + 1) · 16, and e · 16 pixels
    wide and high; a black cell is none.
    """
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: scripts/requirements/train.txt")
    helper, node = onnx.helper, onnx.helper.make_node
    shape = onnx.numpy_helper.from_array(np.array([1, 24, 1]), "shape")
    ones = onnx.numpy_helper.from_array(np.full((1, 24, 8), 1 / 255, np.float32), "ones")
    graph = helper.make_graph(
        [
            node("AveragePool", ["image"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
            node("ReduceMean", ["pooled"], ["grey"], axes=[1], keepdims=1),
            node("Reshape", ["grey", "shape"], ["column"]),
            node("Mul", ["column", "ones"], ["output"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1, 24, 8])],
        [shape, ones],
    )
    path = folder / "tiny.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.save(model, str(path))
    return path
