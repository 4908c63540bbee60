"""A map that is used and kept up: the robot finds itself in it first, and maps on while it knows where it is."""

import math

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, compose, inverse
from nanorover.mapping.grid import OccupancyGrid
from nanorover.slam.front_end import ScanResult
from nanorover.slam.localizer import CONFIDENT, Localizer
from nanorover.slam.mapper import Mapper

# After so many scans without a match the map is left as it is, and the robot looked for in it.
LOST_SCANS = 6
# A scan that leads this far from the odometry, into what the map knows less of than this, is doubted: the robot
# may have been carried. It is held against the whole map before the map grows again.
LEAP_M, LEAP_RAD, WELL_KNOWN = 0.25, 0.2, 0.85


class Lifelong:
    """Feeds a ``Mapper`` while the place in its map is known, and a ``Localizer`` in that map while it is not.

    ``localizer`` is None while the place is known. No scan or reading makes it raise.
    """

    def __init__(self, mapper: Mapper, place_known: bool, looks_again: bool = True) -> None:
        """Go on with a mapper; where it has a map and the place in it is not known, look for it.

        Unless it ``looks_again`` when it is lost, it only maps once the place was found. Raises InputError for a
        map that cannot be searched.
        """
        self.mapper = mapper
        self._looks_again = looks_again
        self.localizer: Localizer | None = None
        self._times_lost, self._leaps = 0, 0
        self._why_not = ""
        self._followed = False  # the scan before went to the mapper too, so there is an odometry to compare with
        if not place_known and len(mapper.graph) > 0:
            self._look_for()

    def warm_up(self) -> None:
        """Load or compile every kernel."""
        self.mapper.warm_up()

    def add_odometry(self, odometry: Odometry) -> None:
        """Take a reading of the wheels."""
        self.mapper.add_odometry(odometry)
        if self.localizer is not None:
            self.localizer.add_odometry(odometry)

    def add_scan(self, scan: LaserScan) -> ScanResult:
        """Map on with the scan, or look for it in the map."""
        if self.localizer is not None:
            result = self.localizer.add_scan(scan)
            if self.localizer.localized and self.localizer.confidence >= CONFIDENT:
                self.mapper.set_pose(self.localizer.T_map_base(), result.covariance)
                self.localizer = None
                self._followed = False
            return result
        T_map_odom, revision = self.mapper.T_map_odom(), self.mapper.graph.revision
        result = self.mapper.add_scan(scan)
        if not self._looks_again:
            return result
        if self.mapper.front_end.unplaced >= LOST_SCANS:
            self._times_lost += 1
            self._look_for_if_possible()
            return result
        comparable = self._followed and revision == self.mapper.graph.revision
        self._followed = True
        if comparable and result.quality < WELL_KNOWN and self._leapt(T_map_odom):
            self._leaps += 1
            self.set_pose(self.mapper.T_map_base(), result.covariance)
        return result

    def _leapt(self, T_map_odom: Pose) -> bool:
        """Whether the last scan was found far from where odometry alone leads."""
        T_map_base = self.mapper.T_map_base()
        T_odom_base = compose(inverse(self.mapper.T_map_odom()), T_map_base)
        off = between(compose(T_map_odom, T_odom_base), T_map_base)
        return math.hypot(off[0], off[1]) > LEAP_M or abs(off[2]) > LEAP_RAD

    def set_pose(self, T_map_base: Pose, covariance: NDArray[np.float64] | None = None) -> None:
        """A person says where the robot is: it is held against the whole map before the map grows again."""
        if len(self.mapper.graph) == 0:
            self.mapper.set_pose(T_map_base, covariance)
            return
        if self.localizer is None:
            self._look_for_if_possible()
        (self.mapper if self.localizer is None else self.localizer).set_pose(T_map_base, covariance)

    def forget_pose(self) -> None:
        """Look for the robot in the whole map again. Raises InputError for a map that cannot be searched."""
        if len(self.mapper.graph) > 0:
            self._look_for()

    def _look_for(self) -> None:
        """Raises InputError for a map that cannot be searched."""
        self.mapper.finish()
        self.localizer = Localizer(self.mapper.params, self.mapper.grid())
        self.mapper.front_end.forget_motion()

    def _look_for_if_possible(self) -> None:
        """In a map too large to be searched, map on as without one: where the robot is thought to be."""
        try:
            self._look_for()
        except InputError as error:
            self._looks_again, self._why_not = False, str(error)

    def T_map_base(self) -> Pose:
        """Where the base was in the middle of the last scan, as far as is known."""
        return self.mapper.T_map_base() if self.localizer is None else self.localizer.T_map_base()

    def T_map_odom(self) -> Pose:
        """What turns odometry into the map."""
        return self.mapper.T_map_odom() if self.localizer is None else self.localizer.T_map_odom()

    def trajectory(self, every: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Stamps (N,) and poses (N, 3) of each ``every``-th of the scans that the map was made of."""
        return self.mapper.trajectory(every)

    def grid(self) -> OccupancyGrid:
        """The map as it is now."""
        return self.mapper.grid()

    def health(self) -> dict[str, object]:
        """Counters and figures for diagnostics."""
        looking = {} if self.localizer is None else self.localizer.health()
        why_not = {"not looked for in the map": self._why_not} if self._why_not else {}
        return {**self.mapper.health(), **looking, **why_not, "times lost": self._times_lost, "leaps": self._leaps}
