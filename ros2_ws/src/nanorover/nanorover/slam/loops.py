"""Closing loops: recognising a place by its walls, and refusing what only looks like it.

The robot's recent surroundings are searched for in older parts of the map that lie within the drift of the way
between. A find counts only when it passes all of these: most of it is explained and next to nothing contradicted
in both directions; the walls fix it in every direction; no other place fits nearly as well; and finds a way apart
agree with each other. What passes is tied in and the graph is optimised; a strained graph is undone.

The work is cut into steps of a few milliseconds, one after each scan, so no scan waits for it.
"""

import math
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, between, compose, inverse
from nanorover.slam.branch_and_bound import Found, Pyramid, Zone
from nanorover.slam.changes import moved
from nanorover.slam.field import Field
from nanorover.slam.graph import Edge, Graph, softened, without
from nanorover.slam.matching import EXACTLY, judge, refine
from nanorover.slam.params import SlamParams
from nanorover.slam.pose_graph import LOOP_KERNEL_CHI2, PoseGraph
from nanorover.slam.tracker import NO_PRIOR

# Places count as old when the way to them along the graph is longer than this.
APART_M = 15.0
# The surroundings searched for, and the part of the old map they are searched in, as way along the graph.
QUERY_PATH_M, TARGET_PATH_M = 5.0, 9.0
TARGET_SIZE_M = 60.0
# So many keyframes show a place; so many are drawn in one step.
MOST_DRAWN, DRAWN_AT_ONCE = 100, 16
# A new search only after driving this far.
EVERY_M = 1.0
# Views of a place overlap when taken within this distance.
VIEW_M = 4.0
# Drift of the way along the graph, one sigma: at once, per metre; and of the heading.
DRIFT_M, DRIFT_PER_M = 0.15, 0.012
DRIFT_RAD, DRIFT_RAD_PER_M = 0.02, 0.0004
WINDOW_SIGMAS = 2.5
MOST_WINDOW_M, MOST_WINDOW_RAD = 12.0, 0.4
SEARCH_POINTS, JUDGED_POINTS = 150, 900
# What a find must reach.
LEAST_LIKELIHOOD = 0.45
LEAST_EXPLAINED = 0.6
MOST_CONTRADICTED = 0.08
# Information per point in the direction that the walls fix least: a corridor without doors has none. Such a find
# says nothing along the walls, and counts only if it moves the robot across them by less than the next corridor
# may be away; one every so many metres is enough.
LEAST_FIXED = 0.04
MOST_ACROSS_M = 1.0
SLIDING_EVERY_M = 5.0
# The next best place, beyond this distance and turn, may reach this part of the best's likelihood.
OTHER_PLACE_M, OTHER_PLACE_RAD = 0.8, 0.2
# So many that only seem so are looked at.
MOST_AMBIGUOUS = 0.9
MOST_RIVALS = 6
# Finds agree when they move the robot to places this near to each other; so many must agree.
AGREE_M, AGREE_RAD = 0.25, 0.03
AGREE_PER_M = 0.02
AGREEING = 2
FINDS_KEPT = 6
# An accepted loop may leave edges with this chi-square strained; more means that something was false.
MOST_STRAIN_CHI2 = 60.0
ITERATIONS = 10
FREE_ITERATIONS = 3  # without the robust kernel, until the loop is closed at all
CONVERGED_M = 1e-4


@dataclass(frozen=True, eq=False)
class Find:
    """A recent keyframe seen from an old one."""

    old: int
    recent: int
    T_old_recent: Pose
    information: NDArray[np.float64]
    free: NDArray[np.float64]  # (2,) unit vector in the old frame along which nothing is known; 0 if everything is
    travelled_m: float

    def correction(self, poses: NDArray[np.float64]) -> Pose:
        """What moves the recent part of the map to where this find says."""
        return compose(compose(poses[self.old], self.T_old_recent), inverse(poses[self.recent]))


@dataclass(frozen=True, eq=False)
class Sought:
    """A cloud (N, 4), some of its points for the search, and the window in which its place is sought."""

    cloud: NDArray[np.float64]
    some: NDArray[np.float64]
    centre: Pose
    window_m: float
    window_rad: float


class LoopCloser:
    """Looks for loops behind the front end's back; ``step`` does the next bit."""

    def __init__(self, graph: Graph, params: SlamParams) -> None:
        self.graph = graph
        self.params = params
        self.counts: Counter[str] = Counter()
        self._finds: list[Find] = []
        self._travelled_m = 0.0
        self._searched_at_m = 0.0
        self._closed_at_m = -math.inf
        self._work: Iterator[None] | None = None

    @cached_property
    def _field(self) -> Field:
        """Where the old part of the map is drawn; made when it is first needed."""
        return Field(TARGET_SIZE_M, self.params.match_resolution_m)

    @cached_property
    def _pyramid(self) -> Pyramid:
        return Pyramid(self._field)

    def step(self, reference: int, moved_m: float) -> None:
        """Go on with the work at hand, or begin a search around keyframe ``reference``."""
        self._travelled_m += moved_m
        if self._work is None and self._travelled_m - self._searched_at_m >= EVERY_M:
            self._searched_at_m = self._travelled_m
            self._work = self._search(reference)
        if self._work is not None and next(self._work, "done") == "done":
            self._work = None

    def finish(self) -> None:
        """Complete the work at hand."""
        while self._work is not None:
            if next(self._work, "done") == "done":
                self._work = None

    def rehearse(self) -> None:
        """Run every kernel once over the graph at hand, without changing it: compiling takes seconds."""
        for _ in self._find(0, len(self.graph) - 1, 0.0):
            pass
        problem = PoseGraph(self.graph.poses, self.graph.edges)
        problem.iterate(LOOP_KERNEL_CHI2)
        problem.chi2()

    def _search(self, recent: int) -> Generator[None]:
        path_m = self.graph.path_lengths(recent)
        for old in self._candidates(recent, path_m):
            yield
            found = yield from self._find(old, recent, float(path_m[old]))
            if found is None:
                continue
            self.counts["loops found"] += 1
            agreeing = [f for f in self._finds if self._agree(f, found)]
            self._finds = [*self._finds[-FINDS_KEPT:], found]
            if len(agreeing) + 1 >= AGREEING:
                yield from self._close([*agreeing, found])
                return

    def _candidates(self, recent: int, path_m: NDArray[np.float64]) -> list[int]:
        """Up to two old keyframes that may be near, in the light of the drift between."""
        poses = self.graph.poses
        away_m = np.hypot(poses[:, 0] - poses[recent, 0], poses[:, 1] - poses[recent, 1])
        drift_m = np.minimum(DRIFT_M + DRIFT_PER_M * path_m, MOST_WINDOW_M / WINDOW_SIGMAS)
        possible = (path_m > APART_M) & (away_m < VIEW_M + WINDOW_SIGMAS * drift_m)
        chosen: list[int] = []
        while possible.any() and len(chosen) < 2:
            best = int(np.argmin(np.where(possible, away_m, np.inf)))
            chosen.append(best)
            possible &= np.abs(self.graph.path_lengths(best)) > TARGET_PATH_M
        return chosen

    def _cloud(self, centre: int, path_m: float, most: int) -> NDArray[np.float64]:
        """Points (N, 4) around a keyframe, in its frame, thinned to about ``most``."""
        members = np.flatnonzero(np.isfinite(self.graph.path_lengths(centre, path_m)))
        poses, points = self.graph.poses, self.graph.points
        every = max(sum(len(points[k]) for k in members) // most, 1)
        clouds = [moved(points[k][k % every :: every], between(poses[centre], poses[k])) for k in members]
        return np.concatenate(clouds)

    def _draw(self, centre: int, path_m: float) -> Generator[None]:
        """Draw an even choice of the keyframes around one into the field, in its frame."""
        g = self.graph
        members = np.flatnonzero(np.isfinite(g.path_lengths(centre, path_m)))
        self._field.clear(np.zeros(2))
        for n, k in enumerate(members[:: math.ceil(len(members) / MOST_DRAWN)]):
            self._field.add(g.points[k], between(g.poses[centre], g.poses[k]), g.sensors[k])
            if n % DRAWN_AT_ONCE == DRAWN_AT_ONCE - 1:
                yield

    def _find(self, old: int, recent: int, path_m: float) -> Generator[None, None, Find | None]:
        """Search the recent surroundings in the old ones; a Find, or None with the reason counted."""
        g = self.graph
        cloud = self._cloud(recent, QUERY_PATH_M, JUDGED_POINTS)
        yield from self._draw(old, TARGET_PATH_M)
        yield
        self._pyramid.draw()
        yield
        centre = between(g.poses[old], g.poses[recent])
        sought = Sought(
            cloud,
            # One layout of the array, one compiled kernel.
            np.ascontiguousarray(cloud[:: max(len(cloud) // SEARCH_POINTS, 1)]),
            centre,
            min(WINDOW_SIGMAS * (DRIFT_M + DRIFT_PER_M * path_m), MOST_WINDOW_M),
            min(WINDOW_SIGMAS * (DRIFT_RAD + DRIFT_RAD_PER_M * path_m), MOST_WINDOW_RAD),
        )
        self.counts["loop searches"] += 1
        best = self._best(sought, LEAST_LIKELIHOOD)
        yield
        if best is None:
            return self._refused("nothing alike")
        if not best.complete:
            return self._refused("too much alike")
        pose, information = self._refined(cloud, best.pose)
        explained = self._explained(cloud, pose)
        if explained is None:
            return self._refused("contradicted")

        least, directions = np.linalg.eigh(information[:2, :2])
        weakest = directions[:, 0]
        slides = least[0] * self.params.point_noise_m**2 / len(cloud) < LEAST_FIXED
        plausible = MOST_AMBIGUOUS * best.likelihood, MOST_AMBIGUOUS * explained
        if slides or (yield from self._has_rival(sought, pose, weakest, OTHER_PLACE_M, *plausible)):
            off_m = pose[:2] - centre[:2]
            across_m = abs(directions[:, 1] @ off_m)
            if across_m > MOST_ACROSS_M or self._travelled_m < self._closed_at_m + SLIDING_EVERY_M:
                return self._refused("sliding along walls" if slides else "ambiguous")
            # Along the walls the estimate stands: over a distance, a small error of their direction would count.
            pose, information = self._refined(cloud, pose - np.append(weakest * (weakest @ off_m), 0.0))
            information, slides = without(information, weakest), True
            if self._explained(cloud, pose) is None:
                return self._refused("ambiguous")
            if (yield from self._has_rival(sought, pose, weakest, math.inf, *plausible)):
                return self._refused("ambiguous")
        yield from self._draw(recent, QUERY_PATH_M)
        back = self._cloud(old, QUERY_PATH_M, JUDGED_POINTS)
        _, contradicted, _ = judge(self._field.arrays, back, inverse(pose))
        if contradicted > MOST_CONTRADICTED:
            return self._refused("contradicted the other way round")
        free = weakest if slides else np.zeros(2)
        return Find(old, recent, pose, softened(information), free, self._travelled_m)

    def _best(self, sought: Sought, at_least: float, besides: Sequence[Zone] = ()) -> Found | None:
        """The best place in the field."""
        return self._pyramid.search(
            sought.some, sought.centre, sought.window_m, sought.window_rad, at_least=at_least, besides=besides
        )

    def _has_rival(
        self,
        sought: Sought,
        pose: Pose,
        direction: NDArray[np.float64],
        along_m: float,
        least_likelihood: float,
        least_explained: float,
    ) -> Generator[None, None, bool]:
        """Whether another place, not within ``along_m`` of the pose in a direction, is nearly as plausible."""
        zones = [Zone(pose, OTHER_PLACE_RAD, direction, along_m, OTHER_PLACE_M)]
        for _ in range(MOST_RIVALS):
            other = self._best(sought, least_likelihood, zones)
            yield
            if other is None:
                return False
            rival = self._refined(sought.cloud, other.pose)[0]
            if (self._explained(sought.cloud, rival) or 0.0) >= least_explained:
                return True
            zones.append(Zone(other.pose, OTHER_PLACE_RAD, direction, OTHER_PLACE_M, OTHER_PLACE_M))
        return True

    def _explained(self, cloud: NDArray[np.float64], pose: Pose) -> float | None:
        """The part of a cloud that the field explains; None where that is too little or too much contradicts."""
        explained, contradicted, _ = judge(self._field.arrays, cloud, pose)
        return None if explained < LEAST_EXPLAINED or contradicted > MOST_CONTRADICTED else explained

    def _refined(self, cloud: NDArray[np.float64], guess: Pose) -> tuple[Pose, NDArray[np.float64]]:
        """The pose of a cloud in the field near a guess, and its information."""
        return refine(self._field.arrays, cloud, guess, guess, NO_PRIOR, self.params.point_noise_m, EXACTLY)[:2]

    def _refused(self, why: str) -> Find | None:
        """Count the reason; no find."""
        self.counts[f"loops refused: {why}"] += 1
        return None

    def _agree(self, one: Find, other: Find) -> bool:
        """Whether both finds move the robot to the same place."""
        poses = self.graph.poses
        here = poses[other.recent]
        first, second = compose(one.correction(poses), here), compose(other.correction(poses), here)
        off_m = second[:2] - first[:2]
        for find in (one, other):
            free = compose(np.array([0.0, 0.0, poses[find.old, 2]]), np.array([*find.free, 0.0]))[:2]
            off_m = off_m - free * (free @ off_m)
        apart_m = abs(one.travelled_m - other.travelled_m)
        return (
            apart_m >= EVERY_M
            and math.hypot(*off_m) < AGREE_M + AGREE_PER_M * apart_m
            and abs(between(first, second)[2]) < AGREE_RAD
        )

    def _close(self, finds: list[Find]) -> Generator[None]:
        """Tie the finds in and optimise; undo it when the graph is strained."""
        g = self.graph
        tied = [Edge(f.old, f.recent, f.T_old_recent, f.information, True) for f in finds]
        known = {(e.i, e.j) for e in g.edges if e.loop}
        tied = [edge for edge in tied if (edge.i, edge.j) not in known]
        count, others = len(g), len(g.edges)
        problem = PoseGraph(g.poses, [*g.edges, *tied])
        for k in range(ITERATIONS):
            yield
            moved_m = problem.iterate(math.inf if k < FREE_ITERATIONS else LOOP_KERNEL_CHI2)
            if moved_m < CONVERGED_M and k >= FREE_ITERATIONS:
                break
        yield
        chi2 = problem.chi2()
        if not (math.isfinite(moved_m) and chi2[:others].max(initial=0.0) < MOST_STRAIN_CHI2):
            self._finds.clear()
            self._refused("strained the graph")
            return
        for edge in tied:
            g.add_edge(edge.i, edge.j, edge.information, edge.T_i_j, loop=True)
        # Keyframes made meanwhile go along with the last one that took part.
        correction = compose(problem.poses[count - 1], inverse(g.poses[count - 1]))
        later = [compose(correction, pose) for pose in g.poses[count:]]
        g.set_poses(np.concatenate([problem.poses, np.array(later).reshape(-1, 3)]))
        self._closed_at_m = self._travelled_m
        self.counts["loops closed"] += 1
