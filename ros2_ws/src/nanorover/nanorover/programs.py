"""Programs of ``nanorover_nodes`` in processes of their own, as the library never imports rclpy.

``python -m nanorover.programs NAME`` runs one in this process; until it hears a Ctrl-C itself, that ends it in
silence.
"""

import os
import runpy
import subprocess
import sys
from typing import Any, NoReturn

from nanorover.ros_environment import ros_environment

PACKAGE = "nanorover_nodes"
INTERRUPTED = 130


def run_program(module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``nanorover_nodes.module`` to its end; ``options`` are those of `subprocess.run`, in and output text."""
    command = [sys.executable, "-m", f"{PACKAGE}.{module}", *arguments]
    return subprocess.run(command, env=_environment(), text=True, check=False, **options)


def become_program(module: str, *arguments: str) -> NoReturn:
    """Go on as ``nanorover_nodes.module`` in this very process, so that a Ctrl-C reaches it, and once."""
    os.execve(sys.executable, [sys.executable, "-m", __name__, module, *arguments], _environment())


def _environment() -> dict[str, str]:
    return {**os.environ, **ros_environment()}


def main() -> None:
    """Run the named program; its imports take a second or more."""
    module = sys.argv.pop(1)
    try:
        runpy.run_module(f"{PACKAGE}.{module}", run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
