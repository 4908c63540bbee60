"""TensorRT 8.2 to 11 on NVIDIA GPUs, through one wrapper.

The Python API changed three times; each difference is asked of the object itself (``hasattr``), so that
one code serves the Jetson Nano's 8.2 and the newest release.
"""

import time
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np

from nanorover.errors import InputError
from nanorover.perception.engines import Engine
from nanorover.perception.engines.cache import EngineCache, Say
from nanorover.perception.engines.cuda import NO_GPU_HINT, OUT_OF_MEMORY_HINT, Device, open_device
from nanorover.perception.engines.engine_file import EngineKey

MIB = 1 << 20

# What networks take and return. TensorRT's own `nptype` fails in 8.x from numpy 1.24 on: it asks for `np.bool`.
NUMPY_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32, "BOOL": np.bool_}


class TensorRtEngine(Engine):
    """A deserialised engine with its buffers; belongs to the thread that made it."""

    def __init__(self, plan: bytes, device: Device, precision: str) -> None:
        """Deserialise ``plan``; InputError when TensorRT refuses it."""
        trt = import_tensorrt()
        self.device = device
        self.complaints = complaints(trt)
        self.runtime = start(trt, trt.Runtime, self.complaints)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise InputError(
                "TensorRT %s refuses the engine: %s" % (trt.__version__, self.complaints.words()),
                "it may come from another version or GPU: delete it from the engine cache; or memory is short: "
                + OUT_OF_MEMORY_HINT,
            )
        self.context = self.engine.create_execution_context()
        if self.context is None:
            raise InputError("TensorRT has no memory for the engine", OUT_OF_MEMORY_HINT)
        self.title = "TensorRT %s on %s" % (trt.__version__, device.name)
        self.precision = precision
        self.by_name = hasattr(self.engine, "num_io_tensors")
        self.host: List[np.ndarray] = []
        self.addresses: List[int] = []
        self.inputs: List[int] = []
        for index, (name, shape, dtype, is_input) in enumerate(describe_io(trt, self.engine)):
            if min(shape, default=0) < 0:
                raise InputError(
                    "the size of the engine's %s is known only once it ran" % name,
                    "export the model without suppression (NMS) inside",
                )
            host = device.pinned(shape, dtype)
            self.host.append(host)
            self.addresses.append(device.allocate(max(1, host.nbytes)))
            if is_input:
                self.inputs.append(index)
            if self.by_name:
                self.context.set_tensor_address(name, self.addresses[index])
        self.outputs = [i for i in range(len(self.host)) if i not in self.inputs]
        self.input_shape = self.host[self.inputs[0]].shape

    def run(self, tensor: np.ndarray) -> List[np.ndarray]:
        device = self.device
        device.check_thread()
        entry = self.inputs[0]
        np.copyto(self.host[entry], tensor)
        device.copy_in(self.addresses[entry], self.host[entry])
        if self.by_name:
            started = self.context.execute_async_v3(device.stream)
        else:
            started = self.context.execute_async_v2(self.addresses, device.stream)
        if not started:
            raise InputError("TensorRT could not start the network", "is the GPU out of memory?")
        for index in self.outputs:
            device.copy_out(self.host[index], self.addresses[index])
        device.synchronize()
        return [self.host[index].astype(np.float32, copy=False) for index in self.outputs]

    def close(self) -> None:
        # In this order: TensorRT's objects refer to each other and to the device.
        self.context = self.engine = self.runtime = self.complaints = None
        self.device.close()


def describe_io(trt: Any, engine: Any) -> List[Tuple[str, Tuple[int, ...], Any, bool]]:
    """(name, shape, numpy type, is it an input) of every tensor of an engine, in its own order."""
    if hasattr(engine, "num_io_tensors"):
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        return [
            (
                name,
                tuple(engine.get_tensor_shape(name)),
                numpy_type(engine.get_tensor_dtype(name)),
                engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            )
            for name in names
        ]
    return [
        (
            engine.get_binding_name(i),
            tuple(engine.get_binding_shape(i)),
            numpy_type(engine.get_binding_dtype(i)),
            engine.binding_is_input(i),
        )
        for i in range(engine.num_bindings)
    ]


def numpy_type(data_type: Any) -> Any:
    """numpy's type for one of TensorRT's; InputError for one that no engine here has."""
    if data_type.name not in NUMPY_TYPES:
        raise InputError(
            "the engine has a tensor of type %s" % data_type.name, "it must be one of: " + ", ".join(NUMPY_TYPES)
        )
    return NUMPY_TYPES[data_type.name]


def import_tensorrt() -> Any:
    """The module; InputError when it is absent or has no library behind it."""
    try:
        import tensorrt
    except (ImportError, OSError, RuntimeError) as error:
        raise InputError(
            "TensorRT cannot be imported: %s" % error, "it is part of JetPack; use --engine onnxruntime elsewhere"
        )
    if not hasattr(tensorrt, "Builder"):
        raise InputError("the installed tensorrt package is an empty shell", "install the one of JetPack")
    return tensorrt


def complaints(trt: Any) -> Any:
    """A logger for TensorRT that keeps its errors: it returns None where others raise, and logs the reason."""

    class Complaints(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: List[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message)

        def words(self) -> str:
            return "; ".join(self.errors) or "no reason given"

    return Complaints()


def start(trt: Any, what: Any, logger: Any) -> Any:
    """TensorRT's runtime or builder; InputError when it cannot start, as without a driver."""
    try:
        return what(logger)
    except TypeError:  # what its bindings make of a null pointer
        raise InputError(
            "TensorRT %s cannot start: %s" % (trt.__version__, logger.words()),
            NO_GPU_HINT + " If so, install TensorRT again: its files may be damaged",
        )


def build_plan(onnx: Path, precision: str, shape: Tuple[int, ...], workspace_bytes: int) -> bytes:
    """Parse an ONNX file and build a plan; needs no GPU but the one it is built for.

    ``shape`` is the picture's, (1, 3, h, w), for files that leave it open, as many public exports do.
    ``precision`` "fp16" sets the flag where it exists (gone in TensorRT 11, which wants an FP16 file),
    "int8" expects a QDQ file. Raises InputError with the parser's own words.
    """
    trt = import_tensorrt()
    logger = complaints(trt)
    builder = start(trt, trt.Builder, logger)
    flags = 0
    if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    try:
        parsed = parser.parse(onnx.read_bytes())
    except OSError as error:
        raise InputError("cannot read %s: %s" % (onnx, error.strerror))
    if not parsed:
        reasons = "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
        raise InputError("TensorRT %s cannot parse %s: %s" % (trt.__version__, onnx, reasons or "no reason given"))
    names = [network.get_input(i).name for i in range(network.num_inputs)]
    if len(names) != 1:
        raise InputError("%s takes %s" % (onnx, ", ".join(names) or "no input"), "it must take one picture")
    if -1 in tuple(network.get_input(0).shape):
        network.get_input(0).shape = shape
    config = builder.create_builder_config()
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    else:
        config.max_workspace_size = workspace_bytes
    for flag in builder_flags(trt, precision):
        config.set_flag(flag)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InputError(
            "TensorRT %s could not build an engine from %s: %s" % (trt.__version__, onnx, logger.words()),
            "a library that it names must be installed; else memory may be short (add swap, lower"
            " engine_workspace_mib), or the GPU lacks this precision",
        )
    return bytes(plan)


def builder_flags(trt: Any, precision: str) -> List[Any]:
    """The flags that ask for a precision; strongly typed releases have none and take it from the file."""
    wanted = {"fp32": (), "fp16": ("FP16",), "int8": ("FP16", "INT8")}[precision]
    return [getattr(trt.BuilderFlag, name) for name in wanted if hasattr(trt.BuilderFlag, name)]


def open_engine(
    onnx: Path,
    device: Device,
    *,
    onnx_sha256: str,
    precision: str,
    shape: Tuple[int, ...],
    cache: EngineCache,
    workspace_mib: int,
    say: Say,
) -> TensorRtEngine:
    """The cached engine of a model for this GPU, built first if need be."""
    trt = import_tensorrt()
    key = EngineKey(onnx_sha256, trt.__version__, device.compute_capability, precision, "x".join(map(str, shape)))
    plan = cache.load(onnx.stem, key)
    if plan is None:
        workspace = workspace_mib * MIB
        plan = cache.build(onnx.stem, key, lambda: build_plan(onnx, precision, shape, workspace), workspace, say)
    begin = time.monotonic()
    engine = TensorRtEngine(plan, device, precision)
    say("%s: %s engine loaded in %.1f s" % (engine.title, precision, time.monotonic() - begin))
    return engine


def open_gpu() -> Device:
    """The GPU, once TensorRT is known to be there; InputError with the reason otherwise."""
    import_tensorrt()
    return open_device()
