"""A small anchor-free detector: residual backbone with ReLU, feature pyramid, one point per cell.

In the line of FCOS (Tian et al. 2019) and TOOD (Feng et al. 2021): a class score that also says how well
the box fits, and the distances from a cell's centre to the four sides.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanorover_models.blocks import (
    Network,
    Residual,
    channels,
    conv_bn,
    flat,
    initialise,
    prior_bias,
    separable,
    small_start,
)

STRIDES = [8, 16, 32]

# Channels at strides 2, 4, 8, 16, 32 and residual blocks at each, at width 1.
CHANNELS = (16, 32, 64, 128, 256)
BLOCKS = (0, 1, 2, 2, 1)
PYRAMID = 64
PRIOR_PROBABILITY = 0.01

# A new network predicts boxes of this half-size in strides.
FIRST_DISTANCE = 2.0


class AnchorFree(Network):
    """Returns logits (B, N, C) and distances to left, top, right, bottom (B, N, 4) in strides, not negative."""

    KIND = "anchor_free"

    def __init__(self, width: float, classes: int) -> None:
        super().__init__()
        counts = [channels(c, width) for c in CHANNELS]
        self.stages = nn.ModuleList()
        now = 3
        for count, blocks in zip(counts, BLOCKS, strict=True):
            self.stages.append(
                nn.Sequential(conv_bn(now, count, stride=2), *(Residual(count) for _ in range(blocks)))
            )
            now = count
        pyramid = channels(PYRAMID, width)
        self.lateral = nn.ModuleList(conv_bn(c, pyramid, 1) for c in counts[2:])
        self.smooth = nn.ModuleList(separable(pyramid, pyramid) for _ in STRIDES)
        self.score_tower = nn.ModuleList(separable(pyramid, pyramid) for _ in STRIDES)
        self.box_tower = nn.ModuleList(separable(pyramid, pyramid) for _ in STRIDES)
        scores = [nn.Conv2d(pyramid, classes, 1) for _ in STRIDES]
        boxes = [nn.Conv2d(pyramid, 4, 1) for _ in STRIDES]
        self.score, self.box = nn.ModuleList(scores), nn.ModuleList(boxes)
        self.classes = classes
        initialise(self)
        for score, box in zip(scores, boxes, strict=True):
            small_start(score, prior_bias(PRIOR_PROBABILITY))
            small_start(box, FIRST_DISTANCE)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Features at strides 8, 16, 32."""
        features = []
        x = images
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        laterals = [lateral(f) for lateral, f in zip(self.lateral, features[2:], strict=True)]
        for i in (1, 0):
            laterals[i] = laterals[i] + F.interpolate(laterals[i + 1], scale_factor=2.0, mode="nearest")
        return [smooth(x) for smooth, x in zip(self.smooth, laterals, strict=True)]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, distances = [], []
        for i, x in enumerate(self.pyramid(images)):
            logits.append(flat(self.score[i](self.score_tower[i](x)), self.classes))
            distances.append(flat(F.relu(self.box[i](self.box_tower[i](x))), 4))
        return torch.cat(logits, 1), torch.cat(distances, 1)

    def head(self) -> dict[str, Any]:
        return {"kind": self.KIND, "strides": STRIDES}

    def prediction_layers(self) -> list[nn.Conv2d]:
        return [layer for layer in (*self.score, *self.box) if isinstance(layer, nn.Conv2d)]

    def seen_layers(self) -> list[nn.Module]:
        return list(self.stages[2:])
