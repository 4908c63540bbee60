"""Training pictures kept in a GPU's memory and changed there, a batch at once.

What `augment.Augmenter` does to one picture on a CPU. A GPU then waits neither for processes that load nor for
the bus: with sixteen cores loading, they were what limited an H100.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nanorover.errors import InputError
from nanorover_models.augment import (
    BLURRED,
    GAMMA,
    GREY,
    LEAST_SIDE_PX,
    LEAST_VISIBLE,
    MEETING,
    NOISE,
    NOISY,
    OFFSET,
    TINT,
    Augmentation,
    to_input,
)
from nanorover_models.batches import Batch, Batches, Loaded
from nanorover_models.data import Sample
from nanorover_models.losses import Targets, together
from nanorover_models.params import TrainParams
from nanorover_models.report import SILENT, Reporter
from nanorover_models.world import World

# Pictures may take this part of the memory that is free; the rest is the network's.
MEMORY_PART = 0.5
GIB = 1 << 30


class Kept:
    """Batches out of one process's part of the pictures, all of which the device holds at the input's size."""

    def __init__(
        self, samples: list[Sample], settings: TrainParams, world: World, report: Reporter = SILENT
    ) -> None:
        """Read all pictures; InputError when the device has no room for them."""
        self.settings, self.world, self.device = settings, world, world.device
        self.canvas = torch.tensor([settings.input_width, settings.input_height], device=self.device).float()
        mine = samples[world.rank :: world.size][: len(samples) // world.size]
        self.batch = min(settings.batch, len(mine))
        shape = (len(mine), 3, settings.input_height, settings.input_width)
        require_room(int(np.prod(shape)), self.device)
        self.images = torch.empty(shape, dtype=torch.uint8, device=self.device)
        objects = []
        with ThreadPoolExecutor() as readers:
            fitted = report.each("reading", readers.map(self._fitted, mine), len(mine))
            for row, (image_rgb, boxes, labels) in enumerate(fitted):
                self.images[row] = torch.from_numpy(image_rgb)
                objects.append((torch.from_numpy(boxes), torch.from_numpy(labels)))
        self.objects = together(objects).to(self.device)

    def _fitted(self, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
        boxes, labels = sample.marked()
        image, boxes = to_input(sample.image(), boxes, self.settings.input_width, self.settings.input_height)
        return np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)), boxes, labels

    def __len__(self) -> int:
        return len(self.images) // self.batch

    def epoch(self, number: int) -> Iterator[Batch]:
        seed = (self.settings.seed * 100_003 + number) * self.world.size + self.world.rank
        draw = Draw(torch.Generator(self.device).manual_seed(seed))
        changes = self.settings.augmentation(number)
        for rows in draw.order(len(self.images)).split(self.batch)[: len(self)]:
            yield self._changed(rows, changes, draw)

    def _changed(self, rows: Tensor, changes: Augmentation, draw: "Draw") -> Batch:
        mosaics = round(len(rows) * changes.mosaic)
        parts = [self._mosaic(rows[:mosaics], changes, draw)] if mosaics else []
        if mosaics < len(rows):
            whole = torch.cat((torch.zeros_like(self.canvas), self.canvas)).expand(len(rows) - mosaics, 4)
            parts.append(self._zoomed(rows[mosaics:], whole, changes, draw))
        images, targets = torch.cat([part[0] for part in parts]), _one_below_another([part[1] for part in parts])
        flip = draw.part(len(rows), changes.flip)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        left, top, right, bottom = targets.boxes_xyxy.unbind(-1)
        width = self.canvas[0]
        mirrored = torch.stack((width - right, top, width - left, bottom), -1)
        boxes = torch.where(flip[:, None, None], mirrored, targets.boxes_xyxy)
        return _coloured(images, changes.colour, draw), targets._replace(boxes_xyxy=boxes)

    def _zoomed(self, rows: Tensor, frame: Tensor, changes: Augmentation, draw: "Draw") -> Batch:
        """Pictures at random scales and places in their part ``frame`` (n, 4) xyxy of the canvas; what the first
        of the two returned shows beyond it is not meant to be seen."""
        room = frame[:, 2:] - frame[:, :2]
        zoom = torch.exp(draw.around(len(rows), 1) * changes.zoom)
        stretch = torch.exp(draw.around(len(rows), 1) * 0.25 * changes.zoom)
        scale = room / self.canvas * zoom * torch.cat((stretch, 1 / stretch), 1)
        shift = frame[:, :2] + (room - self.canvas * scale) * draw.within(len(rows), 2)
        # From a pixel of the canvas to one of the picture, both in −1…1 from edge to edge.
        to_picture = torch.diag_embed(1 / scale)
        offset = (1 - 2 * shift / self.canvas) / scale - 1
        grid = F.affine_grid(
            torch.cat((to_picture, offset[..., None]), 2), [len(rows), *self.images.shape[1:]], align_corners=False
        )
        # Zeros are what lies outside, so the border's grey becomes zero meanwhile.
        images = F.grid_sample(self.images[rows].float() - GREY, grid, align_corners=False) + GREY
        boxes, labels, there = (part[rows] for part in self.objects)
        boxes = boxes * scale.repeat(1, 2)[:, None] + shift.repeat(1, 2)[:, None]
        cut = boxes.clamp(frame[:, None, :2].repeat(1, 1, 2), frame[:, None, 2:].repeat(1, 1, 2))
        sides, before = cut[..., 2:] - cut[..., :2], boxes[..., 2:] - boxes[..., :2]
        visible = sides.prod(-1) / before.prod(-1).clamp(min=1e-6)
        fair = (visible >= LEAST_VISIBLE) & (sides >= LEAST_SIDE_PX).all(-1)
        labels = torch.where(fair | (labels < 0), labels, -1 - labels)
        return images, Targets(cut, labels, there & (sides > 0).all(-1))

    def _mosaic(self, rows: Tensor, changes: Augmentation, draw: "Draw") -> Batch:
        """Four pictures each around a random point: those of ``rows`` and three others."""
        low, high = MEETING
        meeting = (self.canvas * (low + (high - low) * draw.within(len(rows), 2))).floor()
        (x, y), (width, height) = meeting.unbind(1), self.canvas.expand(len(rows), 2).unbind(1)
        zero = torch.zeros_like(x)
        corners = [(zero, zero, x, y), (x, zero, width, y), (zero, y, x, height), (x, y, width, height)]
        across = torch.arange(self.images.shape[3], device=self.device)
        down = torch.arange(self.images.shape[2], device=self.device)[:, None]
        images, found = torch.zeros((), device=self.device), []
        for number, corner in enumerate(corners):
            chosen = rows if number == 0 else draw.rows(len(self.images), len(rows))
            piece, targets = self._zoomed(chosen, torch.stack(corner, 1), changes, draw)
            left, top, right, bottom = (side[:, None, None, None] for side in corner)
            inside = (across >= left) & (across < right) & (down >= top) & (down < bottom)
            images = torch.where(inside, piece, images)
            found.append(targets)
        boxes, labels, there = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return images, Targets(boxes, labels, there)


def batches_of(samples: list[Sample], settings: TrainParams, world: World, report: Reporter) -> Batches:
    """The batches of a process: kept on its GPU where there is one and that is wanted, else loaded."""
    if settings.pictures_on_gpu and world.device.type == "cuda":
        return Kept(samples, settings, world, report)
    return Loaded(samples, settings, world)


class Draw:
    """Random numbers of one epoch, drawn on the device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def within(self, *shape: int) -> Tensor:
        """Uniform in 0…1."""
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def around(self, *shape: int) -> Tensor:
        """Uniform in −1…1."""
        return self.within(*shape) * 2 - 1

    def part(self, count: int, part: float) -> Tensor:
        """(count,) true with this probability."""
        return self.within(count) < part

    def order(self, count: int) -> Tensor:
        """The rows 0 … count − 1 in random order."""
        return torch.randperm(count, generator=self.generator, device=self.generator.device)

    def rows(self, count: int, wanted: int) -> Tensor:
        """(wanted,) rows out of ``count``."""
        return torch.randint(count, (wanted,), generator=self.generator, device=self.generator.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device)


def require_room(needed_bytes: int, device: torch.device) -> None:
    """InputError when a GPU has no room for the pictures beside a network."""
    if device.type != "cuda":
        return
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if needed_bytes > MEMORY_PART * free_bytes:
        raise InputError(
            f"the pictures take {needed_bytes / GIB:.1f} GiB, too much of the {free_bytes / GIB:.1f} GiB that the"
            " GPU has free",
            "set pictures_on_gpu to false: processes load them then",
        )


def _one_below_another(parts: list[Targets]) -> Targets:
    """One batch of several, those that are there first, without columns in which nothing is."""
    most = max(part.labels.shape[1] for part in parts)
    missing = [most - part.labels.shape[1] for part in parts]
    boxes = torch.cat([F.pad(p.boxes_xyxy, (0, 0, 0, m)) for p, m in zip(parts, missing, strict=True)])
    labels = torch.cat([F.pad(p.labels, (0, m)) for p, m in zip(parts, missing, strict=True)])
    there = torch.cat([F.pad(p.there, (0, m)) for p, m in zip(parts, missing, strict=True)])
    order = there.byte().argsort(stable=True, dim=1, descending=True)[:, : max(1, int(there.sum(1).max()))]
    return Targets(
        boxes.gather(1, order[..., None].expand(-1, -1, 4)), labels.gather(1, order), there.gather(1, order)
    )


def _coloured(images: Tensor, amount: float, draw: Draw) -> Tensor:
    """Brightness, contrast and colour balance (n, 3, H, W), blur for some, noise for others."""
    if amount <= 0:
        return images
    count = len(images)
    gain = torch.exp(draw.around(count, 1) * amount) * torch.exp(draw.around(count, 3) * TINT * amount)
    gamma = torch.exp(draw.around(count, 1) * GAMMA * amount)
    offset = draw.around(count, 1) * OFFSET * amount
    gain, gamma, offset = (value[..., None, None] for value in (gain, gamma, offset))
    out = ((images.clamp(0, 255) / 255) ** gamma * gain * 255 + offset).clamp(0, 255)
    blurred = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="reflect"), 3, 1)
    out = torch.where(draw.part(count, amount * BLURRED)[:, None, None, None], blurred, out)
    strength = NOISE * amount * draw.within(count) * draw.part(count, amount * NOISY)
    noise = draw.normal(count, 1, *images.shape[2:]) * strength[:, None, None, None]
    return (out + noise).clamp(0, 255)
