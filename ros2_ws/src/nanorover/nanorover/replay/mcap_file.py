"""Reading one mcap file message by message, cut off or damaged as it may be.

The ``mcap`` package decodes the records; here is the walk over them, which needs no index at the end of
the file, so that a recording that ended in a power loss is read up to its last complete chunk.
Format: https://mcap.dev/spec.
"""

import heapq
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Header, Message, Schema, Statistics
from mcap.stream_reader import breakup_chunk

from nanorover.errors import InputError
from nanorover.replay.records import Problems

MAGIC = b"\x89MCAP0\r\n"
RECORD_HEAD = struct.Struct("<BQ")  # opcode, length
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
CHUNK_HEAD = struct.Struct("<QQQ")  # first time, last time, size when unpacked
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
    """The channels of an mcap file and its messages in the order of their log time.

    Raises InputError when the file is no mcap at all; damage is counted in ``problems``.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self.channels: dict[int, Channel] = {}
        self.schemas: dict[int, Schema] = {}
        self.counts: dict[int, int] = {}
        self.complete = False
        self._reported: set[int] = set()
        with path.open("rb") as file:
            self._entries = self._index(file)
            if not self.complete:  # without the summary the channels are known only from inside the chunks
                for entry in self._entries:
                    self._decode(file, entry)

    def _index(self, file: BinaryIO) -> list[_Entry]:
        size = self.path.stat().st_size
        if file.read(len(MAGIC)) != MAGIC:
            raise InputError(f"{self.path} is not an mcap file", "its first bytes are not those of the format")
        entries: list[_Entry] = []
        while True:
            offset = file.tell()
            head = file.read(RECORD_HEAD.size)
            if len(head) < RECORD_HEAD.size:
                self._report(CUT_OFF, offset)
                break
            opcode, length = RECORD_HEAD.unpack(head)
            if opcode == Opcode.FOOTER:
                self.complete = True
                break
            if opcode == 0 or file.tell() + length > size:
                self._report(CUT_OFF, offset)
                break
            start = file.tell()
            self._index_record(file, entries, opcode, length)
            file.seek(start + length)
        return sorted(entries, key=lambda entry: entry.first_ns)

    def _index_record(self, file: BinaryIO, entries: list[_Entry], opcode: int, length: int) -> None:
        start = file.tell()
        if opcode == Opcode.CHUNK and length >= CHUNK_HEAD.size:
            first_ns = CHUNK_HEAD.unpack(file.read(CHUNK_HEAD.size))[0]
            entries.append(_Entry(first_ns, start, length, opcode))
        elif opcode == Opcode.MESSAGE and length >= MESSAGE_HEAD.size:
            log_ns = MESSAGE_HEAD.unpack(file.read(MESSAGE_HEAD.size))[2]
            entries.append(_Entry(log_ns, start, length, opcode))
        elif opcode in (Opcode.HEADER, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS):
            try:
                self._note(opcode, ReadDataStream(io.BytesIO(file.read(length))))
            except DAMAGED as error:
                self.problems.add("damaged mcap record skipped", f"{self.path}, byte {start}: {error}")

    def _note(self, opcode: int, stream: ReadDataStream) -> None:
        if opcode == Opcode.HEADER:
            Header.read(stream)
        elif opcode == Opcode.STATISTICS:
            self.counts.update(Statistics.read(stream).channel_message_counts)
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self.schemas[schema.id] = schema
        else:
            channel = Channel.read(stream)
            self.channels[channel.id] = channel

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """``(channel id, log time, data)`` by log time; chunks that overlap in time are merged."""
        waiting: list[tuple[int, int, Message]] = []
        order = count()
        with self.path.open("rb") as file:
            for entry in self._entries:
                while waiting and waiting[0][0] < entry.first_ns:
                    message = heapq.heappop(waiting)[2]
                    yield message.channel_id, message.log_time, message.data
                for message in self._decode(file, entry):
                    heapq.heappush(waiting, (message.log_time, next(order), message))
            while waiting:
                message = heapq.heappop(waiting)[2]
                yield message.channel_id, message.log_time, message.data

    def _decode(self, file: BinaryIO, entry: _Entry) -> list[Message]:
        file.seek(entry.offset)
        stream = ReadDataStream(io.BytesIO(file.read(entry.length)))
        try:
            if entry.opcode == Opcode.MESSAGE:
                return [Message.read(stream, entry.length)]
            chunk = Chunk.read(stream)
            if chunk.uncompressed_size > LARGEST_CHUNK_BYTES:
                raise ValueError(f"claims to unpack to {chunk.uncompressed_size} bytes")
            records = breakup_chunk(chunk, validate_crc=True)
        except DAMAGED as error:
            self._report("damaged mcap chunk skipped", entry.offset, f": {error}")
            return []
        for record in records:
            if isinstance(record, Schema):
                self.schemas[record.id] = record
            elif isinstance(record, Channel):
                self.channels[record.id] = record
        messages = [record for record in records if isinstance(record, Message)]
        known = [message for message in messages if message.channel_id in self.channels]
        if len(known) < len(messages):
            self._report("messages of an unknown channel skipped", entry.offset)
        return known

    def _report(self, kind: str, offset: int, detail: str = "") -> None:
        if offset not in self._reported:  # a file without summary is decoded twice
            self._reported.add(offset)
            self.problems.add(kind, f"{self.path}, byte {offset}{detail}")
