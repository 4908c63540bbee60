"""Will TensorRT take this ONNX file? Checked against what release 8.2, the Jetson Nano's, knows."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nanorover.errors import InputError

# Opset 13 is the last that TensorRT 8.2's parser knows; IR 7 belongs to it.
MOST_OPSET = 13
MOST_IR = 8

# Operators that the ONNX parser of TensorRT 8.2 knows and that networks here could use
# (onnx-tensorrt, docs/operators.md, release 8.2-GA). Mod, OneHot and others came later.
OPERATORS = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape
    Conv ConvTranspose DepthToSpace DequantizeLinear Div Dropout Elu Equal Erf Exp Expand Flatten Floor Gather
    GatherElements Gemm GlobalAveragePool GlobalMaxPool Greater HardSigmoid Identity InstanceNormalization
    LeakyRelu Less Log LogSoftmax MatMul Max MaxPool Mean Min Mul Neg Not Or Pad PRelu Pow QuantizeLinear
    Range ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round ScatterND Selu Shape
    Sigmoid Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose
    Unsqueeze Upsample Where
    """.split()  # noqa: SIM905 (a list of strings would take a page)
)


@dataclass(frozen=True)
class Finding:
    """What TensorRT would refuse, and where."""

    problem: str
    where: str


def load_onnx(path: Path) -> Any:
    """The parsed and checked file; InputError when it is none."""
    import onnx

    try:
        graph = onnx.load(str(path))
        onnx.checker.check_model(graph)
    except FileNotFoundError as error:
        raise InputError(f"there is no ONNX file {path}") from error
    except Exception as error:  # protobuf and onnx have no common base
        raise InputError(f"{path} is no valid ONNX file: {str(error).splitlines()[0]}") from error
    return graph


def lint(path: Path) -> list[Finding]:
    """Everything in the file that TensorRT 8.2 would refuse; empty if it would take it."""
    model = load_onnx(path)
    findings = []
    for entry in model.opset_import:
        if entry.domain not in ("", "ai.onnx"):
            findings.append(Finding(f"operators of domain '{entry.domain}' are unknown", "opset_import"))
        elif entry.version > MOST_OPSET:
            findings.append(Finding(f"opset {entry.version}, at most {MOST_OPSET} is known", "opset_import"))
    if model.ir_version > MOST_IR:
        findings.append(Finding(f"IR version {model.ir_version}, at most {MOST_IR} is known", "ir_version"))
    for node in model.graph.node:
        if node.op_type not in OPERATORS:
            findings.append(Finding(f"operator {node.op_type} is unknown", node.name or node.output[0]))
    for value in (*model.graph.input, *model.graph.output):
        if any(not d.HasField("dim_value") for d in value.type.tensor_type.shape.dim):
            findings.append(Finding("a shape that is not fixed", value.name))
    return findings + _lint_quantization(model)


def _lint_quantization(model: Any) -> list[Finding]:
    """Zero points must be 0, types signed, and no bias may be quantized (NVIDIA: explicit quantization)."""
    from onnx import TensorProto, numpy_helper

    constants = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
    findings = []
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        where = node.name or node.output[0]
        stored = constants.get(node.input[0])
        if stored is not None and stored.data_type == TensorProto.INT32:
            findings.append(Finding("a quantized bias (INT32)", where))
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None:
            continue
        if zero.data_type not in (TensorProto.INT8, TensorProto.INT32):
            findings.append(Finding("quantization to another type than INT8", where))
        elif np.any(numpy_helper.to_array(zero)):
            findings.append(Finding("a zero point that is not 0", where))
    return findings


def require_clean(path: Path) -> None:
    """InputError with the findings, if there are any."""
    findings = lint(path)
    if findings:
        counted = Counter(f.problem for f in findings)
        listed = "; ".join(f"{problem} ({count} ×)" for problem, count in counted.most_common(5))
        raise InputError(f"TensorRT 8.2 would refuse {path}: {listed}", f"first at {findings[0].where}")
