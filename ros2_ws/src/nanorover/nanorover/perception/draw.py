"""Boxes with labels on a picture, for people."""

import colorsys
from typing import List, Sequence, Tuple

import cv2
import numpy as np

from nanorover.perception.detector import Detections

FONT = cv2.FONT_HERSHEY_SIMPLEX
GOLDEN_RATIO = 0.618034
PLACES = 6  # that a label tries, one below the other

Rectangle = Tuple[int, ...]  # left, top, right, bottom in pixels


def class_colour(index: int) -> Tuple[int, int, int]:
    """A BGR colour for a class, far from those of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb((index * GOLDEN_RATIO + 0.05) % 1.0, 0.85, 0.95)
    return int(blue * 255), int(green * 255), int(red * 255)


def draw(image_bgr: np.ndarray, detections: Detections, labels: Sequence[str]) -> np.ndarray:
    """A copy of the picture with a box, a label and a score for each detection, best on top."""
    out = image_bgr.copy()
    side = max(out.shape[:2])
    line, text = max(1, round(side / 400)), max(0.35, side / 1400)
    rows = []
    taken = []  # type: List[Rectangle]
    for box, score, index in zip(detections.boxes_xyxy, detections.scores, detections.classes):
        rectangle = tuple(int(round(float(v))) for v in box)
        caption = "%s %.0f%%" % (labels[index], score * 100)
        size, base = cv2.getTextSize(caption, FONT, text, 1)
        place = _free_place(rectangle, (size[0], size[1] + base + 2), out.shape[1], taken)
        taken.append(place)
        rows.append((rectangle, class_colour(int(index)), caption, place, base))
    for rectangle, colour, _, _, _ in reversed(rows):
        cv2.rectangle(out, rectangle[:2], rectangle[2:], colour, line)
    for _, colour, caption, (left, top, right, bottom), base in reversed(rows):
        cv2.rectangle(out, (left, top), (right, bottom), colour, -1)
        ink = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
        cv2.putText(out, caption, (left, bottom - base), FONT, text, ink, 1, cv2.LINE_AA)
    return out


def _free_place(box: Rectangle, size: Tuple[int, int], picture_width: int, taken: List[Rectangle]) -> Rectangle:
    """Where a label of this size goes: above the box where there is room, else inside it, below labels that are
    there."""
    width, height = size
    left = max(0, min(box[0], picture_width - width))
    top = box[1] - height + 1 if box[1] >= height else box[1]
    for step in range(PLACES):
        place = (left, top + step * (height + 1), left + width, top + step * (height + 1) + height)
        if not any(_overlap(place, other) for other in taken):
            return place
    return (left, top, left + width, top + height)


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
