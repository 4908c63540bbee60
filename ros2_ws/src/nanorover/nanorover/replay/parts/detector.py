"""Pictures → detections."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.params import load
from nanorover.perception.detector import Detector
from nanorover.perception.params import DetectorParams, make_detector
from nanorover.replay.graph import Several, Unusable
from nanorover.replay.records import Picture


@dataclass(frozen=True, eq=False)
class Seen:
    """One detection: its class, its score, and its box ``(4,)`` x0, y0, x1, y1 in pixels."""

    stamp_ns: int
    class_id: str
    score: float
    box_px: NDArray[np.float32]


class Detections(Several):
    """What was seen in one picture: ``Seen``, the surest first."""


class DetectorPart:
    """The shipped detector on the processor: graphics cards differ in their last digits."""

    def __init__(self) -> None:
        self.pictures = 0
        self._detector: Detector | None = None

    def take(self, record: Picture) -> Iterator[Detections | Unusable]:
        if self._detector is None:  # most recordings hold no picture
            self._detector = make_detector(load(DetectorParams, "detector", engine="onnxruntime"))
        try:
            bgr = np.ascontiguousarray(record.rgb()[:, :, ::-1])
        except InputError as error:
            yield Unusable(record.stamp_ns, "picture that cannot be decoded skipped", error.args[0])
            return
        self.pictures += 1
        found = self._detector(bgr)
        labels = self._detector.description.labels
        yield Detections(
            record.stamp_ns,
            tuple(
                Seen(record.stamp_ns, labels[c], float(score), box)
                for box, score, c in zip(found.boxes_xyxy, found.scores, found.classes, strict=True)
            ),
        )

    def finish(self) -> Mapping[str, Any]:
        return {"pictures": self.pictures}
