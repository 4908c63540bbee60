"""Bags on disk as a stream of raw messages: rosbag2 (mcap, sqlite3) and ROS 1.

The formats stand in files of their own; what stands here is which files make up a bag, and what its messages mean.
"""

import re
from collections.abc import Container, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
import zstandard
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from nanorover.errors import InputError
from nanorover.replay.bag_file import BagFile
from nanorover.replay.db3_file import Db3File
from nanorover.replay.mcap_file import McapFile
from nanorover.replay.messages import GRID, NS, TF, typestore
from nanorover.replay.packed import plain_name, unpacked
from nanorover.replay.records import Problems
from nanorover.replay.ros1_file import Ros1File

FILES: dict[str, type[BagFile]] = {".mcap": McapFile, ".db3": Db3File, ".bag": Ros1File}
ROSBAG2_SUFFIXES = (".mcap", ".db3")
# What rosbags raises for definitions that make no sense.
UNDEFINED = (TypesysError, SerdeError, ValueError, KeyError, IndexError, AssertionError)

# The files of one recording follow each other: a recorder's buffers may swap neighbours, and topics may pause.
SWAPPED_NS, PAUSE_NS = 2 * NS, 60 * NS
STANDING = (TF, GRID)  # types of what is said again at the start of every file, with its old time

NOT_NAMED = "file that metadata.yaml does not name left out"


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


@lru_cache(maxsize=256)
def _store_of(msgtype: str, text: str, idl: bool) -> Typestore:
    """The types of a definition. Making them takes milliseconds, and bags repeat each other's definitions."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_idl(text) if idl else get_types_from_msg(text, msgtype))
    return store


class Storage:
    """One file of a bag: its topics with their types, counts where stored, definitions that came along.

    Messages are understood by these definitions, or where there are none by those of ROS 2 Jazzy.
    """

    def __init__(self, path: Path, file: BagFile, problems: Problems) -> None:
        self._path = path
        self._file = file
        self.last_ns = file.last_ns
        self._ros1 = isinstance(file, Ros1File)
        self._stores: dict[str, Typestore] = {}
        self.topics = {stream.topic: stream.type for stream in file.streams.values()}
        self.counts: dict[str, int] = dict.fromkeys(self.topics, 0)
        self.definitions: dict[str, str] = {}
        for number, stream in file.streams.items():
            self.counts[stream.topic] += file.counts.get(number, 0)
            if not stream.definition:
                continue
            try:
                self._stores[stream.type] = _store_of(stream.type, stream.definition, "idl" in stream.format)
                if stream.format == "ros2msg":
                    self.definitions[stream.type] = stream.definition
            except UNDEFINED as error:
                problems.add("message definition not understood", f"{path}, {stream.type}: {error}")

    def messages(self, topics: Container[str] | None = None) -> Iterator[RawMessage]:
        """The messages, or those of some topics, in the order of their arrival."""
        streams = self._file.streams
        only = None if topics is None else {n for n, stream in streams.items() if stream.topic in topics}
        for number, received_ns, data in self._file.messages(only):
            stream = streams[number]
            raw = data if self._ros1 else _unpacked_message(data)
            place = f"{self._path}, {stream.topic} at {received_ns} ns"
            yield RawMessage(stream.topic, stream.type, received_ns, raw, place)

    def decode(self, message: RawMessage) -> Any:
        """The message with its fields, or UndecodableError raised."""
        store = self._stores.get(message.type, typestore())
        try:
            decode = store.deserialize_ros1 if self._ros1 else store.deserialize_cdr
            return decode(message.data, message.type)
        except Exception as error:  # generated code meets damaged bytes: anything can come of it
            raise UndecodableError(f"{type(error).__name__}: {error}") from error


def open_storages(path: Path, problems: Problems, stack: ExitStack) -> list[Storage]:
    """The files of the bag at ``path`` (a file or a rosbag2 folder), in the order of recording.

    Raises InputError when there is nothing to read, and for a folder of several recordings; files that are missing
    or damaged beside others that are readable are counted in ``problems``.
    """
    if not path.is_dir():
        return [_open(path, problems, stack)]
    named, others = _files_of(path, problems)
    storages: list[Storage] = []
    errors: list[InputError] = []
    for file in named + others:
        try:
            storage = _open(file, problems, stack)
        except InputError as error:
            errors.append(error)
            problems.add("file of the bag skipped", str(error))
            continue
        if file in named or not storages or _follows(storages[-1], storage):
            storages.append(storage)
        elif named:
            problems.add(NOT_NAMED, str(file))
        else:
            raise _several(path, others)
    if errors and not storages:
        raise errors[0]
    return storages


def _follows(before: Storage, after: Storage) -> bool:
    """Whether a file goes on where the one before it ends, as far as that can be told."""
    moving = {topic for topic, msgtype in after.topics.items() if msgtype not in STANDING}
    first = next(after.messages(moving), None)
    if first is None or before.last_ns is None:
        return True
    return -SWAPPED_NS <= first.received_ns - before.last_ns <= PAUSE_NS


def _several(folder: Path, files: list[Path]) -> InputError:
    names = ", ".join(file.name for file in files)
    return InputError(f"{folder} holds {len(files)} recordings: {names}", "name one of them")


def _open(path: Path, problems: Problems, stack: ExitStack) -> Storage:
    read = FILES.get(Path(plain_name(path)).suffix)
    if read is None:
        raise InputError(f"{path} is no bag", f"a bag is a folder of rosbag2, or a file {', '.join(FILES)}")
    plain = unpacked(path, problems, stack)
    if plain.stat().st_size == 0:
        raise InputError(f"{path} is empty", "the recording ended before anything was written")
    return Storage(path, read(plain, problems), problems)


def _unpacked_message(data: bytes) -> bytes:
    """A message as it was before rosbag2 packed it: no CDR begins as zstd does. As it is where it is damaged."""
    if not data.startswith(zstandard.FRAME_HEADER):
        return data
    try:
        return zstandard.decompress(data)
    except zstandard.ZstdError:
        return data


def _files_of(folder: Path, problems: Problems) -> tuple[list[Path], list[Path]]:
    """The files of a rosbag2 folder that its metadata.yaml names, and others that may go on from them.

    Raises InputError for a folder without such files, and for one of several recordings.
    """
    metadata = folder / "metadata.yaml"
    try:
        document = yaml.safe_load(metadata.read_text()) if metadata.exists() else None
        information = document["rosbag2_bagfile_information"] if document else {}
        named = [folder / Path(name).name for name in dict.fromkeys(information.get("relative_file_paths", []))]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        problems.add("metadata.yaml is damaged; the files speak for themselves", f"{metadata}: {error}")
        named = []
    if not metadata.exists():
        problems.add("metadata.yaml is missing; the files speak for themselves", str(folder))
    present = sorted((file for file in folder.iterdir() if is_rosbag2(file)), key=_natural)
    for file in named:
        if file not in present:
            problems.add("file of the bag is missing", str(file))
    files = [file for file in named if file in present]
    others = [file for file in present if file not in named]
    if named:
        for file in others:
            if _split(file)[0] != _split(named[0])[0]:
                problems.add(NOT_NAMED, str(file))
        others = [file for file in others if _split(file)[0] == _split(named[0])[0]]
    elif len(others) > 1 and (len({_split(file)[0] for file in others}) > 1 or _split(others[0])[1] != 0):
        raise _several(folder, others)
    if not files + others:
        raise InputError(
            f"{folder} is not a bag", "a bag is a folder with .mcap or .db3 files, or a ROS 1 .bag file"
        )
    return files, others


def is_rosbag2(file: Path) -> bool:
    """Whether the name is that of a file of rosbag2, packed or not."""
    return Path(plain_name(file)).suffix in ROSBAG2_SUFFIXES


def _split(file: Path) -> tuple[str, int | None]:
    """What the files of one bag have in common, and the number: they are named <stem>_<number>."""
    stem, _, number = file.name.partition(".")[0].rpartition("_")
    return (stem, int(number)) if number.isdecimal() else (file.name.partition(".")[0], None)


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key in which bag_10 comes after bag_9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.name)]
