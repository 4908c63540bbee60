"""Network outputs to candidate boxes: one decoder per head family, all in numpy.

A decoder is made once from the model's description and called with the outputs in the order in which
the network lists them; it returns the candidates above a threshold, best label each, in input pixels.
"""

from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from nanorover.errors import InputError
from nanorover.perception.arguments import all_numbers, checked
from nanorover.perception.description import ModelDescription
from nanorover.perception.priors import CENTRE_VARIANCE, SIZE_VARIANCE, grid_points, ssd_priors


class Candidates(NamedTuple):
    """Boxes before suppression: (N, 4) xyxy in input pixels, (N,) score 0…1, (N,) class index."""

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


class Decoder:
    """What the decoders share: the description's geometry and the check of the outputs' shapes."""

    def __init__(self, description: ModelDescription) -> None:
        self.where = str(description.source) + ": head"
        self.head = description.head
        self.width, self.height = description.input.width, description.input.height
        self.labels = len(description.labels)
        self.prepare()

    def prepare(self) -> None:
        """Read the head's own keys; InputError for one that is missing or wrong."""

    def expected(self) -> List[Tuple[int, ...]]:
        """The shapes that the outputs must have."""
        raise NotImplementedError

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        """The predictions above ``threshold``."""
        raise NotImplementedError

    def check(self, outputs: List[np.ndarray]) -> None:
        """Raise InputError if the network's outputs are not those of this head and these labels, or no numbers."""
        expected, got = self.expected(), [tuple(output.shape) for output in outputs]
        if expected != got:
            raise InputError(
                "%s: a '%s' head with %d labels returns outputs of shape %s, but this network returns %s"
                % (self.where, self.head["kind"], self.labels, _shapes(expected), _shapes(got)),
                "correct kind, input size, strides or the number of labels in the YAML",
            )
        if any(np.isnan(output).any() for output in outputs):
            raise InputError(
                "%s: the network returns what is no number (NaN)" % self.where,
                "its file may be damaged: get or export it again; or it needs more precision: take fp32",
            )

    def strides(self) -> List[int]:
        """The head's strides. Raises InputError where they are no whole numbers."""
        strides = checked(self.head, "strides", list, self.where)
        if not strides or not all(isinstance(s, int) and s > 0 for s in strides):
            raise InputError("%s: 'strides' is %r" % (self.where, strides), "it must be a list of whole numbers")
        return strides


class OwnSsd(Decoder):
    """This project's SSD: logits (1, N, 1 + C) with background first, deltas (1, N, 4) against priors."""

    def prepare(self) -> None:
        strides = self.strides()
        for key in ("sizes", "ratios"):
            values = checked(self.head, key, list, self.where)
            if not all_numbers(values) or any(value <= 0 for value in values):
                raise InputError(
                    "%s: '%s' is %r" % (self.where, key, values), "it must be a list of numbers above 0"
                )
        if len(self.head["sizes"]) != len(strides) + 1:
            raise InputError("%s: 'sizes' must have one entry more than 'strides'" % self.where)
        self.priors = ssd_priors(self.width, self.height, self.head)

    def expected(self) -> List[Tuple[int, ...]]:
        return [(1, len(self.priors), 1 + self.labels), (1, len(self.priors), 4)]

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        logits, deltas = outputs[0][0], outputs[1][0]
        # A class can only pass if its logit beats the background's by this much.
        lead = logits[:, 1:].max(axis=1) - logits[:, 0]
        rows = np.flatnonzero(lead > _logit(threshold))
        chosen = logits[rows]
        scores = np.exp(chosen - chosen.max(axis=1, keepdims=True))
        scores = scores[:, 1:] / scores.sum(axis=1, keepdims=True)
        return _best(decode_ssd(deltas[rows], self.priors[rows]), scores, threshold)


class OwnAnchorFree(Decoder):
    """This project's anchor-free net: logits (1, N, C), distances to the four sides (1, N, 4) in strides."""

    def prepare(self) -> None:
        self.points, self.sizes = grid_points(self.width, self.height, self.strides(), offset=0.5)

    def expected(self) -> List[Tuple[int, ...]]:
        return [(1, len(self.points), self.labels), (1, len(self.points), 4)]

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        logits, distances = outputs[0][0], outputs[1][0]
        rows = np.flatnonzero((logits > _logit(threshold)).any(axis=1))
        boxes = _from_distances(self.points[rows], distances[rows] * self.sizes[rows, None])
        return _best(boxes, _sigmoid(logits[rows]), threshold)


class YoloX(Decoder):
    """YOLOX: (1, N, 5 + C); centre relative to the cell, log size, objectness and classes as probabilities."""

    def prepare(self) -> None:
        self.points, self.sizes = grid_points(self.width, self.height, self.strides(), offset=0.0)

    def expected(self) -> List[Tuple[int, ...]]:
        return [(1, len(self.points), 5 + self.labels)]

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        predictions = outputs[0][0]
        rows = np.flatnonzero(predictions[:, 4] > threshold)
        chosen, size = predictions[rows], self.sizes[rows, None]
        centre = chosen[:, 0:2] * size + self.points[rows]
        boxes = _from_centre(centre, np.exp(np.minimum(chosen[:, 2:4], 20.0)) * size)
        return _best(boxes, chosen[:, 5:] * chosen[:, 4:5], threshold)


class Gfl(Decoder):
    """NanoDet and PicoDet (generalized focal loss): per level scores (1, n, C) and side distributions.

    All score outputs come first, then as many (1, n, 4 * (reg_max + 1)). ``scores: sigmoid`` in the head
    says that the network has already applied it, ``logits`` that it has not.
    """

    def prepare(self) -> None:
        strides = self.strides()
        self.bins = checked(self.head, "reg_max", int, self.where) + 1
        self.logits = checked(self.head, "scores", str, self.where, ("sigmoid", "logits")) == "logits"
        self.points, self.sizes = grid_points(self.width, self.height, strides, offset=0.5)
        self.counts = [int((self.sizes == stride).sum()) for stride in strides]

    def expected(self) -> List[Tuple[int, ...]]:
        scores = [(1, count, self.labels) for count in self.counts]
        return scores + [(1, count, 4 * self.bins) for count in self.counts]

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        levels = len(self.counts)
        limit = _logit(threshold) if self.logits else threshold
        rows, scores, sides = [], [], []
        start = 0
        for level in range(levels):
            level_scores = outputs[level][0]
            chosen = np.flatnonzero(level_scores.max(axis=1) > limit)
            rows.append(chosen + start)
            scores.append(level_scores[chosen])
            sides.append(outputs[levels + level][0][chosen])
            start += self.counts[level]
        row, score = np.concatenate(rows), np.concatenate(scores)
        distribution = np.concatenate(sides).reshape(-1, 4, self.bins)
        weights = np.exp(distribution - distribution.max(axis=2, keepdims=True))
        distances = (weights * np.arange(self.bins)).sum(axis=2) / weights.sum(axis=2)
        boxes = _from_distances(self.points[row], distances * self.sizes[row, None])
        return _best(boxes, _sigmoid(score) if self.logits else score, threshold)


class FastestDet(Decoder):
    """FastestDet: (1, 5 + C, rows, columns): objectness, four box values, classes."""

    def prepare(self) -> None:
        self.stride = self.strides()[0]
        self.points, _ = grid_points(self.width, self.height, [self.stride], offset=0.0)

    def expected(self) -> List[Tuple[int, ...]]:
        return [(1, 5 + self.labels, self.height // self.stride, self.width // self.stride)]

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        predictions = outputs[0][0].reshape(5 + self.labels, -1)
        # score = objectness^0.6 * class^0.4, and no class exceeds 1.
        rows = np.flatnonzero(predictions[0] > threshold ** (1 / 0.6))
        chosen = predictions[:, rows].T
        centre = self.points[rows] + np.tanh(chosen[:, 1:3]) * self.stride
        boxes = _from_centre(centre, _sigmoid(chosen[:, 3:5]) * (self.width, self.height))
        return _best(boxes, chosen[:, 0:1] ** 0.6 * chosen[:, 5:] ** 0.4, threshold)


class YoloV5(Decoder):
    """YOLOv5-style export: (1, N, 5 + C); centre and size in input pixels, objectness, classes."""

    def prepare(self) -> None:
        self.count = checked(self.head, "predictions", int, self.where)

    def expected(self) -> List[Tuple[int, ...]]:
        return [(1, self.count, 5 + self.labels)]

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        predictions = outputs[0][0]
        chosen = predictions[predictions[:, 4] > threshold]
        return _best(_from_centre(chosen[:, 0:2], chosen[:, 2:4]), chosen[:, 5:] * chosen[:, 4:5], threshold)


class YoloV8(YoloV5):
    """YOLOv8-style export: (1, 4 + C, N); centre and size in input pixels, classes."""

    def expected(self) -> List[Tuple[int, ...]]:
        return [(1, 4 + self.labels, self.count)]

    def candidates(self, outputs: List[np.ndarray], threshold: float) -> Candidates:
        predictions = outputs[0][0]
        chosen = predictions[:, predictions[4:].max(axis=0) > threshold].T
        return _best(_from_centre(chosen[:, 0:2], chosen[:, 2:4]), chosen[:, 4:], threshold)


DECODERS: Dict[str, Any] = {
    "ssd": OwnSsd,
    "anchor_free": OwnAnchorFree,
    "yolox": YoloX,
    "gfl": Gfl,
    "fastestdet": FastestDet,
    "yolov5": YoloV5,
    "yolov8": YoloV8,
}


def make_decoder(description: ModelDescription) -> Decoder:
    """The decoder of a model's head; InputError when the description lacks what it needs."""
    decoder: Decoder = DECODERS[description.head["kind"]](description)
    return decoder


def decode_ssd(deltas: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """(N, 4) SSD deltas against (N, 4) priors (centre, size) → (N, 4) xyxy."""
    centre = priors[:, :2] + deltas[:, :2] * CENTRE_VARIANCE * priors[:, 2:]
    return _from_centre(centre, priors[:, 2:] * np.exp(np.minimum(deltas[:, 2:] * SIZE_VARIANCE, 20.0)))


def _from_centre(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    half = size * 0.5
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def _from_distances(points: np.ndarray, distances: np.ndarray) -> np.ndarray:
    return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1).astype(np.float32)


def _best(boxes_xyxy: np.ndarray, scores: np.ndarray, threshold: float) -> Candidates:
    """The best label of each box, where it passes the threshold and the box is finite."""
    if len(scores) == 0:
        return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    keep = (best > threshold) & np.isfinite(boxes_xyxy).all(axis=1)
    return Candidates(boxes_xyxy[keep], best[keep].astype(np.float32), classes[keep])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))


def _logit(probability: float) -> float:
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(clipped / (1 - clipped)))


def _shapes(shapes: List[Tuple[int, ...]]) -> str:
    return ", ".join("×".join(str(n) for n in shape) for shape in shapes)
