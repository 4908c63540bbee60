"""The SLAM node: scans and odometry in; map, map→odom, pose and path out."""

import time
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry as OdometryMsg
from nav_msgs.msg import Path
from sensor_msgs.msg import LaserScan as LaserScanMsg
from std_srvs.srv import Empty, SetBool
from tf2_msgs.msg import TFMessage

from nanorover.bringup.notes import MAPPED_NOTE, Note, RunParams
from nanorover.errors import InputError
from nanorover.geometry.se2 import compose, inverse
from nanorover.mapping.map_files import save_map
from nanorover.params import param
from nanorover.slam.front_end import ScanResult
from nanorover.slam.params import SlamParams
from nanorover.slam.session import MODES, Session
from nanorover.slam.trajectory import evenly_along
from nanorover_interfaces.srv import FilePath as FilePathSrv
from nanorover_interfaces.srv import SetSlamMode
from nanorover_nodes import convert
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.frames import FrameListener
from nanorover_nodes.process import run
from nanorover_nodes.refusals import Refusals

# A path for people to look at needs no more poses than this; no scan is placed while they are made (20 µs each),
# and everybody who listens pays as much again.
PATH_POSES = 1000
# They are chosen from about so many scans, or the choice would take longer with every hour.
SCANS_CONSIDERED = 10_000
# Without a scan for so long it warns.
SILENT_S = 5.0
# That mapping began anew it says for so long.
ANEW_S = 120.0


@dataclass(frozen=True)
class SlamNodeParams:
    """What only the node needs; the method's parameters are ``SlamParams``."""

    mode: str = param("what is done with the map: make it, only use it, or use it and keep it up", choices=MODES)
    map: str = param("map to begin with: a map's yaml (localization only) or a graph file; empty: none")
    map_frame: str = param("frame of the map")
    odom_frame: str = param("frame of the odometry")
    base_frame: str = param("frame of the robot's base")
    use_odometry: bool = param("use the odom topic; if false, odom → base comes from the scans alone")
    map_period_s: float = param("time between published maps and paths", "s", minimum=0.1, maximum=60.0)
    transform_tolerance_s: float = param(
        "how far map → odom is dated into the future", "s", minimum=0.0, maximum=2.0
    )


class SlamNode(Component):
    """Maps, localizes, or both, while active."""

    PARAMS = {"slam": SlamParams, "slam_node": SlamNodeParams, "run": RunParams}

    def __init__(self) -> None:
        super().__init__("slam")

    def configure(self) -> None:
        self.settings: SlamNodeParams = self.params["slam_node"]
        path = FilePath(self.settings.map) if self.settings.map else None
        self.session = Session(self.params["slam"], self.settings.mode, path)
        self._begin(path)
        self.mapped = Note(self.params["run"], MAPPED_NOTE)
        self.anew = path is None and self.mapped.holds()
        self.first_scan_s = 0.0
        self.session.estimator.warm_up()  # compiled kernels are loaded here, not in the first scan
        self.frames = FrameListener(self.listen, self.get_logger())
        self.refused = Refusals()
        self.last_reason = "no scan yet"
        self.paused = False
        self.stamp_ns = 0
        self.scans, self.scan_at_s = 0, 0.0
        self.map_publisher = self.offer("map")
        self.pose_publisher = self.offer("pose")
        self.path_publisher = self.offer("path")
        self.tf_publisher = self.offer("/tf")
        self.listen("scan", self.on_scan)
        self.listen("odom", self.on_odometry)
        self.listen("initialpose", self.on_initial_pose)
        self.serve("slam/save_map", self.save_map)
        self.serve("slam/serialize_map", self.save_graph)
        self.serve("slam/deserialize_map", self.open_map)
        self.serve("slam/set_mode", self.set_mode)
        self.serve("slam/pause", self.pause)
        self.serve("reinitialize_global_localization", self.look_everywhere)
        self.every(self.settings.map_period_s, self.publish_map)

    def _begin(self, path: FilePath | None) -> None:
        """Another frame of the map: since when it means what it means. A file's is the same at every start."""
        self.began_ns = time.time_ns() if path is None else path.stat().st_mtime_ns
        self.map_is_new, self.map_is_said = True, False

    def on_odometry(self, message: OdometryMsg) -> None:
        if self.active and self.settings.use_odometry:
            self.session.estimator.add_odometry(convert.odometry_of(message))

    def on_scan(self, message: LaserScanMsg) -> None:
        if not self.active or self.paused:
            return
        scan = self.frames.scan(self.settings.base_frame, message)
        if isinstance(scan, str):
            self.refused.note(scan)
            return
        result = self.session.estimator.add_scan(scan)
        if self.scans == 0:
            self.first_scan_s = time.monotonic()
            if self.session.mode != "localization":
                self.mapped.set(True)
        self.scans += 1
        self.scan_at_s = time.monotonic()
        self.map_is_new = self.map_is_new or self.session.mode != "localization"
        self.last_reason = result.reason
        self.stamp_ns = result.stamp_ns
        may_drive = self.session.place_known() and self.map_is_said
        if not self.map_is_said:
            self.publish_map()
        self.publish_pose(result, may_drive)

    def on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        if not self.active:
            return
        frame, T_map_base = message.header.frame_id.lstrip("/"), convert.pose_of(message.pose.pose)
        if frame != self.settings.map_frame:
            self.refused.note(f"initialpose in frame '{frame}'")
        elif not np.isfinite(T_map_base).all():
            self.refused.note("initialpose that is no pose")
        else:
            covariance = convert.planar_covariance_of(message)
            sure = np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance)[0] > 0.0
            self.session.estimator.set_pose(T_map_base, covariance if sure else None)
            self.get_logger().info(f"the pose was set to {np.round(T_map_base, 2).tolist()}")

    def publish_pose(self, result: ScanResult, may_drive: bool) -> None:
        """The pose, and map → odom where it may be driven by: the place is known, and in which map."""
        s = self.settings
        self.pose_publisher.publish(
            convert.pose_with_covariance_msg(result.stamp_ns, s.map_frame, result.T_map_base, result.covariance)
        )
        T_map_odom = self.session.estimator.T_map_odom()
        valid_until_ns = result.stamp_ns + int(s.transform_tolerance_s * convert.NS)
        transforms = []
        if may_drive:
            transforms.append(convert.transform_msg(valid_until_ns, s.map_frame, s.odom_frame, T_map_odom))
        if not s.use_odometry:
            T_odom_base = compose(inverse(T_map_odom), result.T_map_base)
            transforms.append(convert.transform_msg(result.stamp_ns, s.odom_frame, s.base_frame, T_odom_base))
        self.tf_publisher.publish(TFMessage(transforms=transforms))

    def publish_map(self) -> None:
        if not (self.active and self.map_is_new):
            return
        grid = self.session.estimator.grid()
        if grid.cells.size == 0:
            return
        self.map_is_new, self.map_is_said = False, True
        frame = self.settings.map_frame
        self.map_publisher.publish(convert.grid_msg(grid, self.stamp_ns, frame, self.began_ns))
        stamps_ns, poses = self.session.estimator.trajectory(every=1 + self.scans // SCANS_CONSIDERED)
        path = Path()
        path.header.frame_id, path.header.stamp = frame, convert.time_of(self.stamp_ns)
        for i in evenly_along(poses, PATH_POSES):
            pose = PoseStamped(pose=convert.pose_msg(poses[i]))
            pose.header.frame_id, pose.header.stamp = frame, convert.time_of(int(stamps_ns[i]))
            path.poses.append(pose)
        self.path_publisher.publish(path)

    def save_map(self, request: FilePathSrv.Request) -> str:
        grid = self.session.estimator.grid()
        if grid.cells.size == 0:
            raise InputError("there is no map yet", "wait for the first scan")
        return f"map written: {save_map(grid, _named(request))}"

    def save_graph(self, request: FilePathSrv.Request) -> str:
        self.session.save_graph(_named(request))
        return f"graph written: {request.path}"

    def open_map(self, request: FilePathSrv.Request) -> str:
        return self._change(self.session.mode, _named(request))

    def set_mode(self, request: SetSlamMode.Request) -> str:
        return self._change(request.mode, FilePath(request.path) if request.path else None)

    def _change(self, mode: str, path: FilePath | None) -> str:
        if path is None:
            self.session.switch(mode)
        else:
            self.session.open(mode, path)
            self._begin(path)
            self.anew = False
        self.map_is_new = True
        self.last_reason = "no scan yet"
        what = f"{mode} with {path or 'the present map'}"
        self.get_logger().info(what)
        return what

    def pause(self, request: SetBool.Request) -> str:
        self.paused = request.data
        return "scans are left out until pause is called with false" if self.paused else "scans are used again"

    def look_everywhere(self, request: Empty.Request) -> str:
        self.session.forget_pose()
        return "the robot is looked for in the whole map"

    def diagnose(self) -> Health:
        session = self.session
        values = {
            "mode": session.mode,
            "confidence": round(session.confidence(), 2),
            "scans": self.scans,
            **session.estimator.health(),
            **self.refused.values(),
        }
        if self.paused:
            return Health(WARN, "paused", values)
        if self.scans == 0:
            refused = self.refused.recent()
            return Health(ERROR if refused else WARN, refused or "no scan received", values)
        silent_s = time.monotonic() - self.scan_at_s
        if silent_s > SILENT_S:
            why = f": {refused}" if (refused := self.refused.recent()) else ""
            return Health(WARN, f"no usable scan for {silent_s:.0f} s{why}", values)
        if not session.place_known():
            return Health(ERROR, f"the place is not known: {self.last_reason}", values)
        if self.last_reason:
            return Health(WARN, self.last_reason, values)
        if self.anew and time.monotonic() - self.first_scan_s < ANEW_S:
            return Health(WARN, "mapping began anew: the map of before is gone", values)
        return Health(OK, session.mode, values)


def _named(request: FilePathSrv.Request) -> FilePath:
    if not request.path:
        raise InputError("the request names no path", "give the path of a file")
    return FilePath(request.path)


def main() -> None:
    """Run the node."""
    run(SlamNode)


if __name__ == "__main__":
    main()
