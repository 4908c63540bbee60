"""Non-maximum suppression in numpy: of boxes that overlap, the best stays.

Greedy as everyone's, but in blocks: the best candidates are compared with each other as one small
matrix, and only those that stay are compared with the rest. That bounds the work by the number of
boxes kept instead of the number of candidates.
"""

from typing import List

import numpy as np

BLOCK = 48


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices of the ``k`` highest of ``(N,)`` scores, highest first; ties in their given order."""
    if len(scores) > k:
        chosen = np.argpartition(-scores, k - 1)[:k]
        chosen.sort()
    else:
        chosen = np.arange(len(scores))
    return chosen[np.argsort(-scores[chosen], kind="stable")]


def suppress(
    boxes_xyxy: np.ndarray, scores: np.ndarray, classes: np.ndarray, iou_limit: float, most: int
) -> np.ndarray:
    """Indices of the boxes that stay, best first, at most ``most``; boxes of different classes never compete.

    ``boxes_xyxy`` is (N, 4) float in any unit, ``scores`` and ``classes`` are (N,).
    """
    if len(scores) == 0:
        return np.zeros(0, np.int64)
    order = np.argsort(-scores, kind="stable")
    boxes = boxes_xyxy[order].astype(np.float32)
    # Moving each class to a place of its own lets one pass serve all classes.
    low = boxes.min()
    span = boxes.max() - low + 1.0
    boxes += (classes[order].astype(np.float32) * span)[:, None]
    # intersection > limit * union is the same as intersection > share * (area + area).
    share = np.float32(iou_limit / (1.0 + iou_limit))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * share
    # Columns of their own: left, top, right, bottom, and the share of the area.
    sides = np.ascontiguousarray(np.concatenate([boxes.T, area[None]]))
    kept: List[np.ndarray] = []
    alive = np.arange(len(order))
    count = 0
    while len(alive) and count < most:
        block, alive = alive[:BLOCK], alive[BLOCK:]
        staying = _resolve(_overlaps(sides[:, block], sides[:, block]))[: most - count]
        block = block[staying]
        kept.append(block)
        count += len(block)
        if len(alive) and count < most:
            alive = alive[~_overlaps(sides[:, block], sides[:, alive]).any(axis=0)]
    return order[np.concatenate(kept)]


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) bool: does a box of ``a`` (5, A) overlap one of ``b`` (5, B) by more than the limit?"""
    width = np.minimum(a[2][:, None], b[2])
    width -= np.maximum(a[0][:, None], b[0])
    np.maximum(width, 0, out=width)
    height = np.minimum(a[3][:, None], b[3])
    height -= np.maximum(a[1][:, None], b[1])
    np.maximum(height, 0, out=height)
    width *= height
    return width > np.add(a[4][:, None], b[4], out=height)


def _resolve(overlaps: np.ndarray) -> List[int]:
    """Indices within a block that stay, in order: each removes the later ones it overlaps."""
    words = np.packbits(overlaps, axis=1)
    masks = [int.from_bytes(word.tobytes(), "big") for word in words]
    bits = words.shape[1] * 8
    removed, staying = 0, []
    for i, mask in enumerate(masks):
        if not removed >> (bits - 1 - i) & 1:
            staying.append(i)
            removed |= mask
    return staying
