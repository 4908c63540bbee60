"""Where is what the camera saw? Its bearing from the picture, its range from the scan, else from size or floor."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.fusion.clusters import Cluster
from nanorover.fusion.fusion_params import FusionParams
from nanorover.geometry.frames import Transform
from nanorover.geometry.se2 import Pose, transform_points, wrap_angle, wrap_angles
from nanorover.replay.records import CameraInfo

BORDER_PX = 3.0  # a box that ends this near the picture's border goes on beyond it
LEAST_OVERLAP = 0.5
NEAREST_M = 0.15


@dataclass(frozen=True)
class Detection:
    """A box ``x0, y0, x1, y1`` in pixels of the camera's picture, with a class and a score from 0 to 1."""

    class_id: str
    score: float
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Something at ``position_m`` ``(2,)`` in the map frame with covariance ``(2, 2)``.

    ``class_id`` is empty where only the lidar saw it. ``source`` says where the range came from; ``entered``
    whether it has just come to where nothing was, ``came`` whether it did so once and stands there since, ``new``
    whether nothing was ever hit there; ``points_m`` ``(N, 2)`` are the lidar's returns from it.
    """

    position_m: NDArray[np.float64]
    covariance_m2: NDArray[np.float64]
    radius_m: float
    class_id: str = ""
    score: float = 0.0
    source: str = "scan"
    entered: bool = False
    came: bool = False
    new: bool = False
    points_m: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics and mounting: ``T_base_optical`` is ``(4, 4)``, z forward, x right."""

    info: CameraInfo
    T_base_optical: Transform

    def rays(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions ``(N, 3)`` in the base frame of pixels ``(N, 2)``, lens distortion taken out."""
        flat = cv2.undistortPoints(
            np.ascontiguousarray(pixels, dtype=np.float64).reshape(-1, 1, 2), self.info.K, self.info.distortion
        )[:, 0]
        return np.column_stack([flat, np.ones(len(flat))]) @ self.T_base_optical[:3, :3].T


@dataclass(frozen=True)
class Sight:
    """A detection seen from above, from where the camera was: its middle's bearing (map frame), half its width."""

    x_m: float
    y_m: float
    bearing_rad: float
    half_width_rad: float


def sight_of(detection: Detection, camera: Camera, T_map_base: Pose) -> Sight:
    """The bearing interval of a box."""
    x0, y0, x1, y1 = detection.box_px
    middle_y = (y0 + y1) / 2.0
    left, middle, right = camera.rays(np.array([[x0, middle_y], [(x0 + x1) / 2.0, middle_y], [x1, middle_y]]))
    bearings = [math.atan2(ray[1], ray[0]) for ray in (left, middle, right)]
    origin = transform_points(T_map_base, camera.T_base_optical[None, :2, 3].copy())[0]
    half = abs(wrap_angle(bearings[0] - bearings[2])) / 2.0
    return Sight(float(origin[0]), float(origin[1]), wrap_angle(T_map_base[2] + bearings[1]), half)


def locate(
    detection: Detection, camera: Camera, T_map_base: Pose, clusters: list[Cluster], params: FusionParams
) -> tuple[Measurement, int] | None:
    """Place a detection, seen from ``T_map_base``, in the map.

    ``clusters`` are the scan's, in the map frame. Returns the measurement and the index of the cluster that gave
    its range (−1 if none did); None for a class of unknown size that no cluster matches.
    """
    sight = sight_of(detection, camera, T_map_base)
    size = params.size(detection.class_id)
    expected = _without_scan(detection, camera, params, size[0]) if size else None
    index = _matching(sight, clusters, params, expected)
    if index >= 0:
        cluster = clusters[index]
        radius_m = size[1] if size else cluster.radius_m
        # the lidar sees the near side; the middle lies behind it
        away = np.array([math.cos(sight.bearing_rad), math.sin(sight.bearing_rad)])
        depth_m = max(0.0, min(radius_m - cluster.radius_m, radius_m)) * 0.5
        variance = params.scan_match_deviation_m**2
        covariance = np.eye(2) * variance
        position = cluster.centre_m + depth_m * away
        return Measurement(position, covariance, radius_m, detection.class_id, detection.score, "scan"), index
    if expected is None or size is None:
        return None
    range_m, deviation_m, source = expected
    c, s = math.cos(sight.bearing_rad), math.sin(sight.bearing_rad)
    R = np.array([[c, -s], [s, c]])
    spread = np.diag([deviation_m**2, (range_m * params.bearing_deviation_rad) ** 2])
    position = np.array([sight.x_m + range_m * c, sight.y_m + range_m * s])
    return Measurement(position, R @ spread @ R.T, size[1], detection.class_id, detection.score, source), -1


def _matching(
    sight: Sight, clusters: list[Cluster], params: FusionParams, expected: tuple[float, float, str] | None
) -> int:
    """The nearest cluster that lies in the box, is of a fitting size, and not far from where the box says; −1."""
    best, best_range = -1, math.inf
    margin = params.bearing_deviation_rad
    for i, cluster in enumerate(clusters):
        dx, dy = cluster.points_m[:, 0] - sight.x_m, cluster.points_m[:, 1] - sight.y_m
        off = wrap_angles(np.arctan2(dy, dx) - sight.bearing_rad)
        if np.mean(np.abs(off) <= sight.half_width_rad + margin) < LEAST_OVERLAP:
            continue
        range_m = float(np.hypot(dx, dy).mean())
        if expected is not None and abs(range_m - expected[0]) > 3.0 * expected[1]:
            continue
        if range_m < best_range:
            best, best_range = i, range_m
    return best


def _without_scan(
    detection: Detection, camera: Camera, params: FusionParams, height_m: float
) -> tuple[float, float, str] | None:
    """Horizontal range, its deviation and where it comes from: the box's height or its foot on the floor."""
    x0, y0, x1, y1 = detection.box_px
    info, middle_x = camera.info, (x0 + x1) / 2.0
    top, foot = camera.rays(np.array([[middle_x, y0], [middle_x, y1]]))
    rise_top, rise_foot = (ray[2] / max(math.hypot(ray[0], ray[1]), 1e-9) for ray in (top, foot))
    camera_m = float(camera.T_base_optical[2, 3])
    found: list[tuple[float, float, str]] = []
    per_px = 1.0 / float(info.K[1, 1])
    whole_foot = y1 < info.height_px - BORDER_PX
    if y0 > BORDER_PX and whole_foot and rise_top > rise_foot:
        range_m = height_m / (rise_top - rise_foot)
        found.append((range_m, params.size_deviation_share * range_m, "size"))
    if whole_foot and rise_foot < 0.0:
        range_m = camera_m / -rise_foot
        found.append((range_m, range_m**2 / camera_m * per_px * params.horizon_deviation_px, "floor"))
    elif y0 > BORDER_PX and rise_top > 0.0 and height_m > camera_m:
        # the feet are out of the picture: the head still tells
        range_m = (height_m - camera_m) / rise_top
        found.append((range_m, params.size_deviation_share * range_m, "size"))
    usable = [f for f in found if NEAREST_M < f[0] < 30.0]
    return min(usable, key=lambda f: f[1]) if usable else None
