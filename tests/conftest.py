"""Shared set-up of the tests."""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # tests import their helpers: `from data import recording`

# Time limits per example are off: the first call of a kernel compiles it.
settings.register_profile("nanorover", deadline=None)
settings.load_profile("nanorover")

# How often a failed test of a folder is repeated: processes and ports run in real time, and on a busy machine
# discovery, or the other end of a line, can take longer than any wait.
REAL_TIME = {"nodes": 2, "faults": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Repeat what failed in real time."""
    for item in items:
        if item.path.parent.name in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=REAL_TIME[item.path.parent.name]))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=3m") != 0:
        pytest.skip(f"a small file system needs root here: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(str(folder).encode(), 2)
