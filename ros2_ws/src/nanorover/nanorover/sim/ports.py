"""Pseudo terminals behind which the simulated devices sit: the real drivers open them as the real ports."""

import contextlib
import os
import pty
import tty
from pathlib import Path

from nanorover.errors import InputError

# Names of the links in the folder of a simulated robot.
LIDAR_LINK, BASE_LINK = "lidar", "base"
# What nobody reads for long is lost, as on a real line.
QUEUE_BYTES = 64 * 1024


class PseudoTerminal:
    """A line with a device's end for us; ``link`` is the path that a driver opens.

    Raises InputError where the link cannot be made.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self._master, self._slave = pty.openpty()
        # The near end stays open here too, so that a driver that goes away does not hang up the device.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._queue = b""
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(os.ttyname(self._slave))
        except OSError as error:
            self.close()
            raise InputError(f"cannot make the link {link}: {error.strerror}", "choose another folder") from error

    def fileno(self) -> int:
        """Our end, for ``select``."""
        return self._master

    def read(self) -> bytes:
        """What the driver has sent; empty for nothing."""
        try:
            return os.read(self._master, 4096)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Send to the driver; never blocks."""
        self._queue = (self._queue + data)[-QUEUE_BYTES:]
        if self._queue:
            with contextlib.suppress(BlockingIOError):
                self._queue = self._queue[os.write(self._master, self._queue) :]

    def close(self) -> None:
        """Unplug it."""
        self.link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
