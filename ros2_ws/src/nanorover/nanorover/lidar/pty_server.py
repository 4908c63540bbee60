"""An emulated G4 on a pseudo terminal, in real time: any driver opens it as it opens the real one."""

import contextlib
import os
import pty
import select
import threading
import time
import tty
from pathlib import Path

from nanorover.errors import InputError
from nanorover.lidar.emulator import G4

LONGEST_WAIT_S = 0.02
# A host may leave its port unread for a while (the vendor's SDK does for 0.5 s); beyond this, bytes are lost.
QUEUE_BYTES = 64 * 1024
# Faster than real time, the device lives at most this much of its time at once, and not on while bytes are unread.
LONGEST_STEP_S = 0.1


class PtyServer:
    """Runs a ``G4`` behind a pseudo terminal in a thread of its own; use it as a context manager.

    ``path`` is what a driver opens: ``link``, if given, is a symbolic link that follows the pseudo terminal
    through disconnects. ``speed`` makes the device's time run faster than real time, as far as the machine and the
    host keep up. Raises InputError where the link cannot be made.
    """

    def __init__(self, g4: G4, link: Path | None = None, speed: float = 1.0) -> None:
        self.g4 = g4
        self.link = link
        self.lost_bytes = 0  # nobody read them in time
        self._speed = speed
        self._start_s = 0.0  # monotonic time at which the device's clock was at 0
        self._master = self._slave = -1
        self._queue = b""
        self._error: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="g4", daemon=True)

    @property
    def path(self) -> str:
        """The port to open."""
        return str(self.link) if self.link else os.ttyname(self._slave)

    def device_s(self) -> float:
        """What the device's clock shows now."""
        return (time.monotonic() - self._start_s) * self._speed

    def stamp_ns(self, device_s: float) -> int:
        """Wall-clock time at which the device's clock shows ``device_s``; only for ``speed`` 1."""
        return time.time_ns() + round((device_s - self.device_s()) * 1e9)

    def __enter__(self) -> "PtyServer":
        self._plug_in()
        self._start_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._unplug()
        self.check()

    def _plug_in(self) -> None:
        self._master, self._slave = pty.openpty()
        # The near end stays open here too, so that a driver that goes away does not hang up the device.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        if self.link is None:
            return
        try:
            self.link.parent.mkdir(parents=True, exist_ok=True)
            if self.link.is_symlink():
                self.link.unlink()
            self.link.symlink_to(os.ttyname(self._slave))
        except OSError as error:
            raise InputError(
                f"cannot make the link {self.link}: {error.strerror}", "choose another path for --link"
            ) from error

    def _unplug(self) -> None:
        if self._master < 0:
            return
        if self.link is not None:
            self.link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._queue = b""

    def check(self) -> None:
        """Raise what ended the device's life, if anything did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._live()
        except Exception as error:  # told to who asks with `check`
            self._error = error

    def _live(self) -> None:
        lived_s = 0.0
        while not self._ended.is_set():
            lived_s = self._held_back(lived_s)
            data = self.g4.transmit(lived_s)
            if self.g4.connected != (self._master >= 0):
                if self.g4.connected:
                    self._plug_in()
                else:
                    self._unplug()
            if self._master < 0:
                self._ended.wait(LONGEST_WAIT_S / self._speed)
                continue
            self._write(data)
            wait_s = min(max(self.g4.due_s - self.device_s(), 0.0), LONGEST_WAIT_S) / self._speed
            readable, _, _ = select.select([self._master], [], [], wait_s)
            if readable:
                lived_s = self._held_back(lived_s)
                with contextlib.suppress(BlockingIOError):
                    self.g4.receive(os.read(self._master, 4096), lived_s)

    def _held_back(self, lived_s: float) -> float:
        """What the device's clock shows now, after it is set back to what a hurried device may live at once."""
        now_s = self.device_s()
        if self._speed <= 1.0:
            return now_s
        latest_s = lived_s + (0.0 if self._queue else LONGEST_STEP_S)
        self._start_s += max(now_s - latest_s, 0.0) / self._speed
        return min(now_s, latest_s)

    def _write(self, data: bytes) -> None:
        self._queue += data
        if self._queue:
            with contextlib.suppress(BlockingIOError):
                self._queue = self._queue[os.write(self._master, self._queue) :]
        if len(self._queue) > QUEUE_BYTES:
            self.lost_bytes += len(self._queue) - QUEUE_BYTES
            self._queue = self._queue[-QUEUE_BYTES:]
