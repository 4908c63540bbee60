"""When does the moving footprint touch something? Exact for points on straight, curved and turning motion.

A robot at constant velocity drives an arc about its centre of rotation, so in its own frame every point of the
world runs on a circle about that centre; contact is where the circle first meets an edge of the rectangle.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import arc

Array = NDArray[np.float64]

WALKING_M_S = 0.2  # slower people stand, as far as a tracker can tell
NEARER_M = 0.02  # who comes nearer by less passes by
STRAIGHT_RAD_S = 1e-4  # slower turning than this is driven as a straight line
TURN_RAD = 2.0 * math.pi


@njit(cache=True)
def contact_time(x: float, y: float, v: float, w: float, rectangle: Array) -> float:
    """Seconds until a point (base frame) at rest lies within the rectangle; 0 inside, inf if never.

    ``rectangle`` is ``[front, rear, half width]``, all positive; ``v`` in m/s, ``w`` in rad/s.
    """
    front, rear, half = rectangle[0], rectangle[1], rectangle[2]
    if -rear <= x <= front and abs(y) <= half:
        return 0.0
    if abs(w) < STRAIGHT_RAD_S:
        if abs(y) > half:
            return math.inf
        if v > 0.0 and x > front:
            return (x - front) / v
        if v < 0.0 and x < -rear:
            return (x + rear) / v
        return math.inf
    centre_y = v / w
    dy = y - centre_y
    radius_squared = x * x + dy * dy
    start = math.atan2(dy, x)
    least = math.inf
    for edge in range(4):
        across = (front, -rear, half - centre_y, -half - centre_y)[edge]
        rest = radius_squared - across * across
        if rest < 0.0:
            continue
        along = math.sqrt(rest)
        for sign in (-1.0, 1.0):
            if edge < 2:
                px, py = across, sign * along
                on_edge = abs(py + centre_y) <= half
            else:
                px, py = sign * along, across
                on_edge = -rear <= px <= front
            if on_edge:
                turned = (start - math.atan2(py, px)) * (1.0 if w > 0.0 else -1.0)
                least = min(least, (turned % TURN_RAD) / abs(w))
    return least


@njit(cache=True)
def receding(x: float, y: float, v: float, w: float, rectangle: Array) -> bool:
    """Whether the motion takes the rectangle away from a point at rest, or at least no nearer."""
    front, rear, half = rectangle[0], rectangle[1], rectangle[2]
    out_x = x - front if x > front else (x + rear if x < -rear else 0.0)
    out_y = y - half if y > half else (y + half if y < -half else 0.0)
    if out_x == 0.0 and out_y == 0.0:  # inside: away is towards the nearest edge
        depths = (front - x, x + rear, half - y, y + half)
        nearest = 0
        for i in range(1, 4):
            if depths[i] < depths[nearest]:
                nearest = i
        out_x, out_y = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))[nearest]
    return out_x * (w * y - v) - out_y * w * x >= 0.0


@njit(cache=True)
def points_contact_time(points: Array, v: float, w: float, outline: Array, reserved: Array, rank: int) -> float:
    """Seconds until the ``rank``-th point (1 is the first) comes into the reserved rectangle.

    ``points`` is ``(N, 2)`` in the base frame. A point that is already in the room reserved before or behind the
    robot counts at once if the motion brings it nearer; one that the motion leaves counts from contact with the
    bare ``outline``: the robot can always get out. Of one beside it, as in a narrow passage, at least half the gap
    stays: the nearer a wall is, the slower the robot may come still nearer, but it is never held for being near.
    For walls go on, what lies before and behind it on that side is given as much room as the nearest beside it.
    """
    soonest = np.full(rank, math.inf)
    rooms_m = _rooms_beside(points, outline, reserved, rank)
    kept = reserved.copy()
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        room_m = rooms_m[int(y > 0.0)]
        if _beside(x, y, outline, reserved):
            room_m = _room_beside(y, outline, reserved)
        kept[2] = outline[2] + room_m
        t = contact_time(x, y, v, w, kept)
        if t == 0.0 and receding(x, y, v, w, outline):
            t = contact_time(x, y, v, w, outline)
            if t == 0.0:
                continue
        for k in range(rank):
            if t < soonest[k]:
                soonest[k], t = t, soonest[k]
    return soonest[rank - 1]


@njit(cache=True)
def _beside(x: float, y: float, outline: Array, reserved: Array) -> bool:
    return abs(y) > outline[2] and -reserved[1] <= x <= reserved[0]


@njit(cache=True)
def _room_beside(y: float, outline: Array, reserved: Array) -> float:
    """Metres of the gap to a point beside the robot that stay: half of it, or the room reserved there."""
    return min(reserved[2] - outline[2], (abs(y) - outline[2]) / 2.0)


@njit(cache=True)
def _rooms_beside(points: Array, outline: Array, reserved: Array, rank: int) -> Array:
    """The room ``(2,)`` that stays to the right and to the left, by the ``rank``-th nearest point there."""
    nearest = np.full((2, rank), reserved[2] - outline[2])
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        if _beside(x, y, outline, reserved):
            room_m, side = _room_beside(y, outline, reserved), int(y > 0.0)
            for k in range(rank):
                if room_m < nearest[side, k]:
                    nearest[side, k], room_m = room_m, nearest[side, k]
    return nearest[:, rank - 1]


@njit(cache=True)
def rectangle_distance(x: float, y: float, rectangle: Array) -> float:
    """Distance of a point from the rectangle; 0 inside."""
    out_x = max(x - rectangle[0], -rectangle[1] - x, 0.0)
    out_y = max(abs(y) - rectangle[2], 0.0)
    return math.hypot(out_x, out_y)


@njit(cache=True)
def arc_pose(v: float, w: float, t: float) -> tuple[float, float, float]:
    """Pose ``(x, y, yaw)`` after driving at constant velocity for ``t`` seconds, from where the robot is."""
    return arc(v * t, w * t)


@njit(cache=True)
def people_contact_time(
    people: Array,
    age_s: float,
    v: float,
    w: float,
    outline: Array,
    rooms: tuple[float, float, float],
    horizon_s: float,
    may_leave: bool = False,
) -> float:
    """Seconds until a person comes too near to the driving robot; inf beyond the horizon.

    ``people`` is ``(M, 5)``: x, y, vx, vy, radius in the base frame, as they were ``age_s`` ago. ``rooms`` are
    the clearance, which counts where somebody comes nearer than he is, the least room, which always counts towards
    whoever walks, and for how many seconds he may turn towards the robot by up to a right angle, unforeseen.
    Where it ``may_leave``, the robot may turn and drive away from somebody who stands, however near.
    """
    step_s = 0.05
    clearance_m, least_m, turn_s = rooms
    now_m, away_m = np.empty(len(people)), np.empty(len(people))
    walks = np.empty(len(people), np.bool_)
    for i in range(len(people)):
        x, y = people[i, 0] + people[i, 2] * age_s, people[i, 1] + people[i, 3] * age_s
        speed = math.hypot(people[i, 2], people[i, 3])
        now_m[i], away_m[i] = rectangle_distance(x, y, outline) - people[i, 4], math.hypot(x, y)
        walks[i] = speed > WALKING_M_S or not may_leave
        if speed > WALKING_M_S and away_m[i] > 0.0:
            towards = -(x * people[i, 2] + y * people[i, 3]) / away_m[i]
            if towards < 0.0:
                speed = math.sqrt(max(0.0, speed * speed - towards * towards))
            if now_m[i] < least_m + turn_s * speed:
                return 0.0
    for i in range(int(horizon_s / step_s) + 1):
        t = i * step_s
        x, y, yaw = arc_pose(v, w, t)
        c, s = math.cos(yaw), math.sin(yaw)
        for k in range(len(people)):
            person = people[k]
            dx, dy = person[0] + person[2] * (age_s + t) - x, person[1] + person[3] * (age_s + t) - y
            gap = rectangle_distance(c * dx + s * dy, c * dy - s * dx, outline) - person[4]
            if walks[k]:
                too_near = gap < least_m or gap < min(clearance_m, now_m[k] - NEARER_M)
            else:  # turning on the spot brings a corner nearer, not the robot
                too_near = gap < clearance_m and math.hypot(dx, dy) < away_m[k] - NEARER_M
            if too_near:
                return t
    return math.inf
