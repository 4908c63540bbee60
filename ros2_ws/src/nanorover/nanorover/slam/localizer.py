"""Localization in a saved map: found without a click, tracked, and noticed when it is lost.

While the place is unknown, scans are searched for in the whole map. A find is believed when it is confident (see
``global_search``), or when finds from a way apart agree and are confident together. While the place is known,
scans are matched as in mapping; whenever a match is poor or was hard to find, the whole map is searched again: the
robot may have been carried away. What is published says how sure the place is.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, are_close, compose
from nanorover.geometry.symmetric import inverse3
from nanorover.mapping.grid import OccupancyGrid
from nanorover.slam.field import Field, doubled_part
from nanorover.slam.front_end import LEAST_POINTS, FrontEnd, Placed, ScanResult
from nanorover.slam.global_search import GlobalSearch, Place
from nanorover.slam.local_map import MARGIN_M
from nanorover.slam.map_field import MapWalls
from nanorover.slam.params import SlamParams
from nanorover.slam.tracker import Match
from nanorover.slam.trajectory import Trajectory
from nanorover.slam.warm_up import warm_up

LARGEST_MAP_M = 400.0
# From this confidence on a place counts as known.
CONFIDENT = 0.9
# Finds agree when they are this near; they count together when this much of way (or turn, as metres) lies between.
AGREE_M, AGREE_RAD = 0.3, 0.1
APART_M, METRES_PER_RADIAN = 0.5, 0.5
FINDS_KEPT = 8
# The match is doubted below this score; so many doubted scans in a row, and the robot is lost.
DOUBTED_SCORE = 0.6
DOUBTED_SCANS = 8
# What a doubted scan leaves of the confidence.
DOUBTED_PART = 0.7
# Where the robot was believed to be counts so many times as much as any other place that looks the same.
BELIEVED_ODDS = 20.0
# A place that explains so much of the scan is in the map, however many people stand in the view and however much
# of the furniture was moved. Only a place that explains more, by so much, speaks against it then: one outside the
# map contradicts nothing, but explains little. A place that was found owes the proof first, good matches over some
# way: a room outside the map that is like one in it explains as much as one whose furniture was moved.
KNOWN_HERE, EXPLAINS_MORE, PROOF_M = 0.6, 0.05, 0.5
# Less than this of a scan in the map is worth a word: a mirrored laser in a plain room looks like moved furniture.
WELL_KNOWN = 0.75
# A search takes several scans' time, so only every so many scans are searched for.
SEARCH_EVERY = 3
# A place that the search gives less than this, so many times in a row, is not believed any longer.
DISBELIEVED, DISBELIEVED_CHECKS = 0.1, 2
CLICK_CONFIDENCE = 0.5
UNKNOWN_COVARIANCE = np.diag([1e4, 1e4, math.pi**2])
CLICK_COVARIANCE = np.diag([0.25, 0.25, 0.07])


@dataclass(frozen=True, eq=False)
class Find:
    """A find of an earlier scan, moved along with the robot: its share, and the way driven up to it."""

    T_map_base: Pose
    share: float
    travelled_m: float

    def moved(self, T_last_now: Pose) -> "Find":
        return replace(self, T_map_base=compose(self.T_map_base, T_last_now))


class Localizer:
    """Feed it odometry and scans; it says where in the map the robot is, and how sure that is.

    Raises InputError when the map holds no walls or is larger than ``LARGEST_MAP_M``. What arrives later never
    makes it raise.
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
        self._global = GlobalSearch(self._walls, params.match_resolution_m, params.point_noise_m)
        self._doubled_walls = doubled_part(self._global.field.arrays)
        self._T_map_base = np.zeros(3)
        self._doubted = 0
        self._disbelieved = 0
        self._proven_m = 0.0
        self._waited = SEARCH_EVERY
        self._wide_searches = 0
        self._finds: list[Find] = []
        self._travelled_m = 0.0
        self._path = Trajectory()

    def warm_up(self) -> None:
        """Load or compile every kernel."""
        warm_up(self.params)

    def add_odometry(self, odometry: Odometry) -> None:
        """Take a reading of the wheels."""
        self.front_end.add_odometry(odometry)

    def set_pose(self, T_map_base: Pose, covariance: NDArray[np.float64] | None = None) -> None:
        """A person says where the robot is: believed at once, and doubted like any other place."""
        covariance = CLICK_COVARIANCE if covariance is None else covariance
        self._settle(np.asarray(T_map_base, dtype=np.float64), covariance, CLICK_CONFIDENCE)
        self._proven_m = PROOF_M

    def forget_pose(self) -> None:
        """Look for the robot in the whole map again."""
        self._lose("the place is looked for in the whole map")
        self._finds.clear()

    def add_scan(self, scan: LaserScan) -> ScanResult:
        """Say where the scan was taken; while that is not known, ``reason`` says so and the covariance is huge."""
        placed = self.front_end.place(scan, self._field if self.localized else None, self._T_map_base)
        self._T_map_base = compose(self._T_map_base, placed.T_last_now)
        self._finds = [find.moved(placed.T_last_now) for find in self._finds]
        self._travelled_m += _way_m(placed.T_last_now)
        self._waited += 1
        if self.localized:
            self._track(placed)
        elif placed.reason:
            self.last_reason = placed.reason
        elif self._waited > SEARCH_EVERY:
            self._look_for(placed)
        T_map_base = compose(self._T_map_base, placed.T_middle_stamp)
        self._path.append(scan.stamp_ns, 0, T_map_base)
        quality = 0.0 if placed.match is None else placed.match.explained
        covariance = self.front_end.covariance + self._walls.covariance() if self.localized else UNKNOWN_COVARIANCE
        return ScanResult(scan.stamp_ns, T_map_base, covariance.copy(), quality, self.last_reason, False)

    def _track(self, placed: Placed) -> None:
        match = placed.match
        good = match is not None and (match.score >= DOUBTED_SCORE or self._known_here(match))
        if match is not None and match.score >= DOUBTED_SCORE:
            self._proven_m += _way_m(placed.T_last_now)
        self._doubted = 0 if good else self._doubted + 1
        if not good:
            self.confidence *= DOUBTED_PART
        self.last_reason = placed.reason
        if not good:
            self.last_reason = placed.reason or "the scan fits the map badly here"
        elif match is not None and match.explained < WELL_KNOWN:
            self.last_reason = (
                f"only {match.explained:.0%} of the scan is in the map: much was moved,"
                " or the laser is mounted otherwise than its frame says (nanorover doctor --live)"
            )
        if self._doubted >= DOUBTED_SCANS:
            self.front_end.counts["times lost"] += 1
            self._lose("lost: the scans no longer fit the map at the believed place")
            return
        wide_searches = self.front_end.wide_searches()
        searched_widely, self._wide_searches = wide_searches > self._wide_searches, wide_searches
        if (not good or searched_widely or self.confidence < CONFIDENT) and self._waited > SEARCH_EVERY:
            self._check(placed)
        if np.abs(self._field.centre_m() - self._T_map_base[:2]).max() > MARGIN_M:
            self._walls.draw(self._field, self._T_map_base)

    def _check(self, placed: Placed) -> None:
        """Hold the believed place against all others of the map."""
        if len(placed.points) < LEAST_POINTS:
            return
        places = self._searched(placed.points, self._T_map_base)
        here = next((place for place in places if _agree(place.T_map_base, self._T_map_base)), None)
        share = 0.0 if here is None else here.share
        nowhere = 1.0 - sum(place.share for place in places)
        if here is not None and self._known_here(here.match):
            enough = here.match.explained + EXPLAINS_MORE
            places = [place for place in places if place is here or place.match.explained > enough]
            nowhere = 0.0
        elsewhere = sum(place.share for place in places) - share
        # a share may be tiny and still be all that is left
        self.confidence = share / (share + elsewhere / BELIEVED_ODDS + nowhere) if share > 0.0 else 0.0
        if self.confidence >= CONFIDENT:
            self._doubted = 0
        self._disbelieved = self._disbelieved + 1 if self.confidence < DISBELIEVED else 0
        if here is None or places[0].share > share:
            self._consider(places)
        if self.localized and self._disbelieved >= DISBELIEVED_CHECKS:
            self.front_end.counts["times lost"] += 1
            self._lose("lost: other places, or none in the map, fit the scans better than the believed one")

    def _known_here(self, match: Match) -> bool:
        """Whether the believed place is in the map, however much of it is not as it was."""
        return self._proven_m >= PROOF_M and match.explained >= KNOWN_HERE

    def _look_for(self, placed: Placed) -> None:
        """Search the whole map for the scan."""
        places = self._searched(placed.points, None)
        self.confidence = 0.0
        self._consider(places)

    def _searched(self, points: NDArray[np.float64], believed: Pose | None) -> list[Place]:
        self._waited = 0
        self.front_end.counts["global searches"] += 1
        return self._global.places(points, believed)

    def _consider(self, places: list[Place]) -> None:
        """Settle at the first place when it is confident, alone or with agreeing finds from a way apart."""
        if not places:
            self.last_reason = "nothing in the map looks like this"
            return
        best = places[0]
        doubt, at_m = 1.0 - best.share, self._travelled_m
        for find in reversed(self._finds):
            if at_m - find.travelled_m >= APART_M and _agree(find.T_map_base, best.T_map_base):
                doubt, at_m = doubt * (1.0 - find.share), find.travelled_m
        self._finds = [*self._finds[1 - FINDS_KEPT :], Find(best.T_map_base, best.share, self._travelled_m)]
        if 1.0 - doubt >= CONFIDENT and best.match.score >= DOUBTED_SCORE:
            if self.localized:
                self.front_end.counts["times found elsewhere"] += 1
            covariance = inverse3(best.match.information)
            self._settle(best.T_map_base, covariance, 1.0 - doubt)
        elif not self.localized:
            alike = sum(place.share > best.share / 10.0 for place in places)
            self.last_reason = f"{alike} places in the map look like this" if alike > 1 else "no place is certain"

    def _lose(self, reason: str) -> None:
        self.localized, self.confidence, self.last_reason = False, 0.0, reason
        self._doubted, self._disbelieved = 0, 0
        self._waited = SEARCH_EVERY

    def _settle(self, T_map_base: Pose, covariance: NDArray[np.float64], confidence: float) -> None:
        self._T_map_base = T_map_base.copy()
        self._walls.draw(self._field, T_map_base)
        self.front_end.forget_motion()
        self.front_end.covariance = covariance.copy()
        self.localized, self.confidence, self.last_reason = True, confidence, ""
        self._doubted, self._disbelieved, self._proven_m = 0, 0, 0.0
        self._finds.clear()

    def T_map_base(self) -> Pose:
        """Where the base was in the middle of the last scan, as far as is known."""
        return self._T_map_base.copy()

    def T_map_odom(self) -> Pose:
        """What turns odometry into the map."""
        return self.front_end.T_map_odom(self._T_map_base)

    def trajectory(self, every: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Stamps (N,) and poses (N, 3) of each ``every``-th scan in the order of arrival."""
        return self._path.stamps_ns(every), self._path.poses(np.zeros((1, 3)), every)

    def grid(self) -> OccupancyGrid:
        """The map itself."""
        return self._walls.grid

    def health(self) -> dict[str, object]:
        """Counters and figures for diagnostics."""
        return {
            **self.front_end.health(),
            "localized": self.localized,
            "confidence": round(self.confidence, 2),
            "doubled walls": round(self._doubled_walls, 3),
        }


def _agree(one: Pose, other: Pose) -> bool:
    return are_close(one, other, AGREE_M, AGREE_RAD)


def _way_m(motion: Pose) -> float:
    return math.hypot(motion[0], motion[1]) + METRES_PER_RADIAN * abs(motion[2])
