"""Recording without end: what arrives goes to the disk, in files of a bounded size, as long as there is room."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nanorover.errors import InputError
from nanorover.params import param
from nanorover.replay.packed import plain_name
from nanorover.replay.records import Problems
from nanorover.replay.storage import open_storages
from nanorover.replay.writer import BagWriter

MB = 1_000_000


@dataclass(frozen=True)
class RecorderParams:
    """How a recording is cut into files and when it ends."""

    folder: str = param("where recordings go; each gets a folder named by its date and time")
    chunk_kb: int = param(
        "messages packed together; a power loss costs at most one such chunk", "kB", minimum=16, maximum=16384
    )
    flush_period_s: float = param(
        "time after which a chunk is written even if not full", "s", minimum=0.1, maximum=60.0
    )
    max_file_mb: float = param("size at which a new file is begun; 0 for never", "MB", minimum=0.0, maximum=1e6)
    max_file_s: float = param(
        "duration after which a new file is begun; 0 for never", "s", minimum=0.0, maximum=1e6
    )
    keep_files: int = param("files to keep, the oldest go first; 0 keeps all", minimum=0, maximum=100_000)
    min_free_mb: float = param(
        "free space that the disk keeps; less ends the recording", "MB", minimum=0.0, maximum=1e6
    )
    topics: tuple[str, ...] = param("topics to record beside those of the topic table; ['*'] for all")
    without_tf_from: str = param(
        "frame whose transforms are left out, so that SLAM can be replayed; empty keeps all"
    )
    jpeg_quality: int = param("quality of pictures that arrive raw", minimum=10, maximum=100)


class Recorder:
    """Messages in, a bag on the disk; ``stopped_because`` says why it no longer records.

    ``clock`` is the monotonic clock. Nothing is raised for a full disk: what is there is closed properly.
    """

    def __init__(self, path: Path, params: RecorderParams, clock: Callable[[], float] = time.monotonic) -> None:
        self.params = params
        self.stopped_because = ""
        self.dropped_files: list[Path] = []
        chunk_bytes = params.chunk_kb * 1024
        # The reserve must hold the chunk under way, another that it displaces, and the index.
        self.writer = BagWriter(path, chunk_bytes=chunk_bytes, reserve_bytes=4 * chunk_bytes + MB)
        self._clock = clock
        self._file_since_s = self._flushed_s = clock()

    @property
    def path(self) -> Path:
        """The folder of the bag."""
        return self.writer.path

    @property
    def messages(self) -> int:
        """Messages taken so far."""
        return sum(sum(file.counts.values()) for file in self.writer.files)

    def add(self, topic: str, msgtype: str, data: bytes, received_ns: int) -> None:
        """Take a message; ignored once the recording has stopped."""
        if self.stopped_because:
            return
        try:
            self.writer.write_raw(topic, msgtype, data, received_ns)
        except OSError as error:
            self._stop(f"the disk failed: {error.strerror or error}")
        if self.writer.disk_full:
            self._stop("the disk is full")

    def tend(self) -> None:
        """Flush, rotate and look at the free space; call it a few times a second."""
        if self.stopped_because:
            return
        now_s, params = self._clock(), self.params
        free_mb = shutil.disk_usage(self.path).free / MB
        if free_mb < params.min_free_mb:
            self._stop(f"the disk has only {free_mb:.0f} MB left, less than min_free_mb {params.min_free_mb:g}")
            return
        try:
            if now_s - self._flushed_s >= params.flush_period_s:
                self._flushed_s = now_s
                self.writer.flush()
            large = params.max_file_mb and self.writer.file_bytes > params.max_file_mb * MB
            if large or (params.max_file_s and now_s - self._file_since_s > params.max_file_s):
                self._file_since_s = now_s
                self.writer.rotate()
                self._drop_old_files()
        except OSError as error:
            self._stop(f"the disk failed: {error.strerror or error}")
        if self.writer.disk_full:
            self._stop("the disk is full")

    def _drop_old_files(self) -> None:
        while self.params.keep_files and len(self.writer.files) > self.params.keep_files:
            self.dropped_files.append(self.writer.drop_oldest())

    def _stop(self, reason: str) -> None:
        if not self.stopped_because:
            self.stopped_because = reason
            self.close()

    def close(self) -> None:
        """End the recording; what cannot be written any more is left out, never what is there."""
        try:
            self.writer.close()
        except OSError as error:
            self.stopped_because = self.stopped_because or f"the disk failed: {error.strerror or error}"


def recover(path: Path, to: Path) -> tuple[int, Problems]:
    """Copy what is readable of a damaged bag at ``path`` into a whole one at ``to``.

    Returns the number of messages and what was wrong. Raises InputError when nothing can be read or ``to`` exists,
    and for a ROS 1 bag, whose messages and definitions are others.
    """
    if Path(plain_name(path)).suffix == ".bag":
        raise InputError(
            f"{path} is a ROS 1 bag, and a whole copy would be a rosbag2",
            "the tools here read it as it is; `rosbag reindex` mends it, `rosbags-convert` makes a rosbag2 of it",
        )
    problems = Problems()
    with ExitStack() as stack:
        storages = open_storages(path, problems, stack)
        definitions = {name: text for storage in storages for name, text in storage.definitions.items()}
        writer = stack.enter_context(BagWriter(to, definitions=definitions))
        count = 0
        for storage in storages:
            for message in storage.messages():
                writer.write_raw(message.topic, message.type, message.data, message.received_ns)
                count += 1
    return count, problems
