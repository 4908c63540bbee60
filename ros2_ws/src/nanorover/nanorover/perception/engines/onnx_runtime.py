"""ONNX Runtime on the CPU."""

import re
from pathlib import Path
from typing import List

import numpy as np

from nanorover.errors import InputError
from nanorover.perception.engines import Engine

ERRORS_ONLY = 3

# A file of ONNX Runtime's own with line number and signature; what it has to say comes after.
SOURCE_PLACE = re.compile(r"/\S+\.(?:cc|h):\d+ [^)]*\) ")


class OnnxRuntimeEngine(Engine):
    """A network on the CPU; one thread unless told otherwise, because the robot has other work to do."""

    def __init__(self, onnx: Path, precision: str, threads: int = 1, as_written: bool = False) -> None:
        """Load ``onnx``; InputError when onnxruntime is absent or the file cannot be loaded.

        ``as_written`` computes a file quantized for TensorRT as TensorRT does: rounded, but summed exactly. By
        itself ONNX Runtime takes integer kernels, whose 16-bit sums overflow on CPUs without VNNI.
        """
        try:
            import onnxruntime
        except ImportError:
            raise InputError("ONNX Runtime is not installed", "pip install onnxruntime")
        if not onnx.is_file():
            raise InputError("there is no model file %s" % onnx, "where does it lie? --weights says it")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        # Threads that spin while they wait would take the cores from SLAM.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if as_written:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self.session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library has a dozen exception types without a common base
            raise InputError(
                "%s cannot be loaded as an ONNX model: %s" % (onnx, _reason(error)),
                "the file may be cut off or made for a newer ONNX Runtime; export or download it again",
            )
        inputs = self.session.get_inputs()
        if [i.type for i in inputs] != ["tensor(float)"]:
            raise InputError(
                "%s takes %s" % (onnx, ", ".join("%s of %s" % (i.name, i.type) for i in inputs) or "no input"),
                "it must take one picture of tensor(float): export it with FP32 input and nothing else",
            )
        self.onnx, self.input = onnx, inputs[0]
        self.title = "ONNX Runtime %s, CPU, %d thread%s" % (onnxruntime.__version__, threads, "s"[: threads != 1])
        self.precision = precision
        self.input_shape = tuple(self.input.shape)

    def run(self, tensor: np.ndarray) -> List[np.ndarray]:
        try:
            outputs: List[np.ndarray] = self.session.run(None, {self.input.name: tensor})
        except Exception as error:  # see above
            raise InputError(
                "%s cannot be run: %s" % (self.onnx, _reason(error)),
                "does its input have the size in the YAML? export it again otherwise",
            )
        return outputs


def _reason(error: Exception) -> str:
    """The first line of what the library says, without the place in its source from which it says so."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return SOURCE_PLACE.sub("", line)[:300]
