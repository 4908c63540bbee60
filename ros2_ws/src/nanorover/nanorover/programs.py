"""Programs of ``nanorover_nodes`` in processes of their own, as the library never imports rclpy."""

import os
import subprocess
import sys
from typing import Any, NoReturn

from nanorover.ros_environment import ros_environment


def run_program(module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``nanorover_nodes.module`` to its end; ``options`` are those of `subprocess.run`, in and output text."""
    command, environment = _command(module, arguments)
    return subprocess.run(command, env=environment, text=True, check=False, **options)


def become_program(module: str, *arguments: str) -> NoReturn:
    """Go on as ``nanorover_nodes.module`` in this very process, so that a Ctrl-C reaches it, and once."""
    command, environment = _command(module, arguments)
    os.execve(sys.executable, command, environment)


def _command(module: str, arguments: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", f"nanorover_nodes.{module}", *arguments], {**os.environ, **ros_environment()}
