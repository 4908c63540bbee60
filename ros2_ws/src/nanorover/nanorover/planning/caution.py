"""How fast to drive where somebody may come: near what may just have begun to walk, and before blind corners.

Somebody who walks towards the robot from a gap ``g`` and the robot that has seen him and brakes come nearer by
``walker * (reaction + v / brake) + v * reaction + v² / (2 * brake)``; the speed is kept so low that of ``g`` the
room that people are owed is left. A blind corner is where, out of what a mapped wall hides, somebody could step
next.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.base.params import BaseParams
from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.se2 import Pose, inverse, transform_points
from nanorover.params import param
from nanorover.planning.contact import rectangle_distance
from nanorover.planning.costmap import Costmap
from nanorover.planning.scan_points import RETURN, SILENT, Beams
from nanorover.robot import RobotParams

REACH_M, STEP_M = 1.8, 0.1  # of the robot's middle, that is looked at; and how finely
BINS = 360  # of the bearings
OF_THE_MAP_M = 0.15  # a beam that ends so near to a mapped wall was held up by it
SEEN_SHARE = 0.5  # of the beams about somebody, that reach him: he is seen
BEHIND_M = 0.05  # a beam that ends this far before somebody does not show him
NOWHERE, HIDDEN, SEEN = 0, 1, 2


@dataclass(frozen=True)
class CautionParams:
    """Values in ``params/caution.yaml``."""

    walker_m_s: float = param("how fast somebody unseen is taken to walk", "m/s", minimum=0.0, maximum=5.0)
    room_m: float = param("gap that is left to him when the robot stands", "m", minimum=0.0, maximum=3.0)
    reaction_s: float = param("from seeing somebody to braking", "s", minimum=0.0, maximum=2.0)
    caution_deceleration_m_s2: float = param(
        "braking that this reckons with, at most the base's", "m/s²", minimum=0.05, maximum=20.0
    )
    creep_m_s: float = param("least speed near what may just have begun to walk", "m/s", minimum=0.0, maximum=5.0)
    blind_corner_m_s: float = param(
        "least speed before a blind corner; above the robot's greatest: corners do not slow", "m/s",
        minimum=0.02, maximum=10.0,
    )  # fmt: skip
    blind_corner_reaction_s: float = param(
        "from coming into view there to braking: what came must be told from a wall", "s", minimum=0.0, maximum=2.0
    )
    body_radius_m: float = param("radius of somebody on the floor", "m", minimum=0.05, maximum=1.0)

    def speed_m_s(self, gap_m: float, reaction_s: float) -> float:
        """The greatest speed at which the room is left to somebody who comes from this gap; 0 for none."""
        left_m = gap_m - self.room_m - self.walker_m_s * reaction_s
        if left_m <= 0.0:
            return 0.0
        brake = self.caution_deceleration_m_s2
        b = reaction_s + self.walker_m_s / brake
        return brake * (math.sqrt(b * b + 2.0 * left_m / brake) - b)


def check_against_base(caution: CautionParams, base: BaseParams) -> None:
    """Raise InputError where the base cannot brake as this relies upon."""
    base.require("caution", caution, {"caution_deceleration_m_s2": "linear_deceleration_m_s2"})


class Caution:
    """Keeps the gap to the nearest blind corner as the last scan showed it."""

    def __init__(self, params: CautionParams, robot: RobotParams) -> None:
        self.params = params
        self.corner_gap_m = math.inf
        self._outline = np.array([robot.footprint_front_m, robot.footprint_rear_m, robot.half_width_m])

    def look(self, beams: Beams, T_map_base: Pose, costmap: Costmap) -> None:
        """Take a scan; ``costmap`` knows the mapped walls and what the scan has marked."""
        r = costmap.raster
        self.corner_gap_m = _corner_gap(
            beams.ends_m, beams.kinds, beams.origin_m, T_map_base, costmap.distance_m, costmap.static_lethal,
            costmap.unknown, (r.x_m, r.y_m, r.resolution_m), self._outline, self.params.body_radius_m,
        )  # fmt: skip

    def speed_limit_m_s(self, unsure: list[TrackedObject], T_map_base: Pose) -> float:
        """The greatest speed forward that corners and what may be about to walk allow; inf where nothing does."""
        p, limit = self.params, math.inf
        if math.isfinite(self.corner_gap_m):
            limit = max(p.blind_corner_m_s, p.speed_m_s(self.corner_gap_m, p.blind_corner_reaction_s))
        if unsure:
            points = transform_points(inverse(T_map_base), np.array([o.state[:2] for o in unsure]))
            for (x, y), o in zip(points.tolist(), unsure, strict=True):
                if x > -self._outline[1]:
                    gap_m = rectangle_distance(x, y, self._outline) - o.radius_m
                    limit = min(limit, max(p.creep_m_s, p.speed_m_s(gap_m, p.reaction_s)))
        return limit


@njit(cache=True)
def _in_map(x: float, y: float, base: tuple[float, float, float, float]) -> tuple[float, float]:
    """A place about the robot, in the map frame; ``base`` is the robot's x, y, and its yaw's cosine and sine."""
    return base[0] + base[2] * x - base[3] * y, base[1] + base[3] * x + base[2] * y


@njit(cache=True)
def _cell(x: float, y: float, corner: tuple[float, float, float]) -> tuple[int, int]:
    """Row and column of a place in the map frame; ``corner`` is the raster's x, y and resolution."""
    return int((y - corner[1]) / corner[2]), int((x - corner[0]) / corner[2])


@njit(cache=True)
def _reaches(
    ends: NDArray[np.float64],
    kinds: NDArray[np.uint8],
    origin: NDArray[np.float64],
    pose: NDArray[np.float64],
    static: NDArray[np.bool_],
    corner: tuple[float, float, float],
) -> NDArray[np.float64]:
    """How far the view reaches at each bearing (BINS,) before a mapped wall ends it; nan where no beam says."""
    base = (pose[0], pose[1], math.cos(pose[2]), math.sin(pose[2]))
    reaches = np.full(BINS, math.nan)
    around = int(OF_THE_MAP_M / corner[2])
    rows, columns = static.shape
    for i in range(len(ends)):
        if kinds[i] == SILENT:
            continue
        dx, dy = ends[i, 0] - origin[0], ends[i, 1] - origin[1]
        length = math.hypot(dx, dy)
        if kinds[i] == RETURN and length < REACH_M + 1.0:
            row, column = _cell(*_in_map(ends[i, 0], ends[i, 1], base), corner)
            of_the_map = False
            for r in range(max(0, row - around), min(rows, row + around + 1)):
                for k in range(max(0, column - around), min(columns, column + around + 1)):
                    of_the_map = of_the_map or static[r, k]
            if not of_the_map:  # what stands in a room is lower than somebody
                continue
        bin_ = int((math.atan2(dy, dx) + math.pi) / (2.0 * math.pi) * BINS) % BINS
        if not reaches[bin_] > length:
            reaches[bin_] = length
    return reaches


@njit(cache=True)
def _seen(x: float, y: float, radius: float, reaches: NDArray[np.float64]) -> bool:
    """Whether enough beams reach somebody at a place about the lidar."""
    away = math.hypot(x, y)
    if away <= 2.0 * radius:
        return True
    half = math.asin(radius / away)
    middle = (math.atan2(y, x) + math.pi) / (2.0 * math.pi) * BINS
    width = max(1, int(half / (2.0 * math.pi) * BINS))
    said, reached = 0, 0
    for k in range(int(middle) - width, int(middle) + width + 1):
        reach = reaches[k % BINS]
        if not math.isnan(reach):
            said += 1
            reached += reach > away - radius + BEHIND_M
    return reached >= SEEN_SHARE * said  # of which nothing is said may be seen


@njit(cache=True)
def _open_way(
    x: float,
    y: float,
    pose: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    corner: tuple[float, float, float],
) -> bool:
    """Whether nothing known stands between a place and the robot."""
    rows, columns = distance_m.shape
    length = math.hypot(x - pose[0], y - pose[1])
    steps = int((length - REACH_M / 10.0) / corner[2])
    for i in range(steps):
        share = i * corner[2] / length
        row, column = _cell(x + share * (pose[0] - x), y + share * (pose[1] - y), corner)
        if 0 <= row < rows and 0 <= column < columns and distance_m[row, column] == 0.0:
            return False
    return True


@njit(cache=True)
def _corner_gap(
    ends: NDArray[np.float64],
    kinds: NDArray[np.uint8],
    origin: NDArray[np.float64],
    pose: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    static: NDArray[np.bool_],
    unknown: NDArray[np.bool_],
    corner: tuple[float, float, float],
    outline: NDArray[np.float64],
    radius: float,
) -> float:
    """The gap between the robot and somebody who steps out where he could next, ahead of it; inf for nowhere."""
    reaches = _reaches(ends, kinds, origin, pose, static, corner)
    size = 2 * int(REACH_M / STEP_M) + 1
    states = np.full((size, size), NOWHERE)
    base = (pose[0], pose[1], math.cos(pose[2]), math.sin(pose[2]))
    rows, columns = distance_m.shape
    for i in range(size):
        for k in range(size):
            bx, by = (k - size // 2) * STEP_M, (i - size // 2) * STEP_M
            row, column = _cell(*_in_map(bx, by, base), corner)
            if not (0 <= row < rows and 0 <= column < columns):
                continue
            if unknown[row, column] or distance_m[row, column] < radius:
                continue
            states[i, k] = SEEN if _seen(bx - origin[0], by - origin[1], radius, reaches) else HIDDEN
    nearest = math.inf
    for i in range(1, size - 1):
        for k in range(size // 2, size - 1):  # ahead
            if states[i, k] != SEEN:
                continue
            if HIDDEN not in (states[i - 1, k], states[i + 1, k], states[i, k - 1], states[i, k + 1]):
                continue
            bx, by = (k - size // 2) * STEP_M, (i - size // 2) * STEP_M
            gap = rectangle_distance(bx, by, outline) - radius
            if gap < nearest:
                x, y = _in_map(bx, by, base)
                if _open_way(x, y, pose, distance_m, corner):
                    nearest = gap
    return nearest
