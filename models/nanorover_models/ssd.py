"""SSD on MobileNetV1 and SSDLite on MobileNetV2 (Liu et al. 2016; Howard et al. 2017; Sandler et al. 2018)."""

from typing import Any

import torch
from torch import Tensor, nn

from nanorover_models.blocks import (
    InvertedResidual,
    Network,
    channels,
    conv_bn,
    flat,
    initialise,
    separable,
    small_start,
)

STRIDES = [16, 32, 64, 128, 256, 512]
RATIOS = [2.0, 0.5, 3.0, 1 / 3]
SIZES = [0.1, 0.26, 0.42, 0.58, 0.74, 0.9, 1.06]
SHAPES_PER_CELL = 2 + len(RATIOS)
EXTRA_CHANNELS = (512, 256, 256, 128)

# (expansion, channels, blocks, stride) of MobileNetV2, table 2; split where the first detection layer taps.
V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
V2_LATE = ((6, 160, 3, 2), (6, 320, 1, 1))

# (channels, stride) of MobileNetV1, table 1; the first detection layer taps after the first group.
V1_EARLY = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)) + ((512, 1),) * 5
V1_LATE = ((1024, 2), (1024, 1))


def mobilenet_v1(width: float) -> tuple[nn.Sequential, nn.Sequential, tuple[int, int]]:
    """Both halves of MobileNetV1 and the channels that each returns, at strides 16 and 32."""
    now = channels(32, width)
    early: list[nn.Module] = [conv_bn(3, now, stride=2)]
    late: list[nn.Module] = []
    for layers, plan in ((early, V1_EARLY), (late, V1_LATE)):
        for count, stride in plan:
            layers.append(separable(now, channels(count, width), stride=stride))
            now = channels(count, width)
    return nn.Sequential(*early), nn.Sequential(*late), (channels(512, width), channels(1024, width))


def mobilenet_v2(width: float) -> tuple[nn.Sequential, nn.Sequential, tuple[int, int]]:
    """Both halves of MobileNetV2 and the channels that each returns, at strides 16 and 32."""
    now = channels(32, width)
    early: list[nn.Module] = [conv_bn(3, now, stride=2)]
    late: list[nn.Module] = []
    for layers, stages in ((early, V2_STAGES), (late, V2_LATE)):
        for expansion, count, blocks, stride in stages:
            for block in range(blocks):
                outputs = channels(count, width)
                layers.append(
                    InvertedResidual(now, outputs, stride=stride if block == 0 else 1, expansion=expansion)
                )
                now = outputs
    last = max(channels(1280, 1.0), channels(1280, width))
    late.append(conv_bn(now, last, 1))
    return nn.Sequential(*early), nn.Sequential(*late), (channels(96, width), last)


def extra_layer(inputs: int, outputs: int, *, lite: bool) -> nn.Sequential:
    """A further level at half the size."""
    half = outputs // 2
    if lite:
        down: nn.Module = nn.Sequential(conv_bn(half, half, stride=2, groups=half), conv_bn(half, outputs, 1))
    else:
        down = conv_bn(half, outputs, stride=2)
    return nn.Sequential(conv_bn(inputs, half, 1), down)


def predictor(inputs: int, outputs: int, *, lite: bool) -> nn.Module:
    """The convolution that predicts at one level."""
    if lite:
        return nn.Sequential(conv_bn(inputs, inputs, groups=inputs), nn.Conv2d(inputs, outputs, 1))
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Ssd(Network):
    """Six levels of prior boxes; returns logits (B, N, 1 + C) with background first, and deltas (B, N, 4)."""

    KIND = "ssd"

    def __init__(self, backbone: str, width: float, classes: int) -> None:
        """``backbone`` is ``mobilenet_v1`` (full SSD head) or ``mobilenet_v2`` (SSDLite head)."""
        super().__init__()
        lite = backbone == "mobilenet_v2"
        make = {"mobilenet_v1": mobilenet_v1, "mobilenet_v2": mobilenet_v2}[backbone]
        self.early, self.late, taps = make(width)
        levels = list(taps)
        self.extras = nn.ModuleList()
        for count in EXTRA_CHANNELS:
            outputs = channels(count, max(width, 0.5))
            self.extras.append(extra_layer(levels[-1], outputs, lite=lite))
            levels.append(outputs)
        self.outputs_per_prior = 1 + classes
        self.score = nn.ModuleList(
            predictor(n, SHAPES_PER_CELL * self.outputs_per_prior, lite=lite) for n in levels
        )
        self.box = nn.ModuleList(predictor(n, SHAPES_PER_CELL * 4, lite=lite) for n in levels)
        initialise(self)
        for layer in self.prediction_layers():
            small_start(layer, 0.0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        early = self.early(images)
        levels = [early, self.late(early)]
        device = images.device.type
        if not torch.is_autocast_enabled(device):
            return self._predict(levels)
        # In bfloat16 on CPUs, gradients of depthwise convolutions on maps of one pixel are not finite.
        with torch.autocast(device, enabled=False):
            return self._predict([level.float() for level in levels])

    def _predict(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        for extra in self.extras:
            levels.append(extra(levels[-1]))
        pairs = zip(levels, self.score, strict=True)
        logits = torch.cat([flat(score(x), self.outputs_per_prior) for x, score in pairs], 1)
        deltas = torch.cat([flat(box(x), 4) for x, box in zip(levels, self.box, strict=True)], 1)
        return logits, deltas

    def head(self) -> dict[str, Any]:
        return {"kind": self.KIND, "strides": STRIDES, "sizes": SIZES, "ratios": [round(r, 6) for r in RATIOS]}

    def prediction_layers(self) -> list[nn.Conv2d]:
        return [layer for m in (self.score, self.box) for layer in _last_convolutions(m)]

    def seen_layers(self) -> list[nn.Module]:
        return [self.early, self.late, *self.extras]


def _last_convolutions(predictors: nn.ModuleList) -> list[nn.Conv2d]:
    return [[m for m in p.modules() if isinstance(m, nn.Conv2d)][-1] for p in predictors]
