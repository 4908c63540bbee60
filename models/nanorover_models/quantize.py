"""INT8: after training with calibration pictures, or with further training that feels the rounding.

Two files, because engines differ: unsigned asymmetric activations for CPUs, signed symmetric for TensorRT.
The layers that predict stay in floating point for TensorRT, and for CPUs those that predict boxes: boxes live from
their last bits, scores hardly do. For CPUs so do the first layers, which are quicker that way.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.perception.preprocess import Preprocessor
from nanorover_models.blocks import Network
from nanorover_models.data import DataSet
from nanorover_models.export import BOXES, SCORES, folded, write_onnx
from nanorover_models.lint import load_onnx, require_clean
from nanorover_models.model import ModelSpec, describe
from nanorover_models.report import SILENT, Reporter

TARGETS = ("cpu", "gpu")

# From so many products per output on, a CPU's integer kernels are quicker than those in floating point.
LONG_SUM = 32


def calibration_tensors(
    spec: ModelSpec, model: Network, data: DataSet, most: int, report: Reporter
) -> list[np.ndarray]:
    """Network inputs ``(1, 3, h, w)`` of ``most`` pictures, spread evenly over the data.

    Raises InputError where a picture cannot be read.
    """
    rows = np.unique(np.linspace(0, len(data) - 1, min(most, len(data))).astype(int))
    preprocess = Preprocessor(describe(spec, model, Path("calibration"), {}).input)
    return [preprocess(data.samples[i].image())[0].copy() for i in report.each("reading", rows)]


def quantize_file(
    onnx: Path, out: Path, target: str, tensors: list[np.ndarray], report: Reporter = SILENT
) -> None:
    """Post-training quantization of an FP32 ONNX file by ONNX Runtime's tools.

    ``target`` "cpu" gives unsigned asymmetric activations, "gpu" what TensorRT takes, checked by the
    lint. Raises InputError for another target, without calibration tensors, and for what the lint finds.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    if target not in TARGETS:
        raise InputError(f"there is no target '{target}'", "one of: " + ", ".join(TARGETS))
    if not tensors:
        raise InputError("there are no calibration pictures", "give some with --data")

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = report.each(f"calibration for {target}", tensors)

        def get_next(self) -> dict[str, np.ndarray] | None:
            tensor = next(self.rest, None)
            return None if tensor is None else {"image": tensor}

    graph = load_onnx(onnx)
    gpu = target == "gpu"
    plain = (
        _predicting_nodes(graph, SCORES, BOXES)
        if gpu
        else [*_first_nodes(graph), *_predicting_nodes(graph, BOXES)]
    )
    extra = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False} if gpu else {}
    if gpu:
        extra |= {"DedicatedQDQPair": True, "AddQDQPairToWeight": True}
    with replacing(out) as temporary, _quiet():
        quantize_static(
            str(onnx),
            str(temporary),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"] if gpu else None,
            nodes_to_exclude=plain,
            per_channel=True,
            # Seven bits of weight on CPUs: without VNNI their products would overflow 16 bits and be cut off.
            reduce_range=not gpu,
            activation_type=QuantType.QInt8 if gpu else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=extra,
        )
        if gpu:
            require_clean(temporary)


def _predicting_nodes(graph: Any, *outputs: str) -> list[str]:
    """Everything from the predicting convolutions to ``outputs``: what is reached before another convolution."""
    makers = {output: node for node in graph.graph.node for output in node.output}
    waiting = list(outputs)
    reached: dict[str, None] = {}
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in reached:
            continue
        reached[node.name] = None
        if node.op_type != "Conv":
            waiting.extend(node.input)
    return list(reached)


def _first_nodes(graph: Any) -> list[str]:
    """The convolutions that read the picture, up to the first whose sums are long enough for integer kernels."""
    products = {weights.name: int(np.prod(weights.dims[1:])) for weights in graph.graph.initializer}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    return [node.name for node in takewhile(lambda node: products[node.input[1]] < LONG_SUM, convolutions)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that onnxruntime's tools log."""
    import logging

    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)


def modelopt() -> Any:
    """NVIDIA's quantization for torch. Raises InputError where it is not installed."""
    try:
        import modelopt.torch.quantization as mtq
    except ImportError as error:
        raise InputError(
            "nvidia-modelopt is not installed", "pip install --no-deps -r models/requirements-qat.txt"
        ) from error
    return mtq


def aware(model: Network, tensors: list[np.ndarray], report: Reporter) -> Network:
    """A copy that rounds weights and activations to INT8 as TensorRT will, to be trained further (modelopt).

    Batch norms are folded first, so that what is trained is what is deployed. Raises InputError without modelopt.
    """
    mtq = modelopt()
    plain = folded(model)
    for parameter in plain.parameters():
        parameter.requires_grad_(True)
    predicting = {id(layer) for layer in plain.prediction_layers()}
    names = [name for name, layer in plain.named_modules() if id(layer) in predicting]

    def forward(network: Network) -> None:
        with torch.inference_mode():
            for tensor in report.each("calibration for training", tensors):
                network(torch.from_numpy(tensor))

    config = {
        "quant_cfg": [
            {"quantizer_name": "*", "enable": False},
            {"quantizer_name": "*weight_quantizer", "cfg": {"num_bits": 8, "axis": 0}, "enable": True},
            {"quantizer_name": "*input_quantizer", "cfg": {"num_bits": 8, "axis": None}, "enable": True},
            *({"quantizer_name": f"{name}.*", "enable": False} for name in names),
        ],
        "algorithm": "max",
    }
    network: Network = mtq.quantize(plain, config, forward)
    return network


def write_aware(
    spec: ModelSpec, network: Network, gpu: Path, cpu: Path, tensors: list[np.ndarray], report: Reporter
) -> None:
    """Both INT8 files of a network after quantization-aware training."""
    mtq = modelopt()
    with replacing(gpu) as temporary:
        write_onnx(spec, network.cpu(), temporary)
        require_clean(temporary)
    mtq.disable_quantizer(network, "*")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        write_onnx(spec, network, plain)
        quantize_file(plain, cpu, "cpu", tensors, report)
    mtq.enable_quantizer(network, "*")
