"""What the page shows, as headers and bytes for its frames."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose
from nanorover.planning.zones import Zone

# A fast setting: a map of 400 × 400 cells takes 0.4 ms and 10 kB.
PNG_SETTINGS = (cv2.IMWRITE_PNG_COMPRESSION, 1)
MM = 1000.0
FARTHEST_M = 32.0  # what sixteen bits of millimetres hold
# More poses than a screen has pixels to show.
LINE_POINTS = 400


def map_frame(cells: NDArray[np.int8], resolution_m: float, T_map_origin: Pose) -> tuple[dict[str, Any], bytes]:
    """An occupancy grid ``(H, W)`` (−1 unknown, 0…100) as a PNG whose first row is the top; 255 is unknown."""
    picture = np.flipud(cells).view(np.uint8)  # −1 becomes 255
    header = {
        "width": int(cells.shape[1]),
        "height": int(cells.shape[0]),
        "resolution": float(resolution_m),
        "origin": [float(v) for v in T_map_origin],
    }
    return header, cv2.imencode(".png", picture, PNG_SETTINGS)[1].tobytes()


def scan_frame(scan: LaserScan, T_map_laser: Pose) -> tuple[dict[str, Any], bytes]:
    """The hits of a scan as little-endian int16 pairs x, y in millimetres, laser frame."""
    points_mm = MM * hits_m(scan, FARTHEST_M)
    return {"pose": [round(float(v), 4) for v in T_map_laser]}, points_mm.astype("<i2").tobytes()


def hits_m(scan: LaserScan, within_m: float = math.inf) -> NDArray[np.float64]:
    """What a scan hit within its own limits and ``within_m``: (N, 2) x, y in the laser frame."""
    ranges_m = scan.ranges_m
    hit = np.isfinite(ranges_m) & (ranges_m >= scan.range_min_m) & (ranges_m <= min(scan.range_max_m, within_m))
    bearings_rad = scan.angle_min_rad + scan.angle_increment_rad * np.flatnonzero(hit)
    return ranges_m[hit, None] * np.column_stack((np.cos(bearings_rad), np.sin(bearings_rad)))


def zones_frame(
    zones: Mapping[int, Zone], mask_m: list[list[tuple[float, float]]], undrawable: str
) -> dict[str, Any]:
    """Keep-out zones by their numbers, the outlines of the mask, and why none can be drawn (empty if one can)."""
    listed = [{"number": n, "name": zone.name, "corners": _in_mm(zone.corners_m)} for n, zone in zones.items()]
    return {"zones": listed, "mask": [_in_mm(outline) for outline in mask_m], "undrawable": undrawable}


def _in_mm(points_m: Iterable[tuple[float, float]]) -> list[list[float]]:
    return [[round(float(x), 3), round(float(y), 3)] for x, y in points_m]


def thinned(line: NDArray[np.float64]) -> list[list[float]]:
    """A line ``(N, 2)`` in metres with at most LINE_POINTS points, both ends kept."""
    chosen = np.unique(np.linspace(0, len(line) - 1, min(len(line), LINE_POINTS)).astype(int))
    return _in_mm(line[chosen])
