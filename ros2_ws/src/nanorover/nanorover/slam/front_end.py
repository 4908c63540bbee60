"""From records to poses: deskew, expectation, match. Mapping and localization both begin here."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, compose, inverse
from nanorover.geometry.symmetric import inverse3
from nanorover.slam.field import Field
from nanorover.slam.matching import EXACTLY, FROM_NEARBY
from nanorover.slam.motion import ErrorBound, OdometryBuffer, Prediction, Velocity, motion_of, twist_of
from nanorover.slam.params import SlamParams
from nanorover.slam.preprocess import bent, surface_points
from nanorover.slam.tracker import Match, Tracker

# A scan with fewer points than this says too little to be placed.
LEAST_POINTS = 12
# No lidar turns as slowly as this; a scan that says so has no usable times.
LONGEST_SWEEP_S = 1.0
# Standard deviation that a pose gains with every scan that nothing has measured.
UNMEASURED_SIGMA = np.array([0.3, 0.3, 0.2])
# The longer it is from scan to scan, the more a robot may have started, stopped or turned since: the least sigma
# of going on as before per second, in metres and radians. A silence of the laser longer than GAP_S is counted.
GAP_S, RATE_SIGMA = 1.5, np.array([0.3, 0.2])
# Odometry that leaps further than this between two scans was reset or is broken.
JUMP_M, JUMP_M_S = 2.0, 3.0
# A scan is put straight by the motion found with it, and a second time if that moved its ends apart by more than
# this: x, y (m) and yaw (rad). So it is where wheels slipped.
DESKEWS, DESKEWED = 2, np.array([0.02, 0.02, 0.01])
# Without odometry a robot is believed to go on as before for so many scans, then to stand.
GOES_ON_SCANS = 3
# Relative error to start with, the least error in metres and radians, and its growth, of odometry and of going on
# as before (see ErrorBound): a robot may start, stop or turn between any two scans.
ODOMETRY_ERROR = (1.0, 0.05, 0.04, 0.5)
MOTION_ERROR = (1.0, 0.05, 0.06, 1.0)
# Wheels that counted no more than this, in metres and radians, stand.
WHEELS_STAND = 0.002


@dataclass(frozen=True, eq=False)
class ScanResult:
    """Where the base was when the scan began, with covariance (3, 3) in x, y, yaw of the map.

    ``quality`` is the part of the scan that the map explains, 0 to 1; ``reason`` is empty when all is well.
    """

    stamp_ns: int
    T_map_base: Pose
    covariance: NDArray[np.float64]
    quality: float
    reason: str
    is_keyframe: bool


@dataclass(frozen=True, eq=False)
class Placed:
    """A scan with its place: ``match`` is None where only the expectation is known, and ``reason`` says why.

    ``points`` (K, 4) and the poses belong to the middle of the scan; ``T_middle_stamp`` leads to its stamp.
    ``T_last_now`` is the motion since the scan before. ``T_last_its_stamp`` leads from the middle of that one to
    its stamp, as the motion after it shows; None if it does not.
    """

    points: NDArray[np.float64]
    match: Match | None
    reason: str
    T_last_now: Pose
    T_middle_stamp: Pose
    T_last_its_stamp: Pose | None


class FrontEnd:
    """Places scan after scan in the field that it is given."""

    def __init__(self, params: SlamParams) -> None:
        self.params = params
        self.counts: Counter[str] = Counter()
        self.odometry = OdometryBuffer()
        self.motion = np.zeros(3)
        self.covariance = np.diag(np.full(3, 1e-6))
        self.unplaced = 0  # scans in a row without a match
        self._tracker = Tracker(params)
        self._odometry_error = ErrorBound(*ODOMETRY_ERROR)
        self._motion_error = ErrorBound(*MOTION_ERROR)
        self._last_ns = 0  # middle and stamp of the last scan
        self._last_stamp_ns = 0
        self._velocity: Velocity | None = None  # between the last two scans, if both were matched
        self._T_odom_base: Pose | None = None
        self._T_odom_first: Pose | None = None
        self._T_odom_matched: Pose | None = None  # at the last scan with a match
        self._wheels_count = False  # whether they ever did; a dead encoder says nothing about standing
        self._T_smooth_base = np.zeros(3)  # integrates the scans' own motion, where there is no odometry
        self._reached: tuple[int, Pose, Pose] | None = None  # of the last scan with odometry: middle, both poses

    def add_odometry(self, odometry: Odometry) -> None:
        """Take a reading of the wheels."""
        self.odometry.take(odometry)

    def place(self, scan: LaserScan, field: Field | None, last: Pose) -> Placed:
        """Find the scan in ``field``, starting from ``last``, the pose at the scan before.

        With no field the scan is only made ready, and stays at ``last``.
        """
        self.counts["scans"] += 1
        sweep_s = self._sweep_s(scan)
        middle_ns = scan.stamp_ns + int(0.5e9 * sweep_s)
        twist = self._twist(scan.stamp_ns, middle_ns, sweep_s)
        points, times_s = surface_points(scan, twist, self.params.point_spacing_m, self.params.max_range_m)
        T_odom_base = self.odometry.at(middle_ns)
        self.counts["scans without odometry"] += T_odom_base is None
        if T_odom_base is not None and not self._wheels_count:
            self._T_odom_first = T_odom_base if self._T_odom_first is None else self._T_odom_first
            self._wheels_count = _differ(self._T_odom_first, T_odom_base)
        predictions = self._predictions(T_odom_base, middle_ns)
        reason, match = self._matched(points, field, last, predictions)
        velocity, T_middle_stamp, T_last_its_stamp = None, motion_of(twist, -0.5 * sweep_s), None
        if match is not None and field is not None:
            points, match, velocity = self._again(middle_ns, sweep_s, twist, points, times_s, field, last, match)
        if match is not None and velocity is not None:
            T_middle_stamp = velocity.motion(middle_ns, scan.stamp_ns)
            if self.unplaced == 0:
                T_last_its_stamp = velocity.motion(self._last_ns, self._last_stamp_ns)
        self._T_odom_base, self._last_ns, self._last_stamp_ns = T_odom_base, middle_ns, scan.stamp_ns
        self._velocity = velocity
        self._learn(last, match, predictions, field is not None)
        if T_odom_base is not None:
            self._reached = (middle_ns, T_odom_base, self._T_smooth_base)
        return Placed(points, match, reason, self.motion, T_middle_stamp, T_last_its_stamp)

    def _again(
        self,
        middle_ns: int,
        sweep_s: float,
        twist: Pose,
        points: NDArray[np.float64],
        times_s: NDArray[np.float64],
        field: Field,
        last: Pose,
        match: Match,
    ) -> tuple[NDArray[np.float64], Match, Velocity | None]:
        """The match refined, its points put straight by the motion found, and the velocity where that is known.

        The motion found says more of the motion within the scan than wheels that slip do.
        """
        velocity = self._found(between(last, match.T_map_base), middle_ns) if sweep_s != 0.0 else None
        if velocity is None:
            return points, self._tracker.again(field, points, match, EXACTLY), None
        for _ in range(DESKEWS):
            before, twist = twist, velocity.mean(middle_ns, middle_ns)
            points = bent(points, times_s, before, twist)
            match = self._tracker.again(field, points, match, FROM_NEARBY)
            velocity = self._found(between(last, match.T_map_base), middle_ns) or velocity
            if (np.abs(twist - before) * abs(sweep_s) < DESKEWED).all():
                break
        return points, match, velocity

    def T_map_odom(self, T_map_base: Pose) -> Pose:
        """What turns odometry into the map; without odometry, the scans' own motion takes its place."""
        return compose(
            T_map_base, inverse(self._T_smooth_base if self._T_odom_base is None else self._T_odom_base)
        )

    def forget_motion(self) -> None:
        """The robot is somewhere else now, at rest as far as is known."""
        self.motion = np.zeros(3)
        self.unplaced = 0
        self._T_odom_base, self._reached, self._last_ns, self._velocity = None, None, 0, None

    def stands(self) -> bool:
        """Whether the wheels say that the robot has not moved since the last scan with a match."""
        if not self._wheels_count or self._T_odom_base is None or self._T_odom_matched is None:
            return False
        return not _differ(self._T_odom_matched, self._T_odom_base)

    def wheels_never_moved(self) -> bool:
        """Whether there is odometry, but the same all the time: of a dead encoder, or of a robot that stands."""
        return self._T_odom_first is not None and not self._wheels_count

    def wide_searches(self) -> int:
        """How many scans so far were not found where they were expected."""
        return self._tracker.wide_searches

    def health(self) -> dict[str, object]:
        """Counters and figures for diagnostics."""
        return {
            **self.counts,
            "usual score": round(self._tracker.usual_score, 2),
            "wide searches": self._tracker.wide_searches,
            "odometry readings refused": self.odometry.refused,
            "odometry stamps backwards": self.odometry.backwards,
            "odometry error": round(self._odometry_error.trans, 2),
        }

    def _sweep_s(self, scan: LaserScan) -> float:
        """The time from the first ray to the last."""
        sweep_s = scan.time_increment_s * max(len(scan.ranges_m) - 1, 0)
        if abs(sweep_s) < LONGEST_SWEEP_S:
            return sweep_s
        self.counts["scans with senseless times"] += 1
        return 0.0

    def _twist(self, stamp_ns: int, middle_ns: int, sweep_s: float) -> Pose:
        """The base's velocity during a scan: from odometry, or as it was between the last scans.

        The latter where there is no odometry, and where wheels slip: where that errs more, a metre away.
        """
        if sweep_s == 0.0:
            return np.zeros(3)
        going_on_errs, wheels_err = (
            sum(error.bounds(self.motion)) for error in (self._motion_error, self._odometry_error)
        )
        if self._velocity is not None and (going_on_errs < wheels_err or not self._wheels_count):
            return self._velocity.mean(middle_ns, middle_ns)
        twist = self.odometry.twist(stamp_ns, sweep_s)
        if twist is not None:
            return twist
        return np.zeros(3) if self._velocity is None else self._velocity.mean(middle_ns, middle_ns)

    def _found(self, motion: Pose, now_ns: int) -> Velocity | None:
        """The velocity since the last scan, with its change since the one before; None for senseless stamps."""
        elapsed_s = (now_ns - self._last_ns) * 1e-9
        if not 0.0 < elapsed_s < LONGEST_SWEEP_S:
            return None
        at_ns, twist, before = (now_ns + self._last_ns) // 2, twist_of(motion, elapsed_s), self._velocity
        if before is None or not 0.0 < (since_s := (at_ns - before.at_ns) * 1e-9) < LONGEST_SWEEP_S:
            return Velocity(at_ns, twist, np.zeros(3))
        return Velocity(at_ns, twist, (twist - before.twist) / since_s)

    def _predictions(self, T_odom_base: Pose | None, now_ns: int) -> list[Prediction]:
        """What to expect of this scan, the most trusted first."""
        elapsed_s = (now_ns - self._last_ns) * 1e-9
        again = self._motion_error.predict(self.motion if self.unplaced < GOES_ON_SCANS else np.zeros(3))
        if elapsed_s > GAP_S and self._last_ns > 0:
            self.counts["gaps in the scans"] += 1
        if self._last_ns > 0:
            least_m, least_rad = elapsed_s * RATE_SIGMA
            again = replace(again, sigma_m=max(again.sigma_m, least_m), sigma_rad=max(again.sigma_rad, least_rad))
        if T_odom_base is None or self._reached is None or not self._wheels_count:
            return [again]
        # Wheels turn also while nobody records: what they say holds from the last scan that they reached.
        reached_ns, T_odom_reached, T_smooth_reached = self._reached
        driven = compose(between(self._T_smooth_base, T_smooth_reached), between(T_odom_reached, T_odom_base))
        if math.hypot(driven[0], driven[1]) > JUMP_M + JUMP_M_S * max(now_ns - reached_ns, 0) * 1e-9:
            self.counts["odometry jumps left out"] += 1
            return [again]
        return [self._odometry_error.predict(driven), again]

    def _matched(
        self, points: NDArray[np.float64], field: Field | None, last: Pose, predictions: list[Prediction]
    ) -> tuple[str, Match | None]:
        """The match, or None with the reason why there is none."""
        if len(points) < LEAST_POINTS:
            return f"the scan has {len(points)} usable points, {LEAST_POINTS} are needed", None
        if field is None:
            return "", None
        match = self._tracker.match(field, points, last, predictions)
        if match.score < self.params.poor_match:
            fit = f"the map explains {match.explained:.0%} and contradicts {match.contradicted:.0%} of the scan"
            return fit, None
        return "", match

    def _learn(self, last: Pose, match: Match | None, predictions: list[Prediction], expected: bool) -> None:
        """Take over the motion found, or else the one expected, with what it says about the predictions."""
        if match is not None:
            moved = between(last, match.T_map_base)
            if self.unplaced == 0:
                if len(predictions) > 1:
                    self._odometry_error.learn(predictions[0].T_last_now, moved)
                self._motion_error.learn(self.motion, moved)
            self.motion = moved
            self.unplaced = 0
            self.covariance = inverse3(match.information)
            self._T_odom_matched = self._T_odom_base
        else:
            self.motion = predictions[0].T_last_now
            if expected:
                self.counts["scans without a pose of their own"] += 1
                self.unplaced += 1
                self.covariance = self.covariance + np.diag(UNMEASURED_SIGMA**2)
        self._T_smooth_base = compose(self._T_smooth_base, self.motion)


def _differ(T_odom_before: Pose, T_odom_base: Pose) -> bool:
    """Whether the wheels counted a motion."""
    return bool(np.abs(between(T_odom_before, T_odom_base)).max() > WHEELS_STAND)


def seen_from(information: NDArray[np.float64], yaw_rad: float) -> NDArray[np.float64]:
    """Information in x, y, yaw of the map, turned into a frame that looks along ``yaw_rad``."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return R.T @ information @ R
