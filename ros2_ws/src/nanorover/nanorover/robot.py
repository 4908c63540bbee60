"""The outline that the robot needs to itself when it moves.

This is the one place of the footprint: planner, safety and simulation read it. It holds the body of the robot
model (``params/frames.yaml``), its wheels, cables and what people screw on; ``base_link`` is its origin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.params import param


@dataclass(frozen=True)
class RobotParams:
    """The footprint, a rectangle about ``base_link``; its values stand in ``params/robot.yaml``."""

    footprint_front_m: float = param("from the wheels' axis to the front end", "m", minimum=0.02, maximum=2.0)
    footprint_rear_m: float = param("from the wheels' axis to the rear end", "m", minimum=0.02, maximum=2.0)
    footprint_width_m: float = param("over everything", "m", minimum=0.04, maximum=2.0)

    @property
    def half_width_m(self) -> float:
        """From the middle to a side."""
        return self.footprint_width_m / 2.0

    @property
    def inscribed_radius_m(self) -> float:
        """The largest circle about ``base_link`` within the footprint."""
        return min(self.footprint_front_m, self.footprint_rear_m, self.half_width_m)

    def polygon(self) -> NDArray[np.float64]:
        """Corners ``(4, 2)`` in the base frame, counter-clockwise from front left."""
        front, rear, half = self.footprint_front_m, -self.footprint_rear_m, self.half_width_m
        return np.array([[front, half], [rear, half], [rear, -half], [front, -half]])
