"""Walls as points with normals, and how they look from a pose."""

import math

import numpy as np


def rectangle(width: float, height: float, step: float = 0.04) -> np.ndarray:
    """Points (N, 4) with inward normals on a rectangle around the origin."""
    x, y = np.arange(-width / 2, width / 2, step), np.arange(-height / 2, height / 2, step)
    sides = [
        np.column_stack([x, 0 * x - height / 2, 0 * x, 0 * x + 1]),
        np.column_stack([x, 0 * x + height / 2, 0 * x, 0 * x - 1]),
        np.column_stack([0 * y - width / 2, y, 0 * y + 1, 0 * y]),
        np.column_stack([0 * y + width / 2, y, 0 * y - 1, 0 * y]),
    ]
    return np.concatenate(sides)


def seen_from(points: np.ndarray, pose: np.ndarray, rng=None, noise_m: float = 0.0) -> np.ndarray:
    """World points with normals in the frame of a pose, with noise along the normal."""
    c, s = math.cos(pose[2]), math.sin(pose[2])
    R = np.array([[c, -s], [s, c]])
    moved = np.column_stack([(points[:, :2] - pose[:2]) @ R, points[:, 2:] @ R])
    if rng is not None:
        moved[:, :2] += rng.normal(size=(len(moved), 1)) * noise_m * moved[:, 2:]
    return moved
