"""The few building blocks that all networks here share. No channel shuffle, no chunks: these prune badly."""

import math
from typing import Any

import torch
from torch import Tensor, nn

FIRST_WEIGHT_STD = 0.01


class Network(nn.Module):
    """A detector: pictures (B, 3, H, W) in −1…1 → class scores (B, N, …) and boxes (B, N, 4)."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = super().__call__(images)
        return outputs

    def head(self) -> dict[str, Any]:
        """The head as the model description says it."""
        raise NotImplementedError

    def prediction_layers(self) -> list[nn.Conv2d]:
        """Layers whose outputs have a meaning: never pruned, never quantized."""
        raise NotImplementedError

    def seen_layers(self) -> list[nn.Module]:
        """Backbone layers whose features an explanation looks at, fine to coarse."""
        raise NotImplementedError


def fast_layout(network: nn.Module) -> None:
    """Keep channels last in memory, which is two to five times as fast on CPUs."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def conv_bn(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, unless told otherwise, ReLU; the size is kept but for the stride."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if activation:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def separable(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """A depthwise 3 × 3 and a pointwise convolution (Howard et al., MobileNets, 2017)."""
    return nn.Sequential(
        conv_bn(inputs, inputs, stride=stride, groups=inputs),
        conv_bn(inputs, outputs, 1),
    )


class InvertedResidual(nn.Module):
    """Widen, depthwise, narrow without activation (Sandler et al., MobileNetV2, 2018)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [conv_bn(inputs, hidden, 1)] if expansion != 1 else []
        self.body = nn.Sequential(
            *widen,
            conv_bn(hidden, hidden, stride=stride, groups=hidden),
            conv_bn(hidden, outputs, 1, activation=False),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class Residual(nn.Module):
    """Narrow 1 × 1, then 3 × 3 back to the full width, added to the input (DarkNet's block, with ReLU)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(channels, channels // 2, 1), conv_bn(channels // 2, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def small_start(layer: nn.Conv2d, bias: float) -> None:
    """Begin a predicting layer near its bias, so that the features' scale does not drown the first epochs."""
    nn.init.normal_(layer.weight, std=FIRST_WEIGHT_STD)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, bias)


def channels(count: float, width: float) -> int:
    """A channel count scaled by the width and rounded to a multiple of 8, as hardware likes it."""
    return max(8, round(count * width / 8) * 8)


def initialise(module: nn.Module) -> None:
    """He initialisation of every convolution, unit batch norms."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def prior_bias(probability: float) -> float:
    """The bias at which a sigmoid says ``probability`` (Lin et al., Focal Loss, 2017, section 4.1)."""
    return -math.log((1 - probability) / probability)


def flat(level: Tensor, values: int) -> Tensor:
    """(B, K · values, H, W) → (B, H · W · K, values), the order of the prior boxes and grid points."""
    batch = level.shape[0]
    return level.permute(0, 2, 3, 1).reshape(batch, -1, values)
