"""Goals from outside: checked, and brought into the map frame."""

import math
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped

from nanorover.errors import InputError
from nanorover.geometry.frames import FrameTree, planar_pose, transform_of
from nanorover.geometry.se2 import Pose
from nanorover_nodes.convert import stamp_ns_of


class GoalReader:
    """Turns a pose message into a planar pose of the map, or says why it cannot."""

    def __init__(self, tree: FrameTree, map_frame: str, max_age_s: float, now_ns: Callable[[], int]) -> None:
        self.tree, self.map_frame, self.max_age_s, self.now_ns = tree, map_frame, max_age_s, now_ns

    def read(self, message: PoseStamped) -> Pose:
        """The pose in the map frame. Raises InputError with the reason."""
        p, q = message.pose.position, message.pose.orientation
        frame = message.header.frame_id.lstrip("/")
        if not frame:
            raise InputError("the goal names no frame", f"set header.frame_id, usually to '{self.map_frame}'")
        try:
            T_frame_goal = transform_of((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
        except ValueError as error:
            raise InputError(f"the goal is no pose: {error}", "position and orientation must be finite") from error
        stamp_ns = stamp_ns_of(message.header.stamp)
        age_s = (self.now_ns() - stamp_ns) * 1e-9
        if stamp_ns != 0 and age_s > self.max_age_s:
            raise InputError(f"the goal is {age_s:.0f} s old", "stamp it anew; a stamp of zero means now")
        T_map_frame = np.eye(4) if frame == self.map_frame else self.tree.lookup(self.map_frame, frame)
        if T_map_frame is None:
            raise InputError(
                f"the goal's frame '{frame}' is not known", f"no transform {self.map_frame} → {frame}"
            )
        pose, upside_down = planar_pose(T_map_frame @ T_frame_goal)
        if upside_down or not math.isfinite(float(pose.sum())):
            raise InputError("the goal stands on its head", "its orientation must be about the vertical")
        return pose
