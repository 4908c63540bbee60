"""What a network costs, and tables of before and after."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nanorover.perception.description import ModelDescription
from nanorover.perception.detector import Detector
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover_models.blocks import Network
from nanorover_models.data import DataSet
from nanorover_models.evaluate import LIMITS, evaluate, torch_detector
from nanorover_models.export import folded, write_onnx
from nanorover_models.model import ModelSpec, describe
from nanorover_models.report import Reporter

RUNS = 40


@dataclass(frozen=True)
class Cost:
    """One state of a model: precision, size and speed. ``cpu_ms`` is the network alone, one thread, if it runs."""

    name: str
    ap: float
    ap50: float
    mmacs: float
    parameters: float
    file_kib: float
    cpu_ms: float | None

    def row(self) -> tuple[str, ...]:
        """For a table."""
        return (
            self.name,
            f"{self.ap:.3f}",
            f"{self.ap50:.3f}",
            f"{self.mmacs:.0f}",
            f"{self.parameters / 1e6:.3f}",
            f"{self.file_kib:.0f}",
            "–" if self.cpu_ms is None else f"{self.cpu_ms:.2f}",
        )


HEADINGS = ("model", "AP", "AP50", "MMACs", "M parameters", "file KiB", "CPU ms")


def count(spec: ModelSpec, model: Network) -> tuple[float, int]:
    """(millions of multiply-accumulates, parameters) of one picture's convolutions, batch norms folded."""
    plain = folded(model).cpu()
    macs = 0.0

    def add(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(layer, nn.Conv2d)
        macs += output.numel() * layer.weight[0].numel()

    for layer in plain.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(add)
    with torch.inference_mode():
        plain(torch.zeros(1, 3, spec.input_height, spec.input_width))
    return macs / 1e6, sum(p.numel() for p in plain.parameters())


def cpu_ms(engine: Any, tensor: np.ndarray) -> float:
    """Median CPU milliseconds of a run in this thread, which others on the machine hardly change."""
    taken = []
    for _ in range(RUNS):
        begin = time.process_time()
        engine.run(tensor)
        taken.append(time.process_time() - begin)
    return float(np.median(taken) * 1e3)


def cost(name: str, spec: ModelSpec, model: Network, data: DataSet, report: Reporter) -> Cost:
    """Evaluate a torch network, and time its ONNX form."""
    figures = evaluate(torch_detector(spec, model), data, report, f"evaluation: {name}")
    mmacs, parameters = count(spec, model)
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / "model.onnx"
        write_onnx(spec, folded(model), onnx)
        with OnnxRuntimeEngine(onnx, "fp32") as engine:
            ms = cpu_ms(engine, np.zeros((1, 3, spec.input_height, spec.input_width), np.float32))
        size = onnx.stat().st_size / 1024
    return Cost(name, figures.ap, figures.ap50, mmacs, parameters, size, ms)


def file_cost(
    name: str,
    spec: ModelSpec,
    model: Network,
    onnx: Path,
    data: DataSet,
    report: Reporter,
    *,
    for_gpu: bool = False,
) -> Cost:
    """Evaluate and time an ONNX file of a network; ``for_gpu``: rounded as by TensorRT, and not timed."""
    described: ModelDescription = describe(spec, model, onnx, {"fp32": onnx})
    mmacs, parameters = count(spec, model)
    with OnnxRuntimeEngine(onnx, "", as_written=for_gpu) as engine:
        figures = evaluate(Detector(described, engine, LIMITS), data, report, f"evaluation: {name}")
        picture = np.zeros((1, 3, spec.input_height, spec.input_width), np.float32)
        ms = None if for_gpu else cpu_ms(engine, picture)
    return Cost(name, figures.ap, figures.ap50, mmacs, parameters, onnx.stat().st_size / 1024, ms)
