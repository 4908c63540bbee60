"""Which predictions answer for which object, and what they pay for being wrong.

Targets of an image are a pair: (M, 4) float boxes xyxy in input pixels and (M,) int64 labels. A label below zero,
−1 − class, marks a box that is ignored: to find it is neither right nor wrong.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanorover.perception.priors import grid_points, ssd_priors
from nanorover_models.boxes import encode_ssd, from_distances, from_priors, giou, iou_matrix

Targets = list[tuple[Tensor, Tensor]]

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
        pairs = [self.assign(boxes, labels) for boxes, labels in targets]
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
        """(M, P) which points lie in which box."""
        x, y = self.points.unbind(1)
        across = (x > boxes[:, 0, None]) & (x < boxes[:, 2, None])
        return across & (y > boxes[:, 1, None]) & (y < boxes[:, 3, None])

    @torch.no_grad()
    def assign(
        self, scores: Tensor, predicted: Tensor, boxes: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """For one image: (P,) points, (P,) the object each answers for, (P,) the score it should give."""
        overlap = iou_matrix(boxes, predicted)
        inside = self.inside(boxes)
        # An object so small that no point lies in it takes the nearest one.
        missed = ~inside.any(1)
        if missed.any():
            centre = (boxes[missed, :2] + boxes[missed, 2:]) / 2
            inside[missed, torch.cdist(centre, self.points).argmin(1)] = True
        alignment = scores[:, labels].T.pow(ALPHA) * overlap.pow(BETA)
        ranked = torch.where(inside, alignment + 1e-20, torch.zeros_like(alignment))
        chosen = ranked.topk(min(TOP_K, ranked.shape[1]), dim=1).indices
        mask = torch.zeros_like(inside).scatter_(1, chosen, True) & inside
        # A point that several objects want goes to the one that it overlaps most.
        owner = torch.where(mask, overlap + 1e-6, torch.zeros_like(overlap)).argmax(0)
        points = mask.any(0).nonzero().squeeze(1)
        owners = owner[points]
        own = alignment[owners, points]
        best = torch.zeros(len(boxes), device=boxes.device).scatter_reduce(0, owners, own, "amax")
        fit = torch.zeros(len(boxes), device=boxes.device).scatter_reduce(
            0, owners, overlap[owners, points], "amax"
        )
        return points, owners, own / best[owners].clamp(min=1e-20) * fit[owners]

    def forward(self, outputs: tuple[Tensor, Tensor], targets: Targets) -> dict[str, Tensor]:
        """``score`` and ``box`` loss."""
        logits, predicted = outputs[0].float(), self.boxes(outputs[1].float())
        wanted = torch.zeros_like(logits)
        judged = torch.ones_like(logits)
        losses, weights = [], []
        for i, (all_boxes, all_labels) in enumerate(targets):
            fair = all_labels >= 0
            boxes, labels = all_boxes[fair], all_labels[fair]
            for box, label in zip(all_boxes[~fair], all_labels[~fair], strict=True):
                judged[i, self.inside(box[None])[0], -1 - label] = 0
            if len(boxes) == 0:
                continue
            points, owners, score = self.assign(logits[i].detach().sigmoid(), predicted[i].detach(), boxes, labels)
            wanted[i, points, labels[owners]] = score
            losses.append((1 - giou(predicted[i, points], boxes[owners])) * score)
            weights.append(score.sum())
        total = torch.stack(weights).sum().clamp(min=1.0) if weights else logits.new_tensor(1.0)
        score_loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        # Easy background fades (Lin et al. 2017), as in varifocal loss: weight by the error squared.
        focus = torch.where(wanted > 0, wanted, judged * 0.75 * logits.detach().sigmoid().pow(2))
        box_loss = torch.cat(losses).sum() if losses else outputs[1].sum() * 0
        return {"score": (score_loss * focus).sum() / total, "box": BOX_WEIGHT * box_loss / total}


def make_loss(kind: str, width: int, height: int, head: dict[str, Any]) -> nn.Module:
    """The loss that belongs to a head."""
    return {"ssd": MultiboxLoss, "anchor_free": TaskAlignedLoss}[kind](width, height, head)
