"""How long it takes from the first scan that shows somebody near until the robot is slower.

Listens only, to scans and to the velocities that safety lets pass, with times of one clock. Somebody is what the
scan sees where the map has nothing, so it serves in worlds whose map knows all that stands.
"""

import numpy as np

from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose, transform_points
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.distances import distance_to
from nanorover.planning.scan_points import beams_of

NEAR_M = 1.5  # of the robot's middle: somebody so near who walks is a reason to slow down
OFF_MAP_M = 0.25
RETURNS = 3
AT_SPEED_M_S = 0.35  # a robot that was slower already does not count
SLOWER = 0.9  # times the speed at first sight: that is slowed down
AWAY_S = 1.0  # somebody not seen near for so long comes anew
GIVEN_UP_S = 3.0


class SlowDown:
    """Collects the times; ``missed`` counts those in which the robot never slowed down."""

    def __init__(self, known: OccupancyGrid) -> None:
        self.known = known
        self.times_s: list[float] = []
        self.missed = 0
        self._away_m = distance_to(known.cells > 0, known.resolution_m)
        self._near_s = -np.inf
        self._speed_m_s = 0.0
        self._first: tuple[float, float] | None = None

    def on_scan(self, scan: LaserScan, T_map_base: Pose, now_s: float) -> None:
        """A scan, seen about from this pose, that has arrived now."""
        if not self._shows_somebody(scan, T_map_base):
            return
        if now_s - self._near_s > AWAY_S and self._speed_m_s > AT_SPEED_M_S:
            self._first = now_s, self._speed_m_s
        self._near_s = now_s

    def on_velocity(self, linear_m_s: float, now_s: float) -> None:
        """What safety has let pass now."""
        self._speed_m_s = linear_m_s
        if self._first is None:
            return
        first_s, speed_m_s = self._first
        if linear_m_s < SLOWER * speed_m_s:
            self.times_s.append(now_s - first_s)
            self._first = None
        elif now_s - first_s > GIVEN_UP_S:
            self.missed += 1
            self._first = None

    def figures(self) -> dict[str, float]:
        """How often somebody came near to the robot at speed, how often it was never slower, and milliseconds at
        the median and the 99th percentile of the others; empty where nobody came."""
        if not (self.times_s or self.missed):
            return {}
        found: dict[str, float] = {"people_near": len(self.times_s) + self.missed, "never_slower": self.missed}
        if self.times_s:
            times_ms = 1e3 * np.array(self.times_s)
            found["person_to_slower_p50_ms"] = round(float(np.median(times_ms)), 1)
            found["person_to_slower_p99_ms"] = round(float(np.percentile(times_ms, 99)), 1)
        return found

    def _shows_somebody(self, scan: LaserScan, T_map_base: Pose) -> bool:
        points_m = transform_points(T_map_base, beams_of(scan).returns_m)
        points_m = points_m[np.hypot(*(points_m - T_map_base[:2]).T) < NEAR_M]
        cells = np.floor((points_m - self.known.T_map_origin[:2]) / self.known.resolution_m).astype(int)
        inside = ((cells >= 0) & (cells < self._away_m.shape[::-1])).all(axis=1)
        off_map = self._away_m[cells[inside, 1], cells[inside, 0]] > OFF_MAP_M
        return int(np.count_nonzero(off_map)) >= RETURNS
