"""Small recordings made for tests, in every format that is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from nanorover.geometry.frames import transform_of
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import compose
from nanorover.replay.messages import Encoder
from nanorover.replay.records import Record, StaticTransform, TrueMap, TruePose
from nanorover.replay.writer import BagWriter

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS
TYPES = get_typestore(Stores.ROS2_JAZZY)


def scan(stamp_ns: int, beams: int = 90, **changed: object) -> LaserScan:
    """A scan whose ranges follow from its stamp."""
    ranges_m = np.random.default_rng(stamp_ns % 2**32).uniform(1.0, 5.0, beams).astype(np.float32)
    fields = {"angle_min_rad": -1.5, "angle_increment_rad": 0.035, "range_min_m": 0.1, "range_max_m": 12.0}
    return LaserScan(**{"stamp_ns": stamp_ns, "ranges_m": ranges_m, **fields, **changed})


def drive(count: int = 50) -> Iterator[Record]:
    """Odometry and a scan ten times a second."""
    for i in range(count):
        stamp_ns = START_NS + i * NS // 10
        yield Odometry(stamp_ns, np.array([0.02 * i, 0.0, 0.01 * i]))
        yield scan(stamp_ns + 1)


def write_mcap(path: Path, records: Iterator[Record], chunk_bytes: int = 2000) -> Path:
    """A bag as the project writes it; returns its one mcap file."""
    with BagWriter(path, chunk_bytes=chunk_bytes) as writer:
        for record in records:
            writer.write(record)
    return path / f"{path.name}_0.mcap"


def write_rosbag2(path: Path, records: Iterator[Record], packed: str = "") -> Path:
    """A bag in sqlite3 as ``ros2 bag`` of older distributions writes it; ``packed`` by ``message`` or ``file``."""
    writer = Ros2Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3)
    if packed:
        writer.set_compression(CompressionMode[packed.upper()], CompressionFormat.ZSTD)
    with writer:
        encoder, connections = Encoder(), {}
        for record in records:
            topic, msgtype, data = encoder.encode(record)
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=TYPES)
            writer.write(connections[topic], record.stamp_ns, data)
    return path


def write_ros1(path: Path, records: Iterator[Record], packed: str = "", chunk_bytes: int | None = None) -> Path:
    """A ROS 1 bag with the same content; ``packed`` with bz2 or lz4."""
    ros1 = get_typestore(Stores.ROS1_NOETIC)
    writer = Ros1Writer(path)
    if packed:
        writer.set_compression(Ros1Writer.CompressionFormat[packed.upper()])
    writer.chunk_threshold = chunk_bytes or writer.chunk_threshold
    with writer:
        encoder, connections = Encoder(), {}
        for record in records:
            topic, msgtype, data = encoder.encode(record)
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=ros1)
            content = _with_sequence_numbers(TYPES.deserialize_cdr(data, msgtype), ros1)
            writer.write(connections[topic], record.stamp_ns, ros1.serialize_ros1(content, msgtype))
    return path


def _with_sequence_numbers(content: Any, ros1: Typestore) -> Any:
    """The message with the headers of ROS 1, which count."""
    for inner in (content, *getattr(content, "transforms", ())):
        if hasattr(inner, "header"):
            numbered = ros1.types["std_msgs/msg/Header"](
                seq=0, stamp=inner.header.stamp, frame_id=inner.header.frame_id
            )
            object.__setattr__(inner, "header", numbered)
    return content


def message(msgtype: str, **fields: Any) -> Any:
    """A message by field names; what is not named is zero or empty."""
    return TYPES.types[msgtype](**fields)


def header(stamp_ns: int, frame: str) -> object:
    """A message header."""
    stamp = message("builtin_interfaces/msg/Time", sec=stamp_ns // NS, nanosec=stamp_ns % NS)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def transforms(stamp_ns: int, *edges: tuple[str, str, float, float]) -> bytes:
    """CDR bytes of a TFMessage with edges ``(parent, child, x, roll)``."""
    stamped = []
    for parent, child, x, roll in edges:
        translation = message("geometry_msgs/msg/Vector3", x=x, y=0.0, z=0.0)
        rotation = message(
            "geometry_msgs/msg/Quaternion", x=float(np.sin(roll / 2)), y=0.0, z=0.0, w=float(np.cos(roll / 2))
        )
        transform = message("geometry_msgs/msg/Transform", translation=translation, rotation=rotation)
        stamped.append(
            message(
                "geometry_msgs/msg/TransformStamped",
                header=header(stamp_ns, parent),
                child_frame_id=child,
                transform=transform,
            )
        )
    content = message("tf2_msgs/msg/TFMessage", transforms=stamped)
    return bytes(TYPES.serialize_cdr(content, "tf2_msgs/msg/TFMessage"))


# An empty room of 6 × 4 m around the origin of the map, seen by a robot that drives an ellipse in it.
HALF_X_M, HALF_Y_M = 3.0, 2.0
T_BASE_LASER = np.array([0.1, 0.0, 0.0])
BEARINGS_RAD = np.linspace(-np.pi, np.pi, 360, endpoint=False)


def room_scan(stamp_ns: int, T_map_base: np.ndarray) -> LaserScan:
    """The exact scan of the room from a pose of the base."""
    x, y, yaw = compose(T_map_base, T_BASE_LASER)
    c, s = np.cos(BEARINGS_RAD + yaw), np.sin(BEARINGS_RAD + yaw)
    with np.errstate(divide="ignore"):
        to_x = np.where(c > 0, (HALF_X_M - x) / c, (-HALF_X_M - x) / c)
        to_y = np.where(s > 0, (HALF_Y_M - y) / s, (-HALF_Y_M - y) / s)
    return LaserScan(
        stamp_ns=stamp_ns,
        ranges_m=np.minimum(to_x, to_y).astype(np.float32),
        angle_min_rad=-np.pi,
        angle_increment_rad=2 * np.pi / 360,
        range_min_m=0.1,
        range_max_m=16.0,
        T_base_laser=T_BASE_LASER,
    )


def room_map() -> TrueMap:
    """The room as a grid of 5 cm; its walls are two cells thick."""
    cells = np.zeros((84, 124), np.int8)
    cells[:2], cells[-2:], cells[:, :2], cells[:, -2:] = 100, 100, 100, 100
    return TrueMap(START_NS, cells, 0.05, np.array([-HALF_X_M - 0.1, -HALF_Y_M - 0.1, 0.0]))


def room_drive(seconds: float = 20.0) -> Iterator[Record]:
    """A drive through the room at 10 Hz with wheels that read 3 % long, and with its truth."""
    yield room_map()
    yield StaticTransform(START_NS, "base_link", "laser", transform_of((*T_BASE_LASER[:2], 0.0), (0, 0, 0, 1)))
    true = np.array([1.5, 0.0, np.pi / 2])
    wheels = np.zeros(3)
    for i in range(round(seconds * 10)):
        stamp_ns = START_NS + NS + i * NS // 10
        step = np.array([0.03, 0.0, 0.02])
        yield TruePose(stamp_ns, true)
        yield Odometry(stamp_ns, wheels)
        yield room_scan(stamp_ns + 1, true)
        true, wheels = compose(true, step), compose(wheels, step * [1.03, 1.0, 1.0])
