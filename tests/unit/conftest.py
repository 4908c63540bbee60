"""What unit tests share: a network small enough to write by hand."""

from pathlib import Path

import pytest
import yaml


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description of a YOLOX-like network of 96 × 64 with three labels; its file need not exist."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
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


@pytest.fixture(scope="session")
def tiny_onnx(tiny_yaml: Path) -> Path:
    """The network itself: pools its picture and says 24 predictions of 8 values."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: scripts/requirements/train.txt")
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node
    shape = numpy_helper.from_array(np.array([1, 24, 1]), "shape")
    ones = numpy_helper.from_array(np.full((1, 24, 8), 1 / 255, np.float32), "ones")
    graph = helper.make_graph(
        [
            node("AveragePool", ["image"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
            node("ReduceMean", ["pooled"], ["grey"], axes=[1], keepdims=1),
            node("Reshape", ["grey", "shape"], ["column"]),
            node("Mul", ["column", "ones"], ["output"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 24, 8])],
        [shape, ones],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    path = tiny_yaml.with_suffix(".onnx")
    onnx.save(model, str(path))
    return path
