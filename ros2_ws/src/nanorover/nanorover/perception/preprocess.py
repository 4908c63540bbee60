"""A camera picture to the tensor a network wants, and boxes back to the picture."""

from typing import NamedTuple, Tuple

import cv2
import numpy as np

from nanorover.errors import InputError
from nanorover.perception.description import InputSpec


class Placement(NamedTuple):
    """Where the picture lies in the network's input: ``x_input = x_picture * scale_x + offset_x``."""

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    width: int
    height: int


class Preprocessor:
    """Resizes and normalises into buffers that are reused: new memory for each picture took half of the time."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self.tensor = np.zeros((1, 3, spec.height, spec.width), np.float32)
        self._canvas = np.full((spec.height, spec.width, 3), spec.pad, np.uint8)
        self._canvas_used = (0, 0)
        self._planes = [np.empty((spec.height, spec.width), np.uint8) for _ in range(3)]
        # One multiplication and one addition per pixel: (v - mean) / std = v * gain + shift.
        self._gain = [np.float32(1.0 / s) for s in spec.std]
        self._shift = [np.float32(-m / s) for m, s in zip(spec.mean, spec.std)]

    def __call__(self, image_bgr: np.ndarray) -> Tuple[np.ndarray, Placement]:
        """``(H, W, 3) uint8`` BGR picture → ``(1, 3, h, w) float32`` tensor (reused) and its placement.

        Raises InputError for a picture of another shape or type.
        """
        if image_bgr.dtype != np.uint8 or image_bgr.ndim != 3 or image_bgr.shape[2] != 3 or 0 in image_bgr.shape:
            raise InputError(
                "a picture of shape %s and type %s cannot be used" % (image_bgr.shape, image_bgr.dtype),
                "it must be height × width × 3, 8 bits per channel, and not empty",
            )
        height, width = image_bgr.shape[:2]
        placement = place(self.spec, width, height)
        self._fit(image_bgr, placement)
        cv2.split(self._canvas, self._planes)
        planes = self._planes[::-1] if self.spec.colour == "rgb" else self._planes
        for channel in range(3):
            target = self.tensor[0, channel]
            np.multiply(planes[channel], self._gain[channel], out=target)
            if self._shift[channel]:
                target += self._shift[channel]
        return self.tensor, placement

    def _fit(self, image_bgr: np.ndarray, placement: Placement) -> None:
        """Put the picture in its place on the canvas."""
        width, height = _fitted_size(placement)
        x, y = int(placement.offset_x), int(placement.offset_y)
        if self._canvas_used != (width, height):
            self._canvas[:] = self.spec.pad
            self._canvas_used = (width, height)
        target = self._canvas[y : y + height, x : x + width]
        cv2.resize(image_bgr, (width, height), target, interpolation=cv2.INTER_LINEAR)


def place(spec: InputSpec, width: int, height: int) -> Placement:
    """Where a picture of ``width`` × ``height`` goes in the network's input."""
    if spec.resize == "stretch":
        return Placement(spec.width / width, spec.height / height, 0.0, 0.0, width, height)
    scale = min(spec.width / width, spec.height / height)
    placement = Placement(scale, scale, 0.0, 0.0, width, height)
    if spec.resize == "letterbox_centre":
        fitted_width, fitted_height = _fitted_size(placement)
        x, y = (spec.width - fitted_width) // 2, (spec.height - fitted_height) // 2
        placement = placement._replace(offset_x=float(x), offset_y=float(y))
    return placement


def _fitted_size(placement: Placement) -> Tuple[int, int]:
    width = max(1, int(placement.width * placement.scale_x + 1e-6))
    return width, max(1, int(placement.height * placement.scale_y + 1e-6))


def boxes_to_picture(boxes_xyxy: np.ndarray, placement: Placement) -> np.ndarray:
    """``(N, 4)`` boxes in input pixels → picture pixels, clipped to the picture."""
    boxes = boxes_xyxy.astype(np.float32, copy=True)
    boxes[:, 0::2] = np.clip((boxes[:, 0::2] - placement.offset_x) / placement.scale_x, 0, placement.width)
    boxes[:, 1::2] = np.clip((boxes[:, 1::2] - placement.offset_y) / placement.scale_y, 0, placement.height)
    return boxes
