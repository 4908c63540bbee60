"""How near a moving robot came to people and pets."""

import math
from collections import deque

import numpy as np

from nanorover.geometry.se2 import Pose, between
from nanorover.planning.contact import rectangle_distance
from nanorover.robot import RobotParams
from nanorover.sim.truth import TrueObject

PERSON_RADIUS_M = 0.2
ANIMATE = ("person", "cat", "dog")
# A slower robot stands: who comes near it then does so himself. It must have been faster since the last look and
# since the one before: wheels that settle after a stop roll back by a millimetre.
MOVING_M_S, LOOKS = 0.03, 2


class PeopleGap:
    """The least gap between the robot's outline and anybody's, over the moments in which the robot moved."""

    def __init__(self, robot: RobotParams) -> None:
        self.least_m = math.inf
        self._outline = np.array([robot.footprint_front_m, robot.footprint_rear_m, robot.half_width_m])
        self._before: deque[tuple[float, Pose]] = deque(maxlen=LOOKS)

    def look(self, now_s: float, T_map_base: Pose, things: list[TrueObject]) -> None:
        """Note where everything is now; call it some ten times a second."""
        before = list(self._before)
        self._before.append((now_s, T_map_base.copy()))
        stands = [math.dist(T[:2], T_map_base[:2]) < MOVING_M_S * (now_s - then_s) for then_s, T in before]
        if not before or any(stands):
            return
        for thing in things:
            if thing.kind in ANIMATE:
                x, y, _ = between(T_map_base, thing.pose)
                radius_m = min(PERSON_RADIUS_M, min(thing.size_m[:2]) / 2.0)
                gap_m = float(rectangle_distance(float(x), float(y), self._outline)) - radius_m
                self.least_m = min(self.least_m, gap_m)
