"""A picture of a map with the path driven."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.mapping.grid import OccupancyGrid

LEAST_WIDTH, MOST_WIDTH = 900, 4000
MARGIN = 24
# Colours as blue, green, red.
PAPER, FREE_SPACE, WALL = (232, 228, 224), (255, 255, 255), (40, 30, 24)
START, END = (96, 160, 30), (40, 50, 220)


def draw_map(path: Path, grid: OccupancyGrid, poses: NDArray[np.float64] | None = None) -> None:
    """Write a PNG of the grid with ``poses`` (N, 3) drawn as a line, early blue to late red, and a scale bar.

    Raises InputError when the map is empty or the file cannot be written.
    """
    import cv2

    from nanorover.perception.images import write_image

    if grid.cells.size == 0:
        raise InputError("the map is empty", "nothing has been mapped yet")
    height, width = grid.cells.shape
    scale = min(max(LEAST_WIDTH / max(width, height), 1.0), MOST_WIDTH / max(width, height))
    picture: Any = _painted(grid.cells)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_NEAREST)
    picture = cv2.copyMakeBorder(
        picture, MARGIN, 2 * MARGIN, MARGIN, MARGIN, cv2.BORDER_CONSTANT, value=tuple(float(v) for v in PAPER)
    )
    if poses is not None and len(poses) > 0:
        _draw_path(picture, _pixels(grid, poses, scale))
    _draw_scale_bar(picture, scale / grid.resolution_m)
    write_image(path, picture)


def _painted(cells: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Rows from the top, (H, W, 3): paper where unknown, and free to wall in between by occupancy."""
    shades = np.empty((256, 3), np.uint8)
    shades[:] = PAPER
    part = np.linspace(0.0, 1.0, 101)[:, None]
    shades[:101] = np.round((1.0 - part) * np.array(FREE_SPACE) + part * np.array(WALL))
    return np.ascontiguousarray(shades[np.flipud(cells).view(np.uint8)])


def _pixels(grid: OccupancyGrid, poses: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    origin = grid.T_map_origin
    c, s = math.cos(origin[2]), math.sin(origin[2])
    dx, dy = poses[:, 0] - origin[0], poses[:, 1] - origin[1]
    x, y = (c * dx + s * dy) / grid.resolution_m, (-s * dx + c * dy) / grid.resolution_m
    return np.column_stack([x * scale + MARGIN, (grid.cells.shape[0] - y) * scale + MARGIN])


def _draw_path(picture: NDArray[np.uint8], pixels: NDArray[np.float64]) -> None:
    import cv2

    far = np.concatenate([[True], np.hypot(*np.diff(pixels, axis=0).T) > 0.0])
    pixels = pixels[far]
    time = np.linspace(0, 255, max(len(pixels), 1)).astype(np.uint8)
    colours = cv2.applyColorMap(time[:, None], cv2.COLORMAP_TURBO)[:, 0]
    fixed = np.round(np.clip(pixels, -1e5, 1e5) * 16).astype(np.int32)  # sub-pixel lines
    for i in range(1, len(fixed)):
        colour = tuple(int(v) for v in colours[i])
        cv2.line(picture, fixed[i - 1].tolist(), fixed[i].tolist(), colour, 2, cv2.LINE_AA, 4)
    for point, colour in ((fixed[0], START), (fixed[-1], END)):
        cv2.circle(picture, point.tolist(), 6 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        cv2.circle(picture, point.tolist(), 4 * 16, colour, -1, cv2.LINE_AA, 4)


def _draw_scale_bar(picture: NDArray[np.uint8], pixels_per_m: float) -> None:
    import cv2

    wanted_m = picture.shape[1] / 6 / pixels_per_m
    unit = 10.0 ** math.floor(math.log10(wanted_m))
    length_m = max(m * unit for m in (1, 2, 5) if m * unit <= wanted_m)
    x, y = MARGIN, picture.shape[0] - MARGIN
    end = x + round(length_m * pixels_per_m)
    cv2.rectangle(picture, (x, y - 3), (end, y), WALL, -1)
    cv2.putText(
        picture, f"{length_m:g} m", (end + 10, y + 2), cv2.FONT_HERSHEY_SIMPLEX, 0.55, WALL, 1, cv2.LINE_AA
    )
