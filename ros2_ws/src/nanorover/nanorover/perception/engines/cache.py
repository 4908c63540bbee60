"""The cache of built engines: one file per ONNX, TensorRT, GPU, precision and shape."""

import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable, Optional

from nanorover.errors import InputError
from nanorover.perception.engines.engine_file import EngineKey, check_key, read_engine, write_engine

TICK_S = 5.0
MIB = 1 << 20

# A build holds the network several times and tries kernels in the workspace.
BUILD_RESERVE_BYTES = 512 * MIB

# Room on the disk for the engine of a small detector, in FP32 about as large as its ONNX file.
ENGINE_ROOM_BYTES = 64 * MIB

# Rough seconds to build a small detector, by compute capability, until a build has been timed here.
BUILD_ESTIMATE_S = {"5.3": 240.0}
BUILD_ESTIMATE_OTHER_S = 180.0  # TensorRT 8.5 on an H100: `rover` in FP16 69 s, in INT8 5 to 6 minutes

Say = Callable[[str], None]


def say_to_stderr(sentence: str) -> None:
    """The progress of a build for people at a terminal."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


class EngineCache:
    """Engines in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, stem: str, key: EngineKey) -> Path:
        """Where the engine of a key lies."""
        return self.folder / key.file_name(stem)

    def load(self, stem: str, key: EngineKey) -> Optional[bytes]:
        """The cached plan, or None if it has not been built; InputError when it is damaged or does not fit."""
        path = self.path(stem, key)
        if not path.is_file():
            return None
        found, plan, _ = read_engine(path)
        check_key(path, found, key)
        return plan

    def build(
        self, stem: str, key: EngineKey, make_plan: Callable[[], bytes], workspace_bytes: int, say: Say
    ) -> bytes:
        """Build, keep and return a plan.

        Raises InputError before the work begins when the folder cannot be written, or disk or memory is short.
        """
        path = self.path(stem, key)
        require_writable(self.folder)
        require_room(self.folder)
        require_memory(workspace_bytes + BUILD_RESERVE_BYTES)
        expected_s = self.estimate_s(key)
        say("building %s, which takes about %s; this is done once" % (path.name, _duration(expected_s)))
        begin = time.monotonic()
        with _Ticker(expected_s, say):
            plan = make_plan()
        taken_s = time.monotonic() - begin
        write_engine(path, key, plan, taken_s)
        say("built in %s, %.1f MiB: %s" % (_duration(taken_s), len(plan) / MIB, path))
        return plan

    def estimate_s(self, key: EngineKey) -> float:
        """Seconds that a build will take: the longest earlier one for this GPU and precision, else a guess."""
        taken = []
        for path in self.folder.glob("*.engine"):
            try:
                found, _, build_s = read_engine(path)
            except InputError:
                continue  # a damaged engine is reported when it is asked for
            if (found.compute_capability, found.precision) == (key.compute_capability, key.precision):
                taken.append(build_s)
        return max(taken) if taken else BUILD_ESTIMATE_S.get(key.compute_capability, BUILD_ESTIMATE_OTHER_S)


def require_writable(folder: Path) -> None:
    """InputError unless a file can be made in ``folder``, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=str(folder)):
            pass
    except OSError as error:
        raise InputError(
            "the engine cache %s cannot be written: %s" % (folder, error.strerror),
            "give another folder (engine_cache), or mount it writable into the container",
        )


def require_room(folder: Path) -> None:
    """InputError when the disk of ``folder`` is nearly full: minutes later the engine would be lost."""
    free = shutil.disk_usage(str(folder)).free
    if free < ENGINE_ROOM_BYTES:
        raise InputError(
            "the engine cache %s has room for %d MiB, but an engine may need %d MiB"
            % (folder, free // MIB, ENGINE_ROOM_BYTES // MIB),
            "make room on its disk, or give another folder (engine_cache)",
        )


def require_memory(needed_bytes: int, meminfo: Path = Path("/proc/meminfo")) -> None:
    """InputError when less than ``needed_bytes`` is available; a killed build says nothing at all."""
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    available = sum(int(fields[name].split()[0]) for name in ("MemAvailable", "SwapFree")) * 1024
    if available < needed_bytes:
        raise InputError(
            "building the engine needs about %d MiB of memory, but %d MiB are free"
            % (needed_bytes // MIB, available // MIB),
            "stop other programs, add swap, or lower engine_workspace_mib",
        )


class _Ticker:
    """Says every few seconds how far a build is, by time, because old builders report nothing."""

    def __init__(self, expected_s: float, say: Say) -> None:
        self.expected_s, self.say = expected_s, say
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def _tick(self) -> None:
        begin = time.monotonic()
        while not self.over.wait(TICK_S):
            passed_s = time.monotonic() - begin
            words = "%s of about %s" if passed_s < self.expected_s else "%s, longer than the %s expected"
            self.say("  … " + words % (_duration(passed_s), _duration(self.expected_s)))

    def __enter__(self) -> "_Ticker":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def _duration(seconds: float) -> str:
    return "%d s" % round(seconds) if seconds < 120 else "%d min" % round(seconds / 60)
