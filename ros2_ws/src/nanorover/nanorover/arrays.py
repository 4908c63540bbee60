"""Arrays in ``.npz`` files, whatever became of them."""

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

# What numpy, zipfile and zlib raise at a file that is cut off or changed somewhere.
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(source: Path | IO[bytes]) -> dict[str, NDArray[Any]]:
    """Name → array of an ``.npz``. Raises ValueError, saying why, for a file that cannot be read or is none."""
    try:
        stored = np.load(source, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with stored:
            return {name: stored[name] for name in stored.files}
    except DAMAGED as error:
        raise ValueError(str(error)) from error
