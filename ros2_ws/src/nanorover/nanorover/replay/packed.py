"""Recordings packed with zstd, gzip or bzip2: unpacked into a folder that goes with the reading."""

import bz2
import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zstandard

from nanorover.errors import InputError
from nanorover.replay.records import Problems

PACKED_SUFFIXES = (".zstd", ".zst", ".gz", ".bz2")
DAMAGED = (zstandard.ZstdError, zlib.error, EOFError, OSError, ValueError)
BLOCK_BYTES = 1 << 14  # what is lost before a damaged place, at most


def plain_name(path: Path) -> str:
    """The name that the unpacked file has."""
    return path.stem if path.suffix in PACKED_SUFFIXES else path.name


def unpacked(path: Path, problems: Problems, stack: ExitStack) -> Path:
    """The file itself, or its unpacked copy in a folder that goes with ``stack``.

    How it is packed is told by what it is rather than by its name. What can be unpacked of a damaged one is kept.
    Raises InputError where that is nothing, and where there is no room for it.
    """
    try:
        packed = _opened(path)
        if packed is None:
            return path
        plain = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nanorover-"))) / plain_name(path)
        with packed, plain.open("wb") as file:
            for block in _blocks(packed, path, problems):
                file.write(block)
    except OSError as error:
        hint = f"it is unpacked into {tempfile.gettempdir()}; TMPDIR names another folder"
        raise InputError(f"cannot read {path}: {error.strerror}", hint) from error
    if plain.stat().st_size == 0:
        raise InputError(f"{path} cannot be unpacked", "it is damaged from the start")
    return plain


def _opened(path: Path) -> Any:
    """The file to read unpacked; None where it is not packed."""
    with path.open("rb") as file:
        start = file.read(len(zstandard.FRAME_HEADER))
    if start == zstandard.FRAME_HEADER:
        return zstandard.open(path, "rb")
    if start.startswith(b"BZh"):
        return bz2.open(path, "rb")
    return gzip.open(path, "rb") if start.startswith(b"\x1f\x8b") else None


def _blocks(packed: Any, path: Path, problems: Problems) -> Iterator[bytes]:
    """What can be unpacked, piece by piece."""
    size = 0
    while True:
        try:
            block = packed.read(BLOCK_BYTES)
        except DAMAGED as error:
            problems.add("damaged file, unpacked up to there", f"{path}, byte {size} unpacked: {error}")
            return
        if not block:
            return
        size += len(block)
        yield block
