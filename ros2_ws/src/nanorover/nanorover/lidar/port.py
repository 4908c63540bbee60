"""The lidar's serial port: opening it with an error that says what to do, and finding a device again."""

import os
import select
from dataclasses import dataclass

import serial
from serial.tools import list_ports

from nanorover.lidar.protocol import BAUD
from nanorover.serial_ports import why_not_opened

READ_BYTES = 65536


class LinkError(Exception):
    """The connection to the lidar failed: ``cause`` and ``mend`` are for people."""

    def __init__(self, cause: str, mend: str = "") -> None:
        super().__init__(f"{cause}: {mend}" if mend else cause)
        self.cause = cause
        self.mend = mend


@dataclass(frozen=True)
class UsbIdentity:
    """What stays the same of a USB device when its port comes back under another name."""

    vid: int
    pid: int
    serial_number: str | None


def identity_of(path: str) -> UsbIdentity | None:
    """The USB device behind a port; None for a port that is none (a UART, a pseudo terminal)."""
    real = os.path.realpath(path)
    for port in list_ports.comports():
        if os.path.realpath(port.device) == real and port.vid is not None and port.pid is not None:
            return UsbIdentity(port.vid, port.pid, port.serial_number)
    return None


def find_again(path: str, identity: UsbIdentity | None) -> str:
    """Where the device of ``path`` is now: there, or where its USB identity turned up alone; else ``path``.

    Another device may have taken the old name meanwhile.
    """
    if identity is None or identity_of(path) == identity:
        return path
    same = [
        port.device
        for port in list_ports.comports()
        if UsbIdentity(port.vid, port.pid, port.serial_number) == identity
    ]
    return same[0] if len(same) == 1 else path


class Port:
    """An open serial port at the G4's baud rate. Raises LinkError where it cannot be opened.

    Reads and writes raise LinkError when the port vanishes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._serial = serial.Serial(path, BAUD, exclusive=True, timeout=0, write_timeout=0.5)
        except (serial.SerialException, OSError, ValueError) as error:
            raise LinkError(*why_not_opened(path, error, "lidar", "scripts/udev/70-ydlidar.rules")) from error

    def close(self) -> None:
        """Close it; a port that has vanished closes too."""
        self._serial.close()

    def write(self, data: bytes) -> None:
        """Send bytes. Raises LinkError when the port has vanished."""
        try:
            self._serial.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._vanished() from error

    def read(self, timeout_s: float) -> bytes:
        """What has come in; waits for the first byte, empty when none comes in time. Raises as ``write``."""
        try:
            readable, _, _ = select.select([self._serial.fileno()], [], [], timeout_s)
            if not readable:
                return b""
            data = os.read(self._serial.fileno(), READ_BYTES)
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._vanished() from error
        if not data:  # readable without data is how a terminal says that it was hung up
            raise self._vanished()
        return data

    def _vanished(self) -> LinkError:
        return LinkError(f"port {self.path} vanished", "the lidar was unplugged or lost power")
