"""Which engine, which precision, which file: decided from what the machine can do, and said aloud."""

from pathlib import Path
from typing import Dict, NamedTuple, Optional, Tuple

from nanorover.errors import InputError
from nanorover.perception.description import ModelDescription, file_hash, file_of
from nanorover.perception.engines import Engine
from nanorover.perception.engines.cache import EngineCache, Say, say_to_stderr
from nanorover.perception.engines.cuda import Device
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover.perception.engines.remote import RemoteEngine
from nanorover.perception.engines.tensor_rt import import_tensorrt, open_engine, open_gpu

ENGINES = ("auto", "tensorrt", "onnxruntime", "remote")
PRECISIONS = ("auto", "fp32", "fp16", "int8")

# Compute capabilities of Jetson's GPUs and others that compute FP16 at full rate or better, and those
# with INT8 dot products or tensor cores (NVIDIA, CUDA C++ Programming Guide, arithmetic throughput).
FAST_FP16_FROM = ("5.3", "6.0", "6.2")
SLOW_FP16 = ("6.1",)
INT8_FROM = (6, 1)
NO_INT8 = ("6.2",)

# From this release on precision comes from the file alone.
STRONGLY_TYPED_FROM = 11


class Choice(NamedTuple):
    """A precision, the variant of the model's file that gives it, and the reason in a sentence."""

    precision: str
    variant: str
    reason: str


def gpu_abilities(compute_capability: str) -> Tuple[bool, bool]:
    """(fast FP16, INT8) of a GPU."""
    major, minor = (int(part) for part in compute_capability.split("."))
    fp16 = compute_capability in FAST_FP16_FROM or (major >= 7)
    int8 = (major, minor) >= INT8_FROM and compute_capability not in NO_INT8
    return fp16 and compute_capability not in SLOW_FP16, int8


def choose_on_gpu(files: Dict[str, Path], wanted: str, compute_capability: str, tensorrt_major: int) -> Choice:
    """Precision and file for TensorRT on this GPU; InputError when ``wanted`` cannot be had."""
    fp16, int8 = gpu_abilities(compute_capability)
    gpu = "a GPU of compute capability %s" % compute_capability
    half_variant = "fp16" if tensorrt_major >= STRONGLY_TYPED_FROM else "fp32"
    if wanted == "int8" and not int8:
        raise InputError(
            "INT8 cannot be computed by %s" % gpu, "use fp16 there: the original Jetson Nano has no INT8"
        )
    if wanted == "int8" and "int8_gpu" not in files:
        raise InputError("the model has no file 'int8_gpu'", "make one: nanorover model quantize")
    if wanted == "fp16" and half_variant not in files:
        raise InputError("the model has no file '%s'" % half_variant, "nanorover model export --precision fp16")
    if wanted == "fp32":
        return Choice("fp32", "fp32", "FP32, as asked")
    if wanted == "int8" or (wanted == "auto" and int8 and "int8_gpu" in files):
        return Choice("int8", "int8_gpu", "INT8: %s, and the model has a quantized file" % gpu)
    if wanted == "fp16" or (wanted == "auto" and fp16 and half_variant in files):
        why = "as asked" if wanted == "fp16" else gpu + (" has no INT8" if not int8 else "; no INT8 file")
        return Choice("fp16", half_variant, "FP16: %s" % why)
    return Choice("fp32", "fp32", "FP32: %s has no fast FP16, or the model no file for it" % gpu)


def choose_on_cpu(files: Dict[str, Path], wanted: str) -> Choice:
    """Precision and file for ONNX Runtime on the CPU; InputError when ``wanted`` cannot be had."""
    if wanted == "fp16":
        raise InputError("FP16 is slower than FP32 on a CPU", "use --precision fp32 or int8")
    if wanted == "int8" and "int8_cpu" not in files:
        raise InputError("the model has no file 'int8_cpu'", "make one: nanorover model quantize")
    if wanted == "int8" or (wanted == "auto" and "int8_cpu" in files):
        return Choice("int8", "int8_cpu", "INT8 on the CPU: the model has a file for it")
    for variant in ("fp32", "int8_cpu", "int8_gpu"):
        if variant in files and (wanted == "auto" or variant == "fp32"):
            return Choice(variant[:4], variant, "%s on the CPU" % variant[:4].upper())
    raise InputError("the model has no file that a CPU can run as %s" % wanted, "add an fp32 file to its YAML")


def make_engine(
    description: ModelDescription,
    *,
    engine: str,
    precision: str,
    threads: int,
    cache_folder: Path,
    workspace_mib: int,
    socket: Optional[Path] = None,
    say: Optional[Say] = None,
) -> Engine:
    """The engine for a model on this machine; its ``notice`` says what was chosen and why.

    ``auto`` takes TensorRT where it works, else the CPU, and says the reason; ``remote`` asks the engine
    server at ``socket``. Raises InputError when what was asked for cannot be had.
    """
    say = say or say_to_stderr
    if engine not in ENGINES or precision not in PRECISIONS:
        raise InputError(
            "engine '%s' with precision '%s' does not exist" % (engine, precision),
            "engines: %s; precisions: %s" % (", ".join(ENGINES), ", ".join(PRECISIONS)),
        )
    if engine == "remote":
        if socket is None:
            raise InputError("a remote engine needs a socket", "set engine_socket")
        return RemoteEngine(description, socket)
    refusal = ""
    if engine in ("auto", "tensorrt"):
        try:
            device = open_gpu()
        except InputError as error:
            if engine == "tensorrt":
                raise
            refusal = error.args[0]
        else:
            return _on_gpu(
                description, precision, device, cache_folder=cache_folder, workspace_mib=workspace_mib, say=say
            )
    choice = choose_on_cpu(description.files, precision)
    made = OnnxRuntimeEngine(
        file_of(description, choice.variant), choice.precision, threads, as_written=choice.variant == "int8_gpu"
    )
    made.notice = choice.reason + (" (no GPU engine: %s)" % refusal if refusal else "")
    return made


def _on_gpu(
    description: ModelDescription,
    precision: str,
    device: Device,
    *,
    cache_folder: Path,
    workspace_mib: int,
    say: Say,
) -> Engine:
    try:
        major = int(import_tensorrt().__version__.split(".")[0])
        choice = choose_on_gpu(description.files, precision, device.compute_capability, major)
        onnx = file_of(description, choice.variant)
        made = open_engine(
            onnx,
            device,
            onnx_sha256=file_hash(onnx),
            precision=choice.precision,
            shape=(1, 3, description.input.height, description.input.width),
            cache=EngineCache(cache_folder),
            workspace_mib=workspace_mib,
            say=say,
        )
    except InputError:
        device.close()
        raise
    made.notice = choice.reason
    return made
