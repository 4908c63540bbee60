"""What the detector saw during a run: counted, and the pictures that show most, on one sheet."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from nanorover.files import replacing
from nanorover.fusion.detections import detections_of
from nanorover.perception.images import image_of, write_image
from nanorover.report import Figure
from nanorover_nodes.convert import stamp_ns_of
from nanorover_nodes.declared_topics import hear_declared

COLUMNS, ROWS = 3, 3


class Sightings:
    """Collects detections and annotated pictures; the fullest picture stands for its stretch of time."""

    def __init__(self, node: Node) -> None:
        self._detections: list[dict[str, object]] = []
        self._labels: Counter[str] = Counter()
        self._seen_at: dict[int, int] = {}  # stamp → detections in that picture
        self._pictures: dict[int, Image] = {}
        for topic, callback in (("detections", self._on_detections), ("detections/image", self._on_picture)):
            hear_declared(node, topic, callback)

    def counts(self) -> dict[str, object]:
        """How many pictures and how many boxes of each label."""
        return {"pictures": len(self._seen_at), **dict(self._labels.most_common())}

    def save(self, out: Path) -> list[Figure]:
        """Write ``detections.json`` and ``detections.png``; returns the picture where there is one."""
        with replacing(out / "detections.json") as temporary:
            temporary.write_text(json.dumps(self._detections, indent=1) + "\n")
        sheet = self._sheet()
        if sheet is None:
            return []
        write_image(out / "detections.png", sheet)
        return [Figure("What the detector saw on the way", out / "detections.png")]

    def _sheet(self) -> np.ndarray | None:
        """The fullest picture of each of nine equal stretches of the run, side by side."""
        stamps_ns = sorted(self._pictures)
        stretches = [s for s in np.array_split(stamps_ns, COLUMNS * ROWS) if len(s)]
        if not stretches:
            return None
        best = [
            max(stretch.tolist(), key=lambda stamp_ns: self._seen_at.get(stamp_ns, 0)) for stretch in stretches
        ]
        pictures = [image_of(self._pictures[stamp_ns], "in the message") for stamp_ns in best]
        height, width = pictures[0].shape[:2]
        sheet = np.full((-(-len(pictures) // COLUMNS) * height, COLUMNS * width, 3), 255, np.uint8)
        for i, picture in enumerate(pictures):
            top, left = i // COLUMNS * height, i % COLUMNS * width
            sheet[top : top + height, left : left + width] = cv2.resize(picture, (width, height))
        return sheet

    def _on_detections(self, message: Detection2DArray) -> None:
        stamp_ns = stamp_ns_of(message.header.stamp)
        found = detections_of(message)
        self._seen_at[stamp_ns] = len(found)
        for seen in found:
            self._labels[seen.class_id] += 1
            self._detections.append(
                {
                    "stamp_ns": stamp_ns,
                    "label": seen.class_id,
                    "score": round(seen.score, 3),
                    "box_xyxy": [round(v, 1) for v in seen.box_px],
                }
            )

    def _on_picture(self, message: Image) -> None:
        self._pictures[stamp_ns_of(message.header.stamp)] = message
