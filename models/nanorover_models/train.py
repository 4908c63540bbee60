"""Training: one loop for new networks, fine-tuning, distillation and quantization-aware training.

Started plainly or through ``torchrun``; the first process alone writes. A run's folder holds ``last.pt``
(everything to resume), ``best.pt`` (averaged weights of the best validation), ``log.jsonl``, ``curves.png``.
"""

import copy
import dataclasses
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover_models import model as models
from nanorover_models.batches import Batches, loading
from nanorover_models.blocks import Network, fast_layout
from nanorover_models.curves import draw_curves
from nanorover_models.data import DataSet
from nanorover_models.evaluate import evaluate, require_boxes, torch_detector
from nanorover_models.kept import batches_of
from nanorover_models.losses import Targets, make_loss
from nanorover_models.model import ModelSpec
from nanorover_models.params import TrainParams
from nanorover_models.report import Reporter, duration
from nanorover_models.runs import BEST, CURVES, LAST, LOG, alone, differences, made_with
from nanorover_models.world import World, half_precision

RATE_BATCH = 16  # the learning rate is stated for this many pictures per step

# A further loss over (images, outputs), as distillation adds it.
FurtherLoss = Callable[[Tensor, tuple[Tensor, Tensor]], Tensor]


class Average:
    """Exponential moving average of the weights, which is what is validated and shipped."""

    def __init__(self, model: Network, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, model: Network) -> None:
        """Move a little towards ``model``; at first more, so that the random start is forgotten."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        pairs = zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        floats, others = [], []
        for mine, theirs in pairs:
            (floats if mine.dtype.is_floating_point else others).append((mine, theirs))
        # All at once: on a GPU, several hundred small calls would take longer than the network.
        torch._foreach_lerp_([mine for mine, _ in floats], [theirs for _, theirs in floats], 1 - decay)
        for mine, theirs in others:
            mine.copy_(theirs)


class Trainer:
    """One run."""

    def __init__(
        self,
        spec: ModelSpec,
        model: Network,
        settings: TrainParams,
        folder: Path,
        *,
        world: World,
        further_loss: FurtherLoss | None = None,
        own_loss: bool = True,
        keep: bool = True,
    ) -> None:
        """``further_loss`` is added to the network's own, or replaces it if ``own_loss`` is not wanted; without
        ``keep`` no checkpoints are written."""
        torch.manual_seed(settings.seed + world.rank)
        torch.set_num_threads(settings.threads)
        self.spec, self.settings, self.folder, self.world = spec, settings, folder, world
        self.model = model.to(world.device)
        fast_layout(self.model)
        self.loss = make_loss(model.head()["kind"], spec.input_width, spec.input_height, model.head())
        self.loss.to(world.device)
        self.further_loss, self.own_loss, self.keep = further_loss, own_loss, keep
        self.average = Average(self.model, settings.ema_decay)
        self.optimizer = torch.optim.AdamW(
            _groups(self.model, settings.weight_decay), lr=1e-6, fused=world.device.type == "cuda"
        )
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
        self.half = half_precision(world.device) if settings.mixed_precision else None
        # Only float16 has so short a range that gradients must be scaled.
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.half == torch.float16)
        self.parallel = DistributedDataParallel(self.model) if world.size > 1 else self.model
        self.epoch, self.best = 0, -1.0
        self.log: list[dict[str, float]] = []
        # What this process has seen so far of how long it takes.
        self.train_s, self.steps_done, self.validation_s = 0.0, 0, 0.0

    def run(self, training: DataSet, validation: DataSet, report: Reporter) -> Path:
        """Train; returns the checkpoint of the best validation.

        Raises InputError where that has no boxes, and for a folder that cannot be written or another run writes.
        """
        require_boxes(validation)
        if len(training) < self.world.size:
            raise InputError(f"{len(training)} pictures for {self.world.size} processes", "start fewer processes")
        s, world = self.settings, self.world
        self.made_with = self._made_with(training, validation)
        with alone(self.folder) if world.first else nullcontext():
            batches = batches_of(training.samples, s, world, report)
            self.steps = len(batches)
            while not self.finished:
                begin_s = time.monotonic()
                row = {"epoch": self.epoch + 1, **self._epoch(batches, report)}
                if world.first:
                    if self._validates(self.epoch):
                        row |= self._validate(validation, report)
                    row["seconds"] = round(time.monotonic() - begin_s, 1)
                    self._keep(row)
                    report.say("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
                self.epoch += 1
                if world.size > 1:
                    torch.distributed.barrier()
        return self.folder / BEST

    def _epoch(self, batches: Batches, report: Reporter) -> dict[str, float]:
        self.model.train()
        sums: dict[str, Tensor] = {}
        pictures = self.steps * batches.batch * self.world.size
        begin_s = time.monotonic()
        with loading(), report.work(f"epoch {self.epoch + 1}/{self.settings.epochs}", pictures) as advance:
            for step, (images, targets) in enumerate(batches.epoch(self.epoch)):
                for group in self.optimizer.param_groups:
                    group["lr"] = self._rate(self.epoch + step / self.steps)
                for name, loss in self._step(images, targets).items():
                    sums[name] = sums[name] + loss if name in sums else loss
                advance(len(images) * self.world.size, partial(self._how_far, sums, step + 1, begin_s))
        # Only here is a GPU waited for: asked at every step, it would never be ahead.
        means = {name: float(value) / self.steps for name, value in sums.items()}
        self.train_s += time.monotonic() - begin_s
        self.steps_done += self.steps
        if not all(map(math.isfinite, means.values())):
            raise InputError(
                f"the loss became {sum(means.values())} in epoch {self.epoch + 1}", "lower learning_rate"
            )
        return means | {"rate": self._rate(self.epoch)}

    def _how_far(self, sums: dict[str, Tensor], step: int, begin_s: float) -> str:
        """The mean loss of an epoch that began at ``begin_s``, and how long the whole training will take yet; its
        validations count as soon as one was seen."""
        loss = float(torch.stack(list(sums.values())).sum()) / step
        epochs = range(self.epoch, self.settings.epochs)
        step_s = (self.train_s + time.monotonic() - begin_s) / (self.steps_done + step)
        left_s = (len(epochs) * self.steps - step) * step_s + sum(map(self._validates, epochs)) * self.validation_s
        return f"loss {loss:.4g}  {duration(left_s)} left"

    def _validates(self, epoch: int) -> bool:
        """Does a validation follow on an epoch counted from 0?"""
        return epoch + 1 == self.settings.epochs or (epoch + 1) % self.settings.validate_every == 0

    def _step(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        device = self.world.device
        on_device = images.to(device, non_blocking=True)
        inputs = models.normalised(on_device).contiguous(memory_format=torch.channels_last)
        context: AbstractContextManager[Any] = (
            nullcontext() if self.half is None else torch.autocast(device.type, self.half)
        )
        with context:
            outputs = self.parallel(inputs)
            further = {} if self.further_loss is None else {"teacher": self.further_loss(inputs, outputs)}
        losses = self.loss(outputs, targets.to(device)) if self.own_loss else {}
        losses |= further
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_limit)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update(self.model)
        return {name: value.detach() for name, value in losses.items()}

    def _rate(self, epoch: float) -> float:
        """Linear warm-up, then a cosine to its final part."""
        s = self.settings
        peak = s.learning_rate * s.batch * self.world.size / RATE_BATCH
        if epoch < s.warm_up_epochs:
            return peak * max(epoch, 1e-3) / s.warm_up_epochs
        done = (epoch - s.warm_up_epochs) / max(s.epochs - s.warm_up_epochs, 1e-9)
        return peak * (s.final_rate + (1 - s.final_rate) * (1 + math.cos(math.pi * done)) / 2)

    def _validate(self, data: DataSet, report: Reporter) -> dict[str, float]:
        begin_s = time.monotonic()
        figures = evaluate(torch_detector(self.spec, self.average.model), data, report, "validation")
        self.validation_s = time.monotonic() - begin_s
        if figures.ap >= self.best:
            self.best = figures.ap
            if self.keep:
                models.save(self.folder / BEST, self.spec, self.average.model, figures=figures.as_dict())
        return {"AP": figures.ap, "AP50": figures.ap50}

    def _keep(self, row: dict[str, float]) -> None:
        self.log.append(row)
        with replacing(self.folder / LOG) as temporary:
            temporary.write_text("".join(json.dumps(r) + "\n" for r in self.log))
        draw_curves(self.log, self.folder / CURVES)
        if not self.keep:
            return
        models.save(
            self.folder / LAST,
            self.spec,
            self.average.model,
            raw=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
            settings=dataclasses.asdict(self.settings),
            run=self.made_with,
            progress={"epoch": self.epoch + 1, "best": self.best, "steps": self.average.steps, "log": self.log},
        )

    def resume(self, training: DataSet, validation: DataSet, report: Reporter) -> None:
        """Go on where ``last.pt`` ended; what differs is said, or an InputError where that is another run."""
        if not (self.folder / LAST).exists():
            raise InputError(f"{self.folder} holds no training to go on with", "without --resume a new one begins")
        content = models.load_checkpoint(self.folder / LAST)
        made_with = self._made_with(training, validation)
        others = differences(self.folder, content, self.spec, self.settings, made_with)
        try:
            self.model.load_state_dict(content["raw"])
        except RuntimeError as error:
            raise InputError(
                f"{self.folder} holds a network with other channels, as pruning leaves one",
                f"start from it into another folder: --start {self.folder / BEST}",
            ) from error
        self.average.model.load_state_dict(content["weights"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        progress = content["progress"]
        self.epoch, self.best, self.log = progress["epoch"], progress["best"], progress["log"]
        self.average.steps = progress["steps"]
        if self.finished:
            best = f", best AP {self.best:.3f}"
            report.say(f"{self.folder} is finished: {self.epoch} epochs{best}; more go on with a greater --epochs")
        elif others:
            report.say(f"warning: it goes on with {'; '.join(others)}")

    @property
    def finished(self) -> bool:
        """Are all epochs done?"""
        return self.epoch >= self.settings.epochs

    def _made_with(self, training: DataSet, validation: DataSet) -> dict[str, Any]:
        return made_with(training, validation, self.world.size, taught=self.further_loss is not None)


def _groups(model: Network, decay: float) -> list[dict[str, Any]]:
    """Weights decay, norms and biases do not."""
    shrinking = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": shrinking, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]
