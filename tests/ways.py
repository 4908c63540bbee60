"""What tests ask of a planned way."""

import numpy as np


def least_gap_m(way: np.ndarray, low: tuple[float, float], high: tuple[float, float]) -> float:
    """How near a way ``(N, 2)`` comes to a rectangle, along x or y; negative where it leads through."""
    return float(np.maximum(low - way, way - high).max(axis=1).min())
