"""Reading one mcap file message by message, cut off or damaged as it may be.

The ``mcap`` package decodes the records; here is the walk over them, which needs no index at the end of
the file, so that a recording that ended in a power loss is read up to its last complete chunk.
Format: https://mcap.dev/spec.
"""

import io
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, Footer, Header, Message, Schema, Statistics
from mcap.stream_reader import breakup_chunk

from nanorover.errors import InputError
from nanorover.replay import bag_file
from nanorover.replay.records import Problems

MAGIC = b"\x89MCAP0\r\n"
RECORD_HEAD = struct.Struct("<BQ")  # opcode, length
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
CHUNK_HEAD = struct.Struct("<QQQ")  # first time, last time, size when unpacked
FOOTER_BYTES = 20
CUT_OFF = "recording cut off; read up to there"
LARGEST_CHUNK_BYTES = 1 << 30  # a size beyond this is damage, not data

DAMAGED = (McapError, zstandard.ZstdError, ValueError, struct.error, MemoryError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class _Entry:
    """A chunk, or a message outside of chunks, by its place in the file."""

    first_ns: int
    offset: int
    length: int
    opcode: int


class McapFile:
    """An mcap file as a ``bag_file.BagFile``.

    Raises InputError when the file is no mcap at all; damage is counted in ``problems``.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self.counts: dict[int, int] = {}
        self.last_ns: int | None = None
        self._channels: dict[int, Channel] = {}
        self._schemas: dict[int, Schema] = {}
        self._inside: dict[int, frozenset[int]] = {}  # place of a chunk → the channels in it, where known
        self._indexed: list[_Entry] = []
        self._reported: set[int] = set()
        with path.open("rb") as file:
            self._entries = self._index(file)
            if not self._channels or not self._whole:  # then the channels are known only from inside the chunks
                times_ns = [at_ns for entry in self._entries for _, at_ns, _ in self._decode(file, entry)]
                self.last_ns = max(times_ns, default=None)
        self.streams = dict(self._streams())

    def _streams(self) -> Iterator[tuple[int, bag_file.Stream]]:
        for channel in self._channels.values():
            schema = self._schemas.get(channel.schema_id)
            if schema is None or channel.message_encoding != "cdr":
                self.problems.add("topic that is not a ROS 2 message skipped", f"{self.path}, {channel.topic}")
            else:
                definition = schema.data.decode(errors="replace")
                yield channel.id, bag_file.Stream(channel.topic, schema.name, definition, schema.encoding)

    def _index(self, file: BinaryIO) -> list[_Entry]:
        """What messages are in, by time; behind a damaged record by the index at the end of the file."""
        size = self.path.stat().st_size
        if file.read(len(MAGIC)) != MAGIC:
            raise InputError(f"{self.path} is not an mcap file", "its first bytes are not those of the format")
        entries: list[_Entry] = []
        footer = size - RECORD_HEAD.size - FOOTER_BYTES - len(MAGIC)
        summary = self._summary_start(file, footer)
        self._whole = True
        while (offset := file.tell()) != footer or summary is None:
            head = file.read(RECORD_HEAD.size)
            opcode, length = RECORD_HEAD.unpack(head) if len(head) == RECORD_HEAD.size else (0, 0)
            start = file.tell()
            if opcode in (0, Opcode.FOOTER) or start + length > size:
                self._whole = False
                if summary is None or offset >= summary:
                    self._report(CUT_OFF, offset)
                    break
                self._report("damaged mcap record; what follows is read by the index", offset)
                file.seek(summary)
                continue
            self._index_record(file, entries, opcode, length)
            file.seek(start + length)
        walked = {entry.offset for entry in entries}
        for entry in () if self._whole else self._indexed:
            if entry.offset not in walked and 0 < entry.length <= size - entry.offset:
                entries.append(entry)
        return sorted(entries, key=lambda entry: entry.first_ns)

    def _summary_start(self, file: BinaryIO, footer: int) -> int | None:
        """Where the footer says that the index begins, 0 for none; None without a footer. The file stays there."""
        at = file.tell()
        file.seek(max(footer, at))
        opcode, length = RECORD_HEAD.unpack(file.read(RECORD_HEAD.size).ljust(RECORD_HEAD.size, b"\0"))
        found = opcode == Opcode.FOOTER and length == FOOTER_BYTES
        start = Footer.read(ReadDataStream(file)).summary_start if found else None
        file.seek(at)
        return start

    def _index_record(self, file: BinaryIO, entries: list[_Entry], opcode: int, length: int) -> None:
        start = file.tell()
        if opcode == Opcode.CHUNK and length >= CHUNK_HEAD.size:
            first_ns = CHUNK_HEAD.unpack(file.read(CHUNK_HEAD.size))[0]
            entries.append(_Entry(first_ns, start, length, opcode))
        elif opcode == Opcode.MESSAGE and length >= MESSAGE_HEAD.size:
            channel_id, _, log_ns, _ = MESSAGE_HEAD.unpack(file.read(MESSAGE_HEAD.size))
            entries.append(_Entry(log_ns, start, length, opcode))
            self._inside[start] = frozenset([channel_id])
        elif opcode in (Opcode.HEADER, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS, Opcode.CHUNK_INDEX):
            try:
                self._note(opcode, ReadDataStream(io.BytesIO(file.read(length))))
            except DAMAGED as error:
                self.problems.add("damaged mcap record skipped", f"{self.path}, byte {start}: {error}")

    def _note(self, opcode: int, stream: ReadDataStream) -> None:
        if opcode == Opcode.HEADER:
            Header.read(stream)
        elif opcode == Opcode.STATISTICS:
            statistics = Statistics.read(stream)
            self.counts.update(statistics.channel_message_counts)
            self.last_ns = statistics.message_end_time
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self._schemas[schema.id] = schema
        elif opcode == Opcode.CHUNK_INDEX:
            index = ChunkIndex.read(stream)
            start = index.chunk_start_offset + RECORD_HEAD.size
            length = index.chunk_length - RECORD_HEAD.size
            self._indexed.append(_Entry(index.message_start_time, start, length, Opcode.CHUNK))
            if index.message_index_offsets:
                self._inside[start] = frozenset(index.message_index_offsets)
        else:
            channel = Channel.read(stream)
            self._channels[channel.id] = channel

    def messages(self, only: Container[int] | None = None) -> Iterator[bag_file.Message]:
        """The messages, or those of some channels, by log time; chunks that overlap in time are merged."""
        with self.path.open("rb") as file:
            wanted = ((entry.first_ns, entry) for entry in self._entries if self._may_hold(entry, only))
            for message in bag_file.by_time(wanted, lambda entry: self._decode(file, entry)):
                if message[0] in (self.streams if only is None else only):
                    yield message

    def _may_hold(self, entry: _Entry, only: Container[int] | None) -> bool:
        inside = self._inside.get(entry.offset)
        return only is None or inside is None or any(channel_id in only for channel_id in inside)

    def _decode(self, file: BinaryIO, entry: _Entry) -> list[bag_file.Message]:
        try:
            file.seek(entry.offset)
            stream = ReadDataStream(io.BytesIO(file.read(entry.length)))
            if entry.opcode == Opcode.MESSAGE:
                message = Message.read(stream, entry.length)
                return [(message.channel_id, message.log_time, message.data)]
            chunk = Chunk.read(stream)
            if chunk.uncompressed_size > LARGEST_CHUNK_BYTES:
                raise ValueError(f"claims to unpack to {chunk.uncompressed_size} bytes")
            records = breakup_chunk(chunk, validate_crc=True)
        except DAMAGED as error:
            self._report("damaged mcap chunk skipped", entry.offset, f": {error}")
            return []
        for record in records:
            if isinstance(record, Schema):
                self._schemas[record.id] = record
            elif isinstance(record, Channel):
                self._channels[record.id] = record
        messages = [record for record in records if isinstance(record, Message)]
        self._inside[entry.offset] = frozenset(message.channel_id for message in messages)
        known = [(m.channel_id, m.log_time, m.data) for m in messages if m.channel_id in self._channels]
        if len(known) < len(messages):
            self._report("messages of an unknown channel skipped", entry.offset)
        return known

    def _report(self, kind: str, offset: int, detail: str = "") -> None:
        if offset not in self._reported:  # a file without summary is decoded twice
            self._reported.add(offset)
            self.problems.add(kind, f"{self.path}, byte {offset}{detail}")
