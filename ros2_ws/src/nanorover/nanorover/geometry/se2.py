"""Poses in the plane.

A pose or transform is a ``(3,)`` float64 array ``[x, y, yaw]`` in metres and radians. ``T_a_b`` takes
points of frame b into frame a, so ``compose(T_a_b, T_b_c)`` is ``T_a_c``. The kernels are compiled, so
that the hot loops of other modules can call them too.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Pose = NDArray[np.float64]

MOVES_M = 0.1  # poses that are spread by less (RMS) have no direction


@njit(cache=True)
def wrap_angle(angle_rad: float) -> float:
    """The same angle in [−π, π)."""
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


@njit(cache=True)
def compose(T_a_b: Pose, T_b_c: Pose) -> Pose:
    """T_a_c: first the motion ``T_a_b``, then ``T_b_c`` seen from there."""
    c, s = math.cos(T_a_b[2]), math.sin(T_a_b[2])
    return np.array(
        [
            T_a_b[0] + c * T_b_c[0] - s * T_b_c[1],
            T_a_b[1] + s * T_b_c[0] + c * T_b_c[1],
            wrap_angle(T_a_b[2] + T_b_c[2]),
        ]
    )


@njit(cache=True)
def inverse(T_a_b: Pose) -> Pose:
    """T_b_a."""
    c, s = math.cos(T_a_b[2]), math.sin(T_a_b[2])
    return np.array([-c * T_a_b[0] - s * T_a_b[1], s * T_a_b[0] - c * T_a_b[1], wrap_angle(-T_a_b[2])])


@njit(cache=True)
def between(T_a_b: Pose, T_a_c: Pose) -> Pose:
    """T_b_c: where c stands as seen from b."""
    return compose(inverse(T_a_b), T_a_c)


def wrap_angles(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same angles in [−π, π), of any shape."""
    return (angles_rad + math.pi) % (2.0 * math.pi) - math.pi


def compose_all(T_a_b: NDArray[np.floating], T_b_c: NDArray[np.floating]) -> NDArray[np.float64]:
    """T_a_c (N, 3) of (N, 3) each, or of one (3,) with all of the other."""
    c, s = np.cos(T_a_b[..., 2]), np.sin(T_a_b[..., 2])
    return np.stack(
        [
            T_a_b[..., 0] + c * T_b_c[..., 0] - s * T_b_c[..., 1],
            T_a_b[..., 1] + s * T_b_c[..., 0] + c * T_b_c[..., 1],
            wrap_angles(T_a_b[..., 2] + T_b_c[..., 2]),
        ],
        axis=-1,
    )


def between_all(T_a_b: NDArray[np.floating], T_a_c: NDArray[np.floating]) -> NDArray[np.float64]:
    """T_b_c (N, 3) of (N, 3) each, or of one (3,) with all of the other."""
    c, s = np.cos(T_a_b[..., 2]), np.sin(T_a_b[..., 2])
    dx, dy = T_a_c[..., 0] - T_a_b[..., 0], T_a_c[..., 1] - T_a_b[..., 1]
    return np.stack(
        [c * dx + s * dy, -s * dx + c * dy, wrap_angles(T_a_c[..., 2] - T_a_b[..., 2])],
        axis=-1,
    )


@njit(cache=True)
def arc(forward_m: float, turn_rad: float) -> tuple[float, float, float]:
    """``(x, y, yaw)`` after a way of ``forward_m`` that turns evenly by ``turn_rad``, from where it begins.

    The yaw is not wrapped: it says how far was turned.
    """
    # chord = 2 r sin(turn / 2) with r = forward / turn, seen at half the turn
    half = turn_rad / 2.0
    chord_m = forward_m * (math.sin(half) / half if half != 0.0 else 1.0)
    return chord_m * math.cos(half), chord_m * math.sin(half), turn_rad


def alignment(T_a_b: NDArray[np.float64], T_c_b: NDArray[np.float64]) -> Pose:
    """``T_a_c`` that brings the positions of (N, 3) poses closest to each other (Umeyama 1991, no scale).

    Where the poses of frame a hardly move, their positions say nothing of the direction: the mean yaw does then.
    """
    c, a = (poses[:, :2] - poses[:, :2].mean(axis=0) for poses in (T_c_b, T_a_b))
    if np.sqrt((a**2).sum(axis=1).mean()) < MOVES_M:
        apart = T_a_b[:, 2] - T_c_b[:, 2]
        yaw = float(np.arctan2(np.sin(apart).mean(), np.cos(apart).mean()))
    else:
        yaw = float(np.arctan2((c[:, 0] * a[:, 1] - c[:, 1] * a[:, 0]).sum(), (c * a).sum()))
    turned = transform_points(np.array([0.0, 0.0, yaw]), np.ascontiguousarray(T_c_b[:, :2]))
    return np.array([*(T_a_b[:, :2].mean(axis=0) - turned.mean(axis=0)), yaw])


def are_close(one: Pose, other: Pose, within_m: float, within_rad: float) -> bool:
    """Whether two poses of one frame are nearer to each other than this."""
    off = between(one, other)
    return math.hypot(off[0], off[1]) < within_m and abs(float(off[2])) < within_rad


@njit(cache=True)
def interpolate(T_a_b: Pose, T_a_c: Pose, fraction: float) -> Pose:
    """The pose ``fraction`` of the way from b to c: straight in position, shortest way in yaw."""
    return np.array(
        [
            T_a_b[0] + fraction * (T_a_c[0] - T_a_b[0]),
            T_a_b[1] + fraction * (T_a_c[1] - T_a_b[1]),
            wrap_angle(T_a_b[2] + fraction * wrap_angle(T_a_c[2] - T_a_b[2])),
        ]
    )


@njit(cache=True)
def transform_points(T_a_b: Pose, points_b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points ``(N, 2)`` of frame b in frame a."""
    c, s = math.cos(T_a_b[2]), math.sin(T_a_b[2])
    points_a = np.empty_like(points_b)
    for i in range(len(points_b)):
        x, y = points_b[i, 0], points_b[i, 1]
        points_a[i, 0] = T_a_b[0] + c * x - s * y
        points_a[i, 1] = T_a_b[1] + s * x + c * y
    return points_a


def yaw_of_quaternion(x: float, y: float, z: float, w: float) -> float:
    """The yaw of a quaternion, in radians."""
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def quaternion_of_yaw(yaw_rad: float) -> tuple[float, float, float, float]:
    """``(x, y, z, w)`` of a rotation about the vertical."""
    return 0.0, 0.0, math.sin(yaw_rad / 2.0), math.cos(yaw_rad / 2.0)
