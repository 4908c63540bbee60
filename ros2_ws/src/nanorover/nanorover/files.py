"""Writing files so that an interrupted run never leaves half of one (runs on the detector's old Python too)."""

import errno
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

from nanorover.errors import InputError

# What a disk says that takes no more.
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS)


def expanded(path: Union[Path, str]) -> Path:
    """The path with the home that its ``~`` or ``~name`` stands for. Raises InputError for an unknown name."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path} is in nobody's home", "write the path from / on") from error


def make_folder(path: Path) -> None:
    """Let the folder ``path`` be there. Raises InputError where it cannot be made or written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write into {path}: {error.strerror or error}", "choose a folder you may write to"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What writes ``path`` stands in here: a disk that is full or fails becomes an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        raise InputError(
            f"cannot write {path}: {error.strerror}", "make room on its disk, or choose another folder"
        ) from error


@contextmanager
def replacing(path: Union[Path, str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed over ``path``, else removed.

    The temporary name keeps the suffix, because image writers choose their format by it.
    Raises InputError when the folder cannot be written, the path is one itself, or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder", "name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}", "choose a folder you may write to"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        with writing(path):
            yield temporary
            umask = os.umask(0)  # mkstemp gives 0600; a map is for everyone the umask allows
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()
