"""What machine a figure was measured on."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, or its architecture where the system does not say it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def one_core() -> str:
    """The machine in words, for what is measured on one core."""
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, one core used"
