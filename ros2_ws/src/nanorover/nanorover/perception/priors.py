"""Where a network's predictions sit in its input: grid points and SSD prior boxes.

Training and decoding both read these, so that the geometry stands once.
"""

import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

# Liu et al., SSD: Single Shot MultiBox Detector (2016): centre and size offsets are scaled by these.
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


def grid_sizes(width: int, height: int, strides: Sequence[int]) -> List[Tuple[int, int]]:
    """(columns, rows) of each level; a stride that does not divide the input rounds up, as convolutions do."""
    return [(math.ceil(width / stride), math.ceil(height / stride)) for stride in strides]


def grid_points(width: int, height: int, strides: Sequence[int], offset: float) -> Tuple[np.ndarray, np.ndarray]:
    """(N, 2) points in input pixels and (N,) their stride: level by level, row by row.

    A cell's point is ``(index + offset) * stride``; 0.5 is its centre.
    """
    points, sizes = [], []
    for (columns, rows), stride in zip(grid_sizes(width, height, strides), strides):
        y, x = np.mgrid[0:rows, 0:columns]
        points.append((np.stack([x, y], axis=-1).reshape(-1, 2) + offset) * stride)
        sizes.append(np.full(rows * columns, stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def ssd_priors(width: int, height: int, head: Dict[str, Any]) -> np.ndarray:
    """(N, 4) prior boxes as centre x, centre y, width, height in input pixels.

    ``head`` holds ``strides`` and ``sizes`` (one more than strides, as parts of the input's side): each cell
    has a square of its size, a square of the geometric mean with the next size, and one box per aspect
    ratio in ``ratios`` (width / height), of the same area.
    """
    sizes, ratios = head["sizes"], head["ratios"]
    boxes = []
    for level, ((columns, rows), stride) in enumerate(
        zip(grid_sizes(width, height, head["strides"]), head["strides"])
    ):
        size, between = sizes[level], math.sqrt(sizes[level] * sizes[level + 1])
        shapes = [(size, size), (between, between)]
        shapes += [(size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in ratios]
        y, x = np.mgrid[0:rows, 0:columns]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 1, 2) + 0.5) * stride
        shape = np.array(shapes)[None] * (width, height)
        cells, kinds = len(centres), len(shapes)
        boxes.append(
            np.concatenate(
                [np.broadcast_to(centres, (cells, kinds, 2)), np.broadcast_to(shape, (cells, kinds, 2))], axis=-1
            ).reshape(-1, 4)
        )
    return np.concatenate(boxes).astype(np.float32)
