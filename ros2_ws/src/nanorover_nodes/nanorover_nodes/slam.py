"""The SLAM node: scans and odometry in; map, map→odom, pose and path out."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry as OdometryMsg
from nav_msgs.msg import Path
from sensor_msgs.msg import LaserScan as LaserScanMsg
from tf2_msgs.msg import TFMessage

from nanorover.errors import InputError
from nanorover.geometry.se2 import compose, inverse
from nanorover.mapping.map_files import save_map
from nanorover.params import param
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import SlamParams
from nanorover_interfaces.srv import FilePath as FilePathSrv
from nanorover_nodes import convert
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health, run
from nanorover_nodes.frames import FrameListener

# A path for people to look at needs no more poses than this.
PATH_POSES = 2000


@dataclass(frozen=True)
class SlamNodeParams:
    """What only the node needs; the method's parameters are ``SlamParams``."""

    map_frame: str = param("frame of the map")
    odom_frame: str = param("frame of the odometry")
    base_frame: str = param("frame of the robot's base")
    use_odometry: bool = param("use the odom topic; if false, odom → base comes from the scans alone")
    map_period_s: float = param("time between published maps and paths", "s", minimum=0.1, maximum=60.0)
    transform_tolerance_s: float = param(
        "how far map → odom is dated into the future", "s", minimum=0.0, maximum=2.0
    )


class SlamNode(Component):
    """Maps while active."""

    PARAMS = {"slam": SlamParams, "slam_node": SlamNodeParams}

    def __init__(self) -> None:
        super().__init__("slam")

    def configure(self) -> None:
        self.settings: SlamNodeParams = self.params["slam_node"]
        self.mapper = Mapper(self.params["slam"])
        self.mapper.warm_up()  # compiled kernels are loaded here, not in the first scan
        self.frames = FrameListener(self)
        self.refused: Counter[str] = Counter()
        self.last_reason = "no scan yet"
        self.scans_at_map = 0
        self.stamp_ns = 0
        self.scans = 0
        self.map_publisher = self.offer("map")
        self.pose_publisher = self.offer("pose")
        self.path_publisher = self.offer("path")
        self.tf_publisher = self.offer("/tf")
        self.listen("scan", self.on_scan)
        self.listen("odom", self.on_odometry)
        self.serve(FilePathSrv, "~/save_map", self.save_map)
        self.serve(FilePathSrv, "~/serialize_map", self.save_graph)
        self.map_timer = self.create_timer(self.settings.map_period_s, self.publish_map, clock=self.steady_clock)

    def cleanup(self) -> None:
        if hasattr(self, "map_timer"):
            self.destroy_timer(self.map_timer)

    def on_odometry(self, message: OdometryMsg) -> None:
        if self.active and self.settings.use_odometry:
            self.mapper.add_odometry(convert.odometry_of(message))

    def on_scan(self, message: LaserScanMsg) -> None:
        if not self.active:
            return
        mounting = self.frames.planar(self.settings.base_frame, message.header.frame_id.lstrip("/"))
        if mounting is None:
            self.refused[f"no transform {self.settings.base_frame} → {message.header.frame_id}"] += 1
            return
        result = self.mapper.add_scan(convert.scan_of(message, *mounting))
        self.scans += 1
        self.last_reason = result.reason
        self.stamp_ns = result.stamp_ns
        self.publish_pose(result)

    def publish_pose(self, result) -> None:
        s = self.settings
        self.pose_publisher.publish(
            convert.pose_with_covariance_msg(result.stamp_ns, s.map_frame, result.T_map_base, result.covariance)
        )
        T_map_odom = self.mapper.T_map_odom()
        valid_until_ns = result.stamp_ns + int(s.transform_tolerance_s * convert.NS)
        transforms = [convert.transform_msg(valid_until_ns, s.map_frame, s.odom_frame, T_map_odom)]
        if not s.use_odometry:
            T_odom_base = compose(inverse(T_map_odom), result.T_map_base)
            transforms.append(convert.transform_msg(result.stamp_ns, s.odom_frame, s.base_frame, T_odom_base))
        self.tf_publisher.publish(TFMessage(transforms=transforms))

    def publish_map(self) -> None:
        if not self.active or self.scans == self.scans_at_map:
            return
        self.scans_at_map = self.scans
        frame = self.settings.map_frame
        self.map_publisher.publish(convert.grid_msg(self.mapper.grid(), self.stamp_ns, frame))
        stamps_ns, poses = self.mapper.trajectory()
        chosen = np.unique(np.linspace(0, len(poses) - 1, min(len(poses), PATH_POSES)).astype(int))
        path = Path()
        path.header.frame_id, path.header.stamp = frame, convert.time_of(self.stamp_ns)
        for i in chosen:
            pose = PoseStamped(pose=convert.pose_msg(poses[i]))
            pose.header.frame_id, pose.header.stamp = frame, convert.time_of(int(stamps_ns[i]))
            path.poses.append(pose)
        self.path_publisher.publish(path)

    def save_map(self, request: FilePathSrv.Request) -> str:
        return f"map written: {save_map(self.mapper.grid(), FilePath(self._named(request)))}"

    def save_graph(self, request: FilePathSrv.Request) -> str:
        self.mapper.save(FilePath(self._named(request)))
        return f"graph written: {request.path}"

    def _named(self, request: FilePathSrv.Request) -> str:
        if not request.path:
            raise InputError("the request names no path", "give the file to write, without suffix")
        if self.scans == 0:
            raise InputError("there is no map yet", "wait for the first scan")
        return request.path

    def diagnose(self) -> Health:
        values = {
            "scans": self.scans,
            **self.mapper.health(),
            **{f"refused: {k}": n for k, n in self.refused.items()},
        }
        if self.scans == 0:
            reason = next(iter(self.refused), "no scan received")
            return Health(ERROR if self.refused else WARN, reason, values)
        if self.last_reason:
            return Health(WARN, self.last_reason, values)
        return Health(OK, "mapping", values)


def main() -> None:
    """Run the node."""
    run(SlamNode)


if __name__ == "__main__":
    main()
