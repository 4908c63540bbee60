"""The motion that the wheels report against the motion that the lidar sees.

The lidar's own path through the room, from scan matching without odometry, is the truth here. Between moments
some way apart, the base moves by A and the lidar by B, and ``A ∘ X = X ∘ B`` for the mounting X: the hand-eye
equation (Censi et al., Simultaneous calibration of odometry and sensor parameters, T-RO 2013) with a scale on the
wheels' way, one on their turn, and a turn per way that they do not report: one wheel is larger. It also shows a
mirrored scan, swapped wheels, and a lidar mounted turned.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from nanorover import params
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, interpolate, transform_points, wrap_angle
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import SlamParams

# Moments this far apart are compared: far enough to stand out from the noise, near enough to be one arc.
STEP_M, STEP_RAD = 0.25, 0.35
# A step that turns less than this is straight.
STRAIGHT_RAD = 0.1
# Less than this in all says nothing about the wheels' way (straight: about what turns on it), or about their turn.
LEAST_WAY_M, LEAST_TURN_RAD = 1.0, 2.0
# Residuals beyond this are slip or a bad match and count less.
TYPICAL_RESIDUAL_M = 0.02
# What is so many deviations from nothing is something.
SURE_SIGMAS = 3.0


@dataclass(frozen=True, eq=False)
class Steps:
    """N motions: ``base`` by the wheels, ``laser`` by the scans, each ``(N, 3)``; ``stamps_ns`` of their ends."""

    stamps_ns: NDArray[np.int64]
    base: NDArray[np.float64]
    laser: NDArray[np.float64]

    @property
    def way_m(self) -> float:
        """All the way that the wheels report."""
        return float(np.linalg.norm(self.base[:, :2], axis=1).sum())

    @property
    def turn_rad(self) -> float:
        """All the turning that the wheels report, left and right."""
        return float(np.abs(self.base[:, 2]).sum())

    @property
    def straight(self) -> NDArray[np.bool_]:
        """Which steps go straight by the wheels, ``(N,)``."""
        return np.abs(self.base[:, 2]) < STRAIGHT_RAD


@dataclass(frozen=True, eq=False)
class MotionFit:
    """What makes the two motions agree.

    ``way_scale`` and ``turn_scale`` are true over reported; a negative turn means that one of the two is
    mirrored. ``drift_rad_m`` is the turn, left positive, per metre of reported way that the wheels do not report.
    ``T_base_laser`` is the mounting. NaN where the drive does not show it. ``sigma`` are standard deviations of
    (way_scale, turn_scale, x, y, yaw, drift). ``residuals`` is ``(N, 3)``: metres and radians.
    """

    way_scale: float
    turn_scale: float
    drift_rad_m: float
    T_base_laser: Pose
    sigma: NDArray[np.float64]
    residuals: NDArray[np.float64]
    steps: Steps

    @property
    def rms_m(self) -> float:
        """Typical disagreement in position that is left per step."""
        return float(np.sqrt((self.residuals[:, :2] ** 2).sum(axis=1).mean()))


def laser_path(scans: Iterable[LaserScan]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stamps ``(N,)`` and poses ``(N, 3)`` of the lidar in the frame of its first scan, without odometry."""
    mapper = Mapper(params.load(SlamParams, "slam"))
    stamps, poses = [], []
    for scan in scans:
        bare = LaserScan(**{**vars(scan), "T_base_laser": np.zeros(3)})
        result = mapper.add_scan(bare)
        if not result.reason:
            stamps.append(result.stamp_ns)
            poses.append(result.T_map_base)
    return np.array(stamps, dtype=np.int64), np.array(poses).reshape(-1, 3)


def steps_of(scans: Iterable[LaserScan], odometry: Sequence[Odometry]) -> Steps:
    """Motions between moments some way apart, by the wheels and by the scans.

    Raises InputError where there is nothing to compare.
    """
    if len(odometry) < 2:
        raise InputError("the recording has no odometry", "record scan and odom while the robot is driven")
    odometry = sorted(odometry, key=lambda o: o.stamp_ns)
    times = np.array([o.stamp_ns for o in odometry])
    stamps, base, laser = [], [], []
    last: tuple[Pose, Pose] | None = None
    for stamp_ns, T_start_laser in zip(*laser_path(scans), strict=True):
        after = int(np.searchsorted(times, stamp_ns))
        if after == 0 or after == len(times):
            continue  # outside of the odometry
        first, second = odometry[after - 1], odometry[after]
        part = (stamp_ns - first.stamp_ns) / max(second.stamp_ns - first.stamp_ns, 1)
        T_odom_base = interpolate(first.T_odom_base, second.T_odom_base, part)
        if last is not None:
            moved = between(last[0], T_odom_base)
            if math.hypot(moved[0], moved[1]) < STEP_M and abs(moved[2]) < STEP_RAD:
                continue
            stamps.append(stamp_ns)
            base.append(moved)
            laser.append(between(last[1], T_start_laser))
        last = (T_odom_base, T_start_laser)
    return Steps(np.array(stamps, dtype=np.int64), np.array(base).reshape(-1, 3), np.array(laser).reshape(-1, 3))


def fit_motion(steps: Steps, T_base_laser: Pose) -> MotionFit:
    """Scales of the wheels and mounting of the lidar.

    ``T_base_laser`` is the mounting as it is believed; its position is kept where the drive turns too little
    to show it. Raises InputError where the robot hardly moved.
    """
    shows_way, shows_turn = steps.way_m >= LEAST_WAY_M, steps.turn_rad >= LEAST_TURN_RAD
    if not (shows_way or shows_turn):
        raise InputError(
            f"the robot drove {steps.way_m:.1f} m and turned {math.degrees(steps.turn_rad):.0f}°: too little",
            f"drive at least {LEAST_WAY_M:g} m and turn at least {math.degrees(LEAST_TURN_RAD):.0f}°",
        )
    turned = (steps.base[:, 2] ** 2).sum()
    turn_scale = float((steps.base[:, 2] * steps.laser[:, 2]).sum() / turned) if shows_turn else 1.0
    shows_place = shows_turn and shows_way
    # A circle does not tell a turn that is reported too small from one that is not reported.
    shows_drift = float(np.abs(steps.base[steps.straight, 0]).sum()) >= LEAST_WAY_M
    free = np.array([shows_way, shows_turn, shows_place, shows_place, shows_way, shows_drift])
    fits = [
        _solve(steps, np.array([1.0, turn_scale, T_base_laser[0], T_base_laser[1], yaw, 0.0]), free)
        for yaw in T_base_laser[2] + np.array([0.0, 0.5, 1.0, 1.5]) * math.pi
    ]
    best = min(fits, key=lambda fit: fit.cost)
    if best.x[0] < 0:  # the same motion, looked at from behind
        best.x *= [-1.0, 1.0, -1.0, -1.0, 1.0, 1.0]
        best.x[4] += math.pi
    values = np.where(free, best.x, np.nan)
    values[4] = wrap_angle(values[4]) if shows_way else np.nan
    way_scale, turn_scale, drift_rad_m = (float(values[n]) for n in (0, 1, 5))
    left = _residuals(best.x, steps)
    return MotionFit(way_scale, turn_scale, drift_rad_m, values[2:5], _sigma(best, free), left, steps)


def unlike_wheels(fit: MotionFit, separation_m: float) -> str:
    """In words, by how much one wheel is larger, ``separation_m`` being what the wheels' driver believes; empty
    where it is not sure."""
    if not abs(fit.drift_rad_m) > SURE_SIGMAS * fit.sigma[5]:
        return ""
    turn_scale = fit.turn_scale if math.isfinite(fit.turn_scale) else 1.0
    larger = abs(fit.drift_rad_m * separation_m / turn_scale)
    wheel, side = ("right", "left") if fit.drift_rad_m > 0 else ("left", "right")
    drift = f"{math.degrees(abs(fit.drift_rad_m)):.1f}° per metre to the {side}"
    return f"the {wheel} wheel is {larger:.1%} larger: straight by the wheels is {drift}"


def _solve(steps: Steps, start: NDArray[np.float64], free: NDArray[np.bool_]):
    def residuals(changed: NDArray[np.float64]) -> NDArray[np.float64]:
        values = start.copy()
        values[free] = changed
        return _residuals(values, steps).ravel()

    found = least_squares(residuals, start[free], loss="soft_l1", f_scale=TYPICAL_RESIDUAL_M)
    whole = start.copy()
    whole[free] = found.x
    found.x, found.free_jacobian = whole, found.jac
    return found


def _residuals(values: NDArray[np.float64], steps: Steps) -> NDArray[np.float64]:
    """``A ∘ X − X ∘ B`` of every step, ``(N, 3)``."""
    way_scale, turn_scale, x, y, yaw, drift_rad_m = values
    mount = np.array([x, y, yaw])
    drifts = steps.base[:, 0] * drift_rad_m
    turns = steps.base[:, 2] * turn_scale + drifts
    # An arc that turns on has its chord half as much aside.
    ahead = way_scale * _rotated(steps.base[:, :2], drifts / 2) + _rotated(np.array([[x, y]]), turns)
    seen = transform_points(mount, steps.laser[:, :2])
    angle = np.angle(np.exp(1j * (turns - steps.laser[:, 2])))
    return np.column_stack((ahead - seen, angle))


def _rotated(points: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    c, s = np.cos(angles), np.sin(angles)
    return np.column_stack((c * points[:, 0] - s * points[:, 1], s * points[:, 0] + c * points[:, 1]))


def _sigma(found, free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Standard deviations from the curvature of the fit, at the noise that is left."""
    J = found.free_jacobian
    noise = 2.0 * found.cost / max(J.shape[0] - J.shape[1], 1)
    sigma = np.full(len(free), np.nan)
    sigma[free] = np.sqrt(noise * np.diag(np.linalg.pinv(J.T @ J)))
    return sigma
