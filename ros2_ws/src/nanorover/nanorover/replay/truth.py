"""A run against what was really so, where the recording knows it: simulated drives carry their truth."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, compose, compose_all, inverse, transform_points, wrap_angles
from nanorover.mapping.grid import OccupancyGrid, is_free, is_wall
from nanorover.replay.records import TrueMap, TruePose


@dataclass(frozen=True)
class PoseError:
    """Absolute trajectory error after rigid alignment: position in metres, yaw in degrees."""

    poses: int
    trans_rmse_m: float
    trans_max_m: float
    rot_rmse_deg: float
    rot_max_deg: float


@dataclass(frozen=True)
class MapAgreement:
    """Intersection over union of occupied and of free cells, within what the map claims to know.

    An occupied cell counts as met when the other map has one within a cell's distance, since a wall that falls
    on the border of two cells is drawn in either. ``coverage`` is the share of the true free space that is known.
    """

    iou_occupied: float
    iou_free: float
    coverage: float


@dataclass(frozen=True)
class Truth:
    """The true path and the true map of a recording."""

    stamps_ns: NDArray[np.int64]
    T_map_base: NDArray[np.float64]
    map: TrueMap | None

    def at(self, stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which of the stamps lie within the true path, and the true poses ``(M, 3)`` at those."""
        inside = (stamps_ns >= self.stamps_ns[0]) & (stamps_ns <= self.stamps_ns[-1])
        seconds = (self.stamps_ns - self.stamps_ns[0]) / 1e9
        wanted = (stamps_ns[inside] - self.stamps_ns[0]) / 1e9
        yaw = np.unwrap(self.T_map_base[:, 2])
        columns = (self.T_map_base[:, 0], self.T_map_base[:, 1], yaw)
        return inside, np.column_stack([np.interp(wanted, seconds, column) for column in columns])


def truth_of(poses: list[TruePose], true_map: TrueMap | None) -> Truth | None:
    """The truth out of the records of a recording; None where it has less than two true poses."""
    if len(poses) < 2:
        return None
    stamps_ns = np.array([pose.stamp_ns for pose in poses], dtype=np.int64)
    return Truth(stamps_ns, np.array([pose.T_map_base for pose in poses]), true_map)


def pose_error(true: NDArray[np.float64], estimated: NDArray[np.float64], T_true_estimated: Pose) -> PoseError:
    """The error of estimated poses ``(N, 3)`` at the times of the true ones, seen in the frame of the truth."""
    aligned = compose_all(T_true_estimated, estimated)
    trans_m = np.hypot(*(aligned - true)[:, :2].T)
    rot_deg = np.degrees(np.abs(wrap_angles((aligned - true)[:, 2])))
    return PoseError(
        len(true),
        float(np.sqrt((trans_m**2).mean())),
        float(trans_m.max()),
        float(np.sqrt((rot_deg**2).mean())),
        float(rot_deg.max()),
    )


def map_agreement(grid: OccupancyGrid, true: TrueMap, T_true_estimated: Pose) -> MapAgreement:
    """How an estimated map agrees with the true one, cell by cell of the estimated one."""
    rows, columns = np.indices(grid.cells.shape, dtype=np.float64) + 0.5
    centres = np.column_stack([columns.ravel(), rows.ravel()]) * grid.resolution_m
    T_true_grid = compose(inverse(true.T_map_origin), compose(T_true_estimated, grid.T_map_origin))
    cells = np.floor(transform_points(T_true_grid, centres) / true.resolution_m).astype(int)
    height, width = true.cells.shape
    inside = (cells[:, 0] >= 0) & (cells[:, 0] < width) & (cells[:, 1] >= 0) & (cells[:, 1] < height)
    seen = np.full(grid.cells.size, -1, dtype=np.int8)
    seen[inside] = true.cells[cells[inside, 1], cells[inside, 0]]
    truth = seen.reshape(grid.cells.shape)
    known = (grid.cells >= 0) & (truth >= 0)
    coverage = float((is_free(grid.cells) & is_free(truth)).sum() * grid.resolution_m**2)
    free_m2 = float(is_free(true.cells).sum() * true.resolution_m**2)
    return MapAgreement(
        _iou(is_wall(grid.cells) & known, is_wall(truth) & known, near=np.ones((3, 3), np.uint8)),
        _iou(is_free(grid.cells) & known, is_free(truth) & known, near=np.ones((1, 1), np.uint8)),
        min(1.0, coverage / free_m2) if free_m2 else 0.0,
    )


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_], near: NDArray[np.uint8]) -> float:
    """Intersection over union, where a cell also meets those that ``near`` reaches around it."""
    a_met = a & cv2.dilate(b.astype(np.uint8), near).astype(bool)
    b_met = b & cv2.dilate(a.astype(np.uint8), near).astype(bool)
    met = (int(a_met.sum()) + int(b_met.sum())) / 2.0
    union = int(a.sum()) + int(b.sum()) - met
    return met / union if union else 1.0


def clearance_m(true: Truth) -> float | None:
    """The smallest distance of the true path to anything occupied in the true map; None without a map."""
    return None if true.map is None else least_distance_m(true.map, true.T_map_base[:, :2])


def least_distance_m(true: TrueMap, points_m: NDArray[np.float64]) -> float | None:
    """The smallest distance of points ``(N, 2)`` to anything occupied; None where all lie beyond the map."""
    distance = cv2.distanceTransform((~is_wall(true.cells)).astype(np.uint8), cv2.DIST_L2, 5)
    local = transform_points(inverse(true.T_map_origin), np.ascontiguousarray(points_m))
    cells = np.floor(local / true.resolution_m).astype(int)
    inside = (cells >= 0).all(axis=1) & (cells[:, 0] < distance.shape[1]) & (cells[:, 1] < distance.shape[0])
    if not inside.any():
        return None
    return float(distance[cells[inside, 1], cells[inside, 0]].min() * true.resolution_m)
