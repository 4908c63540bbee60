"""Where the camera looks, as seen from the lidar, from a chessboard that both see.

The camera gives the plane of the board, the lidar a few points on it; every point must lie in the plane (Zhang &
Pless, Extrinsic calibration of a camera and laser range finder, IROS 2004). What the board's poses do not show
stays near the mounting that is believed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from nanorover.calibration.board import Board
from nanorover.errors import InputError
from nanorover.geometry.frames import Transform
from nanorover.geometry.scan import LaserScan

LEAST_VIEWS = 4
LEAST_POINTS = 5
# Points this far off the plane can belong to the board: while the mounting is only believed, and later.
GATES_M = (0.25, 0.10, 0.05)
# How well a mounting that was measured with a ruler is known, and how well the lidar measures.
BELIEVED_M, BELIEVED_RAD, RANGE_NOISE_M = 0.05, 0.15, 0.01


@dataclass(frozen=True, eq=False)
class View:
    """One moment: ``T_camera_board`` from the picture, and the scan that was taken with it."""

    T_camera_board: Transform
    scan: LaserScan


@dataclass(frozen=True, eq=False)
class Extrinsics:
    """``T_camera_laser`` (optical frame), distances of the board's points to its plane before and after."""

    T_camera_laser: Transform
    before_m: NDArray[np.float64]
    after_m: NDArray[np.float64]
    sigma: NDArray[np.float64]
    views: int


def hits_of(scan: LaserScan) -> NDArray[np.float64]:
    """Points ``(N, 3)`` of the scan in the lidar's frame."""
    good = np.isfinite(scan.ranges_m) & (scan.ranges_m >= scan.range_min_m) & (scan.ranges_m <= scan.range_max_m)
    bearings_rad = scan.angle_min_rad + scan.angle_increment_rad * np.flatnonzero(good)
    ranges_m = scan.ranges_m[good].astype(np.float64)
    return np.column_stack(
        (ranges_m * np.cos(bearings_rad), ranges_m * np.sin(bearings_rad), np.zeros(good.sum()))
    )


def calibrate_extrinsics(views: Sequence[View], board: Board, T_camera_laser: Transform) -> Extrinsics:
    """Refine the believed ``T_camera_laser``. Raises InputError where too few views show the board to both."""
    start = T_camera_laser
    first: NDArray[np.float64] | None = None
    for gate_m in GATES_M:
        chosen = [(v, p) for v in views if len(p := _on_board(v, board, T_camera_laser, gate_m)) >= LEAST_POINTS]
        if len(chosen) < LEAST_VIEWS:
            raise InputError(
                f"the lidar hits the board in {len(chosen)} of {len(views)} pictures that show it",
                f"at least {LEAST_VIEWS} are needed: hold the board upright at the height of the lidar, "
                "near and far, turned left and right; or the mounting in params/frames.yaml is far off",
            )
        if first is None:
            first = np.concatenate([_distances(v, p, start) for v, p in chosen])
        found = least_squares(_objective, np.zeros(6), args=(chosen, start), loss="soft_l1")
        T_camera_laser = _moved(start, found.x)
    after = np.concatenate([_distances(v, p, T_camera_laser) for v, p in chosen])
    sigma = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    assert first is not None
    return Extrinsics(T_camera_laser, first, after, sigma, len(chosen))


def _moved(T: Transform, change: NDArray[np.float64]) -> Transform:
    """``T`` with its position shifted (m) and its axes turned (rad), both seen from the camera."""
    moved = T.copy()
    moved[:3, :3] = Rotation.from_rotvec(change[3:]).as_matrix() @ T[:3, :3]
    moved[:3, 3] += change[:3]
    return moved


def _in_board(view: View, points: NDArray[np.float64], T_camera_laser: Transform) -> NDArray[np.float64]:
    """Points ``(N, 3)`` of the lidar in the board's frame; z is the distance from its plane."""
    T_board_laser = np.linalg.inv(view.T_camera_board) @ T_camera_laser
    return points @ T_board_laser[:3, :3].T + T_board_laser[:3, 3]


def _on_board(view: View, board: Board, T_camera_laser: Transform, gate_m: float) -> NDArray[np.float64]:
    points = hits_of(view.scan)
    placed = _in_board(view, points, T_camera_laser)
    low, high = board.outline_m
    inside = ((placed[:, :2] > low) & (placed[:, :2] < high)).all(axis=1)
    return points[inside & (np.abs(placed[:, 2]) < gate_m)]


def _distances(view: View, points: NDArray[np.float64], T_camera_laser: Transform) -> NDArray[np.float64]:
    return _in_board(view, points, T_camera_laser)[:, 2]


def _objective(
    change: NDArray[np.float64], chosen: Sequence[tuple[View, NDArray[np.float64]]], start: Transform
) -> NDArray[np.float64]:
    T_camera_laser = _moved(start, change)
    off = np.concatenate([_distances(v, p, T_camera_laser) for v, p in chosen]) / RANGE_NOISE_M
    return np.concatenate((off, change[:3] / BELIEVED_M, change[3:] / BELIEVED_RAD))
