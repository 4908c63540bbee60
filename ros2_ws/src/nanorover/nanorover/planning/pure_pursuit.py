"""Regulated pure pursuit: the light controller, some microseconds per cycle.

Follows Macenski, Singh, Martin, Gines, "Regulated Pure Pursuit for Robot Path Tracking", Autonomous Robots 2023:
the lookahead grows with speed; curves, nearness to obstacles and the approach to the goal lower the speed.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.base.gate import STILL, Velocity
from nanorover.geometry.se2 import Pose, wrap_angle
from nanorover.params import param
from nanorover.planning.costmap import Costmap
from nanorover.planning.motion import (
    Control,
    MotionParams,
    footprint_circles,
    footprint_gap,
    pose_after,
    turn_towards,
)
from nanorover.robot import RobotParams

CONTACT_STEP_S = 0.1


@dataclass(frozen=True)
class PurePursuitParams:
    """Values in ``params/pure_pursuit.yaml``."""

    lookahead_s: float = param("the point aimed at is this far away in time", "s", minimum=0.1, maximum=10.0)
    min_lookahead_m: float = param("and at least this far", "m", minimum=0.02, maximum=5.0)
    max_lookahead_m: float = param("and at most this far", "m", minimum=0.02, maximum=10.0)
    least_linear_m_s: float = param("regulation never goes below this speed", "m/s", minimum=0.01, maximum=1.0)
    least_radius_m: float = param("tighter curves are driven slower", "m", minimum=0.05, maximum=5.0)
    slow_near_obstacles_m: float = param("nearer to obstacles it drives slower", "m", minimum=0.0, maximum=3.0)
    turn_first_rad: float = param(
        "a path that leads farther aside is turned to on the spot", "rad", minimum=0.1, maximum=3.15
    )
    look_ahead_for_contact_s: float = param("contact within this time stops", "s", minimum=0.1, maximum=10.0)
    approach_m: float = param("speed falls within this distance of the goal", "m", minimum=0.01, maximum=5.0)


class PurePursuit:
    """The controller; it keeps nothing between the cycles."""

    def __init__(self, params: PurePursuitParams, motion: MotionParams, robot: RobotParams, step_s: float) -> None:
        self.params, self.motion, self.step_s = params, motion, step_s
        self.circles = footprint_circles(robot, motion.footprint_margin_m)
        self.inscribed_m = robot.inscribed_radius_m
        self.reach_m = float((np.hypot(self.circles[:, 0], self.circles[:, 1]) + self.circles[:, 2]).max())

    def reset(self) -> None:
        """Nothing to forget."""

    def control(
        self,
        T_map_base: Pose,
        velocity: Velocity,
        path: NDArray[np.float64],
        costmap: Costmap,
        objects: NDArray[np.float32] | None = None,
        max_linear_m_s: float = math.inf,
    ) -> Control:
        """One cycle; the arguments are those of ``Mppi.control``. Objects are left to costmap and safety."""
        p, m = self.params, self.motion
        start = pose_after(T_map_base, velocity, m.delay_s)
        away = np.hypot(path[:, 0] - start[0], path[:, 1] - start[1])
        near = int(np.argmin(away))
        to_goal_m = float(np.hypot(*np.diff(path[near:, :2], axis=0).T).sum() + away[near])
        lookahead_m = min(max(p.lookahead_s * abs(velocity.linear_m_s), p.min_lookahead_m), p.max_lookahead_m)
        beyond = np.nonzero(away[near:] >= lookahead_m)[0]
        target = path[near + beyond[0]] if len(beyond) else path[-1]
        dx, dy = target[0] - start[0], target[1] - start[1]
        bearing = wrap_angle(math.atan2(dy, dx) - start[2])
        if abs(bearing) > p.turn_first_rad:
            wanted = Velocity(0.0, turn_towards(bearing, velocity.angular_rad_s, m, self.step_s))
        else:
            wanted = self._arc(velocity, bearing, math.hypot(dx, dy), to_goal_m, start, costmap, max_linear_m_s)
        poses, hit = self._drive(start, wanted, costmap)
        return Control(STILL, poses, "contact ahead") if hit else Control(wanted, poses)

    def _arc(
        self,
        velocity: Velocity,
        bearing: float,
        distance_m: float,
        to_goal_m: float,
        start: Pose,
        costmap: Costmap,
        max_linear_m_s: float,
    ) -> Velocity:
        p, m = self.params, self.motion
        curvature = 2.0 * math.sin(bearing) / max(distance_m, 1e-3)
        top = min(m.max_linear_m_s, max_linear_m_s)
        speed = min(
            top,
            top / max(1.0, abs(curvature) * p.least_radius_m),
            top * self._room(start, costmap),
            top * to_goal_m / p.approach_m,
        )
        speed = min(top, max(p.least_linear_m_s, speed))
        down, up = m.deceleration_m_s2 * self.step_s, m.acceleration_m_s2 * self.step_s
        speed = min(max(speed, velocity.linear_m_s - down), velocity.linear_m_s + up)
        change = m.angular_acceleration_rad_s2 * self.step_s
        turning = min(max(curvature * speed, velocity.angular_rad_s - change), velocity.angular_rad_s + change)
        return Velocity(speed, min(max(turning, -m.max_angular_rad_s), m.max_angular_rad_s))

    def _room(self, start: Pose, costmap: Costmap) -> float:
        """The share of the speed that the nearness of obstacles leaves."""
        if self.params.slow_near_obstacles_m == 0.0 or not costmap.raster.contains(start[0], start[1]):
            return 1.0
        gap_m = float(costmap.distance_m[costmap.raster.cell(start[0], start[1])]) - self.inscribed_m
        return min(1.0, max(0.0, gap_m / self.params.slow_near_obstacles_m))

    def _drive(self, start: Pose, velocity: Velocity, costmap: Costmap) -> tuple[NDArray[np.float64], bool]:
        r = costmap.raster
        shape = costmap.distance_m, (r.x_m, r.y_m, r.resolution_m), self.circles, self.reach_m
        poses = [start]
        for t in np.arange(CONTACT_STEP_S, self.params.look_ahead_for_contact_s + 1e-9, CONTACT_STEP_S):
            pose = pose_after(start, velocity, float(t))
            poses.append(pose)
            if footprint_gap(pose[0], pose[1], math.cos(pose[2]), math.sin(pose[2]), *shape) < 0.0:
                return np.array(poses), True
        return np.array(poses), False
