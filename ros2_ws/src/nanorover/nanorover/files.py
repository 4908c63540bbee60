"""Writing files so that an interrupted run never leaves half of one (runs on the detector's old Python too)."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

from nanorover.errors import InputError


@contextmanager
def replacing(path: Union[Path, str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed over ``path``, else removed.

    The temporary name keeps the suffix, because image writers choose their format by it.
    Raises InputError when the folder cannot be written or the path is one itself.
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
        yield temporary
        umask = os.umask(0)  # mkstemp gives 0600; a map is for everyone the umask allows
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()
