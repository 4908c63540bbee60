"""A detector: picture in, boxes with labels and scores out, and how long each stage took."""

import time
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from nanorover.errors import InputError
from nanorover.perception.decode import make_decoder
from nanorover.perception.description import ModelDescription
from nanorover.perception.engines import Engine
from nanorover.perception.nms import suppress, top_k
from nanorover.perception.preprocess import Preprocessor, boxes_to_picture


class Detections(NamedTuple):
    """What was seen: (N, 4) xyxy in picture pixels, (N,) score 0…1, (N,) class index; best first."""

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    ms: Dict[str, float]

    def as_dicts(self, labels: Sequence[str]) -> List[Dict[str, Any]]:
        """Plain values for JSON."""
        return [
            {"label": labels[c], "score": round(float(s), 4), "box_xyxy": [round(float(v), 1) for v in box]}
            for box, s, c in zip(self.boxes_xyxy, self.scores, self.classes)
        ]


class Limits(NamedTuple):
    """What passes: least score, overlap above which the lesser box goes, how many candidates and boxes at most.

    ``classes`` holds the wanted labels; empty means all.
    """

    score: float
    iou: float
    candidates: int
    most: int
    classes: Tuple[str, ...] = ()


class Detector:
    """Preprocess → engine → decode → suppress. The limits may be changed between two pictures."""

    def __init__(self, description: ModelDescription, engine: Engine, limits: Limits) -> None:
        """Run the network once, to warm it up and to check its outputs against the description.

        Raises InputError when the network does not fit its description.
        """
        self.description = description
        self.engine = engine
        self.preprocess = Preprocessor(description.input)
        self.decoder = make_decoder(description)
        self.set_limits(limits)
        self.check_input()
        self.decoder.check(engine.run(self.preprocess.tensor))

    def set_limits(self, limits: Limits) -> None:
        """Change thresholds and the class filter; InputError names a label that the model does not know."""
        labels = self.description.labels
        for name in limits.classes:
            if name not in labels:
                raise InputError("the model has no class '%s'" % name, "it knows: %s" % ", ".join(labels))
        self.limits = limits
        self.wanted = np.array([not limits.classes or name in limits.classes for name in labels])

    def check_input(self) -> None:
        """InputError when the network wants another input than the description says."""
        wanted = self.preprocess.tensor.shape
        shape = getattr(self.engine, "input_shape", wanted)
        fits = len(shape) == len(wanted)
        for given, want in zip(shape, wanted):
            fits = fits and (given == want or not isinstance(given, int))
        if not fits:
            raise InputError(
                "%s says that the input is %s, but the network wants %s"
                % (self.description.source, wanted, shape),
                "correct the input size in the YAML",
            )

    def __call__(self, image_bgr: np.ndarray) -> Detections:
        """Objects in a ``(H, W, 3) uint8`` BGR picture; InputError when it is no such picture."""
        begin = time.perf_counter()
        tensor, placement = self.preprocess(image_bgr)
        prepared = time.perf_counter()
        outputs = self.engine.run(tensor)
        inferred = time.perf_counter()
        limits = self.limits
        found = self.decoder.candidates(outputs, limits.score)
        rows = np.flatnonzero(self.wanted[found.classes])
        rows = rows[top_k(found.scores[rows], limits.candidates)]
        boxes = boxes_to_picture(found.boxes_xyxy[rows], placement)
        visible = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # not wholly beside the picture
        boxes, rows = boxes[visible], rows[visible]
        scores, classes = found.scores[rows], found.classes[rows]
        keep = suppress(boxes, scores, classes, limits.iou, limits.most)
        done = time.perf_counter()
        ms = {
            "preprocess": (prepared - begin) * 1e3,
            "inference": (inferred - prepared) * 1e3,
            "decode": (done - inferred) * 1e3,
        }
        return Detections(boxes[keep], scores[keep], classes[keep], ms)
