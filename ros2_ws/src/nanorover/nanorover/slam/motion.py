"""What is expected of the next scan's pose: from odometry, or from the motion so far.

A prediction carries the bound that its errors kept to so far, learnt while driving (80 % of them: a slip or a jump
now and then does not make the rest worthless). Good odometry so becomes narrow evidence, bad odometry wide.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from nanorover.geometry.scan import Odometry
from nanorover.geometry.se2 import Pose, between, compose, interpolate

QUANTILE = 0.8
LEARNING_RATE = 0.1
# Up to this size of a motion its error is that of standing; above, the error grows with the motion.
SMALL_M, SMALL_RAD = 0.3, 0.3
# Bounds of both parts of the error: nothing is trusted more than the first or less than the second.
REST_MOST_M, REST_MOST_RAD = 0.5, 0.5
RELATIVE_BOUNDS = (0.05, 3.0)
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


class Bound:
    """The 80 % quantile of an error that has a part at rest and a part that grows with the motion."""

    def __init__(self, least: float, most: float, relative: float, small: float) -> None:
        self.rest, self.relative = least, relative
        self._least, self._most, self._small = least, most, small

    def at(self, size: float) -> float:
        """The bound for a motion of this size."""
        return self.rest + self.relative * size

    def learn(self, size: float, error: float) -> None:
        """Follow the quantile by stochastic approximation."""
        if size < self._small:
            self.rest = min(max(_followed(self.rest, error), self._least), self._most)
        else:
            lowest, highest = RELATIVE_BOUNDS
            over = max(error - self.rest, 0.0) / size
            self.relative = min(max(_followed(self.relative, over), lowest), highest)


def _followed(bound: float, error: float) -> float:
    step = LEARNING_RATE * bound
    return bound + (QUANTILE * step if error > bound else -(1.0 - QUANTILE) * step)


class ErrorBound:
    """How far a predictor has been off, in translation and in rotation."""

    def __init__(self, relative: float, least_m: float, least_rad: float) -> None:
        self.trans = Bound(least_m, REST_MOST_M, relative, SMALL_M)
        self.rot = Bound(least_rad, REST_MOST_RAD, relative, SMALL_RAD)

    def predict(self, T_last_now: Pose) -> Prediction:
        """The prediction with the bounds learnt so far."""
        return Prediction(
            T_last_now,
            self.trans.at(math.hypot(T_last_now[0], T_last_now[1])),
            self.rot.at(abs(T_last_now[2])),
        )

    def learn(self, predicted: Pose, found: Pose) -> None:
        """Take the outcome of one scan into account."""
        error = between(predicted, found)
        self.trans.learn(math.hypot(predicted[0], predicted[1]), math.hypot(error[0], error[1]))
        self.rot.learn(abs(predicted[2]), abs(error[2]))


class OdometryBuffer:
    """The odometry of the last seconds; readings that run backwards start it anew."""

    def __init__(self) -> None:
        self._readings: deque[Odometry] = deque(maxlen=ODOMETRY_BUFFER)
        self.refused = 0
        self.backwards = 0

    def add(self, odometry: Odometry) -> None:
        """Append a reading; one that is not finite or out of this world is counted and left out."""
        if not (np.abs(odometry.T_odom_base) < FARTHEST).all():  # NaN fails too
            self.refused += 1
            return
        if self._readings and odometry.stamp_ns < self._readings[-1].stamp_ns:
            self.backwards += 1
            self._readings.clear()
        self._readings.append(odometry)

    def at(self, stamp_ns: int) -> Pose | None:
        """T_odom_base at a time, interpolated, or None where the odometry does not reach."""
        later: Odometry | None = None
        for reading in reversed(self._readings):
            if reading.stamp_ns <= stamp_ns:
                if later is None:
                    return self._after(reading, stamp_ns)
                span = later.stamp_ns - reading.stamp_ns
                if span > ODOMETRY_GAP_NS:
                    return None
                fraction = (stamp_ns - reading.stamp_ns) / span if span else 0.0
                return interpolate(reading.T_odom_base, later.T_odom_base, fraction)
            later = reading
        if later is not None and later.stamp_ns - stamp_ns < ODOMETRY_GAP_NS:
            return later.T_odom_base
        return None

    def _after(self, last: Odometry, stamp_ns: int) -> Pose | None:
        """The newest reading is older than the scan: go on with the last velocity, for a short while."""
        gap_ns = stamp_ns - last.stamp_ns
        if gap_ns > ODOMETRY_GAP_NS:
            return None
        if gap_ns == 0 or len(self._readings) < 2:
            return last.T_odom_base
        before = self._readings[-2]
        span_ns = last.stamp_ns - before.stamp_ns
        if not 0 < span_ns < ODOMETRY_GAP_NS:
            return last.T_odom_base
        return compose(last.T_odom_base, between(before.T_odom_base, last.T_odom_base) * (gap_ns / span_ns))

    def twist(self, stamp_ns: int, duration_s: float) -> Pose | None:
        """Velocity ``vx, vy, wz`` of the base during a scan, or None where the odometry does not reach."""
        start, end = self.at(stamp_ns), self.at(stamp_ns + int(duration_s * 1e9))
        return None if start is None or end is None else twist_of(between(start, end), duration_s)


def twist_of(motion: Pose, duration_s: float) -> Pose:
    """The constant velocity ``vx, vy, wz`` that makes a motion; a negative duration looks back in time."""
    half = 0.5 * motion[2]
    c, s = math.cos(half), math.sin(half)
    return np.array([c * motion[0] + s * motion[1], -s * motion[0] + c * motion[1], motion[2]]) / duration_s


def motion_of(twist: Pose, duration_s: float) -> Pose:
    """The motion that a constant velocity makes, exact to the third order of the turn."""
    half = 0.5 * twist[2] * duration_s
    c, s = math.cos(half), math.sin(half)
    return np.array([c * twist[0] - s * twist[1], s * twist[0] + c * twist[1], twist[2]]) * duration_s
