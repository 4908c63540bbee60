"""The few building blocks that all networks here share. No channel shuffle, no chunks: these prune badly."""

import math

from torch import Tensor, nn


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
