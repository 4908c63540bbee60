"""What is expected of the next scan's pose: from odometry, or from the motion so far.

A prediction carries the bound that its errors kept to so far (95 % of them), learnt while driving. Good
odometry so becomes narrow evidence, and odometry that slips or jumps becomes wide by itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from nanorover.geometry.pose_history import PoseHistory
from nanorover.geometry.scan import Odometry
from nanorover.geometry.se2 import Pose, between

QUANTILE = 0.95
LEARNING_RATE = 0.1
# Errors grow with the motion; below these a step counts as standing.
REST_M = 0.05
REST_RAD = 0.03
# Bounds of the relative error: nothing is trusted more than the first or less than the second.
RELATIVE_BOUNDS = (0.1, 3.0)
# Odometry further from the scan than this says nothing about it.
ODOMETRY_GAP_NS = 500_000_000
ODOMETRY_BUFFER = 400
FARTHEST = 1e6


@dataclass
class Prediction:
    """``T_last_now`` of the base with one-sigma bounds of its translation and rotation."""

    T_last_now: Pose
    sigma_m: float
    sigma_rad: float

    def vaguer(self, other: "Prediction") -> float:
        """How much less than another this says where the robot is, in nats."""
        return 2.0 * math.log(self.sigma_m / other.sigma_m) + math.log(self.sigma_rad / other.sigma_rad)


class ErrorBound:
    """The 95 % quantile of a predictor's relative error, followed by stochastic approximation.

    Errors grow with the motion to the power of ``growth``. Half is a random walk's: what was learnt while driving
    straight on does not become a quarter turn in a turn.
    """

    def __init__(self, start: float, least_m: float, least_rad: float, growth: float) -> None:
        self.trans, self.rot = start, start
        self._least_m, self._least_rad, self._growth = least_m, least_rad, growth

    def predict(self, T_last_now: Pose) -> Prediction:
        """The prediction with the bounds learnt so far."""
        error_m, error_rad = self.bounds(T_last_now)
        return Prediction(T_last_now, max(error_m, self._least_m), max(error_rad, self._least_rad))

    def bounds(self, motion: Pose) -> tuple[float, float]:
        """What the error of a motion was below so far, in metres and radians."""
        moved_m, moved_rad = self._grown(motion)
        return self.trans * moved_m, self.rot * moved_rad

    def learn(self, predicted: Pose, found: Pose) -> None:
        """Take the outcome of one scan into account."""
        x, y, yaw = between(predicted, found).tolist()
        moved_m, moved_rad = self._grown(predicted)
        self.trans = self._moved(self.trans, math.hypot(x, y) / moved_m)
        self.rot = self._moved(self.rot, abs(yaw) / moved_rad)

    def _grown(self, motion: Pose) -> tuple[float, float]:
        """What errors are relative to."""
        x, y, yaw = motion.tolist()
        moved_m, moved_rad = math.hypot(x, y), abs(yaw)
        return (
            REST_M * (1.0 + moved_m / REST_M) ** self._growth,
            REST_RAD * (1.0 + moved_rad / REST_RAD) ** self._growth,
        )

    @staticmethod
    def _moved(bound: float, error: float) -> float:
        step = LEARNING_RATE * bound
        bound += QUANTILE * step if error > bound else -(1.0 - QUANTILE) * step
        return min(max(bound, RELATIVE_BOUNDS[0]), RELATIVE_BOUNDS[1])


class OdometryBuffer(PoseHistory):
    """The odometry of the last seconds; readings that run backwards start it anew."""

    def __init__(self) -> None:
        super().__init__(ODOMETRY_BUFFER, ODOMETRY_GAP_NS, goes_on=True)
        self.refused = 0
        self.backwards = 0

    def take(self, odometry: Odometry) -> None:
        """Append a reading; one that is not finite or out of this world is counted and left out."""
        x, y, yaw = odometry.T_odom_base.tolist()
        if not (abs(x) < FARTHEST and abs(y) < FARTHEST and abs(yaw) < FARTHEST):  # NaN fails too
            self.refused += 1
        elif not self.add(odometry.stamp_ns, odometry.T_odom_base):
            self.backwards += 1

    def twist(self, stamp_ns: int, duration_s: float) -> Pose | None:
        """Velocity ``vx, vy, wz`` of the base during a scan, or None where the odometry does not reach."""
        start, end = self.at(stamp_ns), self.at(stamp_ns + int(duration_s * 1e9))
        return None if start is None or end is None else twist_of(between(start, end), duration_s)


@dataclass(frozen=True, eq=False)
class Velocity:
    """The base's velocity ``vx, vy, wz`` at a time, and its change per second."""

    at_ns: int
    twist: Pose
    change: Pose

    def mean(self, start_ns: int, end_ns: int) -> Pose:
        """The mean velocity between two times."""
        return self.twist + self.change * (0.5e-9 * (start_ns + end_ns - 2 * self.at_ns))

    def motion(self, start_ns: int, end_ns: int) -> Pose:
        """The motion from one time to another, which may be before it."""
        return motion_of(self.mean(start_ns, end_ns), (end_ns - start_ns) * 1e-9)


@njit(cache=True, nogil=True)
def twist_of(motion: Pose, duration_s: float) -> Pose:
    """The constant velocity ``vx, vy, wz`` that makes a motion; a negative duration looks back in time."""
    half = 0.5 * motion[2]
    c, s = math.cos(half), math.sin(half)
    return np.array([c * motion[0] + s * motion[1], -s * motion[0] + c * motion[1], motion[2]]) / duration_s


@njit(cache=True, nogil=True)
def motion_of(twist: Pose, duration_s: float) -> Pose:
    """The motion that a constant velocity makes, exact to the third order of the turn."""
    half = 0.5 * twist[2] * duration_s
    c, s = math.cos(half), math.sin(half)
    return np.array([c * twist[0] - s * twist[1], s * twist[0] + c * twist[1], twist[2]]) * duration_s
