"""Pictures of the project's own simulated world, written as a COCO data set."""

import json
import os
from pathlib import Path
from typing import Any

import cv2

from nanorover.files import replacing
from nanorover.perception.images import write_image
from nanorover_models.report import Reporter

JPEG_QUALITY = 95


def render(folder: Path, seed: int, count: int, report: Reporter) -> Path:
    """Render ``count`` pictures with exact boxes into ``folder``; returns its annotation file.

    The same seed gives the same pictures. Raises InputError where this machine cannot draw.
    """
    os.environ.setdefault("MUJOCO_GL", "egl")  # its other backend wants a screen
    from nanorover.sim.dataset import fair, render_dataset
    from nanorover.sim.shapes import CLASSES

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(report.each("rendering", render_dataset(seed, count), count)):
        name = f"{seed}_{number:05d}.jpg"
        bgr = cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR)
        write_image(folder / "images" / name, bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        height, width = sample.image.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        judged = fair(sample.boxes_px, sample.visible)
        for box, label, is_judged in zip(sample.boxes_px, sample.labels, judged, strict=True):
            x1, y1, x2, y2 = (float(v) for v in box)
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": int(label),
                "iscrowd": int(not is_judged),  # COCO's way to say: neither right nor wrong to find
            }
            entry |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            annotations.append(entry)
    document = {
        "info": {"description": "renders of Nanorover's simulated world", "seed": seed},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
    }
    path = folder / "annotations.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document))
    return path
