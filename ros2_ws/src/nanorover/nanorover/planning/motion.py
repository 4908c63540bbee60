"""How the robot may be driven: limits that both controllers share, and the footprint as circles."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.base.gate import Velocity
from nanorover.base.params import BaseParams
from nanorover.geometry.se2 import Pose, compose
from nanorover.params import param
from nanorover.planning.contact import arc_pose
from nanorover.robot import RobotParams

# Farther than anything in a costmap, but finite: the rollouts are compiled without infinities.
FAR_M = 1e3
# Slower wheels stand.
STANDS_M_S, STANDS_RAD_S = 0.015, 0.06


@dataclass(frozen=True)
class MotionParams:
    """Comfort limits within the base's, and when a goal is reached; values in ``params/motion.yaml``."""

    max_linear_m_s: float = param("largest speed forward", "m/s", minimum=0.02, maximum=5.0)
    max_reverse_m_s: float = param("largest speed backward; 0 never reverses", "m/s", minimum=0.0, maximum=5.0)
    max_angular_rad_s: float = param("largest turning speed", "rad/s", minimum=0.05, maximum=20.0)
    acceleration_m_s2: float = param("largest acceleration", "m/s²", minimum=0.05, maximum=20.0)
    deceleration_m_s2: float = param("largest deceleration", "m/s²", minimum=0.05, maximum=20.0)
    angular_acceleration_rad_s2: float = param("largest change of turning", "rad/s²", minimum=0.05, maximum=100.0)
    delay_s: float = param("from a measurement to wheels that obey its command", "s", minimum=0.0, maximum=1.0)
    footprint_margin_m: float = param(
        "room kept around the footprint when planning", "m", minimum=0.0, maximum=0.5
    )
    goal_distance_m: float = param("a goal is reached within this distance", "m", minimum=0.01, maximum=2.0)
    goal_yaw_rad: float = param("and within this angle", "rad", minimum=0.01, maximum=3.15)


@dataclass(frozen=True, eq=False)
class Control:
    """What a controller wants: a velocity, where it leads ``(N, 3)`` in the map frame, and why it is held
    (empty while it drives)."""

    velocity: Velocity
    trajectory: NDArray[np.float64]
    reason: str = ""


OF_THE_BASE = {
    "max_linear_m_s": "max_linear_m_s",
    "max_angular_rad_s": "max_angular_rad_s",
    "acceleration_m_s2": "linear_acceleration_m_s2",
    "deceleration_m_s2": "linear_deceleration_m_s2",
    "angular_acceleration_rad_s2": "angular_acceleration_rad_s2",
}


def check_against_base(motion: MotionParams, base: BaseParams) -> None:
    """Raise InputError where the planner wants more than the base gives."""
    base.require("the planner", motion, OF_THE_BASE)


def footprint_circles(robot: RobotParams, margin_m: float) -> NDArray[np.float32]:
    """Circles ``(N, 3)`` x, y, radius that cover the footprint, widened by the margin, and little more.

    A row of circles as wide as the robot, and a small one in every corner.
    """
    front, rear, half = robot.footprint_front_m, robot.footprint_rear_m, robot.half_width_m
    radius = min(half, (front + rear) / 2.0)
    count = max(1, math.ceil((front + rear - 2.0 * radius) / (0.5 * radius)) + 1)
    circles = [(x, 0.0, radius) for x in np.linspace(front - radius, radius - rear, count)]
    small = 0.35 * radius
    inset = small / math.sqrt(2.0)  # so that the circle passes through the corner itself
    circles += [(x, y, small) for x in (front - inset, inset - rear) for y in (half - inset, inset - half)]
    return np.array([(x, y, r + margin_m) for x, y, r in circles], dtype=np.float32)


@njit(cache=True)
def footprint_gap(
    x: float,
    y: float,
    cos_yaw: float,
    sin_yaw: float,
    distance_m: NDArray[np.float32],
    corner: tuple[float, float, float],
    circles: NDArray[np.float32],
    reach_m: float,
) -> float:
    """The gap between the footprint at a pose and the nearest lethal cell; negative in contact.

    ``corner`` is x, y and resolution of the grid; beyond its edge nothing is known and nothing stands there.
    ``reach_m`` is the radius beyond which the footprint ends: farther than that from everything, the gap is taken
    from this circle, which is a little too small.
    """
    rows, columns = distance_m.shape
    column, row = int((x - corner[0]) / corner[2]), int((y - corner[1]) / corner[2])
    if row < 0 or column < 0 or row >= rows or column >= columns:
        return FAR_M
    gap = distance_m[row, column] - reach_m
    if gap > 0.0:
        return gap
    gap = FAR_M
    for i in range(len(circles)):
        cx = x + cos_yaw * circles[i, 0] - sin_yaw * circles[i, 1]
        cy = y + sin_yaw * circles[i, 0] + cos_yaw * circles[i, 1]
        c, r = int((cx - corner[0]) / corner[2]), int((cy - corner[1]) / corner[2])
        if 0 <= r < rows and 0 <= c < columns:
            gap = min(gap, distance_m[r, c] - circles[i, 2])
    return gap


def stands(velocity: Velocity) -> bool:
    """Whether wheels that are measured to do this stand, as far as that can be told."""
    return abs(velocity.linear_m_s) <= STANDS_M_S and abs(velocity.angular_rad_s) <= STANDS_RAD_S


def pose_after(T_map_base: Pose, velocity: Velocity, t_s: float) -> Pose:
    """Where the robot will be if it keeps its velocity."""
    return compose(T_map_base, np.array(arc_pose(velocity.linear_m_s, velocity.angular_rad_s, t_s)))


def turn_towards(error_rad: float, turning_rad_s: float, motion: MotionParams, step_s: float) -> float:
    """Turning speed that ends an angular error as fast as the limits allow, without overshoot."""
    brake = math.sqrt(2.0 * 0.7 * motion.angular_acceleration_rad_s2 * abs(error_rad))
    wanted = math.copysign(min(motion.max_angular_rad_s, brake, 4.0 * abs(error_rad)), error_rad)
    change = motion.angular_acceleration_rad_s2 * step_s
    return max(turning_rad_s - change, min(turning_rad_s + change, wanted))
