"""Distillation: a small network learns from a larger one.

From a network of this project, place by place (class scores and boxes, weighted by the teacher's
confidence); from a public model by what it finds in the pictures.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nanorover.errors import InputError
from nanorover.perception.detector import Detector
from nanorover_models.blocks import Network, fast_layout
from nanorover_models.boxes import giou, iou_matrix
from nanorover_models.data import DataSet
from nanorover_models.evaluate import label_map, unknown_classes
from nanorover_models.losses import BOX_WEIGHT, TaskAlignedLoss
from nanorover_models.model import ModelSpec
from nanorover_models.report import Reporter

# A box of the teacher is taken as truth from this score on, unless a labelled box is already there.
PSEUDO_SCORE = 0.5
SAME_OBJECT_IOU = 0.5


class DenseTeacher:
    """The further loss of a student whose network has the same grid as its teacher's."""

    def __init__(self, spec: ModelSpec, teacher_spec: ModelSpec, teacher: Network, weight: float) -> None:
        """InputError when teacher and student do not speak of the same places and classes."""
        same = ("architecture", "input_width", "input_height", "labels")
        for name in same:
            if getattr(spec, name) != getattr(teacher_spec, name):
                raise InputError(
                    f"teacher and student differ in {name}: {getattr(teacher_spec, name)}, {getattr(spec, name)}",
                    "teach with a network of the same kind, input and classes, or with an ONNX file",
                )
        self.teacher = teacher.eval().requires_grad_(False)
        fast_layout(self.teacher)
        self.weight = weight
        self.grid = None
        if spec.architecture == "anchor_free":
            self.grid = TaskAlignedLoss(spec.input_width, spec.input_height, teacher.head())

    def __call__(self, images: Tensor, outputs: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of a batch."""
        device = images.device
        self.teacher.to(device)
        with torch.no_grad():
            logits, boxes = (part.float() for part in self.teacher(images))
        outputs = (outputs[0].float(), outputs[1].float())
        if self.grid is None:
            return self.weight * _ssd_loss(outputs, logits, boxes)
        return self.weight * _anchor_free_loss(outputs, logits, boxes, self.grid.to(device))


def _anchor_free_loss(
    outputs: tuple[Tensor, Tensor], logits: Tensor, distances: Tensor, grid: TaskAlignedLoss
) -> Tensor:
    wanted = logits.sigmoid()
    confidence = wanted.amax(-1)
    total = confidence.sum().clamp(min=1.0)
    # Quality focal loss (Li et al. 2020): where student and teacher agree there is nothing to learn.
    gap = (outputs[0].detach().sigmoid() - wanted).abs().pow(2)
    score = (F.binary_cross_entropy_with_logits(outputs[0], wanted, reduction="none") * gap).sum()
    box = ((1 - giou(grid.boxes(outputs[1]), grid.boxes(distances))) * confidence).sum()
    return (score + BOX_WEIGHT * box) / total


def _ssd_loss(outputs: tuple[Tensor, Tensor], logits: Tensor, deltas: Tensor) -> Tensor:
    wanted = logits.softmax(-1)
    confidence = 1 - wanted[..., 0]
    total = confidence.sum().clamp(min=1.0)
    divergence = F.kl_div(outputs[0].log_softmax(-1), wanted, reduction="none").sum(-1)
    weight = confidence + 0.02  # background matters too, but there is much of it
    box = F.smooth_l1_loss(outputs[1], deltas, reduction="none").sum(-1)
    return ((divergence * weight).sum() + (box * confidence).sum()) / total


def say_what_is_not_taught(detector: Detector, data: DataSet, report: Reporter) -> None:
    """Say which classes of the data a public model cannot find."""
    unknown = unknown_classes(detector.description, data)
    if unknown:
        report.say(f"{detector.description.source} does not teach {', '.join(unknown)}: it does not know them")


def taught(detector: Detector, data: DataSet, report: Reporter) -> DataSet:
    """The data with what a public model finds in its pictures added, for the classes that both know."""
    columns = np.array(label_map(detector.description, data))
    samples = []
    for sample in report.each("labelling", data.samples):
        found = detector(sample.image())
        labels = columns[found.classes]
        sure = (labels >= 0) & (found.scores >= PSEUDO_SCORE)
        boxes = found.boxes_xyxy[sure]
        if len(sample.labels) and len(boxes):
            overlap = iou_matrix(torch.from_numpy(boxes), torch.from_numpy(sample.boxes_xyxy)).amax(1)
            new = (overlap < SAME_OBJECT_IOU).numpy()
            boxes, labels = boxes[new], labels[sure][new]
        else:
            labels = labels[sure]
        samples.append(
            replace(
                sample,
                boxes_xyxy=np.concatenate([sample.boxes_xyxy, boxes]).astype(np.float32),
                labels=np.concatenate([sample.labels, labels]).astype(np.int64),
            )
        )
    return DataSet(samples, data.labels)
