"""A small transform tree: the robot's frames and how they hang together (REP-105).

Holds the newest transform of every edge. That is all the nodes need: mountings never move, and moving
frames arrive as odometry messages with their own history.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose

Transform = NDArray[np.float64]  # (4, 4) homogeneous


def transform_of(
    translation_m: tuple[float, float, float], quaternion_xyzw: tuple[float, float, float, float]
) -> Transform:
    """The homogeneous matrix of a translation and a quaternion (normalised here).

    Raises ValueError for a quaternion of length zero or a value that is not finite.
    """
    q = np.array(quaternion_xyzw, dtype=np.float64)
    norm = np.linalg.norm(q)
    if not (np.isfinite(norm) and norm > 1e-9 and np.all(np.isfinite(translation_m))):
        raise ValueError(f"no transform: translation {translation_m}, quaternion {quaternion_xyzw}")
    x, y, z, w = q / norm
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = translation_m
    return T


def rotation_of_rpy(roll_rad: float, pitch_rad: float, yaw_rad: float) -> NDArray[np.float64]:
    """The ``(3, 3)`` rotation about the fixed axes x, then y, then z, as URDF writes it (REP-103)."""
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    cp, sp = math.cos(pitch_rad), math.sin(pitch_rad)
    cy, sy = math.cos(yaw_rad), math.sin(yaw_rad)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def quaternion_of(T: Transform) -> tuple[float, float, float, float]:
    """The unit quaternion x, y, z, w (w not negative) of a transform's rotation."""
    R = T[:3, :3]
    # The eigenvector of the greatest eigenvalue (Bar-Itzhack 2000): no case distinction, no division.
    K = np.array(
        [
            [R[0, 0] - R[1, 1] - R[2, 2], R[0, 1] + R[1, 0], R[0, 2] + R[2, 0], R[2, 1] - R[1, 2]],
            [R[0, 1] + R[1, 0], R[1, 1] - R[0, 0] - R[2, 2], R[1, 2] + R[2, 1], R[0, 2] - R[2, 0]],
            [R[0, 2] + R[2, 0], R[1, 2] + R[2, 1], R[2, 2] - R[0, 0] - R[1, 1], R[1, 0] - R[0, 1]],
            [R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1], R[0, 0] + R[1, 1] + R[2, 2]],
        ]
    )
    q = np.linalg.eigh(K)[1][:, -1]
    x, y, z, w = (float(v) for v in (q if q[3] >= 0 else -q))
    return x, y, z, w


class FrameTree:
    """Parent → child edges with their newest transform."""

    def __init__(self) -> None:
        self._edges: dict[str, tuple[str, Transform]] = {}

    def set(self, parent: str, child: str, T_parent_child: Transform) -> None:
        """Remember the newest transform of an edge; a child has one parent, the last one said."""
        self._edges[child] = (parent, T_parent_child)

    def lookup(self, target: str, source: str) -> Transform | None:
        """``T_target_source``, or None while no chain of edges connects the two frames."""
        to_target, to_source = self._ancestors(target), self._ancestors(source)
        for frame, T_frame_source in to_source.items():
            if frame in to_target:
                return np.linalg.inv(to_target[frame]) @ T_frame_source
        return None

    def _ancestors(self, frame: str) -> dict[str, Transform]:
        """Every ancestor of ``frame`` (itself first) with the transform from ``frame`` to it."""
        found = {frame: np.eye(4)}
        while frame in self._edges:
            parent, T_parent_frame = self._edges[frame]
            if parent in found:  # a loop in the tree: the doctor names it, here it must not hang
                break
            found[parent] = T_parent_frame @ found[frame]
            frame = parent
        return found


def planar_pose(T: Transform) -> tuple[Pose, bool]:
    """The transform seen from above, and whether the frame hangs upside down (z pointing down)."""
    upside_down = bool(T[2, 2] < 0.0)
    return np.array([T[0, 3], T[1, 3], math.atan2(T[1, 0], T[0, 0])]), upside_down
