"""Every export through a real TensorRT parser and builder, where one can be imported; building needs no GPU."""

from pathlib import Path

import numpy as np
import pytest
from models_helpers import MODELS  # noqa: F401 (makes the package importable)

from nanorover.errors import InputError

trt = pytest.importorskip(
    "tensorrt", reason="TensorRT is not installed: docs/detection.md says how to check without"
)
torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")
if not hasattr(trt, "Builder"):
    pytest.skip("the installed tensorrt package is an empty shell", allow_module_level=True)

from nanorover.perception.engines.cuda import Device  # noqa: E402
from nanorover.perception.engines.tensor_rt import (  # noqa: E402
    NUMPY_TYPES,
    TensorRtEngine,
    build_plan,
    builder_flags,
    numpy_type,
)
from nanorover_models import model as models  # noqa: E402
from nanorover_models.export import export, folded, write_onnx  # noqa: E402
from nanorover_models.lint import lint  # noqa: E402
from nanorover_models.quantize import quantize_file  # noqa: E402

SIZES = {"anchor_free": (160, 96), "mobilenet_v1_ssd": (150, 150), "mobilenet_v2_ssdlite": (150, 150)}
WORKSPACE = 64 << 20
ONE = (1, 3, 64, 96)  # for files that leave their input open


@pytest.fixture(params=models.ARCHITECTURES)
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The FP32, FP16 and INT8 files of a network."""
    spec = models.ModelSpec(request.param, 0.25, *SIZES[request.param], ("a", "b"))
    network = models.build(spec).eval()
    export(spec, network, tmp_path / "fp32.onnx")
    export(spec, network, tmp_path / "fp16.onnx", "fp16")
    shape = (1, 3, spec.input_height, spec.input_width)
    tensors = [np.random.default_rng(i).uniform(-1, 1, shape).astype(np.float32) for i in range(2)]
    write_onnx(spec, folded(network), tmp_path / "plain.onnx")
    for target in ("gpu", "cpu"):
        quantize_file(tmp_path / "plain.onnx", tmp_path / f"{target}.onnx", target, tensors)
    return tmp_path


def test_all_precisions_parse_and_build(exported: Path) -> None:
    for name, precision in (("fp32", "fp32"), ("fp16", "fp16"), ("gpu", "int8")):
        assert len(build_plan(exported / f"{name}.onnx", precision, ONE, WORKSPACE)) > 10_000, name


def test_what_the_lint_refuses_tensorrt_refuses_too(exported: Path) -> None:
    assert lint(exported / "cpu.onnx")
    with pytest.raises(InputError, match="cannot parse"):
        build_plan(exported / "cpu.onnx", "int8", ONE, WORKSPACE)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"cannot parse .*m\.onnx"):
        build_plan(tmp_path / "m.onnx", "fp32", ONE, WORKSPACE)


def exported_by_others(path: Path, module: "torch.nn.Module", *tensors: "torch.Tensor", free: list[int]) -> Path:
    """A file as public tools write it: ``free`` axes of the picture are left open."""
    names = ["picture", "more"][: len(tensors)]
    open_axes = {"picture": {axis: f"axis{axis}" for axis in free}}
    torch.onnx.export(
        module, tensors, path, dynamo=False, opset_version=13, input_names=names, dynamic_axes=open_axes
    )
    return path


@pytest.mark.parametrize("free", [[0], [0, 2, 3]])
def test_an_input_left_open_gets_the_size_of_the_description(free: list[int], tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(2))
    path = exported_by_others(tmp_path / "open.onnx", network, torch.zeros(ONE), free=free)
    assert len(build_plan(path, "fp32", ONE, WORKSPACE)) > 1000


def test_a_file_of_two_inputs_is_refused(tmp_path: Path) -> None:
    network = torch.nn.MSELoss()
    path = exported_by_others(tmp_path / "two.onnx", network, torch.zeros(1, 4), torch.zeros(1, 4), free=[])
    with pytest.raises(InputError, match=r"two\.onnx takes picture, more"):
        build_plan(path, "fp32", ONE, WORKSPACE)


def test_an_engine_that_is_none_is_refused_in_tensorrts_own_words() -> None:
    with pytest.raises(InputError, match=r"refuses the engine: .*[Ss]erializ|cannot start: .+"):
        TensorRtEngine(b"no engine" * 100, Device(), "fp32")


def test_flags_exist_or_are_left_out() -> None:
    strongly_typed = int(trt.__version__.split(".")[0]) >= 11
    assert len(builder_flags(trt, "int8")) == (0 if strongly_typed else 2)
    assert builder_flags(trt, "fp32") == []


def test_types_are_known_whatever_the_release_of_numpy() -> None:
    for name, wanted in NUMPY_TYPES.items():
        assert numpy_type(getattr(trt.DataType, name)) is wanted
