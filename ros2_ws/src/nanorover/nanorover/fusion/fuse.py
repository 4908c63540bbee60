"""Scans and detections in, tracked objects out."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nanorover.base.gate import STILL, Velocity
from nanorover.fusion.clusters import Cluster, clusters_of, walkers
from nanorover.fusion.free_space import FreeSpace
from nanorover.fusion.fusion_params import FusionParams
from nanorover.fusion.measurements import Camera, Detection, Measurement, locate
from nanorover.fusion.objects import TrackedObject
from nanorover.fusion.tracks import Tracker
from nanorover.geometry.pose_history import PoseHistory
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose
from nanorover.planning.scan_points import beams_of

POSES_KEPT = 100
LATEST_NS = 300_000_000
WALKER_RADIUS_M = 0.2
ENTERED_SHARE = 0.34  # of a cluster's returns, that it counts as having come
CAME_SHARE = 0.5  # of a cluster's returns, that it counts as standing where it came to
NEW_SHARE = 0.5  # of a cluster's returns, that it was never seen before
GONE_SHARE = 0.8  # of the returns of some scans ago, that it counts as having gone
GONE_WITHIN_M = 3.0  # farther off the beams pass between the legs of a chair

# Distance in metres from the nearest wall of the map, for points (N, 2); inf where the map says nothing.
WallDistance = Callable[[np.ndarray], np.ndarray]


class Fusion:
    """Keeps the recent poses, the latest scan's clusters, and the tracks."""

    def __init__(self, params: FusionParams) -> None:
        params.check()
        self.params = params
        self.tracker = Tracker(params)
        self.free_space = FreeSpace()
        self.camera: Camera | None = None
        self.refused = 0
        self._poses = PoseHistory(POSES_KEPT, LATEST_NS)
        self._clusters: list[Cluster] = []
        self._scan_ns = 0

    def on_pose(self, stamp_ns: int, T_map_base: Pose) -> None:
        """Where the robot was. A stamp that runs backwards voids everything."""
        if not self._poses.add(stamp_ns, T_map_base.copy()):
            self.clear()

    def clear(self) -> None:
        """Forget tracks and free space, as after a jump of the pose."""
        self.tracker.clear()
        self.free_space = FreeSpace()

    def pose_at(self, stamp_ns: int) -> Pose | None:
        """The robot's pose between the known ones, the nearest one shortly beyond them; None where a gap is."""
        return self._poses.at(stamp_ns)

    def on_scan(
        self,
        scan: LaserScan,
        T_map_base: Pose,
        velocity: Velocity = STILL,
        wall_distance: WallDistance | None = None,
    ) -> list[TrackedObject]:
        """Track what moves by the scan alone; the clusters are kept for the detections."""
        p = self.params
        beams = beams_of(scan, velocity)
        placed = clusters_of(beams, p.cluster_gap_m, p.cluster_gap_per_m, p.fusion_range_m, T_map_base)
        candidates = placed if wall_distance is None else self._off_map(placed, wall_distance)
        may_walk = walkers(candidates, p.legs_apart_m, p.widest_mover_m)
        self._clusters = may_walk + [c for c in placed if 2.0 * c.radius_m > p.widest_mover_m]
        self._scan_ns = scan.stamp_ns
        variance = np.eye(2) * p.walker_deviation_m**2
        returns = [c.points_m for c in may_walk]
        entered = _shares(returns, lambda points_m: self.free_space.entered(points_m, scan.stamp_ns))
        new = _shares(returns, lambda points_m: self.free_space.new(points_m, scan.stamp_ns))
        self.free_space.take(beams, T_map_base)
        stayed = _shares(returns, lambda points_m: self.free_space.came(points_m, scan.stamp_ns))
        measured = [
            Measurement(
                c.centre_m, variance, max(WALKER_RADIUS_M, c.radius_m),
                entered=bool(came >= ENTERED_SHARE), came=bool(stays >= CAME_SHARE),
                new=bool(first >= NEW_SHARE), points_m=c.points_m,
            )
            for c, came, stays, first in zip(may_walk, entered, stayed, new, strict=True)
        ]  # fmt: skip
        self.tracker.update(measured, scan.stamp_ns)
        self._note_gone(scan.stamp_ns, T_map_base[:2])
        return self.tracker.objects()

    def _note_gone(self, stamp_ns: int, place_m: NDArray[np.float64]) -> None:
        """Tell the tracks seen now which have gone from where they were some scans ago."""
        tracks = [t for t in self.tracker.tracks if t.has_left(stamp_ns)]
        tracks = [t for t in tracks if math.dist(t.state[:2], place_m) < GONE_WITHIN_M]
        returns = [t.trail[0][1] for t in tracks]
        shares = _shares(returns, lambda points_m: self.free_space.gone(points_m, stamp_ns))
        for track, share in zip(tracks, shares, strict=True):
            if share >= GONE_SHARE:
                track.moved(stamp_ns, self.params)

    def on_detections(self, detections: list[Detection], stamp_ns: int) -> list[TrackedObject]:
        """Name what the scan sees, and place what it does not."""
        exposed_ns = stamp_ns - round(self.params.camera_time_offset_s * 1e9)
        T_map_base = self.pose_at(exposed_ns)
        if self.camera is None or T_map_base is None:
            self.refused += 1
            return self.tracker.objects()
        clusters = self._clusters if abs(exposed_ns - self._scan_ns) <= LATEST_NS else []
        free = list(clusters)
        measured = []
        for detection in sorted(detections, key=lambda d: -d.score):
            if not (np.isfinite(detection.box_px).all() and math.isfinite(detection.score)):
                continue
            located = locate(detection, self.camera, T_map_base, free, self.params)
            if located is not None:
                measured.append(located[0])
                if located[1] >= 0:
                    free.pop(located[1])
        self.tracker.update(measured, max(exposed_ns, self._scan_ns))
        return self.tracker.objects()

    def _off_map(self, clusters: list[Cluster], wall_distance: WallDistance) -> list[Cluster]:
        """Those of which enough lies away from what the map knows."""
        returns = [c.points_m for c in clusters]
        shares = _shares(returns, lambda points_m: wall_distance(points_m) > self.params.off_map_m)
        return [c for c, off in zip(clusters, shares, strict=True) if off >= self.params.off_map_share]


def _shares(
    returns: list[NDArray[np.float64]], holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """The share of each thing's returns ``(N, 2)`` of which something holds; asked for all of them at once."""
    if not returns:
        return np.zeros(0)
    sizes = np.array([len(points_m) for points_m in returns])
    held = holds(np.concatenate(returns))
    return np.add.reduceat(held.astype(np.int64), np.cumsum(sizes) - sizes) / sizes
