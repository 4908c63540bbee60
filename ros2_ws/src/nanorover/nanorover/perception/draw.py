"""Boxes with labels on a picture, for people."""

import colorsys
from typing import Sequence, Tuple

import cv2
import numpy as np

from nanorover.perception.detector import Detections

FONT = cv2.FONT_HERSHEY_SIMPLEX
GOLDEN_RATIO = 0.618034


def class_colour(index: int) -> Tuple[int, int, int]:
    """A BGR colour for a class, far from those of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb((index * GOLDEN_RATIO + 0.05) % 1.0, 0.85, 0.95)
    return int(blue * 255), int(green * 255), int(red * 255)


def draw(image_bgr: np.ndarray, detections: Detections, labels: Sequence[str]) -> np.ndarray:
    """A copy of the picture with a box, a label and a score for each detection, best on top."""
    out = image_bgr.copy()
    side = max(out.shape[:2])
    line, text = max(1, round(side / 400)), max(0.35, side / 1400)
    rows = list(zip(detections.boxes_xyxy, detections.scores, detections.classes))
    for box, score, index in reversed(rows):
        colour = class_colour(int(index))
        left, top, right, bottom = (int(round(float(v))) for v in box)
        cv2.rectangle(out, (left, top), (right, bottom), colour, line)
        caption = "%s %.0f%%" % (labels[index], score * 100)
        (width, height), base = cv2.getTextSize(caption, FONT, text, 1)
        # Above the box where there is room, else inside it.
        y = top - base - 1 if top - height - base - 2 >= 0 else top + height + 2
        x = max(0, min(left, out.shape[1] - width))
        cv2.rectangle(out, (x, y - height - 2), (x + width, y + base), colour, -1)
        dark = sum(colour) > 380
        cv2.putText(out, caption, (x, y), FONT, text, (0, 0, 0) if dark else (255, 255, 255), 1, cv2.LINE_AA)
    return out
