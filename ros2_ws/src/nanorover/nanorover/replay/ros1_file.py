"""Reading one ROS 1 bag message by message, cut off or damaged as it may be.

The index at the end says where the chunks are; without it (a recording that ended in a power loss) they are walked
through. ``rosbags`` takes the headers of records apart. Format: https://wiki.ros.org/Bags/Format/2.0.
"""

import io
import struct
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rosbags.rosbag1.reader import Header, ReaderError, RecordType, decompressors, normalize
from rosbags.typesys.msg import normalize_msgtype

from nanorover.errors import InputError
from nanorover.replay.bag_file import Message, Stream, by_time
from nanorover.replay.records import Problems

MAGIC = b"#ROSBAG V2.0\n"
LENGTH = struct.Struct("<I")
COUNT = struct.Struct("<II")  # connection, messages of it
LARGEST_HEADER_BYTES = 1 << 16  # a length beyond this is damage, not a header
# What rosbags and the unpackers of bz2 and lz4 make of damage.
DAMAGED = (ReaderError, struct.error, ValueError, LookupError, RuntimeError, OSError, EOFError, MemoryError)


@dataclass(frozen=True)
class _Chunk:
    """A chunk by its place in the file, with its messages by connection."""

    first_ns: int
    last_ns: int
    offset: int
    counts: dict[int, int]


class Ros1File:
    """A ROS 1 bag as a ``bag_file.BagFile``.

    Raises InputError when the file is no ROS 1 bag at all; damage is counted in ``problems``.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self.streams: dict[int, Stream] = {}
        self._reported: set[int] = set()
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise InputError(f"{path} is not a ROS 1 bag", "its first bytes are not those of the format")
            self._chunks = sorted(self._indexed(file) or self._walked(file), key=lambda chunk: chunk.first_ns)
        self.counts: dict[int, int] = dict(sum((Counter(chunk.counts) for chunk in self._chunks), Counter()))
        self.last_ns = max((chunk.last_ns for chunk in self._chunks), default=None)

    def messages(self, only: Container[int] | None = None) -> Iterator[Message]:
        """The messages, or those of some connections, by time; chunks that overlap in time are merged."""
        with self.path.open("rb") as file:
            wanted = (c for c in self._chunks if only is None or any(stream in only for stream in c.counts))
            for message in by_time(((c.first_ns, c) for c in wanted), lambda chunk: self._messages(file, chunk)):
                if message[0] in (self.streams if only is None else only):
                    yield message
                elif only is None:
                    self.problems.add(
                        "message of an unknown connection skipped", f"{self.path} at {message[1]} ns"
                    )

    def _indexed(self, file: BinaryIO) -> list[_Chunk]:
        """The chunks as the index has them; none where it is missing or damaged."""
        chunks: list[_Chunk] = []
        try:
            bag = _header(file, RecordType.BAGHEADER)
            file.seek(bag.get_uint64("index_pos"))  # 0 where the recording never came to its end
            for _ in range(bag.get_uint32("conn_count")):
                self._connection(_header(file, RecordType.CONNECTION), _data(file))
            for _ in range(bag.get_uint32("chunk_count")):
                info = _header(file, RecordType.CHUNK_INFO)
                counts = dict(COUNT.iter_unpack(_data(file)))
                span_ns = info.get_time("start_time"), info.get_time("end_time")
                chunks.append(_Chunk(*span_ns, info.get_uint64("chunk_pos"), counts))
        except DAMAGED:
            return []
        return chunks

    def _walked(self, file: BinaryIO) -> list[_Chunk]:
        """The chunks up to where the file ends or makes no sense any more, read to know what they hold."""
        chunks: list[_Chunk] = []
        offset = file.seek(len(MAGIC))
        try:
            while True:
                header = _header(file)
                end = file.tell() + LENGTH.size + LENGTH.unpack(file.read(LENGTH.size))[0]
                if header.get_uint8("op") == RecordType.CHUNK:
                    messages, _ = self._content(file, offset)
                    counts = Counter(stream for stream, _, _ in messages)
                    times_ns = [at_ns for _, at_ns, _ in messages] or [0]
                    chunks.append(_Chunk(min(times_ns), max(times_ns), offset, counts))
                offset = file.seek(end)
        except DAMAGED:
            self.problems.add("recording without a whole index; read up to there", f"{self.path}, byte {offset}")
        return chunks

    def _messages(self, file: BinaryIO, chunk: _Chunk) -> list[Message]:
        messages, error = self._content(file, chunk.offset)
        if error and chunk.offset not in self._reported:
            self._reported.add(chunk.offset)
            place = f"{self.path}, byte {chunk.offset}"
            self.problems.add("damaged chunk, read as far as it goes", f"{place}: {error}")
            if lost := sum(chunk.counts.values()) - len(messages):
                self.problems.add("message lost in a damaged chunk", place, lost)
        return messages

    def _content(self, file: BinaryIO, offset: int) -> tuple[list[Message], str]:
        """The messages of a chunk, and what went wrong after them."""
        messages: list[Message] = []
        try:
            file.seek(offset)
            head = _header(file, RecordType.CHUNK)
            compression = head.get_string("compression")
            packed = _data(file, cut_off=compression == "none")
            data = decompressors[compression](packed)
            records = io.BytesIO(data)
            while records.tell() < len(data):
                header, content = _header(records), _data(records)
                if header.get_uint8("op") == RecordType.CONNECTION:
                    self._connection(header, content)
                elif header.get_uint8("op") == RecordType.MSGDATA:
                    messages.append((header.get_uint32("conn"), header.get_time("time"), content))
        except DAMAGED as error:
            return messages, f"{type(error).__name__}: {error}"
        return messages, ""

    def _connection(self, header: Header, content: bytes) -> None:
        of = _header(io.BytesIO(LENGTH.pack(len(content)) + content), largest=len(content))
        msgtype = normalize_msgtype(of.get_string("type"))
        topic, definition = normalize(header.get_string("topic")), of.get_string("message_definition")
        self.streams.setdefault(header.get_uint32("conn"), Stream(topic, msgtype, definition, "ros1msg"))


def _header(file: BinaryIO, expected: RecordType | None = None, largest: int = LARGEST_HEADER_BYTES) -> Header:
    """The header of the record at the present place, left behind it."""
    length = file.read(LENGTH.size)
    if LENGTH.unpack(length)[0] > largest:
        raise ReaderError(f"a header of {LENGTH.unpack(length)[0]} bytes")
    return Header.read(io.BytesIO(length + file.read(LENGTH.unpack(length)[0])), expected)


def _data(file: BinaryIO, cut_off: bool = False) -> bytes:
    """What follows the header of a record; where the file ends before it, what there is if that is wanted."""
    (length,) = LENGTH.unpack(file.read(LENGTH.size))
    at = file.tell()
    left = file.seek(0, io.SEEK_END) - at
    if length > left and not cut_off:
        raise ReaderError(f"a record of {length} bytes goes on after the end")
    file.seek(at)
    return file.read(min(length, left))
