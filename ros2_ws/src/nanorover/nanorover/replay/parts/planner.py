"""Map, scans and tracked objects → the way home, and the first step on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.warm_up import warm_up
from nanorover.replay.parts.fusion import Tracks
from nanorover.replay.parts.motion import Motion
from nanorover.replay.parts.slam import MapSoFar
from nanorover.slam.mapper import ScanResult

PERIOD_NS = 2_000_000_000
WAY_POINTS = 64


@dataclass(frozen=True, eq=False)
class Planned:
    """A plan: its error code (0 for none) with the reason, its length, ``WAY_POINTS`` places ``(W, 2)`` evenly
    along it in the map frame (NaN where there is none), and the velocity that the controller asks for."""

    stamp_ns: int
    error: int
    reason: str
    length_m: float
    way_m: NDArray[np.float32]
    linear_m_s: float
    angular_rad_s: float


class PlannerPart:
    """Every two seconds of the recording: how it would go back to where it began, were it asked to.

    A recording does not obey, so the controller is asked for its first command only, and scans in between,
    which would only mark the same obstacles again, are left out.
    """

    def __init__(self) -> None:
        settings = load_settings()
        warm_up(settings)
        self.navigator = Navigator(settings)
        self.motion = Motion()
        self._pose: Pose | None = None
        self._home: Pose | None = None
        self._planned_ns: int | None = None
        self._counts = {"plans": 0, "without_way": 0}

    def take(self, record: Any) -> Iterator[Planned]:
        if isinstance(record, LaserScan):
            if self._pose is not None and self._due(record.stamp_ns):
                self._planned_ns = record.stamp_ns
                yield self._plan(record, self._pose)
        elif isinstance(record, ScanResult):
            self._pose = record.T_map_base
            self._home = record.T_map_base if self._home is None else self._home
        elif isinstance(record, Tracks):
            self.navigator.on_objects(list(record.things))
        elif isinstance(record, MapSoFar):
            self.navigator.on_map(record.grid, record.stamp_ns / 1e9)
        elif isinstance(record, Odometry):
            self.motion.take(record)

    def _due(self, stamp_ns: int) -> bool:
        return self._planned_ns is None or stamp_ns - self._planned_ns >= PERIOD_NS

    def _plan(self, scan: LaserScan, pose: Pose) -> Planned:
        navigator, velocity = self.navigator, self.motion.velocity
        navigator.on_scan(scan, pose, velocity, scan.stamp_ns / 1e9)
        assert self._home is not None
        plan = navigator.plan(pose, self._home)
        self._counts["plans"] += 1
        if len(plan.path) == 0:
            self._counts["without_way"] += 1
            nowhere = np.full((WAY_POINTS, 2), np.nan, np.float32)
            return Planned(scan.stamp_ns, plan.error, plan.reason, 0.0, nowhere, 0.0, 0.0)
        navigator.follow(plan.path)
        command = navigator.drive(pose, velocity, scan.stamp_ns).velocity
        evenly = np.linspace(0, len(plan.path) - 1, WAY_POINTS).round().astype(int)
        way_m = plan.path[evenly, :2].astype(np.float32)
        return Planned(
            scan.stamp_ns, plan.error, plan.reason, plan.length_m, way_m,
            command.linear_m_s, command.angular_rad_s,
        )  # fmt: skip

    def finish(self) -> Mapping[str, Any]:
        return self._counts
