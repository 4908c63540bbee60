"""Messages to library types and back. Nothing here decides anything."""

from array import array
from importlib import import_module
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Pose as PoseMsg
from geometry_msgs.msg import PoseWithCovarianceStamped, Quaternion, TransformStamped, Twist
from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
from nav_msgs.msg import Odometry as OdometryMsg
from numpy.typing import NDArray
from sensor_msgs.msg import Image as ImageMsg
from sensor_msgs.msg import LaserScan as LaserScanMsg
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from nanorover.base.gate import Velocity
from nanorover.geometry.frames import Transform, transform_of
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, quaternion_of_yaw, yaw_of_quaternion
from nanorover.lidar.assemble import Revolution
from nanorover.mapping.grid import OccupancyGrid

NS = 1_000_000_000

# One point of a lidar's revolution.
POINT = np.dtype([(name, "<f4") for name in ("x", "y", "z", "intensity", "time")])

# What cmd_vel is instead of a Twist where ``enable_stamped_cmd_vel`` is set.
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"

LEVELS = {
    DiagnosticStatus.OK: "OK",
    DiagnosticStatus.WARN: "WARN",
    DiagnosticStatus.ERROR: "ERROR",
    DiagnosticStatus.STALE: "STALE",
}

# Rows and columns of x, y and yaw in the 6 × 6 covariance of a ROS pose.
PLANAR = np.array([0, 1, 5])


def message_class(type_name: str) -> Any:
    """The class of a type such as ``sensor_msgs/msg/LaserScan``."""
    package, kind, name = type_name.split("/")
    return getattr(import_module(f"{package}.{kind}"), name)


def stamp_ns_of(stamp: Time) -> int:
    """Nanoseconds of a ROS time."""
    return stamp.sec * NS + stamp.nanosec


def time_of(stamp_ns: int) -> Time:
    """A ROS time of nanoseconds."""
    return Time(sec=int(stamp_ns // NS), nanosec=int(stamp_ns % NS))


def quaternion_msg(yaw_rad: float) -> Quaternion:
    """A rotation about the vertical."""
    x, y, z, w = quaternion_of_yaw(yaw_rad)
    return Quaternion(x=x, y=y, z=z, w=w)


def pose_msg(pose: Pose) -> PoseMsg:
    """A planar pose as a message."""
    message = PoseMsg()
    message.position.x, message.position.y = float(pose[0]), float(pose[1])
    message.orientation = quaternion_msg(float(pose[2]))
    return message


def pose_of(message: PoseMsg) -> Pose:
    """The planar part of a pose."""
    q = message.orientation
    return np.array([message.position.x, message.position.y, yaw_of_quaternion(q.x, q.y, q.z, q.w)])


def transform_of_msg(message: TransformStamped) -> Transform:
    """The homogeneous matrix of a stamped transform; ValueError when it is none."""
    t, q = message.transform.translation, message.transform.rotation
    return transform_of((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))


def transform_msg(stamp_ns: int, parent: str, child: str, T_parent_child: Pose) -> TransformStamped:
    """A planar transform as a message."""
    message = TransformStamped()
    message.header.stamp = time_of(stamp_ns)
    message.header.frame_id, message.child_frame_id = parent, child
    message.transform.translation.x = float(T_parent_child[0])
    message.transform.translation.y = float(T_parent_child[1])
    message.transform.rotation = quaternion_msg(float(T_parent_child[2]))
    return message


def twist_msg(velocity: Velocity) -> Twist:
    """A planar velocity as a message."""
    message = Twist()
    message.linear.x, message.angular.z = velocity.linear_m_s, velocity.angular_rad_s
    return message


def level_of(status: DiagnosticStatus) -> str:
    """OK, WARN, ERROR or STALE."""
    return LEVELS[bytes(status.level)]


def scan_of(message: LaserScanMsg, T_base_laser: Pose, upside_down: bool = False) -> LaserScan:
    """A scan message in library terms."""
    return LaserScan.of(message, stamp_ns_of(message.header.stamp)).mounted(T_base_laser, upside_down)


def scan_msg(scan: LaserScan) -> LaserScanMsg:
    """A scan as a message."""
    message = LaserScanMsg()
    message.header.stamp = time_of(scan.stamp_ns)
    message.header.frame_id = scan.frame_id
    message.angle_min = float(scan.angle_min_rad)
    message.angle_increment = float(scan.angle_increment_rad)
    message.angle_max = float(scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges_m) - 1))
    message.time_increment, message.scan_time = float(scan.time_increment_s), float(scan.scan_time_s)
    message.range_min, message.range_max = float(scan.range_min_m), float(scan.range_max_m)
    message.ranges = array("f", np.ascontiguousarray(scan.ranges_m, dtype=np.float32).tobytes())
    return message


def points_msg(revolution: Revolution) -> PointCloud2:
    """All returns of a revolution in the sensor frame, each with its time in seconds after the stamp."""
    points = np.zeros(len(revolution.range_m), POINT)
    points["x"] = revolution.range_m * np.cos(revolution.bearing_rad)
    points["y"] = revolution.range_m * np.sin(revolution.bearing_rad)
    points["intensity"], points["time"] = revolution.intensity, revolution.time_s
    message = PointCloud2(height=1, width=len(points), is_dense=True)
    message.header.stamp, message.header.frame_id = time_of(revolution.scan.stamp_ns), revolution.scan.frame_id
    message.fields = [
        PointField(name=name, offset=POINT.fields[name][1], datatype=PointField.FLOAT32, count=1)
        for name in POINT.names
    ]
    message.point_step, message.row_step = POINT.itemsize, points.nbytes
    message.data = array("B", points.tobytes())
    return message


def odometry_of(message: OdometryMsg) -> Odometry:
    """The planar part of an odometry message."""
    return Odometry(stamp_ns_of(message.header.stamp), pose_of(message.pose.pose))


def odometry_msg(odometry: Odometry, odom_frame: str, base_frame: str) -> OdometryMsg:
    """An odometry reading as a message, without velocities."""
    message = OdometryMsg()
    message.header.stamp = time_of(odometry.stamp_ns)
    message.header.frame_id, message.child_frame_id = odom_frame, base_frame
    message.pose.pose = pose_msg(odometry.T_odom_base)
    return message


def pose_with_covariance_msg(
    stamp_ns: int, frame: str, pose: Pose, covariance: np.ndarray
) -> PoseWithCovarianceStamped:
    """A planar pose with its ``(3, 3)`` covariance of x, y, yaw."""
    message = PoseWithCovarianceStamped()
    message.header.stamp = time_of(stamp_ns)
    message.header.frame_id = frame
    message.pose.pose = pose_msg(pose)
    full = np.zeros((6, 6))
    full[np.ix_(PLANAR, PLANAR)] = covariance
    message.pose.covariance = full.ravel()
    return message


def planar_covariance_of(message: PoseWithCovarianceStamped) -> np.ndarray:
    """The ``(3, 3)`` covariance of x, y, yaw."""
    return np.asarray(message.pose.covariance).reshape(6, 6)[np.ix_(PLANAR, PLANAR)]


def grid_msg(grid: OccupancyGrid, stamp_ns: int, frame: str, began_ns: int = 0) -> OccupancyGridMsg:
    """An occupancy grid as a message; filled through ``array``, a list costs a thousand times more.

    ``began_ns`` tells apart frames of the same name: maps that carry the same one share places. 0 says nothing.
    """
    message = OccupancyGridMsg()
    message.header.stamp = time_of(stamp_ns)
    message.header.frame_id = frame
    message.info.map_load_time = time_of(began_ns)
    message.info.resolution = float(grid.resolution_m)
    message.info.height, message.info.width = (int(n) for n in grid.cells.shape)
    message.info.origin = pose_msg(grid.T_map_origin)
    message.data = array("b", np.ascontiguousarray(grid.cells, dtype=np.int8).tobytes())
    return message


def image_msg(header: Header, image_bgr: NDArray[np.uint8]) -> ImageMsg:
    """An ``(H, W, 3)`` BGR picture; filled through ``array``, a list costs a thousand times more."""
    height, width = image_bgr.shape[:2]
    message = ImageMsg(header=header, height=height, width=width, encoding="bgr8", step=3 * width)
    message.data = array("B", np.ascontiguousarray(image_bgr).tobytes())
    return message
