"""SLAM from scans and odometry: front end, graph and map behind one small interface."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, compose
from nanorover.mapping.grid import GridMap, OccupancyGrid
from nanorover.slam.changes import Changes
from nanorover.slam.field import doubled_part
from nanorover.slam.front_end import LEAST_POINTS, FrontEnd, Placed, ScanResult, seen_from
from nanorover.slam.graph import Graph, softened
from nanorover.slam.graph_file import load_graph, save_graph
from nanorover.slam.local_map import LocalMap
from nanorover.slam.loops import LoopCloser
from nanorover.slam.params import SlamParams
from nanorover.slam.trajectory import Trajectory
from nanorover.slam.warm_up import warm_up

__all__ = ["Mapper", "ScanResult"]

FIRST_INFORMATION = np.diag([1e6, 1e6, 1e6])
# After so many scans without a match the map goes on in a new piece, loosely tied until a loop is found.
LOST_SCANS = 10
LOOSE_INFORMATION = np.diag([0.25, 0.25, 1.0])


class Mapper:
    """Feed it odometry and scans in the order of their arrival; ask it for pose, trajectory and map.

    Nothing that arrives makes it raise: what cannot be used is counted and named in the results.
    """

    def __init__(
        self, params: SlamParams, graph: Graph | None = None, trajectory: Trajectory | None = None
    ) -> None:
        """Begin a new map, or go on with a graph and the way driven in it, from its last keyframe."""
        self.params = params
        self.graph = Graph() if graph is None else graph
        self.front_end = FrontEnd(params)
        self.local_map = LocalMap(self.graph, params.local_path_m, params.max_range_m, params.match_resolution_m)
        self.loop_closer = LoopCloser(self.graph, params)
        self.grid_map = GridMap(params.map_resolution_m)
        self.last_reason = ""
        self._path = Trajectory() if trajectory is None else trajectory
        self._reference = -1  # the keyframe that the pose is relative to
        self._T_reference_base = np.zeros(3)
        self._changes = Changes(self.graph)
        if len(self.graph) > 0:
            self.set_pose(self.graph.poses[-1])

    def warm_up(self) -> None:
        """Load or compile every kernel, so that the first scan does not wait for it."""
        warm_up(self.params)

    def add_odometry(self, odometry: Odometry) -> None:
        """Take a reading of the wheels."""
        self.front_end.add_odometry(odometry)

    def add_scan(self, scan: LaserScan) -> ScanResult:
        """Place a scan in the map and extend the map by it."""
        started = self._reference >= 0
        placed = self.front_end.place(scan, self.local_map.field if started else None, self.T_map_base())
        if started and placed.T_last_its_stamp is not None:
            self._path.revise_last(compose(self._T_reference_base, placed.T_last_its_stamp))
        self._T_reference_base = compose(self._T_reference_base, placed.T_last_now if started else np.zeros(3))
        is_keyframe = self._refer(scan, placed)
        self._path.append(
            scan.stamp_ns, max(self._reference, 0), compose(self._T_reference_base, placed.T_middle_stamp)
        )
        T_map_base = compose(self.T_map_base(), placed.T_middle_stamp)
        if self._reference >= 0:
            self.local_map.step()
            self._close_loops()
        self.last_reason = placed.reason
        quality = 0.0 if placed.match is None else placed.match.explained
        return ScanResult(
            scan.stamp_ns, T_map_base, self.front_end.covariance.copy(), quality, placed.reason, is_keyframe
        )

    def _refer(self, scan: LaserScan, placed: Placed) -> bool:
        """Tie the pose to the nearest keyframe, or make one here; returns whether one was made."""
        if self._reference < 0:
            if not placed.reason:
                self._add_keyframe(scan, placed.points, self._T_reference_base, FIRST_INFORMATION)
            return not placed.reason
        if placed.match is None:
            return self._begin_piece(scan, placed)
        T_map_base = placed.match.T_map_base
        nearest, away_m, turn_rad = self.local_map.nearest(T_map_base)
        if away_m / self.params.keyframe_distance_m + turn_rad / self.params.keyframe_angle_rad >= 1.0:
            self._add_keyframe(scan, placed.points, T_map_base, placed.match.information)
            return True
        visit = nearest != self._reference
        self._reference = nearest
        self._T_reference_base = between(self.graph.poses[nearest], T_map_base)
        if visit:
            self.local_map.follow(nearest)
            if self._changes.visit(
                nearest, self._T_reference_base, placed.points, scan.T_base_laser, placed.match
            ):
                self.front_end.counts["keyframes renewed"] += 1
                self.local_map.follow(nearest)
        return False

    def _begin_piece(self, scan: LaserScan, placed: Placed) -> bool:
        """Nothing fits any more: after a while, map on where the robot is thought to be.

        Not while its wheels stand: then people or the like hide what is mapped, and are no map.
        """
        if self.front_end.unplaced < LOST_SCANS or len(placed.points) < LEAST_POINTS or self.front_end.stands():
            return False
        before, T_map_base = self._reference, self.T_map_base()
        self.front_end.counts["pieces begun"] += 1
        self.front_end.unplaced = 0
        number = self.graph.add_keyframe(
            scan.stamp_ns, T_map_base, placed.points.astype(np.float32), scan.T_base_laser
        )
        self.graph.add_edge(before, number, LOOSE_INFORMATION)
        self._reference, self._T_reference_base = number, np.zeros(3)
        self.local_map.follow(number)
        return True

    def _add_keyframe(
        self,
        scan: LaserScan,
        points: NDArray[np.float64],
        T_map_base: Pose,
        information: NDArray[np.float64],
    ) -> None:
        supporters = self.local_map.supporters(T_map_base) if self._reference >= 0 else []
        number = self.graph.add_keyframe(scan.stamp_ns, T_map_base, points.astype(np.float32), scan.T_base_laser)
        for other in supporters:
            self.graph.add_edge(other, number, softened(seen_from(information, self.graph.poses[other, 2])))
        self._reference = number
        self._T_reference_base = np.zeros(3)
        self.local_map.follow(number)

    def _close_loops(self) -> None:
        """The next bit of the work behind the front end; afterwards the local map is where the graph says."""
        revision = self.graph.revision
        moved = self.front_end.motion
        self.loop_closer.step(self._reference, math.hypot(moved[0], moved[1]))
        if self.graph.revision != revision:
            self.local_map.follow(self._reference)

    def finish(self) -> None:
        """Complete what is still to be computed, at the end of a recording."""
        self.loop_closer.finish()

    def set_pose(self, T_map_base: Pose, covariance: NDArray[np.float64] | None = None) -> None:
        """Say where the robot stands in the map now, as a person or a global search knows it."""
        if len(self.graph) > 0:
            away_m = np.hypot(*(self.graph.poses[:, :2] - T_map_base[:2]).T)
            self._reference = int(np.argmin(away_m))
            self._T_reference_base = between(self.graph.poses[self._reference], T_map_base)
            self.local_map.follow(self._reference)
        else:
            self._T_reference_base = T_map_base.copy()
        self.front_end.forget_motion()
        if covariance is not None:
            self.front_end.covariance = covariance.copy()

    def T_map_base(self) -> Pose:
        """Where the base was in the middle of the last scan."""
        if self._reference < 0:
            return self._T_reference_base.copy()
        return compose(self.graph.poses[self._reference], self._T_reference_base)

    def T_map_odom(self) -> Pose:
        """What turns odometry into the map; without odometry, the scans' own motion takes its place."""
        return self.front_end.T_map_odom(self.T_map_base())

    def trajectory(self, every: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Stamps (N,) and poses (N, 3) of each ``every``-th scan as it arrived, as the graph sees them now."""
        return self._path.stamps_ns(every), self._path.poses(self.graph.poses, every)

    def grid(self) -> OccupancyGrid:
        """The occupancy grid of all keyframes as the graph sees them now."""
        self.grid_map.update(self.graph.points, self.graph.poses, self.graph.sensors)
        return self.grid_map.grid()

    def save(self, path: Path) -> None:
        """Write graph and trajectory to a file, from which mapping can go on. Raises InputError."""
        self.finish()
        save_graph(path, self.graph, self._path)

    @classmethod
    def load(cls, path: Path, params: SlamParams) -> "Mapper":
        """A mapper that goes on with a saved graph, from its last keyframe or where ``set_pose`` says.

        Raises InputError for a file that cannot be used.
        """
        return cls(params, *load_graph(path))

    def health(self) -> dict[str, object]:
        """Counters and figures for diagnostics."""
        return {
            **self.front_end.health(),
            **self.loop_closer.counts,
            "keyframes": len(self.graph),
            "doubled walls": round(doubled_part(self.local_map.field.arrays), 3),
        }
