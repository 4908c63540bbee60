"""Structured pruning: whole channels go, those whose loss would hurt least, until a target is met."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from nanorover.errors import InputError
from nanorover_models.blocks import Network
from nanorover_models.losses import Targets, make_loss
from nanorover_models.measure import count
from nanorover_models.model import ModelSpec, normalised
from nanorover_models.params import TrainParams
from nanorover_models.train import Pictures, collate, join_world

# Channels stay multiples of this, as the kernels like it.
ROUND_TO = 8

# Steps on the way to removing everything; a target is met within one step.
STEPS = 40
MOST_PER_LAYER = 0.85

# Batches whose gradients say how much a channel matters.
GRADIENT_BATCHES = 8


def prune(
    spec: ModelSpec,
    model: Network,
    pictures: Pictures,
    settings: TrainParams,
    *,
    part_of_macs: float,
    say: Callable[[str], None],
) -> Network:
    """A copy of ``model`` with at most ``part_of_macs`` of its multiply-accumulates, not yet fine-tuned.

    Importance is the first-order Taylor estimate of the loss's change (Molchanov et al. 2019), summed over
    all layers that lose the channel together (Fang et al., DepGraph, 2023).
    """
    import torch_pruning

    if not 0.05 <= part_of_macs < 1:
        raise InputError(f"a target of {part_of_macs:g} of the MACs", "allowed is 0.05 up to below 1")
    device = join_world().device
    model = copy.deepcopy(model).to(device).train()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    example = torch.zeros(1, 3, spec.input_height, spec.input_width, device=device)
    before, _ = count(spec, model)
    pruner = torch_pruning.pruner.BasePruner(
        model,
        example,
        importance=torch_pruning.importance.GroupTaylorImportance(),
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=MOST_PER_LAYER,
        iterative_steps=STEPS,
        ignored_layers=model.prediction_layers(),
        round_to=ROUND_TO,
    )
    loss = make_loss(model.head()["kind"], spec.input_width, spec.input_height, model.head()).to(device)
    now = before
    for _ in range(STEPS):
        _collect_gradients(model, loss, pictures, settings.batch)
        pruner.step()
        model.zero_grad()
        now, _ = count(spec, model)
        if now <= part_of_macs * before:
            say(f"pruned to {now / before:.0%} of {before:.0f} million MACs")
            return model.cpu().eval()
    raise InputError(
        f"pruning stopped at {now / before:.0%} of the MACs", "ask for less, or start from a smaller width"
    )


def _collect_gradients(model: Network, loss: nn.Module, pictures: Pictures, batch: int) -> None:
    model.zero_grad()
    for number in range(GRADIENT_BATCHES):
        rows = [(number * batch + i) % len(pictures) for i in range(batch)]
        images, targets = collate([pictures[i] for i in rows])
        _backward(model, loss, images, targets)


def _backward(model: Network, loss: nn.Module, images: torch.Tensor, targets: Targets) -> None:
    device = next(model.parameters()).device
    outputs = model(normalised(images.to(device)).contiguous(memory_format=torch.channels_last))
    torch.stack(list(loss(outputs, targets.to(device)).values())).sum().backward()
