"""The camera's lens from pictures of a chessboard (Zhang's method, by OpenCV)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from nanorover.calibration.board import Board
from nanorover.errors import InputError
from nanorover.files import replacing

LEAST_PICTURES = 6


@dataclass(frozen=True, eq=False)
class Lens:
    """Intrinsics ``K`` (3, 3) and ``distortion`` (5,), for pictures of ``size_px`` (width, height)."""

    size_px: tuple[int, int]
    K: NDArray[np.float64]
    distortion: NDArray[np.float64]
    corners_px: Sequence[NDArray[np.float64]]
    residuals_px: Sequence[NDArray[np.float64]]

    @property
    def rms_px(self) -> float:
        """Typical distance of a corner from where the lens puts it."""
        return float(np.sqrt((np.concatenate(self.residuals_px) ** 2).sum(axis=1).mean()))

    def write(self, path: Path, name: str) -> None:
        """Write the calibration file that ROS camera drivers read (camera_info_manager)."""
        projection = np.column_stack((self.K, np.zeros(3)))
        document: dict[str, Any] = {
            "image_width": self.size_px[0],
            "image_height": self.size_px[1],
            "camera_name": name,
            "camera_matrix": _matrix(self.K),
            "distortion_model": "plumb_bob",
            "distortion_coefficients": _matrix(self.distortion.reshape(1, -1)),
            "rectification_matrix": _matrix(np.eye(3)),
            "projection_matrix": _matrix(projection),
        }
        with replacing(path) as temporary:
            temporary.write_text(yaml.safe_dump(document, sort_keys=False, default_flow_style=None))


def _matrix(values: NDArray[np.float64]) -> dict[str, Any]:
    return {"rows": values.shape[0], "cols": values.shape[1], "data": [float(f"{v:.9g}") for v in values.ravel()]}


def calibrate_lens(pictures: Iterable[NDArray[np.uint8]], board: Board) -> Lens:
    """The lens that explains the board in the pictures (RGB or grey, all of one size).

    Raises InputError for too few pictures of the board or pictures of different sizes.
    """
    seen: list[NDArray[np.float32]] = []
    size: tuple[int, int] | None = None
    looked = 0
    for picture in pictures:
        looked += 1
        here = (picture.shape[1], picture.shape[0])
        size = size or here
        if here != size:
            raise InputError(f"picture {looked} has {here[0]}×{here[1]} px, the first {size[0]}×{size[1]}")
        corners = board.find(picture)
        if corners is not None:
            seen.append(corners)
    if size is None or len(seen) < LEAST_PICTURES:
        raise InputError(
            f"a board of {board.columns}×{board.rows} inner corners is seen in {len(seen)} of {looked} pictures",
            f"at least {LEAST_PICTURES} are needed, with the board tilted and in all parts of the picture",
        )
    points = [board.points_m] * len(seen)
    _, fitted, coefficients, rotations, translations = cv2.calibrateCamera(
        points, seen, size, np.eye(3), np.zeros(5)
    )
    K, distortion = np.asarray(fitted, dtype=np.float64), np.asarray(coefficients, dtype=np.float64)
    corners_px = [np.asarray(corners, dtype=np.float64) for corners in seen]
    placed = [
        cv2.projectPoints(board.points_m, r, t, K, distortion)[0]
        for r, t in zip(rotations, translations, strict=True)
    ]
    residuals_px = [
        c - np.asarray(p, dtype=np.float64).reshape(-1, 2) for c, p in zip(corners_px, placed, strict=True)
    ]
    return Lens(size, K, distortion.ravel(), corners_px, residuals_px)
