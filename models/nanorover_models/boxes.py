"""Boxes as tensors: overlaps, and the way between boxes and what the networks return."""

import torch
from torch import Tensor

from nanorover.perception.priors import CENTRE_VARIANCE, SIZE_VARIANCE


def area(boxes: Tensor) -> Tensor:
    """(…, 4) xyxy → (…)."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def iou_matrix(a: Tensor, b: Tensor) -> Tensor:
    """(…, A, 4) and (…, B, 4) xyxy → (…, A, B) intersection over union."""
    low = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    high = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (area(a)[..., :, None] + area(b)[..., None, :] - shared).clamp(min=1e-9)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of pairs, (…, 4) each → (…) in −1…1 (Rezatofighi et al. 2019)."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (area(a) + area(b) - shared).clamp(min=1e-9)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return shared / union - (hull - union) / hull.clamp(min=1e-9)


def from_distances(points: Tensor, distances: Tensor) -> Tensor:
    """(N, 2) points and (…, N, 4) distances in the same unit → (…, N, 4) xyxy."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)


def from_priors(priors: Tensor) -> Tensor:
    """(N, 4) centre and size → xyxy."""
    return torch.cat([priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2], -1)


def encode_ssd(boxes: Tensor, priors: Tensor) -> Tensor:
    """(N, 4) xyxy boxes against (N, 4) priors (centre, size) → SSD deltas."""
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    shift = (centre - priors[:, :2]) / (priors[:, 2:] * CENTRE_VARIANCE)
    return torch.cat([shift, torch.log(size / priors[:, 2:]) / SIZE_VARIANCE], -1)
