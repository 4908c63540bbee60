"""A chessboard in a picture: its inner corners, and where it stands before the camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError


@dataclass(frozen=True)
class Board:
    """A chessboard with ``columns`` × ``rows`` inner corners and squares of ``square_m``."""

    columns: int
    rows: int
    square_m: float

    @classmethod
    def named(cls, text: str, square_m: float) -> "Board":
        """From words such as ``9x6``. Raises InputError."""
        columns, _, rows = text.lower().partition("x")
        if not (columns.isdigit() and rows.isdigit() and int(columns) > 2 and int(rows) > 2):
            raise InputError(f"'{text}' is no board", "give its inner corners, such as 9x6, at least 3x3")
        if not 0.002 < square_m < 1.0:
            raise InputError(f"a square of {square_m} m is unlikely", "give the side of one square in metres")
        return cls(int(columns), int(rows), square_m)

    @property
    def points_m(self) -> NDArray[np.float32]:
        """The inner corners ``(N, 3)`` on the board's own plane."""
        grid = np.mgrid[0 : self.columns, 0 : self.rows].T.reshape(-1, 2) * self.square_m
        return np.column_stack((grid, np.zeros(len(grid)))).astype(np.float32)

    @property
    def outline_m(self) -> NDArray[np.float64]:
        """Lowest and highest x, y of the printed squares, ``(2, 2)``."""
        return np.array([[-1.0, -1.0], [self.columns, self.rows]]) * self.square_m

    def find(self, picture: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """The inner corners ``(N, 2)`` in pixels; None where the board is not wholly seen."""
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
        found, corners = cv2.findChessboardCornersSB(grey, (self.columns, self.rows))
        return np.asarray(corners, dtype=np.float32).reshape(-1, 2) if found else None

    def place(
        self, corners_px: NDArray[np.float32], K: NDArray[np.float64], distortion: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """``T_camera_board`` ``(4, 4)`` in the optical frame."""
        _, rotation, translation = cv2.solvePnP(self.points_m, corners_px, K, distortion)
        T = np.eye(4)
        T[:3, :3] = cv2.Rodrigues(rotation)[0]
        T[:3, 3] = translation.ravel()
        return T
