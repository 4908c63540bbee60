"""Writing recordings: rosbag2 in mcap, zstd, readable after a crash up to the last chunk.

A bag is a folder with ``<name>_0.mcap``, ``<name>_1.mcap`` … and ``metadata.yaml`` as ``ros2 bag`` expects it.
Version 5 of the metadata is written, which Humble and Jazzy both read.
"""

import errno
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.geometry.frames import transform_of
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import quaternion_of_yaw
from nanorover.replay.definitions import definition_of
from nanorover.replay.messages import TF, Encoder, frames_placed
from nanorover.replay.records import Record, StaticTransform

CHUNK_BYTES = 256 * 1024
METADATA_VERSION = 5
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

# rmw_qos_profile values of keep last, reliable, and of transient local and volatile.
QOS = """- history: 1
  depth: {depth}
  reliability: 1
  durability: {durability}
  deadline:
    sec: 9223372036
    nsec: 854775807
  lifespan:
    sec: 9223372036
    nsec: 854775807
  liveliness: 1
  liveliness_lease_duration:
    sec: 9223372036
    nsec: 854775807
  avoid_ros_namespace_conventions: false"""


def _qos(latched: bool) -> str:
    return QOS.format(depth=1 if latched else 10, durability=1 if latched else 2)


@dataclass
class BagFile:
    """One file of a bag: its messages by topic and their span."""

    path: Path
    counts: Counter[str] = field(default_factory=Counter)
    first_ns: int = 0
    last_ns: int = 0

    def note(self, topic: str, received_ns: int) -> None:
        """Count a message."""
        empty = not self.counts
        self.first_ns = received_ns if empty else min(self.first_ns, received_ns)
        self.last_ns = received_ns if empty else max(self.last_ns, received_ns)
        self.counts[topic] += 1


class _File:
    """A file written straight to the disk, with a reserve to fall back on when the disk is full.

    The reserve is a second file of that size: when there is no space left it is given up, so that what was
    under way and the index at the end still fit. ``full`` tells that this has happened.
    """

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self._reserve = path.with_suffix(".reserve")
        self._written = 0
        self.full = False
        self.closed = False
        if reserve_bytes:
            try:
                with self._reserve.open("wb") as reserve:
                    os.posix_fallocate(reserve.fileno(), 0, reserve_bytes)
            except OSError:
                self._reserve.unlink(missing_ok=True)
                raise
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            try:
                count = os.write(self._handle, left)
            except OSError as error:
                if error.errno not in NO_SPACE or not self._reserve.exists():
                    raise
                self._reserve.unlink()
                self.full = True
                continue
            self._written += count
            left = left[count:]
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        os.fdatasync(self._handle)

    def close(self) -> None:
        self.closed = True
        self._reserve.unlink(missing_ok=True)
        os.close(self._handle)


class BagWriter:
    """A rosbag2 folder being written; use it as a context manager.

    ``latched`` names the topics of standing content (mountings, maps): they are marked transient local, and
    what still holds of them is repeated at the start of every further file, so that each is of use alone: the last
    message, of transforms the last of every frame.
    ``reserve_bytes`` are kept free for the end of the recording on a disk that runs full; see ``disk_full``.
    ``definitions`` holds message definitions that came with the messages; the others are looked up.
    Raises InputError when the folder exists already or cannot be made, OSError when the disk fails.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        reserve_bytes: int = 0,
        definitions: Mapping[str, str] | None = None,
        latched: tuple[str, ...] = ("/tf_static", "/truth/map", "/map"),
    ) -> None:
        self.path = Path(path)
        self._chunk_bytes = chunk_bytes
        self._reserve_bytes = reserve_bytes
        self._definitions = dict(definitions or {})
        self._finished = False
        self._latched = latched
        self._standing: dict[str, dict[frozenset[str], tuple[str, int, bytes]]] = {}
        self._mounted: set[str] = set()
        self._encoder = Encoder()
        self.types: dict[str, str] = {}
        self.files: list[BagFile] = []
        self._opened = 0
        try:
            self.path.mkdir(parents=True)
            self._open_file()
        except FileExistsError as error:
            raise InputError(
                f"{self.path} exists already", "choose another name; a recording is never overwritten"
            ) from error
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror}", "choose a folder you may write to"
            ) from error

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, record: Record, received_ns: int | None = None) -> None:
        """Write a record to its usual topic; it arrived when it was true unless ``received_ns`` says otherwise.

        A scan whose frame no ``StaticTransform`` has placed yet brings its mounting along.
        """
        if isinstance(record, StaticTransform):
            self._mounted.add(record.child)
        if isinstance(record, LaserScan) and record.frame_id not in self._mounted:
            T_base_laser = transform_of((*record.T_base_laser[:2], 0.0), quaternion_of_yaw(record.T_base_laser[2]))
            self.write(StaticTransform(record.stamp_ns, "base_link", record.frame_id, T_base_laser), received_ns)
        topic, msgtype, data = self._encoder.encode(record)
        self.write_raw(topic, msgtype, data, record.stamp_ns if received_ns is None else received_ns)

    def write_raw(self, topic: str, msgtype: str, data: bytes, received_ns: int) -> None:
        """Write a message that is CDR already."""
        if topic in self._latched:
            frames = frames_placed(data) if msgtype == TF else frozenset()
            before = self._standing.get(topic, {})
            holds = {of: message for of, message in before.items() if not of <= frames}
            self._standing[topic] = {**holds, frames: (msgtype, received_ns, data)}
        self._add(topic, msgtype, data, received_ns)

    def _add(self, topic: str, msgtype: str, data: bytes, received_ns: int) -> None:
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._register(topic, msgtype)
        self._mcap.add_message(channel, received_ns, data, received_ns)
        self.files[-1].note(topic, received_ns)

    def _register(self, topic: str, msgtype: str) -> int:
        self.types[topic] = msgtype
        schema = self._schemas.get(msgtype)
        if schema is None:
            definition = self._definitions.get(msgtype) or definition_of(msgtype)
            schema = self._mcap.register_schema(msgtype, "ros2msg", definition.encode())
            self._schemas[msgtype] = schema
        return self._mcap.register_channel(
            topic, "cdr", schema, {"offered_qos_profiles": _qos(topic in self._latched)}
        )

    @property
    def file_bytes(self) -> int:
        """Bytes of the present file on the disk."""
        return self._sink.tell()

    @property
    def disk_full(self) -> bool:
        """Whether the reserve is in use: nothing more should be written but the end."""
        return self._sink.full

    def flush(self) -> None:
        """Close the chunk in progress and bring it onto the disk: what is written survives a power loss."""
        self._mcap.flush()

    def rotate(self) -> None:
        """Go on in a new file."""
        self._close_file()
        self._open_file()
        for topic, messages in self._standing.items():
            for msgtype, received_ns, data in messages.values():
                self._add(topic, msgtype, data, received_ns)

    def drop_oldest(self) -> Path:
        """Delete the oldest file; its standing messages live on in every other."""
        oldest = self.files.pop(0)
        oldest.path.unlink()
        return oldest.path

    def close(self) -> None:
        """Finish the file and write ``metadata.yaml``; closing twice does no harm."""
        if self._finished:
            return
        self._finished = True
        try:
            if not self._sink.closed:
                self._close_file()
        finally:
            self._write_metadata()

    def _open_file(self) -> None:
        path = self.path / f"{self.path.name}_{self._opened}.mcap"
        self._opened += 1
        self._sink = _File(path, self._reserve_bytes)
        self.files.append(BagFile(path))
        stream: Any = self._sink  # all that the writer calls is there
        self._mcap = McapWriter(stream, chunk_size=self._chunk_bytes, compression=CompressionType.ZSTD)
        self._mcap.start(profile="ros2", library="nanorover")
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}

    def _close_file(self) -> None:
        try:
            self._mcap.finish()
        finally:
            self._sink.close()

    def _write_metadata(self) -> None:
        """Write ``metadata.yaml`` for what is there."""
        counts: Counter[str] = sum((file.counts for file in self.files), Counter())
        topics = [
            {
                "topic_metadata": {
                    "name": topic,
                    "type": msgtype,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": _qos(topic in self._latched),
                },
                "message_count": counts[topic],
            }
            for topic, msgtype in self.types.items()
        ]
        spans = [_span(file.first_ns, file.last_ns, sum(file.counts.values())) for file in self.files]
        filled = [file for file in self.files if file.counts]
        first_ns = min((file.first_ns for file in filled), default=0)
        last_ns = max((file.last_ns for file in filled), default=0)
        information = {
            "version": METADATA_VERSION,
            "storage_identifier": "mcap",
            **_span(first_ns, last_ns, sum(counts.values())),
            "topics_with_message_count": topics,
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file.path.name for file in self.files],
            "files": [{"path": f.path.name, **span} for f, span in zip(self.files, spans, strict=True)],
        }
        with replacing(self.path / "metadata.yaml") as temporary:
            temporary.write_text(yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False))


def _span(first_ns: int, last_ns: int, count: int) -> dict[str, object]:
    return {
        "duration": {"nanoseconds": last_ns - first_ns},
        "starting_time": {"nanoseconds_since_epoch": first_ns},
        "message_count": count,
    }
