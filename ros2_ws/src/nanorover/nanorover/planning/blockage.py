"""A way that the map has and that something shuts, which is not on the map: a door, somebody who stands in it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.se2 import Pose
from nanorover.planning import global_planner
from nanorover.planning.costmap import INSCRIBED, Costmap
from nanorover.planning.global_planner import GlobalPlannerParams, Plan

BEFORE_M = 0.35  # what blocks the way the robot waits
DEARER = 25  # times: what the robot should not drive through, against the costliest place that is free
NEAR_M = 0.6  # on the way, within which a blockage is nearest to it
PERSON_ABOUT_M = 0.6
OPEN_MARGIN_M = 0.05  # on either side: a way that was shut is open when it is so much wider than the robot


def make_dear(
    cost: NDArray[np.uint8], where: NDArray[np.bool_], params: GlobalPlannerParams
) -> GlobalPlannerParams:
    """Make it so dear to drive somewhere, in place, that only the shortest way through it pays.

    Returns the parameters with the weight that goes with these costs.
    """
    cost[~where & (cost < INSCRIBED)] //= DEARER
    cost[where] = INSCRIBED - 1
    return replace(params, cost_weight=DEARER * params.cost_weight, roomy_cost=params.roomy_cost // DEARER)


def plan_to_blockage(
    world: Costmap,
    costs: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    start: Pose,
    goal: Pose,
    people: Sequence[TrackedObject],
    params: GlobalPlannerParams,
) -> Plan | None:
    """The way to a goal that only what is not on the map keeps from being reached, to just before that, and what
    blocks it where; without a path for a robot that is there already. None where it is not so.

    ``costs`` are those of the world with all that is seen, which are changed, and of the map alone.
    """
    cost, known_cost = costs
    blocked = (cost >= INSCRIBED) & (known_cost < INSCRIBED)
    found = global_planner.plan(cost, world.raster, start, goal, make_dear(cost, blocked, params))
    if found.error:
        return None
    rows, columns = np.array([world.raster.cell(x, y) for x, y in found.path[:, :2]]).T
    on_way = maximum_filter(blocked, 3)[rows, columns]  # points of the path may skip a corner
    first = int(np.argmin(on_way))  # the robot itself may stand in what is marked
    at = first + np.flatnonzero(on_way[first:])
    if len(at) == 0:
        return None
    within = np.arange(at[0], min(len(rows), at[0] + int(NEAR_M / params.point_spacing_m)))
    x, y = found.path[within[np.argmin(world.distance_m[rows[within], columns[within]])], :2]
    someone = any(math.dist(o.state[:2], (x, y)) < PERSON_ABOUT_M for o in people)
    what = "a person" if someone else "something that is not on the map"
    path = found.path[: max(0, at[0] - int(BEFORE_M / params.point_spacing_m))]
    reason = f"the way is blocked at ({x:.1f}, {y:.1f}) by {what}"
    return Plan(path if len(path) > 1 else path[:0], global_planner.NO_WAY, reason, blocked_m=(float(x), float(y)))


def squeezes(
    world: Costmap,
    to_walls_m: NDArray[np.float32],
    path: NDArray[np.float64],
    place_m: tuple[float, float],
    radius_m: float,
) -> bool:
    """Whether a path ``(N, 3)`` leads a robot of this inscribed radius through a gap near a place that something
    not on the map makes hardly wide enough; ``to_walls_m`` is the distance of the world's cells from the map's own
    walls."""
    near = path[np.hypot(path[:, 0] - place_m[0], path[:, 1] - place_m[1]) < NEAR_M]
    rows, columns = np.array([world.raster.cell(x, y) for x, y, _ in near], int).reshape(-1, 2).T
    room_m = world.distance_m[rows, columns]
    return bool(((room_m < radius_m + OPEN_MARGIN_M) & (room_m < to_walls_m[rows, columns])).any())
