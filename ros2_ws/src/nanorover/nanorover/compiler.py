"""The compiler of the kernels (LLVM, by numba) in a process that has loaded all of them."""

import ctypes
from pathlib import Path

MADV_DONTNEED = 4  # madvise(2)
LIBRARY = "libllvmlite"


def let_go_of_compiler() -> None:
    """Give back the memory that holds the compiler's code, 50 MB: loaded kernels do not need it.

    Should one be compiled later after all, the system reads the pages from the library's file again. Only code is
    given back, which nothing can have changed; does nothing where the system has no such memory map.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return
    madvise = ctypes.CDLL(None).madvise
    for line in maps.read_text().splitlines():
        span, mode, *_, name = line.split(maxsplit=5)
        if LIBRARY in name and mode == "r-xp":
            start, end = (int(address, 16) for address in span.split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)
