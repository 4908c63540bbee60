"""How good and how quick a detector is: COCO's mean average precision and milliseconds per picture.

Everything is measured through the runtime's own preprocessing, decoding and suppression, so that a figure
holds for what the robot runs.
"""

import contextlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanorover.errors import InputError
from nanorover.perception.description import ModelDescription
from nanorover.perception.detector import Detector, Limits
from nanorover.perception.engines import Engine
from nanorover_models.blocks import Network
from nanorover_models.data import DataSet
from nanorover_models.model import ModelSpec, describe
from nanorover_models.report import SILENT, Reporter

# COCO's evaluation wants low scores too: precision is measured along the whole curve.
LIMITS = Limits(score=0.01, iou=0.6, candidates=1000, most=100)


@dataclass(frozen=True)
class Figures:
    """What an evaluation says.

    ``ms`` are medians per picture and stage; ``unknown_classes`` are those of the data that the model cannot find.
    """

    ap: float
    ap50: float
    ap75: float
    ap50_by_class: dict[str, float]
    ms: dict[str, float]
    pictures: int
    boxes: int
    unknown_classes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values with COCO's names."""
        plain = asdict(self)
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in plain.items()}
        names = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap50_by_class": "AP50_by_class"}
        return {names.get(k, k): v for k, v in rounded.items()}


class TorchEngine(Engine):
    """A torch network behind the runtime's interface."""

    def __init__(self, model: Network) -> None:
        self.model = model.eval()
        self.title = f"torch {torch.__version__}"
        self.precision = "fp32"
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def run(self, tensor: np.ndarray) -> list[np.ndarray]:
        images = torch.from_numpy(tensor).to(self.device)
        return [output.float().cpu().numpy() for output in self.model(images)]


def torch_detector(
    spec: ModelSpec, model: Network, limits: Limits = LIMITS, source: Path = Path("the network")
) -> Detector:
    """The detector of a torch network; ``source`` is its checkpoint, for what is said about it."""
    return Detector(describe(spec, model, source, {}), TorchEngine(model), limits)


def evaluate(detector: Detector, data: DataSet, report: Reporter = SILENT, what: str = "evaluation") -> Figures:
    """Detect in every picture and compare; ``what`` names it to who waits.

    Classes are matched by name. Raises InputError when the model and the data share no class, or when there is
    no box to find.
    """
    require_boxes(data)
    columns = label_map(detector.description, data)
    found: list[dict[str, Any]] = []
    stages: list[dict[str, float]] = []
    for number, sample in enumerate(report.each(what, data.samples)):
        detections = detector(sample.image())
        stages.append(detections.ms)
        for box, score, c in zip(detections.boxes_xyxy, detections.scores, detections.classes, strict=True):
            if columns[c] >= 0:
                found.append(_entry(number, columns[c], box, float(score)))
    ap, ap50, ap75, by_class = coco_scores(data, found)
    ms = {stage: round(float(np.median([s[stage] for s in stages])), 3) for stage in stages[0]}
    boxes = sum(len(s.labels) for s in data.samples)
    unknown = unknown_classes(detector.description, data)
    return Figures(ap, ap50, ap75, by_class, ms, len(data), boxes, unknown)


def require_boxes(data: DataSet) -> None:
    """InputError when there is nothing that could be found: no figure would mean anything."""
    if not any(len(sample.labels) for sample in data.samples):
        raise InputError(
            f"none of the {len(data)} pictures to evaluate on has a labelled object",
            "label them, see that the labels have the names of their pictures, or name other pictures",
        )


def label_map(description: ModelDescription, data: DataSet) -> list[int]:
    """For each class of the model its number in the data, −1 where the data does not have it.

    Raises InputError when they share none.
    """
    columns = [data.labels.index(name) if name in data.labels else -1 for name in description.labels]
    if max(columns, default=-1) < 0:
        raise InputError(
            f"{description.source} and the data share no class",
            f"model: {', '.join(description.labels[:8])}; data: {', '.join(data.labels[:8])}",
        )
    return columns


def unknown_classes(description: ModelDescription, data: DataSet) -> tuple[str, ...]:
    """The classes of the data that the model does not know."""
    return tuple(name for name in data.labels if name not in description.labels)


def coco_scores(data: DataSet, found: list[dict[str, Any]]) -> tuple[float, float, float, dict[str, float]]:
    """AP, AP50, AP75 and AP50 by class by pycocotools; classes without a box in the data do not count."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = _as_coco(data)
        truth.createIndex()
        if not found:
            there = {int(label) for sample in data.samples for label in sample.labels}
            return 0.0, 0.0, 0.0, {name: 0.0 for c, name in enumerate(data.labels) if c in there}
        run = COCOeval(truth, truth.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    # precision: IoU threshold × recall × class × area × detections; −1 where a class has no box.
    at_half = run.eval["precision"][0, :, :, 0, 2]
    by_class = {
        name: round(float(at_half[:, c].mean()), 4) for c, name in enumerate(data.labels) if at_half[0, c] >= 0
    }
    return float(run.stats[0]), float(run.stats[1]), float(run.stats[2]), by_class


def _entry(image: int, label: int, box: np.ndarray, score: float) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(v) for v in box)
    return {"image_id": image, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}


def _as_coco(data: DataSet) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(data.samples):
        fair = zip(sample.boxes_xyxy, sample.labels, strict=True)
        ignored = zip(sample.ignored_xyxy, sample.ignored_labels, strict=True)
        for crowd, boxes in enumerate((fair, ignored)):
            for box, label in boxes:
                entry = _entry(number, int(label), box, 1.0)
                entry |= {
                    "id": len(annotations) + 1, "iscrowd": crowd, "area": entry["bbox"][2] * entry["bbox"][3]
                }  # fmt: skip
                annotations.append(entry)
    return {
        "images": [{"id": i} for i in range(len(data))],
        "categories": [{"id": i, "name": name} for i, name in enumerate(data.labels)],
        "annotations": annotations,
    }
