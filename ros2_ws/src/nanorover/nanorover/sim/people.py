"""Who is in a world: the robot's start and tour, and people and pets that walk where they will."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nanorover.errors import InputError
from nanorover.sim.furnish import Room
from nanorover.sim.looks import look
from nanorover.sim.paths import Ways
from nanorover.sim.scene import Point, Scene, Start, Walker
from nanorover.sim.truth import Grid, true_map

ROBOT_WAY_M = 0.2  # half of the width that the robot wants
WALKER_WAY_M = 0.28
BODY_HEIGHTS_M = (0.03, 0.08, 0.14)  # where the robot's body can touch something
# Walkers turn round at least this far from the robot's tour, so that nobody stands in its way for ever.
ASIDE_M = 0.8


def peopled(scene: Scene, rooms: list[Room], rng: np.random.Generator) -> Scene | None:
    """The scene with the robot's start, its tour and those who walk; None where a room cannot be reached."""
    grid = _map_if_free(scene)
    if grid is None:
        return None
    ways = Ways(grid, ROBOT_WAY_M)
    mouths = [_spot(ways, room, rng) for room in rooms]
    if any(spot is None for spot in mouths):
        return None
    spots = [spot for spot in mouths if spot is not None]
    reach = ways.reachable(spots[0])
    if not all(reach[tuple(grid.indices(np.array(spot))[0])] for spot in spots):
        return None
    order = [int(k) for k in rng.permutation(len(spots))]
    start = spots[order[0]]
    tour = ways.through([spots[k] for k in order] + [start])
    if tour is None:
        return None
    ahead = math.degrees(math.atan2(tour[1][1] - start[1], tour[1][0] - start[0]))
    rounded = tuple((round(x, 2), round(y, 2)) for x, y in tour)
    robot = Start((round(start[0], 2), round(start[1], 2)), round(ahead, 0))
    walkers = _walkers(Ways(grid, WALKER_WAY_M), np.array(tour), rng)
    return replace(scene, robot=robot, tour_m=rounded, walkers=walkers)


def _map_if_free(scene: Scene) -> Grid | None:
    """The true map, or None where the provisional start is inside a piece of furniture."""
    try:
        return true_map(scene, *BODY_HEIGHTS_M)
    except InputError:
        return None


def _spot(ways: Ways, room: Room, rng: np.random.Generator) -> Point | None:
    """A comfortable place in a room: one of its widest."""
    rows, columns = np.nonzero(ways.open)
    points = ways.grid.centres(np.column_stack([rows, columns]))
    inside = (points > (room.x0 + 0.3, room.y0 + 0.3)).all(axis=1) & (points < (room.x1 - 0.3, room.y1 - 0.3)).all(
        axis=1
    )
    if not inside.any():
        return None
    width = ways.clearance_m[rows, columns] + rng.uniform(0.0, 0.15, len(rows))
    best = np.argmax(np.where(inside, width, -1.0))
    return float(points[best, 0]), float(points[best, 1])


def _walkers(ways: Ways, tour_m: NDArray[np.float64], rng: np.random.Generator) -> tuple[Walker, ...]:
    aside = _aside(ways, tour_m)
    walkers = []
    kinds = ["person"] * int(rng.integers(1, 3)) + [str(rng.choice(["cat", "dog"]))] * int(rng.integers(0, 2))
    for kind in kinds if len(aside) else []:
        ends = [(float(x), float(y)) for x, y in aside[rng.integers(len(aside), size=3)]]
        way = ways.through(ends)
        if way is None or len(way) < 3:
            continue
        path = tuple((round(x, 2), round(y, 2)) for x, y in way)
        speed = round(float(rng.uniform(0.5, 1.1)) * (0.7 if kind == "cat" else 1.0), 2)
        walkers.append(Walker(kind, path, speed, *look(kind, rng)))
    return tuple(walkers)


def _aside(ways: Ways, tour_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reachable points ``(N, 2)`` off the robot's tour."""
    start = (float(tour_m[0, 0]), float(tour_m[0, 1]))
    points = ways.grid.centres(np.argwhere(ways.reachable(start)))
    legs = pairwise(tour_m)
    dense = np.concatenate([a + np.linspace(0.0, 1.0, 20)[:, None] * (b - a) for a, b in legs])
    away = cKDTree(dense).query(points)[0]
    return points[away > ASIDE_M]
