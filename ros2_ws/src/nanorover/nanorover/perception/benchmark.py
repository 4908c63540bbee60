"""Every engine and precision that this machine has for a model: what it costs, and whether it finds the same."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nanorover.errors import InputError
from nanorover.perception.detector import Detections
from nanorover.perception.engines.cache import Say
from nanorover.perception.params import DetectorParams, make_detector

# The first that the machine has is what the others are compared with.
ENGINES = (
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("tensorrt", "fp32"),
    ("tensorrt", "fp16"),
    ("tensorrt", "int8"),
)
SAME_BOX_IOU = 0.5


@dataclass(frozen=True)
class Agreement:
    """Boxes against those of the reference: as many are the same, missed, or found beside them.

    Same is a box of the same class that overlaps by ``SAME_BOX_IOU`` and more; ``least_iou`` and
    ``score_off`` are the worst of those.
    """

    same: int
    missed: int
    more: int
    least_iou: float
    score_off: float


@dataclass(frozen=True)
class EngineFigures:
    """One engine: ``ready_s`` from nothing, or the cached engine, to the first result; then per picture."""

    engine: str
    precision: str
    title: str
    ready_s: float
    inference_ms_p50: float
    inference_ms_p95: float
    picture_ms_p50: float
    agreement: Agreement

    def as_dict(self) -> dict[str, Any]:
        """Plain values, rounded to what they mean."""
        plain = asdict(self)
        plain.update({k: round(v, 3) for k, v in plain.items() if isinstance(v, float)})
        plain["agreement"] = {k: round(v, 4) for k, v in plain["agreement"].items()}
        return plain


@dataclass(frozen=True)
class Refusal:
    """An engine that this machine or this model does not have, and why."""

    engine: str
    precision: str
    refused: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare_engines(
    settings: DetectorParams, images_bgr: Sequence[np.ndarray], runs: int, say: Say
) -> Iterator[EngineFigures | Refusal]:
    """Measure one engine after the other on ``(H, W, 3) uint8`` pictures, at least ``runs`` times in all."""
    reference: list[Detections] | None = None
    for engine, precision in ENGINES:
        begin = time.perf_counter()
        try:
            detector = make_detector(replace(settings, engine=engine, precision=precision), say)
        except InputError as error:
            yield Refusal(engine, precision, error.args[0])
            continue
        ready_s = time.perf_counter() - begin
        with detector.engine:
            found = [detector(image) for image in images_bgr]
            reference = reference or found
            rounds = -(-runs // len(images_bgr))
            stages = [detector(image).ms for _ in range(rounds) for image in images_bgr]
        inference = [ms["inference"] for ms in stages]
        yield EngineFigures(
            engine,
            precision,
            detector.engine.title,
            ready_s,
            float(np.median(inference)),
            float(np.percentile(inference, 95)),
            float(np.median([sum(ms.values()) for ms in stages])),
            agreement(reference, found),
        )


def agreement(reference: Sequence[Detections], found: Sequence[Detections]) -> Agreement:
    """How the boxes of the same pictures agree; the best of the reference choose first."""
    same, missed, more, least_iou, score_off = 0, 0, 0, 1.0, 0.0
    for wanted, given in zip(reference, found, strict=True):
        overlaps = iou_matrix(wanted.boxes_xyxy, given.boxes_xyxy)
        overlaps[wanted.classes[:, None] != given.classes] = 0.0
        for row in range(len(overlaps)):
            column = int(overlaps[row].argmax()) if overlaps.shape[1] else -1
            if column < 0 or overlaps[row, column] < SAME_BOX_IOU:
                missed += 1
                continue
            same += 1
            least_iou = min(least_iou, float(overlaps[row, column]))
            score_off = max(score_off, abs(float(wanted.scores[row]) - float(given.scores[column])))
            overlaps[:, column] = 0.0
        more += len(given.scores)
    return Agreement(same, missed, more - same, least_iou, score_off)


def iou_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union ``(A, B)`` of boxes ``(A, 4)`` and ``(B, 4)`` that have an area."""
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a_xyxy, b_xyxy))
    union: np.ndarray = area_a[:, None] + area_b - shared
    return shared / union
