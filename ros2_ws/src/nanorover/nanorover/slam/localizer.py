"""Localization in a saved map: found without a click, tracked, and noticed when it is lost.

While the place is unknown, a scan is searched for in the whole map (branch and bound over all places and
directions). A find is believed only when it fits well and no other place fits nearly as well; else the next scan
is tried, from where the robot has moved to. While the place is known, scans are matched as in mapping. A robot
that was carried away no longer fits the map; then the search begins again, and what is published says so.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, compose
from nanorover.mapping.grid import OccupancyGrid
from nanorover.slam.branch_and_bound import Found, Pyramid
from nanorover.slam.field import Field
from nanorover.slam.front_end import FrontEnd, Placed, ScanResult
from nanorover.slam.local_map import MARGIN_M
from nanorover.slam.map_field import MapWalls
from nanorover.slam.matching import judge, refine
from nanorover.slam.params import SlamParams
from nanorover.slam.tracker import NO_PRIOR, Match
from nanorover.slam.trajectory import Trajectory
from nanorover.slam.warm_up import warm_up

# Cells of the field in which the whole map is searched.
GLOBAL_RESOLUTION_M = 0.10
GLOBAL_POINTS = 120
LARGEST_MAP_M = 400.0
# What a global find must reach: likelihood, score, and the part of the scan that the map explains.
LEAST_LIKELIHOOD, LEAST_SCORE, LEAST_EXPLAINED = 0.3, 0.7, 0.4
# Another place is one further away than this; its likelihood must stay below this part of the best.
OTHER_PLACE_M, OTHER_PLACE_RAD = 1.0, 0.4
MOST_AMBIGUOUS = 0.9
# Finds of different scans that must agree, and how nearly, before the place counts as known.
AGREEING_FINDS = 2
AGREE_M, AGREE_RAD = 0.3, 0.1
# The match is doubted below this score; so many doubted scans in a row, and the robot is lost.
DOUBTED_SCORE = 0.6
DOUBTED_SCANS = 6
# A search takes many scans' time, so while lost only every so many scans are searched.
SEARCH_EVERY = 3
UNKNOWN_COVARIANCE = np.diag([1e4, 1e4, math.pi**2])
CLICK_COVARIANCE = np.diag([0.25, 0.25, 0.07])


class Localizer:
    """Feed it odometry and scans; it says where in the map the robot is, and how sure that is.

    Raises InputError when the map holds no walls. What arrives later never makes it raise.
    """

    def __init__(self, params: SlamParams, grid: OccupancyGrid) -> None:
        self.params = params
        self.front_end = FrontEnd(params)
        self.localized = False
        self.confidence = 0.0
        self.last_reason = "the place in the map is not known yet"
        self._walls = MapWalls(grid)
        if len(self._walls.points) == 0:
            raise InputError("the map has no walls", "give a map with occupied cells")
        if self._walls.centre_and_extent()[1] > LARGEST_MAP_M / 2:
            raise InputError(f"the map is larger than {LARGEST_MAP_M:g} m", "cut it into parts")
        self._field = Field(2.0 * (params.max_range_m + MARGIN_M), params.match_resolution_m)
        self._pyramid: Pyramid | None = None
        self._T_map_base = np.zeros(3)
        self._doubted = 0
        self._waited = SEARCH_EVERY
        self._finds: list[Pose] = []  # finds of earlier scans, moved along with the robot
        self._path = Trajectory()

    def warm_up(self) -> None:
        """Load or compile every kernel, and prepare the search of the whole map."""
        warm_up(self.params)
        self._global_pyramid()

    def add_odometry(self, odometry: Odometry) -> None:
        """Take a reading of the wheels."""
        self.front_end.add_odometry(odometry)

    def set_pose(self, T_map_base: Pose, covariance: NDArray[np.float64] | None = None) -> None:
        """A person says where the robot is: believed at once, and doubted like any other place."""
        self._settle(
            np.asarray(T_map_base, dtype=np.float64), CLICK_COVARIANCE if covariance is None else covariance
        )
        self.confidence = 0.5

    def add_scan(self, scan: LaserScan) -> ScanResult:
        """Say where the scan was taken; while that is not known, ``reason`` says so and the covariance is huge."""
        placed = self.front_end.place(scan, self._field if self.localized else None, self._T_map_base)
        if self.localized:
            self._track(placed)
        else:
            self._look_for(placed)
        T_map_base = compose(self._T_map_base, placed.T_middle_stamp)
        self._path.append(scan.stamp_ns, 0, T_map_base)
        quality = 0.0 if placed.match is None else placed.match.explained
        covariance = self.front_end.covariance if self.localized else UNKNOWN_COVARIANCE
        return ScanResult(scan.stamp_ns, T_map_base, covariance.copy(), quality, self.last_reason, False)

    def _track(self, placed: Placed) -> None:
        self._T_map_base = compose(self._T_map_base, placed.T_last_now)
        good = placed.match is not None and placed.match.score >= DOUBTED_SCORE
        self._doubted = 0 if good else self._doubted + 1
        self.confidence += 0.2 * ((placed.match.score if placed.match else 0.0) - self.confidence)
        self.last_reason = placed.reason if good else placed.reason or "the scan fits the map badly here"
        if self._doubted >= DOUBTED_SCANS:
            self.front_end.counts["times lost"] += 1
            self.localized, self.confidence = False, 0.0
            self._finds.clear()
            self._waited = SEARCH_EVERY
            self.last_reason = "lost: the scans no longer fit the map at the believed place"
        elif np.abs(self._field.centre_m() - self._T_map_base[:2]).max() > MARGIN_M:
            self._walls.draw(self._field, self._T_map_base)

    def _look_for(self, placed: Placed) -> None:
        """Search the whole map for the scan, every few scans; settle when finds agree."""
        self._T_map_base = compose(self._T_map_base, placed.T_last_now)
        self._finds = [compose(find, placed.T_last_now) for find in self._finds]
        self._waited += 1
        if placed.reason or self._waited < SEARCH_EVERY:
            self.last_reason = placed.reason or self.last_reason
            return
        self._waited = 0
        match, self.last_reason = self.search(placed.points)
        if match is None:
            return
        agreeing = [find for find in self._finds if _agree(find, match.T_map_base)]
        self._finds.append(match.T_map_base)
        if len(agreeing) + 1 >= AGREEING_FINDS:
            self._settle(match.T_map_base, np.linalg.inv(match.information).astype(np.float64))
            self.confidence = match.score
        else:
            self.last_reason = "the place is found once and waits for confirmation"

    def search(self, points: NDArray[np.float64]) -> tuple[Match | None, str]:
        """Where in the whole map the points (N, 4) were seen; None with a sentence when that is not certain."""
        self.front_end.counts["global searches"] += 1
        pyramid = self._global_pyramid()
        some = points[:: max(len(points) // GLOBAL_POINTS, 1)]
        centre, extent_m = self._walls.centre_and_extent()
        everywhere = (np.array([*centre, 0.0]), extent_m, math.pi)
        found = pyramid.search(some, *everywhere, at_least=LEAST_LIKELIHOOD)
        if found is None:
            return None, "nothing in the map looks like this"
        match = self._refined(points, found)
        if match.score < LEAST_SCORE or match.explained < LEAST_EXPLAINED:
            return None, f"the best place explains only {match.explained:.0%} of the scan"
        other = pyramid.search(
            some,
            *everywhere,
            at_least=MOST_AMBIGUOUS * found.likelihood,
            besides=(found.pose, OTHER_PLACE_M, OTHER_PLACE_RAD),
        )
        if other is not None:
            return None, "several places in the map look like this"
        if not found.complete:
            return None, "too many places in the map look alike"
        return match, ""

    def _refined(self, points: NDArray[np.float64], found: Found) -> Match:
        self._walls.draw(self._field, found.pose)
        pose, information, rms_m = refine(
            self._field.arrays, points, found.pose, found.pose, NO_PRIOR, self.params.point_noise_m
        )
        return Match(pose, information, rms_m, *judge(self._field.arrays, points, pose))

    def _settle(self, T_map_base: Pose, covariance: NDArray[np.float64]) -> None:
        self._T_map_base = T_map_base.copy()
        self._walls.draw(self._field, T_map_base)
        self.front_end.forget_motion()
        self.front_end.covariance = covariance.copy()
        self.localized, self._doubted, self.last_reason = True, 0, ""
        self._finds.clear()

    def _global_pyramid(self) -> Pyramid:
        """The whole map at a coarser resolution, made when it is first needed."""
        if self._pyramid is None:
            centre, extent_m = self._walls.centre_and_extent()
            field = Field(2.0 * extent_m + 2.0, GLOBAL_RESOLUTION_M / 2.0)
            self._walls.draw(field, centre)
            self._pyramid = Pyramid(field)
            self._pyramid.draw()
        return self._pyramid

    def T_map_base(self) -> Pose:
        """Where the base was in the middle of the last scan, as far as is known."""
        return self._T_map_base.copy()

    def T_map_odom(self) -> Pose:
        """What turns odometry into the map."""
        return self.front_end.T_map_odom(self._T_map_base)

    def trajectory(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Stamps (N,) and poses (N, 3) of every scan in the order of arrival."""
        return self._path.stamps_ns(), self._path.poses(np.zeros((1, 3)))

    def grid(self) -> OccupancyGrid:
        """The map itself."""
        return self._walls.grid

    def health(self) -> dict[str, object]:
        """Counters and figures for diagnostics."""
        return {
            **self.front_end.health(),
            "localized": self.localized,
            "confidence": round(self.confidence, 2),
        }


def _agree(one: Pose, other: Pose) -> bool:
    off = between(one, other)
    return math.hypot(off[0], off[1]) < AGREE_M and abs(off[2]) < AGREE_RAD
