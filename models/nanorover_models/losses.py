"""Which predictions answer for which object, and what they pay for being wrong.

An image's objects are a pair: (M, 4) float boxes xyxy in input pixels and (M,) int64 labels. A label below zero,
−1 − class, marks a box that is ignored: to find it is neither right nor wrong.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from nanorover.perception.priors import grid_points, ssd_priors
from nanorover_models.boxes import encode_ssd, from_distances, from_priors, giou, iou_matrix


class Targets(NamedTuple):
    """The objects of a batch: (B, M, 4) boxes, (B, M) labels, and (B, M) which of them are there; M is the most.

    Three tensors, as hundreds of small ones take longer from process to process and to a GPU than the pictures.
    """

    boxes_xyxy: Tensor
    labels: Tensor
    there: Tensor

    def to(self, device: torch.device) -> "Targets":
        """The same on another device."""
        return Targets(*(part.to(device, non_blocking=True) for part in self))


def together(objects: list[tuple[Tensor, Tensor]]) -> Targets:
    """One batch of the objects of several images."""
    boxes = pad_sequence([pair[0] for pair in objects], batch_first=True)
    labels = pad_sequence([pair[1] for pair in objects], batch_first=True)
    there = torch.arange(labels.shape[1]) < torch.tensor([[len(pair[1])] for pair in objects])
    if labels.shape[1] == 0:  # a batch of empty pictures: one object that is not there keeps every shape
        boxes, labels, there = F.pad(boxes, (0, 0, 0, 1)), F.pad(labels, (0, 1)), F.pad(there, (0, 1))
    return Targets(boxes, labels, there)


# Liu et al. 2016: a prior is positive from this overlap on; at most three negatives per positive.
SSD_POSITIVE_IOU = 0.5
NEGATIVES_PER_POSITIVE = 3

# Feng et al. 2021 (TOOD): alignment = score^ALPHA * IoU^BETA; the best TOP_K points of each object learn it.
ALPHA = 1.0
BETA = 6.0
TOP_K = 10
BOX_WEIGHT = 2.5


class MultiboxLoss(nn.Module):
    """SSD's loss: softmax cross-entropy with hard negatives, smooth L1 on the positives' deltas."""

    priors: Tensor

    def __init__(self, width: int, height: int, head: dict[str, Any]) -> None:
        super().__init__()
        self.register_buffer("priors", torch.from_numpy(ssd_priors(width, height, head)), persistent=False)

    def assign(self, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) class per prior with 0 for background and −1 for ignored, (N, 4) deltas."""
        priors = self.priors
        classes = torch.zeros(len(priors), dtype=torch.long, device=boxes.device)
        unfair = boxes[labels < 0]
        if len(unfair):
            classes[(iou_matrix(from_priors(priors), unfair) >= SSD_POSITIVE_IOU).any(1)] = -1
        boxes, labels = boxes[labels >= 0], labels[labels >= 0]
        if len(boxes) == 0:
            return classes, torch.zeros_like(priors)
        overlap = iou_matrix(from_priors(priors), boxes)
        best, owner = overlap.max(1)
        # Each object keeps its best prior, however small the overlap.
        champion = overlap.argmax(0)
        owner[champion] = torch.arange(len(boxes), device=boxes.device)
        best[champion] = 1.0
        positive = best >= SSD_POSITIVE_IOU
        classes[positive] = labels[owner[positive]] + 1
        return classes, encode_ssd(boxes[owner], priors)

    def forward(self, outputs: tuple[Tensor, Tensor], targets: Targets) -> dict[str, Tensor]:
        """``score`` and ``box`` loss."""
        logits, deltas = outputs[0].float(), outputs[1].float()
        pairs = [self.assign(boxes[there], labels[there]) for boxes, labels, there in zip(*targets, strict=True)]
        classes, wanted = torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])
        positive = classes > 0
        count = positive.sum().clamp(min=1)
        cross = F.cross_entropy(logits.transpose(1, 2), classes, reduction="none", ignore_index=-1)
        with torch.no_grad():
            mining = cross.detach().masked_fill(classes != 0, -1.0)
            rank = mining.argsort(1, descending=True).argsort(1)
            allowed = (positive.sum(1, keepdim=True) * NEGATIVES_PER_POSITIVE).clamp(min=NEGATIVES_PER_POSITIVE)
            used = positive | (rank < allowed)
        box = F.smooth_l1_loss(deltas[positive], wanted[positive], reduction="sum") / count
        return {"score": cross[used].sum() / count, "box": box}


class TaskAlignedLoss(nn.Module):
    """Binary cross-entropy against the normalised alignment of score and box, GIoU on the chosen points."""

    points: Tensor
    strides: Tensor

    def __init__(self, width: int, height: int, head: dict[str, Any]) -> None:
        super().__init__()
        points, strides = grid_points(width, height, head["strides"], offset=0.5)
        self.register_buffer("points", torch.from_numpy(points), persistent=False)
        self.register_buffer("strides", torch.from_numpy(strides), persistent=False)

    def boxes(self, distances: Tensor) -> Tensor:
        """(…, N, 4) distances in strides → xyxy in input pixels."""
        return from_distances(self.points, distances * self.strides[:, None])

    def inside(self, boxes: Tensor) -> Tensor:
        """(…, M, 4) → (…, M, P) which points lie in which box."""
        x, y = self.points.unbind(1)
        across = (x > boxes[..., 0, None]) & (x < boxes[..., 2, None])
        return across & (y > boxes[..., 1, None]) & (y < boxes[..., 3, None])

    @torch.no_grad()
    def assign(
        self, scores: Tensor, predicted: Tensor, boxes: Tensor, labels: Tensor, fair: Tensor
    ) -> tuple[Tensor, Tensor]:
        """For pictures with (B, P, C) scores, (B, P, 4) predicted boxes and (B, M) objects, of which ``fair``
        ones count: (B, P) the object that each point answers for, (B, P) the score it should give, 0 for none."""
        overlap = iou_matrix(boxes, predicted)
        inside = self.inside(boxes) & fair[..., None]
        # An object so small that no point lies in it takes the nearest one.
        missed = fair & ~inside.any(-1)
        nearest = torch.cdist((boxes[..., :2] + boxes[..., 2:]) / 2, self.points).argmin(-1, keepdim=True)
        inside.scatter_(2, nearest, inside.gather(2, nearest) | missed[..., None])
        own_class = labels.clamp(min=0)[:, None, :].expand(-1, len(self.points), -1)
        alignment = scores.gather(2, own_class).transpose(1, 2).pow(ALPHA) * overlap.pow(BETA)
        ranked = torch.where(inside, alignment + 1e-20, torch.zeros_like(alignment))
        chosen = ranked.topk(min(TOP_K, len(self.points)), dim=2).indices
        mask = torch.zeros_like(inside).scatter_(2, chosen, True) & inside
        # A point that several objects want goes to the one that it overlaps most.
        owner = torch.where(mask, overlap + 1e-6, torch.zeros_like(overlap)).argmax(1)

        def owned(values: Tensor) -> tuple[Tensor, Tensor]:
            """(B, P) the value of each point with its owner, 0 without one, and (B, M) the best of each owner."""
            own = values.gather(1, owner[:, None])[:, 0] * mask.any(1)
            return own, torch.zeros_like(values[..., 0]).scatter_reduce(1, owner, own, "amax")

        own, best = owned(alignment)
        _, fit = owned(overlap)
        return owner, own / best.gather(1, owner).clamp(min=1e-20) * fit.gather(1, owner)

    def forward(self, outputs: tuple[Tensor, Tensor], targets: Targets) -> dict[str, Tensor]:
        """``score`` and ``box`` loss."""
        logits, predicted = outputs[0].float(), self.boxes(outputs[1].float())
        boxes, labels, there = targets
        scores = logits.detach().sigmoid()
        owner, score = self.assign(scores, predicted.detach(), boxes, labels, there & (labels >= 0))
        classes = labels.clamp(min=0).gather(1, owner)
        wanted = torch.zeros_like(logits).scatter_(2, classes[..., None], score[..., None])
        total = score.sum().clamp(min=1.0)
        score_loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        # Easy background fades (Lin et al. 2017), as in varifocal loss: weight by the error squared.
        judged = 1 - self.within(boxes, labels, there & (labels < 0), logits.shape[2])
        focus = torch.where(wanted > 0, wanted, judged * 0.75 * scores.pow(2))
        own_box = boxes.gather(1, owner[..., None].expand(-1, -1, 4))
        box_loss = ((1 - giou(predicted, own_box)) * score).sum()
        return {"score": (score_loss * focus).sum() / total, "box": BOX_WEIGHT * box_loss / total}

    def within(self, boxes: Tensor, labels: Tensor, ignored: Tensor, classes: int) -> Tensor:
        """(B, P, C) 1 where a point lies in an ``ignored`` (B, M) box of that class."""
        inside = (self.inside(boxes) & ignored[..., None]).float()
        of_class = F.one_hot((-1 - labels).clamp(min=0), classes).float()
        return (inside.transpose(1, 2) @ of_class).clamp(max=1)


def make_loss(kind: str, width: int, height: int, head: dict[str, Any]) -> nn.Module:
    """The loss that belongs to a head."""
    return {"ssd": MultiboxLoss, "anchor_free": TaskAlignedLoss}[kind](width, height, head)
