"""A data set that a tiny network learns in seconds: bright and dark blocks on grey.

Importing this makes ``nanorover_models`` importable, whether or not it is installed.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from data import REPOSITORY

MODELS = REPOSITORY / "models"
if str(MODELS) not in sys.path:
    sys.path.append(str(MODELS))

LABELS = ("bright", "dark")
GREYS = (230, 25)
WIDTH, HEIGHT = 128, 96


def block_picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey picture with one block on the left half and one on the right; boxes xyxy and labels."""
    image = np.clip(rng.normal(125, 8, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    boxes, labels = [], rng.integers(0, 2, 2)
    for side, label in enumerate(labels):
        w, h = rng.integers(24, 48), rng.integers(24, 56)
        x, y = side * 64 + rng.integers(0, 64 - w), rng.integers(0, HEIGHT - h)
        image[y : y + h, x : x + w] = GREYS[label]
        boxes.append([x, y, x + w, y + h])
    return image, np.array(boxes, np.float32), labels


def write_blocks(folder: Path, count: int, seed: int) -> Path:
    """A COCO data set of blocks; returns its folder."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        image, boxes, labels = block_picture(rng)
        name = f"{number:03d}.png"
        cv2.imwrite(str(folder / "images" / name), image)
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
            bounds = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": label + 5, "bbox": bounds}
            annotations.append(entry | {"iscrowd": 0, "area": bounds[2] * bounds[3]})
    categories = [{"id": i + 5, "name": name} for i, name in enumerate(LABELS)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder
