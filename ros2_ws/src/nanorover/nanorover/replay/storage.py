"""Bags on disk as a stream of raw messages: rosbag2 (mcap, sqlite3) and ROS 1.

``rosbags`` and ``mcap`` do the formats; what stands here is which files make up a bag, and that damage is
counted with its place instead of ending the reading.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import yaml
import zstandard
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from nanorover.errors import InputError
from nanorover.replay.mcap_file import McapFile
from nanorover.replay.messages import typestore
from nanorover.replay.records import Problems

STORAGE_SUFFIXES = (".mcap", ".db3")
# What rosbags raises for definitions that make no sense.
UNDEFINED = (TypesysError, SerdeError, ValueError, KeyError, IndexError, AssertionError)


class UndecodableError(ValueError):
    """A message that is not what its type says."""


@dataclass(frozen=True)
class RawMessage:
    """One message as stored; ``received_ns`` is when the recorder got it."""

    topic: str
    type: str
    received_ns: int
    data: bytes
    place: str


class Storage(Protocol):
    """One file of a bag: its topics with their types, counts where stored, definitions that came along."""

    topics: dict[str, str]
    counts: dict[str, int]
    definitions: dict[str, str]

    def messages(self) -> Iterator[RawMessage]:
        """The messages in the order of their arrival."""
        ...

    def decode(self, message: RawMessage) -> Any:
        """The message with its fields, or UndecodableError raised."""
        ...


@lru_cache(maxsize=256)
def _store_of(msgtype: str, text: str, idl: bool) -> Typestore:
    """The types of a definition. Making them takes milliseconds, and bags repeat each other's definitions."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_idl(text) if idl else get_types_from_msg(text, msgtype))
    return store


class _Types:
    """Message definitions: those stored in the bag where it has them, else those of ROS 2 Jazzy."""

    def __init__(self) -> None:
        self._embedded: dict[str, Typestore] = {}

    def add(self, msgtype: str, text: str, idl: bool) -> None:
        self._embedded[msgtype] = _store_of(msgtype, text, idl)

    def decode(self, message: RawMessage, ros1: bool) -> Any:
        store = self._embedded.get(message.type, typestore())
        try:
            decode = store.deserialize_ros1 if ros1 else store.deserialize_cdr
            return decode(message.data, message.type)
        except Exception as error:  # generated code meets damaged bytes: anything can come of it
            raise UndecodableError(f"{type(error).__name__}: {error}") from error


class _McapStorage:
    def __init__(self, path: Path, problems: Problems) -> None:
        self._file = McapFile(path, problems)
        self._types = _Types()
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.definitions: dict[str, str] = {}
        self._names: dict[int, tuple[str, str]] = {}
        for channel in self._file.channels.values():
            schema = self._file.schemas.get(channel.schema_id)
            if schema is None or channel.message_encoding != "cdr":
                problems.add("topic that is not a ROS 2 message skipped", f"{path}, {channel.topic}")
                continue
            self._names[channel.id] = (channel.topic, schema.name)
            self.topics[channel.topic] = schema.name
            count = self._file.counts.get(channel.id, 0)
            self.counts[channel.topic] = self.counts.get(channel.topic, 0) + count
            try:
                self._types.add(schema.name, schema.data.decode(), "idl" in schema.encoding)
                if schema.encoding == "ros2msg":
                    self.definitions[schema.name] = schema.data.decode()
            except UNDEFINED as error:
                problems.add("message definition not understood", f"{path}, {schema.name}: {error}")

    def messages(self) -> Iterator[RawMessage]:
        for channel_id, log_ns, data in self._file.messages():
            if channel_id in self._names:
                topic, msgtype = self._names[channel_id]
                place = f"{self._file.path}, {topic} at {log_ns} ns"
                yield RawMessage(topic, msgtype, log_ns, _unpacked_message(data), place)

    def decode(self, message: RawMessage) -> Any:
        return self._types.decode(message, ros1=False)


class _RosbagsStorage:
    """What rosbags reads by itself: a sqlite3 file of rosbag2, or a ROS 1 bag."""

    def __init__(self, path: Path, problems: Problems, stack: ExitStack) -> None:
        self._path = path
        self._problems = problems
        self._ros1 = path.suffix == ".bag"
        try:
            reader: Any = Ros1Reader(path) if self._ros1 else Ros2Reader(path)
            self._reader = stack.enter_context(reader)
        except Exception as error:  # the packages for the formats trip over damage in many ways
            hint = (
                "try `rosbag reindex`"
                if self._ros1
                else "the database is damaged; `sqlite3 FILE .recover` may help"
            )
            raise InputError(f"cannot read {path}: {error}", hint) from error
        self._types = _Types()
        self.topics = {connection.topic: connection.msgtype for connection in self._reader.connections}
        self.counts: dict[str, int] = {}
        self.definitions: dict[str, str] = {}
        for connection in self._reader.connections:
            self.counts[connection.topic] = self.counts.get(connection.topic, 0) + connection.msgcount
            if connection.msgdef.format != MessageDefinitionFormat.NONE:
                try:
                    idl = connection.msgdef.format == MessageDefinitionFormat.IDL
                    self._types.add(connection.msgtype, connection.msgdef.data, idl)
                    if not idl and not self._ros1:
                        self.definitions[connection.msgtype] = connection.msgdef.data
                except UNDEFINED as error:
                    problems.add("message definition not understood", f"{path}, {connection.msgtype}: {error}")

    def messages(self) -> Iterator[RawMessage]:
        try:
            for connection, received_ns, data in self._reader.messages():
                raw = bytes(data) if self._ros1 else _unpacked_message(bytes(data))
                place = f"{self._path}, {connection.topic} at {received_ns} ns"
                yield RawMessage(connection.topic, connection.msgtype, received_ns, raw, place)
        except Exception as error:  # see above: what came before the damage counts
            self._problems.add("recording damaged; read up to there", f"{self._path}: {error}")

    def decode(self, message: RawMessage) -> Any:
        return self._types.decode(message, self._ros1)


def open_storages(path: Path, problems: Problems, stack: ExitStack) -> list[Storage]:
    """The files of the bag at ``path`` (a file or a rosbag2 folder), in the order of recording.

    Raises InputError when there is nothing to read; files that are missing or damaged beside others that
    are readable are counted in ``problems``.
    """
    if not path.is_dir():
        return [_open(path, problems, stack)]
    storages: list[Storage] = []
    errors: list[InputError] = []
    for file in _files_of(path, problems):
        try:
            storages.append(_open(_unpacked(file, stack), problems, stack))
        except InputError as error:
            errors.append(error)
            problems.add("file of the bag skipped", str(error))
    if errors and not storages:
        raise errors[0]
    return storages


def _open(path: Path, problems: Problems, stack: ExitStack) -> Storage:
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty", "the recording ended before anything was written")
    if path.suffix == ".mcap":
        return _McapStorage(path, problems)
    return _RosbagsStorage(path, problems, stack)


def _unpacked_message(data: bytes) -> bytes:
    """A message as it was before rosbag2 packed it: no CDR begins as zstd does. As it is where it is damaged."""
    if not data.startswith(zstandard.FRAME_HEADER):
        return data
    try:
        return zstandard.decompress(data)
    except zstandard.ZstdError:
        return data


def _files_of(folder: Path, problems: Problems) -> list[Path]:
    """The storage files of a rosbag2 folder."""
    metadata = folder / "metadata.yaml"
    try:
        document = yaml.safe_load(metadata.read_text()) if metadata.exists() else None
        information = document["rosbag2_bagfile_information"] if document else {}
        named = [folder / Path(name).name for name in information.get("relative_file_paths", [])]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        problems.add("metadata.yaml is damaged; the files speak for themselves", f"{metadata}: {error}")
        named = []
    if not metadata.exists():
        problems.add("metadata.yaml is missing; the files speak for themselves", str(folder))
    present = [file for file in folder.iterdir() if _is_storage(file)]
    for file in named:
        if file not in present:
            problems.add("file of the bag is missing", str(file))
    files = [file for file in named if file in present]
    files += sorted((file for file in present if file not in named), key=_natural)
    if not named and len({_stem(file) for file in files}) > 1:
        raise InputError(
            f"{folder} holds {len(files)} recordings: {', '.join(file.name for file in files)}", "name one of them"
        )
    if not files:
        raise InputError(
            f"{folder} is not a bag", "a bag is a folder with .mcap or .db3 files, or a ROS 1 .bag file"
        )
    return files


def _is_storage(file: Path) -> bool:
    return file.suffix in STORAGE_SUFFIXES or (
        file.suffix == ".zstd" and Path(file.stem).suffix in STORAGE_SUFFIXES
    )


def _stem(file: Path) -> str:
    """What the files of one bag have in common: they are named <stem>_<number>."""
    return re.sub(r"_\d+$", "", file.name.partition(".")[0])


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key in which bag_10 comes after bag_9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", file.name)]


def _unpacked(file: Path, stack: ExitStack) -> Path:
    """The file itself, or its unpacked copy in a folder that goes with ``stack``."""
    if file.suffix != ".zstd":
        return file
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nanorover-")))
    try:
        with file.open("rb") as packed, (folder / file.stem).open("wb") as plain:
            shutil.copyfileobj(zstandard.ZstdDecompressor().stream_reader(packed), plain)
    except zstandard.ZstdError as error:
        raise InputError(f"cannot unpack {file}: {error}") from error
    return folder / file.stem
