"""What a recording or the running robot shows, in the form that the checks look at."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.frames import transform_of
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.messages import frame_name, planar
from nanorover.replay.records import Problems
from nanorover.replay.storage import UndecodableError, open_storages
from nanorover.tables import Qos

SCAN, ODOMETRY = "sensor_msgs/msg/LaserScan", "nav_msgs/msg/Odometry"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
STAMPED = (
    SCAN,
    ODOMETRY,
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
)


@dataclass(frozen=True)
class Edge:
    """One transform as it was sent."""

    stamp_ns: int
    received_ns: int
    parent: str
    child: str
    static: bool
    T_parent_child: NDArray[np.float64] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Endpoint:
    """One publisher or subscription of the running graph."""

    topic: str
    type: str
    node: str
    publishes: bool
    qos: Qos


@dataclass
class Evidence:
    """Scans and odometry in the order of their arrival, transforms, clocks; of a live robot also its graph.

    ``clocks`` maps a topic to pairs (stamp in the header, time of arrival).
    """

    scans: list[LaserScan] = field(default_factory=list)
    odometry: list[Odometry] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    clocks: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    endpoints: list[Endpoint] = field(default_factory=list)
    health: dict[str, tuple[str, str]] = field(default_factory=dict)
    live: bool = False
    uses_sim_time: bool = False

    def note(self, topic: str, kind: str, message: Any, received_ns: int, static: bool = False) -> None:
        """Take one message of any of the types that are looked at."""
        if kind in TRANSFORMS:
            self.edges += list(_edges(message, received_ns, static))
            return
        stamp_ns = _stamp_ns(message.header)
        self.clocks.setdefault(topic, []).append((stamp_ns, received_ns))
        if kind == SCAN:
            self.scans.append(LaserScan.of(message, stamp_ns))
        elif kind == ODOMETRY:
            self.odometry.append(Odometry(stamp_ns, planar(message.pose.pose)))


def evidence_of(bag: Path) -> Evidence:
    """What a recording shows. Raises InputError where it cannot be read or holds nothing to look at."""
    if not bag.exists():
        raise InputError(f"{bag} does not exist", "give a rosbag2 folder, an .mcap, .db3 or .bag file")
    evidence, problems = Evidence(), Problems()
    with ExitStack() as stack:
        for storage in open_storages(bag, problems, stack):
            for message in storage.messages():
                if message.type not in (*STAMPED, *TRANSFORMS):
                    continue
                try:
                    content = storage.decode(message)
                except UndecodableError:
                    continue  # damage is named by the reader of recordings; here its neighbours count
                evidence.note(message.topic, message.type, content, message.received_ns, "static" in message.topic)
    if not (evidence.clocks or evidence.edges):
        raise InputError(f"{bag} holds neither scans nor odometry nor transforms", "; ".join(problems.lines()))
    return evidence


def _edges(message: Any, received_ns: int, static: bool) -> Iterator[Edge]:
    for t in message.transforms:
        p, q = t.transform.translation, t.transform.rotation
        try:
            T = transform_of((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
        except ValueError:
            T = np.full((4, 4), np.nan)
        parent, child = frame_name(t.header.frame_id), frame_name(t.child_frame_id)
        yield Edge(_stamp_ns(t.header), received_ns, parent, child, static, T)


def _stamp_ns(header: Any) -> int:
    # ROS 1 says secs and nsecs; rosbags gives both the names of ROS 2.
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)
