"""Which robot runs on this machine: one lock, one state file, read by ``status`` and ``stop``."""

import fcntl
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from nanorover.errors import InputError
from nanorover.files import replacing


def robot_folder(namespace: str, instance: str) -> Path:
    """Where the running robot of this user, ROS domain and namespace keeps its lock and state."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    name = "-".join(part for part in (f"domain{domain}", *namespace.strip("/").split("/"), instance) if part)
    return base / f"nanorover-{os.getuid()}" / name


class RunState:
    """The lock of a robot and what it says of itself. A process that dies loses the lock, whatever happens.

    ``instance`` sets apart what may run beside the robot, such as the page in the browser.
    """

    def __init__(self, namespace: str, instance: str = "") -> None:
        self.folder = robot_folder(namespace, instance)
        self.file = self.folder / "state.json"
        self._lock: int | None = None

    def __enter__(self) -> "RunState":
        """Take the lock. Raises InputError while another instance has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(f"cannot write {self.folder}: {error.strerror}", "set XDG_RUNTIME_DIR") from error
        if not _try_lock(lock):
            os.close(lock)
            raise InputError(
                f"this robot runs already (process {self.read().get('pid', '?')})",
                "`nanorover status` shows it, `nanorover stop` ends it; another robot needs another ROS_DOMAIN_ID",
            )
        self._lock = lock
        self.write({"pid": os.getpid(), "nodes": {}})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, content: dict[str, Any]) -> None:
        """Say how it is; whose lock it is stands there from the beginning."""
        with replacing(self.file) as temporary:
            temporary.write_text(json.dumps(content))

    def read(self) -> dict[str, Any]:
        """What the running robot says of itself; empty where none runs or nothing was said yet."""
        try:
            return json.loads(self.file.read_text())
        except (OSError, json.JSONDecodeError):
            return {}

    def running(self) -> bool:
        """Whether an instance holds the lock."""
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            return not _try_lock(lock)
        finally:
            os.close(lock)

    def stop(self, patience_s: float) -> bool:
        """Ask the running instance to stop and wait until it has; False when it has not within the patience."""
        pid = self.read().get("pid")
        if pid is None:
            return not self.running()
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + patience_s
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
