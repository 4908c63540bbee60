"""Batches of changed training pictures, made by processes that load them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, RandomSampler

from nanorover.errors import InputError
from nanorover_models.augment import Augmenter
from nanorover_models.data import Sample
from nanorover_models.losses import Targets, together
from nanorover_models.params import TrainParams
from nanorover_models.world import World

Batch = tuple[Tensor, Targets]


class Batches(Protocol):
    """The training pictures, a batch (B, 3, H, W) RGB in 0…255 and its objects at a time."""

    batch: int

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, number: int) -> Iterator[Batch]:
        """All pictures once, in another order and changed otherwise in every epoch."""
        ...


class Pictures(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Augmented pictures; what a picture looks like follows from seed, epoch and index alone."""

    def __init__(self, samples: list[Sample], settings: TrainParams) -> None:
        self.samples, self.settings = samples, settings
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        s = self.settings
        rng = np.random.default_rng((s.seed, self.epoch, index))
        augmenter = Augmenter(s.augmentation(self.epoch), s.input_width, s.input_height)
        image, boxes, labels = augmenter(self.samples, index, rng)
        rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
        return torch.from_numpy(rgb), torch.from_numpy(boxes), torch.from_numpy(labels)


def collate(items: list[tuple[Tensor, Tensor, Tensor]]) -> Batch:
    """Pictures and their objects as one batch."""
    return torch.stack([i[0] for i in items]), together([(i[1], i[2]) for i in items])


@contextmanager
def loading() -> Iterator[None]:
    """What uses batches stands in here: that a process which loads them was killed, as where memory is short,
    becomes an InputError; torch raises it wherever its signal comes."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise InputError(
            f"a process that loads pictures was ended from outside: {error}",
            "was memory short? fewer workers or smaller pictures take less; --resume goes on",
        ) from error


class Loaded:
    """Batches that processes load from files and change."""

    def __init__(self, samples: list[Sample], settings: TrainParams, world: World) -> None:
        self.pictures, self.seed = Pictures(samples, settings), settings.seed
        self.batch = min(settings.batch, len(samples) // world.size)
        self.sampler: Any
        if world.size > 1:
            self.sampler = DistributedSampler(
                self.pictures, world.size, world.rank, seed=settings.seed, drop_last=True
            )
        else:
            self.sampler = RandomSampler(self.pictures, generator=torch.Generator())
        self.loader = DataLoader(
            self.pictures, self.batch, sampler=self.sampler, num_workers=settings.workers, collate_fn=collate,
            drop_last=True, pin_memory=world.device.type == "cuda",
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, number: int) -> Iterator[Batch]:
        self.pictures.epoch = number
        if isinstance(self.sampler, DistributedSampler):
            self.sampler.set_epoch(number)
        else:
            self.sampler.generator.manual_seed(self.seed * 100_003 + number)
        # The processes that load are forked: as many as threads are wanted, and a pool of OpenCV's, once used here
        # (for validation, say), would be theirs without its threads, and let them wait for ever.
        cv2.setNumThreads(1)
        try:
            yield from self.loader
        except InputError as error:  # of a process that loads it has its whole traceback before the sentence
            raise InputError(str(error).rpartition("InputError: ")[2].strip()) from error
