"""What the detector's parts cost on one CPU thread: suppression, preprocessing, networks, what a node adds.

Reports, asserts nothing on speed: ``pytest tests/bench/test_detect_bench.py -s``. CPU time, median of many runs.
"""

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from models_helpers import MODELS  # noqa: F401 (makes the package importable)

from nanorover.perception.description import load_model
from nanorover.perception.detector import Detector, Limits
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover.perception.nms import suppress
from nanorover.perception.preprocess import Preprocessor

RUNS = int(os.environ.get("NANOROVER_BENCH_RUNS", "40"))


def cpu_ms(work: Callable[[], object]) -> float:
    """Median CPU milliseconds of this thread."""
    taken = []
    for _ in range(RUNS):
        begin = time.thread_time()
        work()
        taken.append(time.thread_time() - begin)
    return float(np.median(taken)) * 1e3


def report(what: str, ms: float) -> None:
    print(f"\n{datetime.date.today()}, one thread: {what}: {ms:.2f} ms")


@pytest.mark.parametrize("spread_px", [40, 320, 100_000], ids=["crowded", "random", "disjoint"])
def test_suppression_of_a_thousand_candidates(spread_px: int) -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, spread_px, (1000, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 60, (1000, 2))], axis=1).astype(np.float32)
    scores, classes = rng.uniform(0, 1, 1000).astype(np.float32), rng.integers(0, 80, 1000)
    kept = suppress(boxes, scores, classes, 0.5, 100)
    assert 0 < len(kept) <= 100
    report(
        f"suppression, 1000 candidates, {len(kept)} stay",
        cpu_ms(lambda: suppress(boxes, scores, classes, 0.5, 100)),
    )


def test_preprocessing() -> None:
    spec = load_model("picodet_s_320").input
    for width, height in ((640, 480), (1280, 720)):
        image = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
        preprocess = Preprocessor(spec)
        assert preprocess(image)[0].shape == (1, 3, 320, 320)
        report(f"{width} × {height} to 320 × 320, normalised", cpu_ms(lambda: preprocess(image)))  # noqa: B023


def test_the_shipped_detector_by_stage() -> None:
    description = load_model("rover")
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    for variant, path in description.files.items():
        if variant == "int8_gpu":
            continue
        with OnnxRuntimeEngine(path, variant) as engine:
            detector = Detector(description, engine, Limits(0.4, 0.5, 1000, 100))
            network = cpu_ms(lambda: engine.run(detector.preprocess.tensor))  # noqa: B023
            whole = cpu_ms(lambda: detector(image))  # noqa: B023
            report(f"rover {variant}: network {network:.2f} ms; 640 × 480 picture to boxes", whole)


@pytest.mark.parametrize(
    ("architecture", "width"),
    [("mobilenet_v1_ssd", 1.0), *(("mobilenet_v2_ssdlite", width) for width in (1.0, 0.75, 0.5))],
)
def test_published_networks_at_300_pixels(architecture: str, width: float, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")
    from nanorover_models import model as models
    from nanorover_models.export import folded, write_onnx
    from nanorover_models.quantize import quantize_file

    spec = models.ModelSpec(architecture, width, 300, 300, tuple(f"label{i}" for i in range(20)))
    network = folded(models.build(spec))
    for layer in network.modules():  # equal biases would be shared in the file, which no trained network has
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.bias, std=0.1)
    write_onnx(spec, network, tmp_path / "fp32.onnx")
    tensors = [np.random.default_rng(i).uniform(-1, 1, (1, 3, 300, 300)).astype(np.float32) for i in range(4)]
    quantize_file(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", "cpu", tensors)
    for name in ("fp32", "int8"):
        with OnnxRuntimeEngine(tmp_path / f"{name}.onnx", name) as engine:
            assert engine.run(tensors[0])[1].shape[2] == 4
            report(f"{architecture} 300 × {width:g}, 20 classes, {name}", cpu_ms(lambda: engine.run(tensors[0])))
