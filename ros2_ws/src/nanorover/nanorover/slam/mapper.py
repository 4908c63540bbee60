"""SLAM from scans and odometry: the front end, the graph and the map behind one small interface."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, compose, inverse
from nanorover.mapping.grid import GridMap, OccupancyGrid
from nanorover.slam.graph import Graph, softened
from nanorover.slam.graph_file import load_graph, save_graph
from nanorover.slam.local_map import LocalMap
from nanorover.slam.loops import LoopCloser
from nanorover.slam.motion import ErrorBound, OdometryBuffer, Prediction, motion_of, twist_of
from nanorover.slam.params import SlamParams
from nanorover.slam.preprocess import surface_points
from nanorover.slam.tracker import Match, Tracker
from nanorover.slam.trajectory import Trajectory
from nanorover.slam.warm_up import warm_up

# A scan with fewer points than this says too little to be placed.
LEAST_POINTS = 12
# No lidar turns as slowly as this; a scan that says so has no usable times.
LONGEST_SWEEP_S = 1.0
# Standard deviation of a pose that nothing has measured, per scan in a row.
UNMEASURED_SIGMA = np.array([0.3, 0.3, 0.2])
# Relative error to start with, and the least error in metres and radians, of odometry and of going on as before
# (see ErrorBound): a robot may start, stop or turn between any two scans.
ODOMETRY_ERROR = (1.0, 0.05, 0.04)
MOTION_ERROR = (1.0, 0.05, 0.06)


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


class Mapper:
    """Feed it odometry and scans in the order of their arrival; ask it for pose, trajectory and map.

    Nothing that arrives makes it raise: what cannot be used is counted and named in the results.
    """

    def __init__(self, params: SlamParams) -> None:
        self.params = params
        self.graph = Graph()
        self.local_map = LocalMap(self.graph, params.local_path_m, params.max_range_m, params.match_resolution_m)
        self.tracker = Tracker(params)
        self.loop_closer = LoopCloser(self.graph, params)
        self.odometry = OdometryBuffer()
        self.grid_map = GridMap(params.map_resolution_m)
        self.counts: Counter[str] = Counter()
        self._odometry_error = ErrorBound(*ODOMETRY_ERROR)
        self._motion_error = ErrorBound(*MOTION_ERROR)
        self._reference = -1
        self._T_reference_base = np.zeros(3)
        self._path = Trajectory()
        self._last_ns = 0
        self._T_odom_base: Pose | None = None
        self._T_smooth_base = np.zeros(3)  # integrates the scans' own motion where there is no odometry
        self._motion = np.zeros(3)
        self._covariance = np.diag(np.full(3, 1e-6))
        self._unplaced = 0
        self.last_reason = ""

    def warm_up(self) -> None:
        """Load or compile every kernel, so that the first scan does not wait for it."""
        warm_up(self.params)

    def add_odometry(self, odometry: Odometry) -> None:
        """Take a reading of the wheels."""
        self.odometry.add(odometry)

    def add_scan(self, scan: LaserScan) -> ScanResult:
        """Place a scan in the map and extend the map by it."""
        self.counts["scans"] += 1
        sweep_s = scan.time_increment_s * max(len(scan.ranges_m) - 1, 0)
        if not abs(sweep_s) < LONGEST_SWEEP_S:
            self.counts["scans with senseless times"] += 1
            sweep_s = 0.0
        middle_ns = scan.stamp_ns + int(0.5e9 * sweep_s)
        twist = self._twist(scan.stamp_ns, middle_ns, sweep_s)
        points = self._points(scan, twist)
        T_odom_base = self.odometry.at(middle_ns)
        predictions = self._predictions(T_odom_base)
        last = self.T_map_base()
        reason, match = self._place(points, last, predictions)
        if match is not None and sweep_s != 0.0 and T_odom_base is None:
            twist = self._motion_twist(between(last, match.T_map_base), middle_ns)
            points = self._points(scan, twist)
            match = self.tracker.again(self.local_map.field, points, match)
        is_keyframe = False
        if match is None:
            self._unmeasured(predictions[0])
        else:
            is_keyframe = self._measured(scan, points, match, last, predictions)
        self._T_odom_base = T_odom_base
        self._last_ns = middle_ns
        self.last_reason = reason
        at_stamp = motion_of(twist, -0.5 * sweep_s)
        self._path.append(scan.stamp_ns, max(self._reference, 0), compose(self._T_reference_base, at_stamp))
        T_map_base = compose(self.T_map_base(), at_stamp)
        if self._reference >= 0:
            self._close_loops()
        quality = 0.0 if match is None else match.explained
        return ScanResult(scan.stamp_ns, T_map_base, self._covariance.copy(), quality, reason, is_keyframe)

    def _points(self, scan: LaserScan, twist: Pose) -> NDArray[np.float64]:
        return surface_points(scan, twist, self.params.point_spacing_m, self.params.max_range_m)

    def _close_loops(self) -> None:
        """The next bit of the work behind the front end; afterwards the local map is where the graph says."""
        revision = self.graph.revision
        self.loop_closer.step(self._reference, math.hypot(self._motion[0], self._motion[1]))
        if self.graph.revision != revision:
            self.local_map.follow(self._reference)

    def _twist(self, stamp_ns: int, middle_ns: int, sweep_s: float) -> Pose:
        """The base's velocity during a scan: from odometry, else as it was between the last two scans."""
        if sweep_s == 0.0:
            return np.zeros(3)
        twist = self.odometry.twist(stamp_ns, sweep_s)
        return self._motion_twist(self._motion, middle_ns) if twist is None else twist

    def _motion_twist(self, motion: Pose, now_ns: int) -> Pose:
        """The velocity of a motion since the last scan; none where the stamps do not make sense."""
        elapsed_s = (now_ns - self._last_ns) * 1e-9
        return twist_of(motion, elapsed_s) if 0.0 < elapsed_s < LONGEST_SWEEP_S else np.zeros(3)

    def _predictions(self, T_odom_base: Pose | None) -> list[Prediction]:
        """What to expect of this scan, the most trusted first."""
        again = self._motion_error.predict(self._motion)
        if T_odom_base is None or self._T_odom_base is None:
            return [again]
        return [self._odometry_error.predict(between(self._T_odom_base, T_odom_base)), again]

    def _place(
        self, points: NDArray[np.float64], last: Pose, predictions: list[Prediction]
    ) -> tuple[str, Match | None]:
        if len(points) < LEAST_POINTS:
            return f"the scan has {len(points)} usable points, {LEAST_POINTS} are needed", None
        if self._reference < 0:
            return "", Match(last, np.diag([1e6, 1e6, 1e6]), 0.0, 1.0, 0.0, 0.0)
        match = self.tracker.match(self.local_map.field, points, last, predictions)
        if match.score < self.params.poor_match:
            return (
                f"the map explains {match.explained:.0%} and contradicts {match.contradicted:.0%} of the scan",
                None,
            )
        return "", match

    def _unmeasured(self, prediction: Prediction) -> None:
        """Go on by the prediction alone."""
        self.counts["scans without a pose of their own"] += 1
        self._unplaced += 1
        if self._reference >= 0:
            self._move(prediction.T_last_now)
            self._covariance = self._covariance + np.diag(UNMEASURED_SIGMA**2)

    def _move(self, T_last_now: Pose) -> None:
        self._motion = T_last_now
        self._T_reference_base = compose(self._T_reference_base, T_last_now)
        self._T_smooth_base = compose(self._T_smooth_base, T_last_now)

    def _measured(
        self, scan: LaserScan, points: NDArray[np.float64], match: Match, last: Pose, predictions: list[Prediction]
    ) -> bool:
        """Take the match as the pose; returns whether the scan became a keyframe."""
        moved = between(last, match.T_map_base)
        if self._reference >= 0 and self._unplaced == 0:
            if len(predictions) > 1:
                self._odometry_error.learn(predictions[0].T_last_now, moved)
            self._motion_error.learn(self._motion, moved)
        self._move(moved)
        self._unplaced = 0
        self._covariance = np.linalg.inv(match.information)
        return self._refer(scan, points, match)

    def _refer(self, scan: LaserScan, points: NDArray[np.float64], match: Match) -> bool:
        """Tie the pose to the nearest keyframe, or make one here; returns whether one was made."""
        if self._reference >= 0:
            nearest, away_m, turn_rad = self.local_map.nearest(match.T_map_base)
            part = away_m / self.params.keyframe_distance_m + turn_rad / self.params.keyframe_angle_rad
            if part < 1.0:
                if nearest != self._reference:
                    self._reference = nearest
                    self.local_map.follow(nearest)
                self._T_reference_base = between(self.graph.poses[nearest], match.T_map_base)
                return False
        self._add_keyframe(scan, points, match)
        return True

    def _add_keyframe(self, scan: LaserScan, points: NDArray[np.float64], match: Match) -> None:
        number = self.graph.add_keyframe(
            scan.stamp_ns, match.T_map_base, points.astype(np.float32), scan.T_base_laser
        )
        if self._reference >= 0:
            for other in self.local_map.supporters(match.T_map_base):
                information = softened(seen_from(match.information, self.graph.poses[other, 2]))
                self.graph.add_edge(other, number, information)
        self._reference = number
        self._T_reference_base = np.zeros(3)
        self.local_map.follow(number)

    def finish(self) -> None:
        """Complete what is still to be computed, at the end of a recording."""
        self.loop_closer.finish()

    def T_map_base(self) -> Pose:
        """Where the base was at the last scan."""
        if self._reference < 0:
            return self._T_reference_base.copy()
        return compose(self.graph.poses[self._reference], self._T_reference_base)

    def T_map_odom(self) -> Pose:
        """What turns odometry into the map; without odometry, the scans' own motion takes its place."""
        T_odom_base = self._T_odom_base if self._T_odom_base is not None else self._T_smooth_base
        return compose(self.T_map_base(), inverse(T_odom_base))

    def trajectory(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Stamps (N,) and poses (N, 3) of every scan in the order of arrival, as the graph sees them now."""
        return self._path.stamps_ns(), self._path.poses(self.graph.poses)

    def grid(self) -> OccupancyGrid:
        """The occupancy grid of all keyframes as the graph sees them now."""
        self.grid_map.update(self.graph.points, self.graph.poses, self.graph.sensors)
        return self.grid_map.grid()

    def save(self, path: FilePath) -> None:
        """Write graph and trajectory to a file, from which mapping can go on. Raises InputError."""
        self.finish()
        save_graph(path, self.graph, self._path)

    @classmethod
    def load(cls, path: FilePath, params: SlamParams) -> "Mapper":
        """A mapper that goes on with a saved graph, once it knows where it is (see ``relocate``).

        Raises InputError for a file that cannot be used.
        """
        graph, trajectory = load_graph(path)
        mapper = cls(params)
        mapper._take(graph, trajectory)
        return mapper

    def _take(self, graph: Graph, trajectory: Trajectory) -> None:
        """Go on from the last pose of a loaded graph."""
        self.graph, self._path = graph, trajectory
        self.loop_closer = LoopCloser(graph, self.params)
        self.local_map = LocalMap(
            graph, self.params.local_path_m, self.params.max_range_m, self.params.match_resolution_m
        )
        if len(graph) > 0:
            self.relocate(graph.poses[-1])

    def relocate(self, T_map_base: Pose) -> None:
        """Say where the robot stands in the map now, as a person or a global search knows it."""
        if len(self.graph) == 0:
            return
        away_m = np.hypot(*(self.graph.poses[:, :2] - T_map_base[:2]).T)
        self._reference = int(np.argmin(away_m))
        self._T_reference_base = between(self.graph.poses[self._reference], T_map_base)
        self._motion = np.zeros(3)
        self._T_odom_base = None
        self.local_map.follow(self._reference)

    def health(self) -> dict[str, object]:
        """Counters and figures for diagnostics."""
        return {
            **self.counts,
            **self.loop_closer.counts,
            "keyframes": len(self.graph),
            "wide searches": self.tracker.wide_searches,
            "odometry readings refused": self.odometry.refused,
            "odometry stamps backwards": self.odometry.backwards,
            "odometry error": round(self._odometry_error.trans, 2),
        }


def seen_from(information: NDArray[np.float64], yaw_rad: float) -> NDArray[np.float64]:
    """Information in x, y, yaw of the map, turned into a frame that looks along ``yaw_rad``."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return R.T @ information @ R
