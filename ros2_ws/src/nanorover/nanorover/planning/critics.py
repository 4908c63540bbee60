"""What makes one imagined drive better than another: each critic is a plain function of where it leads.

All are compiled into the rollout. Weights scale them; distances are metres, costs have no unit.
"""

import math
from typing import NamedTuple

from numba import njit
from numpy.typing import NDArray

TOUCHES_M = 0.05  # nearer to what moves is contact with it


class Weights(NamedTuple):
    """How much each critic counts, and its reach."""

    progress: float
    haste: float
    path: float
    heading: float
    obstacle: float
    obstacle_reach_m: float
    close: float
    close_reach_m: float
    people: float
    reverse: float
    turn: float
    goal: float
    goal_heading: float
    goal_range_m: float


@njit(cache=True, fastmath=True, inline="always")
def follow(path: NDArray, at: int, x: float, y: float) -> tuple[int, float]:
    """The path point nearest to a pose that moves on from point ``at``, and its squared distance."""
    dx, dy = path[at, 0] - x, path[at, 1] - y
    nearest = dx * dx + dy * dy
    while at + 1 < len(path):
        dx, dy = path[at + 1, 0] - x, path[at + 1, 1] - y
        further = dx * dx + dy * dy
        if further > nearest:
            break
        nearest = further
        at += 1
    return at, nearest


@njit(cache=True, fastmath=True, inline="always")
def path_cost(w: Weights, squared_m2: float) -> float:
    """Off the path: quadratic near it, linear far from it, so that a detour stays affordable."""
    return w.path * (squared_m2 if squared_m2 < 0.04 else 0.4 * math.sqrt(squared_m2) - 0.04)


@njit(cache=True, fastmath=True, inline="always")
def heading_cost(w: Weights, path: NDArray, at: int, c: float, s: float) -> float:
    """Looking elsewhere than the path leads: 0 along it, 2 against it. ``path[:, 2:4]`` is its direction."""
    return w.heading * (1.0 - (c * path[at, 2] + s * path[at, 3]))


@njit(cache=True, fastmath=True, inline="always")
def obstacle_cost(w: Weights, gap_m: float) -> float:
    """Nearness of the footprint to obstacles: keeps to the middle of a passage, and straight in a narrow one. So
    close that the safety layer would hold the robot it costs much more."""
    if gap_m >= w.obstacle_reach_m:
        return 0.0
    gap_m = max(gap_m, 0.0)
    share = 1.0 - gap_m / w.obstacle_reach_m
    cost = w.obstacle * share * share
    if gap_m < w.close_reach_m:
        share = 1.0 - gap_m / w.close_reach_m
        cost += w.close * share * share
    return cost


@njit(cache=True, fastmath=True, inline="always")
def reverse_cost(w: Weights, v: float) -> float:
    """Driving without looking."""
    return -w.reverse * v if v < 0.0 else 0.0


@njit(cache=True, fastmath=True, inline="always")
def turn_cost(w: Weights, turning: float) -> float:
    """Turning for nothing."""
    return w.turn * turning * turning


@njit(cache=True, fastmath=True, inline="always")
def people_cost(w: Weights, objects: NDArray, t: float, x: float, y: float, reach_m: float) -> tuple[float, bool]:
    """Coming near what moves, where it will be then; and whether that is contact.

    ``objects`` is ``(M, 8)``: x, y, vx, vy, radius, clearance, growth (m/s), seconds of its way that are its own.
    The way before a walking object costs more than the way behind it, so that one passes behind.
    """
    total, touched = 0.0, False
    for i in range(len(objects)):
        dx = x - objects[i, 0] - objects[i, 2] * t
        dy = y - objects[i, 1] - objects[i, 3] * t
        clearance = objects[i, 5] + objects[i, 6] * t
        ahead = dx * objects[i, 2] + dy * objects[i, 3]
        if ahead > 0.0 and objects[i, 7] > 0.0:
            # shorten the distance along its way: being ahead of it counts as being nearer
            squared = objects[i, 2] * objects[i, 2] + objects[i, 3] * objects[i, 3]
            lead_s = ahead / max(squared, 1e-6)
            shrink = min(lead_s, objects[i, 7])
            shrink *= 0.6
            dx -= shrink * objects[i, 2]
            dy -= shrink * objects[i, 3]
        gap = math.sqrt(dx * dx + dy * dy) - objects[i, 4] - reach_m
        if gap < clearance:
            share = 1.0 - max(gap, 0.0) / clearance
            total += w.people * share * share
            touched = touched or gap < TOUCHES_M
    return total, touched


@njit(cache=True, fastmath=True, inline="always")
def goal_cost(w: Weights, goal: NDArray, near: bool, x: float, y: float, c: float, s: float) -> float:
    """At the end of the path: how far from the goal, and looking how far from its yaw.

    ``goal`` is x, y, cosine and sine of its yaw.
    """
    if not near:
        return 0.0
    dx, dy = x - goal[0], y - goal[1]
    away = math.sqrt(dx * dx + dy * dy)
    cost = w.goal * away
    if away < 0.3:
        cost += w.goal_heading * (1.0 - away / 0.3) * (1.0 - (c * goal[2] + s * goal[3]))
    return cost
