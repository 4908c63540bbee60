"""A ROS bag as records: topics chosen, mountings looked up, clocks watched."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from nanorover.errors import InputError
from nanorover.geometry.frames import FrameTree, planar_pose
from nanorover.geometry.scan import LaserScan, Odometry, scan_fault
from nanorover.replay import messages as m
from nanorover.replay.logs import Reading, Wheels
from nanorover.replay.records import Problems, Record, StaticTransform, Summary
from nanorover.replay.storage import RawMessage, Storage, open_storages
from nanorover.replay.topics import ROLES, choose, listing, not_chosen

# Stamps of one robot differ from the time of arrival by transport and drivers, never by this much.
CLOCKS_DIFFER_NS = 60 * m.NS
# Arrival may be late by any stall, but a stamp ahead of all before it by so much is wrong, or the clock was set.
AHEAD_NS = 2 * m.NS
FASTEST = 30  # what a simulation may run at, in multiples of the recorder's clock
# What /tf_static says is known from the start; for a mounting out of /tf, and for the odometry to name the base,
# scans wait this long (in the recording).
MOUNTING_WAIT_NS = 5 * m.NS
BASE_FRAMES = ("base_link", "base_footprint", "base")
TRANSFORMS = (m.TF, m.TF_ROS1)
DAMAGED = (ValueError, AttributeError, TypeError)  # the bag's own definition may lack a field


class BagLog:
    """A rosbag2 or ROS 1 bag; see ``logs.open_log``."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path = path
        self.reading = reading
        self.problems = Problems()
        self.summary = Summary()
        m.typestore()  # making its classes takes a while, which is no part of reading
        with ExitStack() as stack:
            self._open(stack)

    def _open(self, stack: ExitStack) -> list[Storage]:
        self.problems, self.summary = Problems(), Summary()
        storages = open_storages(self.path, self.problems, stack)
        self.topics = {topic: msgtype for storage in storages for topic, msgtype in storage.topics.items()}
        counts = {topic: sum(s.counts.get(topic, 0) for s in storages) for topic in self.topics}
        if not self.topics:
            raise InputError(f"{self.path} holds no messages", "; ".join(self.problems.lines()))
        wheels = self.reading.wheels
        for topic in (wheels.left_topic, wheels.right_topic) if wheels else ():
            if self.topics.get(topic) != m.FLOAT:
                raise InputError(f"{self.path} has no topic {topic} of {m.FLOAT}", listing(self.topics))
        self.summary.topics = choose(self.topics, counts, self.reading.topics, str(self.path))
        self.summary.other_topics = not_chosen(self.topics, self.summary.topics)
        if wheels:
            self.summary.topics["odom"] = f"{wheels.left_topic} and {wheels.right_topic}"
        return storages

    def __iter__(self) -> Iterator[Record]:
        with ExitStack() as stack:
            storages = self._open(stack)
            for record in _with_mountings(self, storages):
                self.summary.count(record)
                yield record


def _with_mountings(log: BagLog, storages: list[Storage]) -> Iterator[Record]:
    """The records, with scans held back until their mounting is known, for a while at most.

    Mountings come first, wherever in the recording they were said: they held all the time.
    """
    reader = _Reader(log)
    for storage in storages:
        for message in storage.messages(reader.static_topics):
            yield from reader.standing(storage, message)
    waiting: deque[tuple[int, Record]] = deque()
    for storage in storages:
        for message in storage.messages():
            for record in reader.read(storage, message):
                waiting.append((message.received_ns, record))
            while waiting:
                first_ns, first = waiting[0]
                ready = reader.mounted(first, message.received_ns - first_ns)
                if ready is None:
                    break
                waiting.popleft()
                yield ready
    for _, left in waiting:
        mounted = reader.mounted(left, MOUNTING_WAIT_NS)
        assert mounted is not None
        yield mounted


class _Reader:
    """Messages to records, with what has to be remembered between them."""

    def __init__(self, log: BagLog) -> None:
        self.log = log
        self.problems = log.problems
        self.roles = {topic: role for role, topic in log.summary.topics.items()}
        self.odometry_in_transforms = "odom" not in log.summary.topics
        transforms = {topic for topic, msgtype in log.topics.items() if msgtype in TRANSFORMS}
        self.static_topics = {topic for topic in transforms if topic.endswith("tf_static")}
        self.has_moving_transforms = bool(transforms - self.static_topics)
        self.odometry_to_come = not log.reading.wheels and (
            not self.odometry_in_transforms or self.has_moving_transforms
        )
        self.tree = FrameTree()
        self.static: dict[str, m.Edge] = {}  # by child, as last said
        self.base_frame: str | None = None
        self.mountings: dict[str, tuple[np.ndarray, bool]] = {}
        self.given_up: set[str] = set()
        self.last_ns: dict[str, int] = {}
        self.beams: int | None = None
        self.offsets: dict[str, int] = {}  # topic → stamp minus time of arrival
        self.foremost: dict[str, int] = {}  # topic → the greatest of these
        self.received_ns: dict[str, int] = {}  # topic → when the last believed stamp arrived
        self.suspects: dict[str, int] = {}
        self.wheels = _WheelOdometry(log.reading.wheels) if log.reading.wheels else None

    def standing(self, storage: Storage, message: RawMessage) -> Iterator[StaticTransform]:
        """The mountings in a message that are said for the first time."""
        try:
            for edge in m.edges_of(storage.decode(message)):
                if edge.child not in self.static:
                    yield self._mounting(edge, message)
        except DAMAGED:
            return  # counted when its turn comes

    def _mounting(self, edge: m.Edge, message: RawMessage) -> StaticTransform:
        self.static[edge.child] = edge
        self.tree.set(edge.parent, edge.child, edge.T_parent_child)
        self.mountings.clear()
        stamp_ns = edge.stamp_ns or message.received_ns
        return StaticTransform(stamp_ns, edge.parent, edge.child, edge.T_parent_child)

    def read(self, storage: Storage, message: RawMessage) -> list[Record]:
        """The records in a message: none where it is not of interest, several for transforms."""
        role = self.roles.get(message.topic)
        if role is None and message.type not in TRANSFORMS and not self._is_wheel(message.topic):
            return []
        try:
            content = storage.decode(message)
            if message.type in TRANSFORMS:
                return self._transforms(content, message)
            if role is None:
                return self._wheel(content, message)
            stamp_ns = self._stamp(role, content, message)
            if stamp_ns is None or not self._advances(role, stamp_ns, message.place):
                return []
            return self._content(role, content, stamp_ns, message)
        except DAMAGED as error:
            self.problems.add("message that cannot be decoded skipped", f"{message.place}: {error}")
            return []

    def _content(self, role: str, content: Any, stamp_ns: int, message: RawMessage) -> list[Record]:
        if message.type == m.SCAN:
            return self._scan(content, stamp_ns, message.place)
        if message.type == m.ODOMETRY:
            self._moves(m.frame_name(content.child_frame_id))
            return self._odometry(content, stamp_ns, message.place)
        record_of = m.RECORD_OF_ROLE.get(role) or m.RECORD_OF[message.type]
        return [record_of(content, stamp_ns)]

    def _wheel(self, content: Any, message: RawMessage) -> list[Record]:
        odometry = self.wheels.add(message, float(content.data)) if self.wheels else None
        return [odometry] if odometry else []

    def _is_wheel(self, topic: str) -> bool:
        return self.wheels is not None and topic in self.wheels.topics

    def _stamp(self, role: str, content: Any, message: RawMessage) -> int | None:
        stamp_ns = m.stamp_ns_of(content)
        if stamp_ns is None or self.log.reading.clock == "received":
            return message.received_ns
        if stamp_ns == 0:
            self.problems.add("message without a stamp; its time of arrival taken", message.place)
            return message.received_ns
        return stamp_ns if ROLES[role].latched or self._same_clock(role, message, stamp_ns) else None

    def _same_clock(self, role: str, message: RawMessage, stamp_ns: int) -> bool:
        """Whether a stamp fits the others, judged by how far it lies from its time of arrival.

        A single outlier is refused; a step that lasts (a clock set by the network, or the outlier was the one
        before) is believed, also back.
        """
        topic, offset_ns = message.topic, stamp_ns - message.received_ns
        reference = self.offsets.get(topic)
        if reference is None and self.offsets:
            other, other_ns = next(reversed(self.offsets.items()))
            if abs(offset_ns - other_ns) > CLOCKS_DIFFER_NS:
                raise InputError(
                    f"{self.log.path}: the stamps of {topic} and {other} come from different clocks "
                    f"({(offset_ns - other_ns) / 1e9:+.0f} s apart)",
                    "read it by the time of arrival: --clock received",
                )
        suspect = self.suspects.pop(topic, None)
        foremost = self.foremost.get(topic, offset_ns)
        elapsed_ns = message.received_ns - self.received_ns.get(topic, message.received_ns)
        if reference is not None and (
            abs(offset_ns - reference) > CLOCKS_DIFFER_NS
            or offset_ns - foremost > max(AHEAD_NS, FASTEST * elapsed_ns)
            or (reference - offset_ns > AHEAD_NS and stamp_ns <= self.last_ns.get(role, 0))
        ):
            if suspect is None or abs(offset_ns - suspect) > AHEAD_NS:
                self.suspects[topic] = offset_ns
                self.problems.add("stamp far from its neighbours; message skipped", message.place)
                return False
            self.last_ns.pop(role, None)
            foremost = offset_ns
        self.foremost[topic] = max(foremost, offset_ns)
        self.offsets[topic], self.received_ns[topic] = offset_ns, message.received_ns
        return True

    def _advances(self, role: str, stamp_ns: int, place: str) -> bool:
        last_ns = self.last_ns.get(role)
        if last_ns is not None and stamp_ns <= last_ns:
            kind = "stamp repeated" if stamp_ns == last_ns else "stamp goes back"
            self.problems.add(f"{role}: {kind}; message skipped", place)
            return False
        self.last_ns[role] = stamp_ns
        return True

    def _scan(self, content: Any, stamp_ns: int, place: str) -> list[Record]:
        if fault := scan_fault(content):
            self.problems.add(f"{fault} skipped", place)
            return []
        self.beams = self.beams or len(content.ranges)
        if self.beams != len(content.ranges):
            self.problems.add("scan with another number of beams than the first", place)
        return [m.scan_of(content, stamp_ns, self.problems, place)]

    def _odometry(self, content: Any, stamp_ns: int, place: str) -> list[Record]:
        odometry = Odometry(stamp_ns, m.planar(content.pose.pose))
        if not np.isfinite(odometry.T_odom_base).all():
            self.problems.add("odometry that is not finite skipped", place)
            return []
        q = content.pose.pose.orientation
        if q.x == q.y == q.z == q.w == 0.0:
            self.problems.add("odometry without an orientation (quaternion 0) skipped", place)
            return []
        return [odometry]

    def _transforms(self, content: Any, message: RawMessage) -> list[Record]:
        records: list[Record] = []
        for edge in m.edges_of(content):
            if message.topic in self.static_topics:
                before = self.static.get(edge.child)
                if before is None or not _same(before, edge):
                    records.append(self._mounting(edge, message))
                if before is not None and not _same(before, edge):
                    self.problems.add(
                        "mounting said again, and otherwise", f"{message.place}, frame '{edge.child}'"
                    )
            elif _is_odometry(edge):
                if self.odometry_in_transforms:
                    self._moves(edge.child)
                    self.log.summary.topics["odom"] = f"{message.topic} ({edge.parent} → {edge.child})"
                    stamp_ns = message.received_ns if self.log.reading.clock == "received" else edge.stamp_ns
                    if self._advances("odom", stamp_ns, message.place):
                        records.append(Odometry(stamp_ns, planar_pose(edge.T_parent_child)[0]))
            else:
                self.tree.set(edge.parent, edge.child, edge.T_parent_child)
                self.mountings.clear()
        return records

    def _moves(self, base_frame: str) -> None:
        """Remember the frame that the odometry moves: from there mountings are seen."""
        if base_frame and base_frame != self.base_frame:
            self.base_frame = base_frame
            self.mountings.clear()

    def mounted(self, record: Record, waited_ns: int) -> Record | None:
        """The record, a scan with its mounting; None while a scan should wait for it."""
        if not isinstance(record, LaserScan):
            return record
        frame = record.frame_id
        if frame not in self.mountings:
            patient = waited_ns < MOUNTING_WAIT_NS and frame not in self.given_up
            if patient and self.odometry_to_come and self.base_frame is None:
                return None
            found = self._find_mounting(frame)
            if patient and self.has_moving_transforms and not found:
                return None
            self._note(frame, found)
        return record.mounted(*self.mountings[frame])

    def _note(self, frame: str, found: bool) -> None:
        """Say where scans go without their mounting, and where they get it after all."""
        if found and frame in self.given_up:
            self.given_up.remove(frame)
            self.problems.add("mounting of the lidar recorded later than its first scans", f"frame '{frame}'")
        elif not found:
            self.mountings[frame] = (np.zeros(3), False)
            if frame not in self.given_up:
                self.given_up.add(frame)
                self.problems.add("mounting of the lidar not recorded; taken as at the base", f"frame '{frame}'")

    def _find_mounting(self, frame: str) -> bool:
        for base in (self.base_frame, *BASE_FRAMES):
            if base is not None and (T := self.tree.lookup(base, frame)) is not None:
                self.mountings[frame] = planar_pose(T)
                return True
        return False


def _is_odometry(edge: m.Edge) -> bool:
    """Whether a transform is the odometry: from odom, or from odom_combined, robot_odom_frame … to a base.

    Between two frames of odometry lies a correction of the one by the other.
    """
    parent, child = edge.parent.rpartition("/")[2].lower(), edge.child.rpartition("/")[2].lower()
    return "odom" not in child and (parent.endswith("odom") or ("odom" in parent and "base" in child))


def _same(one: m.Edge, other: m.Edge) -> bool:
    """Whether two mountings of a frame are one."""
    return one.parent == other.parent and np.allclose(one.T_parent_child, other.T_parent_child)


class _WheelOdometry:
    """Odometry integrated from the velocities of two wheels, each held until its next reading."""

    def __init__(self, wheels: Wheels) -> None:
        self.wheels = wheels
        self.topics = (wheels.left_topic, wheels.right_topic)
        self.speeds_m_s = {topic: 0.0 for topic in self.topics}
        self.T_odom_base = np.zeros(3)
        self.last_ns: int | None = None

    def add(self, message: RawMessage, velocity: float) -> Odometry | None:
        """One reading; the pose at its time, after the motion since the one before. ValueError for no number."""
        if not np.isfinite(velocity):
            raise ValueError(f"a wheel velocity of {velocity}")
        stamp_ns = message.received_ns
        if self.last_ns is not None:
            elapsed_s = (stamp_ns - self.last_ns) / 1e9
            left_m, right_m = (self.speeds_m_s[topic] * elapsed_s for topic in self.topics)
            self.T_odom_base = self.wheels.track.advance(self.T_odom_base, left_m, right_m)
        moved = self.last_ns is None or stamp_ns > self.last_ns
        self.last_ns = stamp_ns
        factor = self.wheels.left_m_per_unit if message.topic == self.topics[0] else self.wheels.right_m_per_unit
        self.speeds_m_s[message.topic] = velocity * factor
        return Odometry(stamp_ns, self.T_odom_base) if moved else None
