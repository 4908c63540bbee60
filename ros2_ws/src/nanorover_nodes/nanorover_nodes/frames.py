"""The transform tree fed from /tf and /tf_static."""

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import LaserScan as LaserScanMsg
from tf2_msgs.msg import TFMessage

from nanorover.geometry.frames import FrameTree, planar_pose
from nanorover.geometry.scan import LaserScan, scan_fault
from nanorover.geometry.se2 import Pose
from nanorover_nodes.convert import scan_of, transform_of_msg


class FrameListener:
    """Knows where every frame was last said to be."""

    def __init__(self, listen: Callable[[str, Callable[[TFMessage], None]], Any], logger: RcutilsLogger) -> None:
        """``listen`` subscribes to a declared topic."""
        self.tree = FrameTree()
        self._logger = logger
        listen("/tf_static", self._on_transforms)
        listen("/tf", self._on_transforms)

    def planar(self, target: str, source: str) -> tuple[Pose, bool] | None:
        """``T_target_source`` from above and whether it hangs upside down; None while unknown."""
        T_target_source = self.tree.lookup(target, source)
        return None if T_target_source is None else planar_pose(T_target_source)

    def scan(self, base_frame: str, message: LaserScanMsg) -> LaserScan | str:
        """A scan as its mounting puts it on the base; or why it cannot be used."""
        mounting = self.planar(base_frame, message.header.frame_id.lstrip("/"))
        if mounting is None:
            return f"no transform {base_frame} → {message.header.frame_id}"
        return scan_fault(message) or scan_of(message, *mounting)

    def _on_transforms(self, message: TFMessage) -> None:
        for transform in message.transforms:
            self._set(transform)

    def _set(self, transform: TransformStamped) -> None:
        parent, child = transform.header.frame_id.lstrip("/"), transform.child_frame_id.lstrip("/")
        try:
            self.tree.set(parent, child, transform_of_msg(transform))
        except ValueError as error:
            self._logger.error(f"tf {parent} → {child} ignored: {error}", throttle_duration_sec=5.0)
