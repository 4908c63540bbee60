"""Training: one loop for new networks, fine-tuning, distillation and quantization-aware training.

Started plainly or through ``torchrun``; the first process alone writes. A run's folder holds ``last.pt``
(everything to resume), ``best.pt`` (averaged weights of the best validation), ``log.jsonl``, ``curves.png``.
"""

import copy
import dataclasses
import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nanorover.errors import InputError
from nanorover.files import make_folder, replacing
from nanorover_models import model as models
from nanorover_models.batches import Batches, Loaded, loading
from nanorover_models.blocks import Network, fast_layout
from nanorover_models.curves import draw_curves
from nanorover_models.data import DataSet
from nanorover_models.evaluate import evaluate, require_boxes, torch_detector
from nanorover_models.kept import Kept
from nanorover_models.losses import Targets, make_loss
from nanorover_models.model import ModelSpec
from nanorover_models.params import TrainParams
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

    def run(self, training: DataSet, validation: DataSet, say: Callable[[str], None]) -> Path:
        """Train; returns the checkpoint of the best validation.

        Raises InputError where that has no boxes, and for a folder that cannot be written or another run writes.
        """
        require_boxes(validation)
        if len(training) < self.world.size:
            raise InputError(f"{len(training)} pictures for {self.world.size} processes", "start fewer processes")
        s, world = self.settings, self.world
        self.pictures = training.digest()
        kept = s.pictures_on_gpu and world.device.type == "cuda"
        batches: Batches = (Kept if kept else Loaded)(training.samples, s, world)
        self.steps = len(batches)
        with _alone(self.folder) if world.first else nullcontext():
            while self.epoch < s.epochs:
                begin = time.monotonic()
                row = {"epoch": self.epoch + 1, **self._epoch(batches)}
                if world.first:
                    last = self.epoch + 1 == s.epochs
                    if last or (self.epoch + 1) % s.validate_every == 0:
                        row |= self._validate(validation)
                    row["seconds"] = round(time.monotonic() - begin, 1)
                    self._keep(row)
                    say("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
                self.epoch += 1
                if world.size > 1:
                    torch.distributed.barrier()
        return self.folder / "best.pt"

    def _epoch(self, batches: Batches) -> dict[str, float]:
        self.model.train()
        sums: dict[str, Tensor] = {}
        with loading():
            for step, (images, targets) in enumerate(batches.epoch(self.epoch)):
                for group in self.optimizer.param_groups:
                    group["lr"] = self._rate(self.epoch + step / self.steps)
                for name, loss in self._step(images, targets).items():
                    sums[name] = sums[name] + loss if name in sums else loss
        # Only here is a GPU waited for: asked at every step, it would never be ahead.
        means = {name: float(value) / self.steps for name, value in sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise InputError(
                f"the loss became {sum(means.values())} in epoch {self.epoch + 1}", "lower learning_rate"
            )
        return means | {"rate": self._rate(self.epoch)}

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

    def _validate(self, data: DataSet) -> dict[str, float]:
        figures = evaluate(torch_detector(self.spec, self.average.model), data)
        if figures.ap >= self.best:
            self.best = figures.ap
            if self.keep:
                models.save(self.folder / "best.pt", self.spec, self.average.model, figures=figures.as_dict())
        return {"AP": figures.ap, "AP50": figures.ap50}

    def _keep(self, row: dict[str, float]) -> None:
        self.log.append(row)
        with replacing(self.folder / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(r) + "\n" for r in self.log))
        draw_curves(self.log, self.folder / "curves.png")
        if not self.keep:
            return
        models.save(
            self.folder / "last.pt",
            self.spec,
            self.average.model,
            raw=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
            settings=dataclasses.asdict(self.settings),
            pictures=self.pictures,
            progress={"epoch": self.epoch + 1, "best": self.best, "steps": self.average.steps, "log": self.log},
        )

    def resume(self, training: DataSet) -> None:
        """Go on where ``last.pt`` ended; InputError when it is of another run."""
        content = models.load_checkpoint(self.folder / "last.pt")
        trained = models.spec_of(content)
        for name in (f.name for f in dataclasses.fields(ModelSpec)):
            if getattr(trained, name) != getattr(self.spec, name):
                raise InputError(
                    f"{self.folder} was trained with other {name}: {getattr(trained, name)}, not"
                    f" {getattr(self.spec, name)}",
                    "resume with the same data and parameters, or train into another folder",
                )
        if content.get("pictures") != training.digest():
            raise InputError(
                f"{self.folder} was trained with other pictures or boxes",
                f"resume with the same --data, or go on into another folder: --start {self.folder / 'best.pt'}",
            )
        ours, theirs = dataclasses.asdict(self.settings), content.get("settings", {})
        free = ("epochs", "workers", "threads", "pictures_on_gpu")
        changed = [name for name in ours if name not in free and theirs.get(name) != ours[name]]
        if changed:
            raise InputError(
                f"{self.folder} was trained with another {changed[0]}: {theirs.get(changed[0])!r}",
                "resume with the same parameters, or train into another folder",
            )
        try:
            self.model.load_state_dict(content["raw"])
        except RuntimeError as error:
            raise InputError(
                f"{self.folder} holds a network with other channels, as pruning leaves one",
                f"start from it into another folder: --start {self.folder / 'best.pt'}",
            ) from error
        self.average.model.load_state_dict(content["weights"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        progress = content["progress"]
        self.epoch, self.best, self.log = progress["epoch"], progress["best"], progress["log"]
        self.average.steps = progress["steps"]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else trains into ``folder`` meanwhile: files of two runs would belong to neither.

    Raises InputError where somebody does, or where it cannot be written.
    """
    make_folder(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another training writes into {folder}", "wait for it, or give another --out"
            ) from error
        except OSError:  # a network's file system may know no locks of folders; then nobody can tell
            pass
        yield
    finally:
        os.close(lock)


def _groups(model: Network, decay: float) -> list[dict[str, Any]]:
    """Weights decay, norms and biases do not."""
    shrinking = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": shrinking, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]
