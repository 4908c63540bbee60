"""Child processes that never outlive their parent's wish: start, watch, stop in order."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from nanorover.errors import InputError
from nanorover.files import make_folder

# SIGINT lets a node shut down in order, SIGTERM asks again, SIGKILL does not ask.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
STOP_PATIENCE_S = (3.0, 2.0, 2.0)

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """In the child: a parent that is killed outright takes its children along.

    What counts for Linux is the thread that started the child, so a thread that starts one has to live on.
    """
    LIBC.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


class Processes:
    """A set of node processes, each with its own log file; leaving the context stops them all."""

    def __init__(self, log_folder: Path, stop_patience_s: Sequence[float] = STOP_PATIENCE_S) -> None:
        self.log_folder = log_folder
        self.stop_patience_s = stop_patience_s
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str] | None = None,
        append: bool = False,
    ) -> None:
        """Start ``python <arguments>`` as ``name``; its output goes to ``<log_folder>/<name>.log``."""
        make_folder(self.log_folder)
        with self.log_path(name).open("ab" if append else "wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (one system call, which takes no lock)
                start_new_session=True,  # a Ctrl-C at the terminal reaches the parent, which stops in order
            )

    def log_path(self, name: str) -> Path:
        """Where the output of ``name`` goes."""
        return self.log_folder / f"{name}.log"

    def exit_code(self, name: str) -> int | None:
        """The exit code of ``name`` (negative: the signal that ended it); None while it lives."""
        return self._running[name].poll()

    def pid(self, name: str) -> int:
        """Its process id."""
        return self._running[name].pid

    def last_words(self, name: str, lines: int = 8) -> str:
        """The end of its log, indented."""
        tail = self.log_path(name).read_text(errors="replace").strip().splitlines()[-lines:]
        return "".join(f"  {line}\n" for line in tail).rstrip()

    def check(self) -> None:
        """Raise InputError with the last lines of its log if a process has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise InputError(
                    f"node {name} ended with exit code {process.returncode}:\n{self.last_words(name)}",
                    f"the whole log is in {self.log_path(name)}",
                )

    def kill(self, name: str) -> None:
        """Stop one process, politely first."""
        self._stop([self._running[name]])

    def stop(self) -> None:
        """Stop every process, politely first."""
        self._stop(self._running.values())
        self._running.clear()

    def _stop(self, processes: Iterable[subprocess.Popen[bytes]]) -> None:
        for sign, patience_s in zip(STOP_SIGNALS, self.stop_patience_s, strict=True):
            alive = [process for process in processes if process.poll() is None]
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
            deadline = time.monotonic() + patience_s
            for process in alive:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
