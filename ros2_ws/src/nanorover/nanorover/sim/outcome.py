"""How a drive through a scenario went, and what an ideal drive would have taken."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nanorover.geometry.se2 import Pose, wrap_angle
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.global_planner import plan
from nanorover.planning.navigator import Settings
from nanorover.planning.world import world_of
from nanorover.sim.scene import Scene
from nanorover.sim.truth import true_map

LONGEST_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """How one drive went: ``time_s`` from the order to its end, ``ideal_s`` that of an ideal drive.

    ``clearance_m`` is the least gap to anything, ``people_clearance_m`` that to people and pets while the robot
    moved, None where there are none.
    """

    scenario: str
    seed: int
    success: bool
    reason: str
    collisions: int
    touched: str
    time_s: float
    ideal_s: float
    clearance_m: float
    people_clearance_m: float | None
    recoveries: int

    def as_dict(self) -> dict[str, Any]:
        """For a JSON object."""
        return asdict(self)


def known_map(scene: Scene, height_m: float) -> OccupancyGrid:
    """The map of a scene as a mapper would have made it."""
    grid = true_map(scene, height_m)
    return OccupancyGrid(grid.cells, grid.resolution_m, np.array([*grid.origin_m, 0.0]))


def ideal_s(world: OccupancyGrid, settings: Settings, start: Pose, goal: Pose) -> float:
    """The time of an ideal drive: turn to the shortest way through the world as it is, people apart, drive it at
    full speed with ramps, turn to the goal's yaw. 0 where there is no way."""
    costmap = world_of(world, settings.costmap, settings.robot)
    costmap.refresh(costmap.whole, 0.0)
    path = plan(costmap.cost, costmap.raster, start, goal, settings.global_planner).path
    if len(path) < 2:
        return 0.0
    m = settings.motion
    length_m = float(np.hypot(*np.diff(path[:, :2], axis=0).T).sum())
    turns = path[min(10, len(path) - 2), 2] - start[2], path[-1, 2] - path[-2, 2]
    turned_rad = sum(abs(wrap_angle(float(turn))) for turn in turns)
    ramps_s = 0.5 * m.max_linear_m_s * (1.0 / m.acceleration_m_s2 + 1.0 / m.deceleration_m_s2)
    return length_m / m.max_linear_m_s + ramps_s + turned_rad / m.max_angular_rad_s
