"""ROS messages ↔ records: fields only, no decisions. The messages are those of ``rosbags``.

REP-103 (units, axes), REP-117 (no return is +inf, too near is −inf).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from nanorover.errors import InputError
from nanorover.geometry.frames import Transform, quaternion_of, transform_of
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, quaternion_of_yaw, yaw_of_quaternion
from nanorover.replay.records import (
    RAW_CHANNELS,
    CameraInfo,
    LidarBytes,
    Picture,
    Problems,
    Record,
    StaticTransform,
    TrueBoxes,
    TrueMap,
    TrueObjects,
    TruePose,
    VelocityCommand,
)

NS = 1_000_000_000

SCAN = "sensor_msgs/msg/LaserScan"
ODOMETRY = "nav_msgs/msg/Odometry"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POSE = "geometry_msgs/msg/PoseStamped"
GRID = "nav_msgs/msg/OccupancyGrid"
TWIST = "geometry_msgs/msg/Twist"
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
MARKER = "visualization_msgs/msg/Marker"
MARKERS = "visualization_msgs/msg/MarkerArray"
BYTES = "std_msgs/msg/UInt8MultiArray"
TF = "tf2_msgs/msg/TFMessage"
TF_ROS1 = "tf/msg/tfMessage"
FLOAT = "std_msgs/msg/Float64"

# Of visualization_msgs/Marker.
CUBE, LINE_STRIP = 1, 4
LINE_M = 0.005
SOLID, FAINT = 1.0, 0.4  # opacity of a mark; a faint one is not to be judged by


@cache
def typestore() -> Typestore:
    """The message types of ROS 2 Jazzy."""
    return get_typestore(Stores.ROS2_JAZZY)


@dataclass(frozen=True)
class Edge:
    """One transform out of a TFMessage."""

    stamp_ns: int
    parent: str
    child: str
    T_parent_child: Transform


def stamp_ns_of(message: Any) -> int | None:
    """The header's stamp, or None where a message has no header."""
    header = getattr(message, "header", None)
    return None if header is None else header.stamp.sec * NS + header.stamp.nanosec


def frame_name(name: str) -> str:
    """A frame without the leading slash that ROS 1 allowed."""
    return name.lstrip("/")


def planar(pose: Any) -> Pose:
    """The planar part of a geometry_msgs/Pose."""
    q = pose.orientation
    return np.array([pose.position.x, pose.position.y, yaw_of_quaternion(q.x, q.y, q.z, q.w)])


def scan_of(message: Any, stamp_ns: int, problems: Problems, place: str) -> LaserScan:
    """A scan with REP-117 ranges; zeros and NaN, which drivers use for "nothing seen", are counted."""
    ranges_m = np.array(message.ranges, dtype=np.float32)
    zero, nan = ranges_m == 0.0, np.isnan(ranges_m)
    if zero.any():
        problems.add("range 0 taken as no return", place, int(zero.sum()))
    if nan.any():
        problems.add("range NaN taken as no return", place, int(nan.sum()))
    near = (ranges_m < message.range_min) & ~zero
    ranges_m[near] = -np.inf
    ranges_m[zero | nan | (ranges_m > message.range_max)] = np.inf
    return replace(LaserScan.of(message, stamp_ns), ranges_m=ranges_m)


def edges_of(message: Any) -> Iterator[Edge]:
    """The transforms of a TFMessage; ValueError for one that is none."""
    for transform in message.transforms:
        t, q = transform.transform.translation, transform.transform.rotation
        yield Edge(
            stamp_ns_of(transform) or 0,
            frame_name(transform.header.frame_id),
            frame_name(transform.child_frame_id),
            transform_of((t.x, t.y, t.z), (q.x, q.y, q.z, q.w)),
        )


def _picture_of(message: Any, stamp_ns: int) -> Picture:
    frame = frame_name(message.header.frame_id)
    if hasattr(message, "format"):
        # "jpeg", "rgb8; jpeg compressed bgr8", "png" …: image_transport's free text names the file format.
        encoding = "png" if "png" in message.format else "jpeg"
        return Picture(stamp_ns, message.data.tobytes(), encoding, frame_id=frame)
    row_bytes = message.step * message.height and len(message.data) // message.height
    rows = np.asarray(message.data).reshape(message.height, row_bytes)
    packed = rows[:, : message.width * (1 if message.encoding == "mono8" else 3)]
    return Picture(stamp_ns, packed.tobytes(), message.encoding, message.width, message.height, frame)


def _raw_picture_of(message: Any, stamp_ns: int) -> Picture:
    """A raw picture; in an encoding that ``Picture`` does not have as BGR, and as it is where nothing reads it."""
    from nanorover.perception.images import image_of

    if message.encoding in RAW_CHANNELS:
        return _picture_of(message, stamp_ns)
    try:
        bgr = image_of(message, "")
    except InputError:  # whoever wants the picture gets this in words
        return _picture_of(message, stamp_ns)
    frame = frame_name(message.header.frame_id)
    return Picture(stamp_ns, bgr.tobytes(), "bgr8", message.width, message.height, frame)


def _camera_info_of(message: Any, stamp_ns: int) -> CameraInfo:
    K = message.k if hasattr(message, "k") else message.K  # ROS 1 writes it in capitals
    distortion = message.d if hasattr(message, "d") else message.D
    return CameraInfo(
        stamp_ns,
        message.width,
        message.height,
        np.array(K, dtype=np.float64).reshape(3, 3),
        np.array(distortion, dtype=np.float64),
        message.distortion_model,
        frame_name(message.header.frame_id),
    )


def _grid_of(message: Any, stamp_ns: int) -> TrueMap:
    cells = np.array(message.data, dtype=np.int8).reshape(message.info.height, message.info.width)
    resolution_m = round(float(message.info.resolution), 6)  # the message has it in single precision
    return TrueMap(stamp_ns, cells, resolution_m, planar(message.info.origin))


def _velocity_of(message: Any, stamp_ns: int) -> VelocityCommand:
    twist = getattr(message, "twist", message)
    return VelocityCommand(stamp_ns, twist.linear.x, twist.angular.z)


def _true_objects_of(message: Any, stamp_ns: int) -> TrueObjects:
    marks = message.markers
    sizes = [(mark.scale.x, mark.scale.y, mark.scale.z) for mark in marks]
    return TrueObjects(
        stamp_ns,
        tuple(mark.text for mark in marks),
        tuple(mark.ns for mark in marks),
        np.array([planar(mark.pose) for mark in marks], dtype=np.float64).reshape(-1, 3),
        np.array(sizes, dtype=np.float64).reshape(-1, 3),
    )


def _true_boxes_of(message: Any, stamp_ns: int) -> TrueBoxes:
    if any(len(mark.points) < 3 for mark in message.markers):
        raise ValueError("a box without corners")
    corners = [(mark.points[0], mark.points[2]) for mark in message.markers]
    boxes_m = np.array([(a.x, a.y, b.x, b.y) for a, b in corners], dtype=np.float64).reshape(-1, 4)
    fair = np.array([mark.color.a > (SOLID + FAINT) / 2 for mark in message.markers], dtype=bool)
    return TrueBoxes(stamp_ns, tuple(mark.ns for mark in message.markers), boxes_m, fair)


# Role → record, for the types that come in several roles.
RECORD_OF_ROLE: dict[str, Callable[[Any, int], Record]] = {
    "truth_objects": _true_objects_of,
    "truth_boxes": _true_boxes_of,
}

# Message type → record, for the types where nothing but the message is needed.
RECORD_OF: dict[str, Callable[[Any, int], Record]] = {
    ODOMETRY: lambda message, stamp_ns: Odometry(stamp_ns, planar(message.pose.pose)),
    IMAGE: _raw_picture_of,
    COMPRESSED: _picture_of,
    CAMERA_INFO: _camera_info_of,
    POSE: lambda message, stamp_ns: TruePose(stamp_ns, planar(message.pose)),
    GRID: _grid_of,
    TWIST: _velocity_of,
    TWIST_STAMPED: _velocity_of,
    BYTES: lambda message, stamp_ns: LidarBytes(stamp_ns, message.data.tobytes()),
}


def compressed(image: bytes, quality: int) -> bytes:
    """CDR bytes of a sensor_msgs/Image as those of a CompressedImage: JPEG.

    Raises InputError for an encoding that has no JPEG (depth, Bayer).
    """
    message: Any = typestore().deserialize_cdr(image, IMAGE)
    jpeg = np.frombuffer(_picture_of(message, 0).as_jpeg(quality), np.uint8)
    content = typestore().types[COMPRESSED](message.header, "jpeg", jpeg)
    return bytes(typestore().serialize_cdr(content, COMPRESSED))


def without_transforms_from(message: bytes, parent: str) -> bytes | None:
    """CDR bytes of a TFMessage without the transforms of this parent; None when nothing is left."""
    content: Any = typestore().deserialize_cdr(message, TF)
    kept = [transform for transform in content.transforms if frame_name(transform.header.frame_id) != parent]
    if len(kept) == len(content.transforms):
        return message
    return bytes(typestore().serialize_cdr(typestore().types[TF](kept), TF)) if kept else None


def frames_placed(message: bytes) -> frozenset[str]:
    """The child frames in the CDR bytes of a TFMessage; none in a damaged one."""
    try:
        content: Any = typestore().deserialize_cdr(message, TF)
    except Exception:  # generated code meets damaged bytes: anything can come of it
        return frozenset()
    return frozenset(transform.child_frame_id for transform in content.transforms)


class Encoder:
    """Records as ROS 2 messages: ``encode(record)`` gives topic, type and CDR bytes.

    The topics are those that ``open_log`` looks for first.
    """

    def __init__(self, map_frame: str = "map", odom_frame: str = "odom", base_frame: str = "base_link") -> None:
        self._map, self._odom, self._base = map_frame, odom_frame, base_frame
        self._types = typestore().types

    def encode(self, record: Record) -> tuple[str, str, bytes]:
        """Topic, message type and CDR bytes of a record."""
        topic, message = self._MESSAGE_OF[type(record)](self, record)
        return topic, message.__msgtype__, bytes(typestore().serialize_cdr(message, message.__msgtype__))

    def _make(self, msgtype: str, *fields: Any) -> Any:
        return self._types[msgtype](*fields)

    def _header(self, stamp_ns: int, frame: str) -> Any:
        stamp = self._make("builtin_interfaces/msg/Time", stamp_ns // NS, stamp_ns % NS)
        return self._make("std_msgs/msg/Header", stamp, frame)

    def _vector(self, x: float, y: float, z: float, kind: str = "Vector3") -> Any:
        return self._make(f"geometry_msgs/msg/{kind}", float(x), float(y), float(z))

    def _pose(self, pose: Pose) -> Any:
        quaternion = self._make("geometry_msgs/msg/Quaternion", *quaternion_of_yaw(float(pose[2])))
        return self._make("geometry_msgs/msg/Pose", self._vector(pose[0], pose[1], 0.0, "Point"), quaternion)

    def _twist(self, linear: float, angular: float) -> Any:
        return self._make(TWIST, self._vector(linear, 0.0, 0.0), self._vector(0.0, 0.0, angular))

    def _scan(self, scan: LaserScan) -> tuple[str, Any]:
        ranges_m = np.ascontiguousarray(scan.ranges_m, dtype=np.float32)
        last = scan.angle_min_rad + scan.angle_increment_rad * (len(ranges_m) - 1)
        angles = (scan.angle_min_rad, last, scan.angle_increment_rad)
        timing = (scan.time_increment_s, scan.scan_time_s)
        limits = (scan.range_min_m, scan.range_max_m)
        header = self._header(scan.stamp_ns, scan.frame_id)
        return "/scan", self._make(SCAN, header, *angles, *timing, *limits, ranges_m, np.zeros(0, np.float32))

    def _odometry(self, odometry: Odometry) -> tuple[str, Any]:
        pose = self._make("geometry_msgs/msg/PoseWithCovariance", self._pose(odometry.T_odom_base), np.zeros(36))
        twist = self._make("geometry_msgs/msg/TwistWithCovariance", self._twist(0.0, 0.0), np.zeros(36))
        return "/odom", self._make(ODOMETRY, self._header(odometry.stamp_ns, self._odom), self._base, pose, twist)

    def _picture(self, picture: Picture) -> tuple[str, Any]:
        data = np.frombuffer(picture.jpeg, np.uint8)
        header = self._header(picture.stamp_ns, picture.frame_id)
        return "/camera/image_raw/compressed", self._make(COMPRESSED, header, "jpeg", data)

    def _camera_info(self, info: CameraInfo) -> tuple[str, Any]:
        P = np.zeros((3, 4))
        P[:, :3] = info.K
        region = self._make("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        model = (info.distortion_model, info.distortion, info.K.ravel(), np.eye(3).ravel(), P.ravel())
        size = (info.height_px, info.width_px)
        header = self._header(info.stamp_ns, info.frame_id)
        return "/camera/camera_info", self._make(CAMERA_INFO, header, *size, *model, 0, 0, region)

    def _true_pose(self, truth: TruePose) -> tuple[str, Any]:
        header = self._header(truth.stamp_ns, self._map)
        return "/truth/pose", self._make(POSE, header, self._pose(truth.T_map_base))

    def _true_map(self, truth: TrueMap) -> tuple[str, Any]:
        header = self._header(truth.stamp_ns, self._map)
        height, width = truth.cells.shape
        shape = (truth.resolution_m, width, height, self._pose(truth.T_map_origin))
        info = self._make("nav_msgs/msg/MapMetaData", header.stamp, *shape)
        return "/truth/map", self._make(GRID, header, info, np.ascontiguousarray(truth.cells).ravel())

    def _true_objects(self, truth: TrueObjects) -> tuple[str, Any]:
        """Boxes on the floor, as viewers show them: the class as name space, the name as text."""
        marks = []
        for n, (name, kind) in enumerate(zip(truth.names, truth.kinds, strict=True)):
            pose, size_m = self._pose(truth.T_map_object[n]), truth.size_m[n]
            pose.position.z = float(size_m[2]) / 2.0
            head = (self._header(truth.stamp_ns, self._map), kind, n, CUBE, 0, pose, self._vector(*size_m))
            marks.append(self._mark(head, SOLID, [], name))
        return "/truth/objects", self._make(MARKERS, marks)

    def _true_boxes(self, truth: TrueBoxes) -> tuple[str, Any]:
        """Frames one metre before the camera."""
        marks = []
        for n, (kind, (x0, y0, x1, y1)) in enumerate(zip(truth.kinds, truth.boxes_m, strict=True)):
            corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
            points = [self._vector(x, y, 1.0, "Point") for x, y in corners]
            pose, line = self._pose(np.zeros(3)), self._vector(LINE_M, 0.0, 0.0)
            head = (self._header(truth.stamp_ns, truth.frame_id), kind, n, LINE_STRIP, 0, pose, line)
            marks.append(self._mark(head, SOLID if truth.fair[n] else FAINT, points, ""))
        return "/truth/boxes", self._make(MARKERS, marks)

    def _mark(self, head: tuple[Any, ...], opacity: float, points: list[Any], text: str) -> Any:
        """A visualization_msgs/Marker: ``head`` are its fields up to the scale."""
        colour = self._make("std_msgs/msg/ColorRGBA", 1.0, 1.0, 1.0, opacity)
        always = self._make("builtin_interfaces/msg/Duration", 0, 0)
        texture = self._make(COMPRESSED, self._header(0, ""), "", np.zeros(0, np.uint8))
        mesh = self._make("visualization_msgs/msg/MeshFile", "", np.zeros(0, np.uint8))
        return self._make(MARKER, *head, colour, always, False, points, [], "", texture, [], text, "", mesh, False)

    def _velocity(self, command: VelocityCommand) -> tuple[str, Any]:
        return "/cmd_vel", self._twist(command.linear_m_s, command.angular_rad_s)

    def _static_transform(self, mounting: StaticTransform) -> tuple[str, Any]:
        T = mounting.T_parent_child
        quaternion = self._make("geometry_msgs/msg/Quaternion", *quaternion_of(T))
        transform = self._make("geometry_msgs/msg/Transform", self._vector(*T[:3, 3]), quaternion)
        header = self._header(mounting.stamp_ns, mounting.parent)
        stamped = self._make("geometry_msgs/msg/TransformStamped", header, mounting.child, transform)
        return "/tf_static", self._make(TF, [stamped])

    def _lidar_bytes(self, chunk: LidarBytes) -> tuple[str, Any]:
        layout = self._make("std_msgs/msg/MultiArrayLayout", [], 0)
        return "/lidar/raw", self._make(BYTES, layout, np.frombuffer(chunk.data, np.uint8))

    _MESSAGE_OF: dict[type, Callable[[Any, Any], tuple[str, Any]]] = {
        LaserScan: _scan,
        Odometry: _odometry,
        Picture: _picture,
        CameraInfo: _camera_info,
        TruePose: _true_pose,
        TrueMap: _true_map,
        TrueObjects: _true_objects,
        TrueBoxes: _true_boxes,
        VelocityCommand: _velocity,
        StaticTransform: _static_transform,
        LidarBytes: _lidar_bytes,
    }
