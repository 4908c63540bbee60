"""The compiler's code is given back, and a kernel can still be compiled afterwards."""

from pathlib import Path

import numpy as np
import pytest
from numba import njit

from nanorover.compiler import LIBRARY, let_go_of_compiler

MAPS = Path("/proc/self/smaps")


def resident_kb() -> int:
    """Of the compiler's code."""
    resident, inside = 0, False
    for line in MAPS.read_text().splitlines():
        if "-" in line.split()[0]:
            inside = LIBRARY in line and " r-xp " in line
        elif inside and line.startswith("Rss:"):
            resident += int(line.split()[1])
    return resident


@pytest.mark.skipif(not MAPS.exists(), reason="this system has no /proc/self/smaps")
def test_the_compilers_code_leaves_the_memory_and_comes_back_when_needed():
    def add(a, b):
        return a + b

    njit(add)(1, 2)
    before_kb = resident_kb()
    let_go_of_compiler()
    assert before_kb > 10_000 and resident_kb() < before_kb / 10
    assert njit(lambda values: values.sum() * 2.0)(np.arange(4.0)) == 12.0
