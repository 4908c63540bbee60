"""What the planner shows: objects, ways and costmaps, each only while it is asked for or new."""

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray

from nanorover.fusion.objects import TrackedObject
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.costmap import Costmap
from nanorover_nodes import convert
from nanorover_nodes.objects import markers_msg, objects_msg

# Costs as an OccupancyGrid shows them, as Nav2 does it: 100 lethal, 99 inscribed, −1 unknown.
SHOWN = np.concatenate([[0], 1 + np.arange(252) * 97 // 251, [99, 100, -1]]).astype(np.int8)


class Views:
    """Publishers of what people look at. Everything is in the frame of the map."""

    def __init__(self, offer: Callable[[str], Any], now_ns: Callable[[], int], map_frame: str) -> None:
        self._now_ns, self._map_frame = now_ns, map_frame
        self._path: NDArray[np.float64] | None = None
        self._outputs = {
            topic: offer(topic)
            for topic in ("plan", "local_plan", "objects", "objects/markers", "global_costmap/costmap",
                          "local_costmap/costmap")
        }  # fmt: skip

    def wanted(self, topic: str) -> bool:
        """Whether somebody listens to a topic."""
        return bool(self._outputs[topic].get_subscription_count())

    def show_objects(self, objects: list[TrackedObject], stamp_ns: int) -> None:
        """Objects, always; as markers only for who looks."""
        self._outputs["objects"].publish(objects_msg(objects, stamp_ns, self._map_frame))
        if self.wanted("objects/markers"):
            self._outputs["objects/markers"].publish(markers_msg(objects, stamp_ns, self._map_frame))

    def show_ways(self, path: NDArray[np.float64], trajectory: Callable[[], NDArray[np.float64]]) -> None:
        """The path to drive when it is a new one, and where the last command leads."""
        if self._path is not path:
            self._path = path
            self._outputs["plan"].publish(self.path_msg(path))
        if self.wanted("local_plan"):
            self._outputs["local_plan"].publish(self.path_msg(trajectory()))

    def show_no_way(self) -> None:
        """Nothing is driven any more."""
        none = np.zeros((0, 3))
        self.show_ways(none, lambda: none)

    def show_costs(self, topic: str, costmap: Costmap, cost: NDArray[np.uint8]) -> None:
        """Costs of a costmap's cells."""
        origin = np.array([costmap.raster.x_m, costmap.raster.y_m, 0.0])
        grid = OccupancyGrid(SHOWN[cost], costmap.raster.resolution_m, origin)
        self._outputs[topic].publish(convert.grid_msg(grid, self._now_ns(), self._map_frame))

    def path_msg(self, poses: NDArray[np.float64]) -> Path:
        """Poses ``(N, 3)`` of the map as a path."""
        path = Path()
        path.header.frame_id = self._map_frame
        path.header.stamp = convert.time_of(self._now_ns())
        path.poses = [PoseStamped(header=path.header, pose=convert.pose_msg(pose)) for pose in poses]
        return path
