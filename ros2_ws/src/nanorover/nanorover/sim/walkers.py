"""People and pets that walk along their paths and wait for a robot in their way."""

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, wrap_angle
from nanorover.sim.model import World
from nanorover.sim.scene import Walker

KEEPS_AWAY_M = 0.65  # from the robot's middle: never goes nearer by itself
STRIDE_M = 1.3  # way of one cycle of both legs
SWING_M = 0.17
TURN_RAD_S = 3.0
PAUSE_S = 2.0  # at either end of the path
PATIENCE_S = 3.0  # then it goes back where it came from


class Walking:
    """One walker: where it is on its way, and the bodies that show it."""

    def __init__(self, walker: Walker, number: int, world: World) -> None:
        self._path = np.array(walker.path_m, float).reshape(-1, 2)
        steps = np.linalg.norm(np.diff(self._path, axis=0), axis=1)
        self._way = np.concatenate([[0.0], np.cumsum(steps)])
        self._speed = walker.speed_m_s
        self._mocap = [
            (limb, int(world.model.body(f"walker {number} {limb}").mocapid[0])) for limb in world.limbs[number]
        ]
        self._done_m, self._ahead, self._pause_s, self._waited_s = 0.0, 1, 0.0, 0.0
        self._walked_m = 0.0
        first = self._path[min(1, len(self._path) - 1)] - self._path[0]
        self.yaw_rad = math.atan2(first[1], first[0])

    @property
    def pose(self) -> Pose:
        """T_map_walker."""
        return np.array([*self._at(self._done_m), self.yaw_rad])

    def _at(self, way_m: float) -> NDArray[np.float64]:
        return np.array([np.interp(way_m, self._way, self._path[:, k]) for k in (0, 1)])

    def step(self, elapsed_s: float, robot: Pose) -> None:
        """Walk on, unless the robot is in the way."""
        if self._pause_s > 0.0:
            self._pause_s -= elapsed_s
            return
        here = self._at(self._done_m)
        ahead_m = self._done_m + self._ahead * 0.15
        wanted = self._at(min(max(ahead_m, 0.0), self._way[-1])) - here
        if np.linalg.norm(wanted) > 1e-6:
            off = wrap_angle(math.atan2(wanted[1], wanted[0]) - self.yaw_rad)
            self.yaw_rad += math.copysign(min(abs(off), TURN_RAD_S * elapsed_s), off)
            if abs(off) > 1.0:
                return
        step = self._speed * elapsed_s * np.array([math.cos(self.yaw_rad), math.sin(self.yaw_rad)])
        away, then = math.dist(robot[:2], here), math.dist(robot[:2], here + step)
        if then < min(KEEPS_AWAY_M, away):
            self._waited_s += elapsed_s
            if self._waited_s > PATIENCE_S:
                self._ahead, self._waited_s = -self._ahead, 0.0
            return
        self._waited_s = 0.0
        step_m = self._speed * elapsed_s
        self._walked_m += step_m
        self._done_m += self._ahead * step_m
        if not 0.0 < self._done_m < self._way[-1]:
            self._done_m = min(max(self._done_m, 0.0), float(self._way[-1]))
            self._ahead, self._pause_s = -self._ahead, PAUSE_S

    def show(self, data: mujoco.MjData) -> None:
        """Put the bodies where the walker is; the legs swing as it goes."""
        x, y = self._at(self._done_m)
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        swing = SWING_M * math.sin(2.0 * math.pi * self._walked_m / STRIDE_M)
        for limb, mocap in self._mocap:
            forth = {"left": swing, "right": -swing}.get(limb, 0.0)
            data.mocap_pos[mocap] = (x + c * forth, y + s * forth, 0.0)
            data.mocap_quat[mocap] = (math.cos(self.yaw_rad / 2), 0.0, 0.0, math.sin(self.yaw_rad / 2))
