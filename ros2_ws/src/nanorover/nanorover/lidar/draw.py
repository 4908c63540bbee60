"""A scan as text, for a terminal over any connection."""

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan

# Unicode braille: bit of the dot at (row, column) within a character of 4 × 2 dots.
DOT_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


LEAST_CELLS = 4


def scan_picture(scan: LaserScan, columns: int, rows: int) -> str:
    """The returns seen from above, x (the connector's side) up and y left, the lidar in the middle as +.

    A line with the scale stands below the ``rows``.
    """
    columns, rows = max(columns, LEAST_CELLS), max(rows, LEAST_CELLS)
    ranges_m: NDArray[np.float64] = scan.ranges_m.astype(float)
    bearing_rad = scan.angle_min_rad + np.arange(len(ranges_m)) * scan.angle_increment_rad
    seen = np.isfinite(ranges_m)
    if not seen.any():
        return "no return"
    x_m = (ranges_m * np.cos(bearing_rad))[seen]
    y_m = (ranges_m * np.sin(bearing_rad))[seen]
    half = np.array([rows * 2, columns])  # dots from the middle to the edge
    dot_m = max(np.abs(x_m).max() / (half[0] - 1), np.abs(y_m).max() / (half[1] - 1), 1e-3)
    row = (half[0] - x_m / dot_m).astype(int).clip(0, rows * 4 - 1)
    column = (half[1] - y_m / dot_m).astype(int).clip(0, columns * 2 - 1)
    cells = np.zeros((rows, columns), int)
    np.bitwise_or.at(cells, (row // 4, column // 2), DOT_BITS[row % 4, column % 2])
    lines = [[chr(0x2800 + cell) for cell in line] for line in cells]
    lines[rows // 2][columns // 2] = "+"
    width_m = 2 * columns * dot_m
    return "\n".join("".join(line) for line in lines) + f"\n{width_m:.1f} m across"
