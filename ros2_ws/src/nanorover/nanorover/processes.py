"""Child processes that never outlive their parent's wish: start, watch, stop in order."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from nanorover.errors import InputError

# SIGINT lets a node shut down in order, SIGTERM asks again, SIGKILL does not ask.
STOP_SIGNALS = ((signal.SIGINT, 3.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))


class Processes:
    """A set of node processes, each with its own log file; leaving the context stops them all."""

    def __init__(self, log_folder: Path) -> None:
        self.log_folder = log_folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, arguments: list[str], environment: dict[str, str] | None = None) -> None:
        """Start ``python <arguments>`` as ``name``; its output goes to ``<log_folder>/<name>.log``."""
        self.log_folder.mkdir(parents=True, exist_ok=True)
        with self.log_path(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # a Ctrl-C at the terminal reaches the parent, which stops in order
            )

    def log_path(self, name: str) -> Path:
        """Where the output of ``name`` goes."""
        return self.log_folder / f"{name}.log"

    def check(self) -> None:
        """Raise InputError with the last lines of its log if a process has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                tail = self.log_path(name).read_text(errors="replace").strip().splitlines()[-8:]
                raise InputError(
                    f"node {name} ended with exit code {process.returncode}:\n  " + "\n  ".join(tail),
                    f"the whole log is in {self.log_path(name)}",
                )

    def stop(self) -> None:
        """Stop every process, politely first."""
        for sign, patience_s in STOP_SIGNALS:
            for process in self._running.values():
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, sign)
            deadline = time.monotonic() + patience_s
            for process in self._running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=max(0.0, deadline - time.monotonic()))
        self._running.clear()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
