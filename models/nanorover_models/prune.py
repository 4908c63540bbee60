"""Structured pruning: whole channels go, those that are worth least, until a target is met."""

import copy
from itertools import chain, count, islice
from typing import Any

import torch
from torch import nn

from nanorover.errors import InputError
from nanorover_models.batches import Batches, loading
from nanorover_models.blocks import Network
from nanorover_models.losses import Targets, make_loss
from nanorover_models.model import ModelSpec, normalised
from nanorover_models.params import TrainParams
from nanorover_models.report import Reporter
from nanorover_models.world import join_world

# Channels stay multiples of this, as the kernels like it.
ROUND_TO = 8

# Steps on the way to removing everything.
STEPS = 40
MOST_PER_LAYER = 0.85

# Batches in each step: their gradients say how much a channel matters, and the rest learns from them to do without
# those that went, at this part of the learning rate. Without that it soon knows nothing, nor do its gradients.
BATCHES = 8
RATE = 0.25


def prune(
    spec: ModelSpec,
    model: Network,
    batches: Batches,
    settings: TrainParams,
    *,
    part_of_macs: float,
    report: Reporter,
) -> Network:
    """A copy of ``model`` with at most ``part_of_macs`` of its multiply-accumulates, not yet fine-tuned.

    Raises InputError for a part that is not allowed, and for one that pruning does not reach.
    """
    import torch_pruning

    if not 0.05 <= part_of_macs < 1:
        raise InputError(f"a target of {part_of_macs:g} of the MACs", "allowed is 0.05 up to below 1")
    device = join_world().device
    # Batch norms keep their statistics meanwhile: with those of single batches, a small network that lost half of
    # its MACs was left with an AP of 0.21 instead of 0.63.
    model = copy.deepcopy(model).to(device).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    example = torch.zeros(1, 3, spec.input_height, spec.input_width, device=device)
    importance = Importance(model, example)
    before = importance.macs()
    pruner = torch_pruning.pruner.BasePruner(
        model,
        example,
        importance=importance,
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=MOST_PER_LAYER,
        iterative_steps=STEPS,
        ignored_layers=model.prediction_layers(),
        round_to=ROUND_TO,
    )
    loss = make_loss(model.head()["kind"], spec.input_width, spec.input_height, model.head()).to(device)
    asked, now = f"{part_of_macs:.0%} of {before / 1e6:.0f} million MACs", before

    def left() -> str:
        return f"{now / before:.0%} of the MACs left"

    # However many epochs that takes.
    endless = chain.from_iterable(map(batches.epoch, count()))
    with loading(), report.work("pruning") as advance:
        for _ in range(STEPS):
            importance.squared.clear()
            # Pruning puts new parameters in the place of the old ones.
            optimizer = torch.optim.AdamW(model.parameters(), lr=RATE * settings.learning_rate)
            for images, targets in islice(endless, BATCHES):
                optimizer.zero_grad()
                _backward(model, loss, images, targets)
                importance.look()
                nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_limit)
                optimizer.step()
                advance(len(images), left)
            # A step takes from several layers. The target is looked at after each, or it would be left far behind.
            for group in pruner.step(interactive=True):
                group.prune()
                now = importance.macs()
                if now <= part_of_macs * before:
                    report.say(f"asked for {asked}, pruned to {now / before:.0%}")
                    return model.cpu()
    raise InputError(f"asked for {asked}, but pruning ends at {now / before:.1%}", "ask for more to be kept")


class Importance:
    """What a channel is worth: how much the loss would change without it, per multiply-accumulate saved.

    The change is the first-order estimate at the channel's batch norm, squared (Molchanov et al. 2019), summed
    over all layers that lose the channel together (Fang et al., DepGraph, 2023).
    """

    def __init__(self, model: Network, example: torch.Tensor) -> None:
        self.model, self.device = model, example.device
        self.squared: dict[nn.Module, torch.Tensor] = {}
        self.places: dict[nn.Conv2d, int] = {}  # pixels of each convolution's output

        def note(layer: nn.Conv2d, _: Any, output: torch.Tensor) -> None:
            self.places[layer] = output[0, 0].numel()

        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
        hooks = [layer.register_forward_hook(note) for layer in layers]
        with torch.inference_mode():
            model.eval()(example)
        for hook in hooks:
            hook.remove()

    def macs(self) -> int:
        """Multiply-accumulates of one picture, as many as are left now."""
        return sum(pixels * layer.weight.numel() for layer, pixels in self.places.items())

    def look(self) -> None:
        """Take the gradients that one batch has left."""
        for layer in self.model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.grad is not None and layer.bias.grad is not None
                change = (layer.weight * layer.weight.grad + layer.bias * layer.bias.grad).detach()
                self.squared[layer] = self.squared.get(layer, torch.zeros_like(change)) + change.square()

    def __call__(self, group: Any) -> torch.Tensor:
        """The worth of each channel of layers that lose channels together, as torch-pruning asks for it."""
        from torch_pruning.pruner import function

        losing_outputs = (function.prune_conv_out_channels, function.prune_depthwise_conv_out_channels)
        worth, macs = torch.zeros((), device=self.device), 0
        for dependency, channels in group:
            layer = dependency.target.module
            if isinstance(layer, nn.BatchNorm2d):
                worth = worth + self.squared[layer][channels]
            elif isinstance(layer, nn.Conv2d):
                lost = layer.weight[0] if dependency.handler in losing_outputs else layer.weight[:, 0]
                macs += self.places[layer] * lost.numel()
        return worth / macs


def _backward(model: Network, loss: nn.Module, images: torch.Tensor, targets: Targets) -> None:
    device = next(model.parameters()).device
    outputs = model(normalised(images.to(device)).contiguous(memory_format=torch.channels_last))
    torch.stack(list(loss(outputs, targets.to(device)).values())).sum().backward()
