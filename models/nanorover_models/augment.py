"""Pictures changed in ways that do not change what is in them, and brought to the network's input size."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover_models.data import Sample, ignored

# A box of which less than this part is left after cropping, or that is smaller, is ignored from then on.
LEAST_VISIBLE = 0.35
LEAST_SIDE_PX = 3.0
GREY = 114

# Colours change as lamps and cheap cameras change them: logarithms of a channel's gain and of gamma, an offset in
# grey levels; then parts of the pictures that are blurred, and that are noisy, with up to so many grey levels.
TINT = 0.4
GAMMA = 0.6
OFFSET = 40
BLURRED = 0.3
NOISY = 0.6
NOISE = 12

# Mosaic pieces (Bochkovskiy et al., YOLOv4, 2020): the point where four pictures meet.
MEETING = (0.3, 0.7)

Boxes = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Augmentation:
    """How much pictures are changed."""

    mosaic: float
    flip: float
    zoom: float
    colour: float


def to_input(image: NDArray[np.uint8], boxes: Boxes, width: int, height: int) -> tuple[NDArray[np.uint8], Boxes]:
    """Stretch a picture and its boxes to the input size, as the runtime does."""
    scale = np.array([width / image.shape[1], height / image.shape[0]] * 2, np.float32)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8), boxes * scale


class Augmenter:
    """Makes training pictures; all randomness comes from the generator given to each call."""

    def __init__(self, settings: Augmentation, width: int, height: int) -> None:
        self.settings = settings
        self.width, self.height = width, height

    def __call__(
        self, samples: list[Sample], index: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Boxes, Labels]:
        """A training picture (H, W, 3) BGR around ``samples[index]``, its boxes and labels (`Sample.marked`)."""
        if rng.random() < self.settings.mosaic:
            others = rng.integers(0, len(samples), 3)
            image, boxes, labels = self._mosaic([samples[i] for i in (index, *others)], rng)
        else:
            sample = samples[index]
            image, boxes, labels = self._zoomed(sample, (self.width, self.height), rng)
        if rng.random() < self.settings.flip:
            image = np.ascontiguousarray(image[:, ::-1])
            boxes = boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + np.array([self.width, 0, self.width, 0])
        return self._coloured(image, rng), boxes.astype(np.float32), labels

    def _zoomed(
        self, sample: Sample, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Boxes, Labels]:
        """The picture at a random scale and place in a canvas of ``size``."""
        image = sample.image()
        width, height = size
        zoom = np.exp(rng.uniform(-1, 1) * self.settings.zoom)
        stretch = np.exp(rng.uniform(-0.5, 0.5) * self.settings.zoom)
        scale_x = width / image.shape[1] * zoom * np.sqrt(stretch)
        scale_y = height / image.shape[0] * zoom / np.sqrt(stretch)
        shift_x = rng.uniform(*sorted((0.0, width - image.shape[1] * scale_x)))
        shift_y = rng.uniform(*sorted((0.0, height - image.shape[0] * scale_y)))
        # Boxes count from the corner of the first pixel, OpenCV from its middle.
        middle_x, middle_y = (scale_x - 1) / 2, (scale_y - 1) / 2
        matrix = np.array([[scale_x, 0, shift_x + middle_x], [0, scale_y, shift_y + middle_y]], np.float32)
        canvas = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(GREY,) * 3)
        boxes, labels = sample.marked()
        boxes = boxes * (scale_x, scale_y, scale_x, scale_y) + np.array([shift_x, shift_y, shift_x, shift_y])
        boxes, labels = clip(boxes, labels, width, height)
        return np.asarray(canvas, np.uint8), boxes, labels

    def _mosaic(self, samples: list[Sample], rng: np.random.Generator) -> tuple[NDArray[np.uint8], Boxes, Labels]:
        x = int(self.width * rng.uniform(*MEETING))
        y = int(self.height * rng.uniform(*MEETING))
        corners = ((0, 0, x, y), (x, 0, self.width, y), (0, y, x, self.height), (x, y, self.width, self.height))
        image = np.empty((self.height, self.width, 3), np.uint8)
        boxes, labels = [], []
        for sample, (left, top, right, bottom) in zip(samples, corners, strict=True):
            piece, piece_boxes, piece_labels = self._zoomed(sample, (right - left, bottom - top), rng)
            image[top:bottom, left:right] = piece
            boxes.append(piece_boxes + np.array([left, top, left, top], np.float32))
            labels.append(piece_labels)
        return image, np.concatenate(boxes), np.concatenate(labels)

    def _coloured(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Brightness, contrast and colour balance; sometimes blur or noise."""
        amount = self.settings.colour
        if amount <= 0:
            return image
        gain = np.exp(rng.uniform(-1, 1) * amount) * np.exp(rng.uniform(-TINT, TINT, 3) * amount)
        gamma = np.exp(rng.uniform(-GAMMA, GAMMA) * amount)
        ramp = (np.arange(256)[:, None] / 255.0) ** gamma * gain
        table = np.clip(ramp * 255 + rng.uniform(-OFFSET, OFFSET) * amount, 0, 255).astype(np.uint8)
        out = cv2.LUT(image, np.ascontiguousarray(table[None]))
        if rng.random() < amount * BLURRED:
            out = cv2.blur(out, (3, 3))
        if rng.random() < amount * NOISY:
            noise = rng.normal(0, NOISE * amount * rng.random(), out.shape[:2]).astype(np.int16)
            out = np.clip(out.astype(np.int16) + noise[..., None], 0, 255).astype(np.uint8)
        return np.asarray(out, np.uint8)


def clip(boxes: NDArray[np.floating], labels: Labels, width: float, height: float) -> tuple[Boxes, Labels]:
    """Boxes cut at the picture's edges; those of which too little is left are marked as ignored."""
    cut = np.clip(boxes, 0, [width, height, width, height])
    sides, before = cut[:, 2:] - cut[:, :2], boxes[:, 2:] - boxes[:, :2]
    visible = sides.prod(1) / np.maximum(before.prod(1), 1e-6)
    fair = (visible >= LEAST_VISIBLE) & (sides >= LEAST_SIDE_PX).all(1)
    inside = (sides > 0).all(1)
    return cut[inside].astype(np.float32), np.where(fair, labels, ignored(labels))[inside]
