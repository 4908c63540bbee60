"""One question, one answer over the serial port."""

import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import serial

from nanorover.base.protocol import LONGEST_LINE_BYTES, ProtocolError
from nanorover.serial_ports import why_not_opened

# What a port that vanishes raises, by the call that notices it; TypeError when it was closed under our hands.
VANISHED = (serial.SerialException, termios.error, OSError, TypeError)


class LinkError(Exception):
    """The port is gone or the controller is silent."""


class PortLost(LinkError):
    """The port cannot be opened or has vanished: waiting for an answer is vain."""


@contextmanager
def explained(port: str, baud: int) -> Iterator[None]:
    """Around the first questions: LinkError (nothing answers) and ProtocolError (somebody else) say what to do."""
    try:
        yield
    except PortLost:
        raise
    except LinkError as error:
        raise LinkError(
            f"nothing answers on {port} at {baud} baud: is this the motor controller's port (base: port), has it "
            "power, is that its baud rate (base: baud)?"
        ) from error
    except ProtocolError as error:
        raise ProtocolError(
            f"what is on {port} does not answer as a motor controller at {baud} baud ({error}): is this its port "
            "(base: port), and that its baud rate (base: baud)?"
        ) from error


def readable(command: bytes) -> str:
    """A command as it stands in a message for people."""
    return command[:LONGEST_LINE_BYTES].decode("ascii", "replace").strip()


class Link(Protocol):
    """A line to the controller. ``ask`` raises LinkError, PortLost or ProtocolError."""

    def ask(self, command: bytes) -> str:
        """Send a command and return the line that answers it."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class SerialLink:
    """An open port to the controller. Raises PortLost where it cannot be opened."""

    def __init__(self, port: str, baud: int, answer_timeout_s: float) -> None:
        self.answer_timeout_s = answer_timeout_s
        try:
            self._serial = serial.Serial(port, baud, exclusive=True)
            self._serial.timeout = self._serial.write_timeout = answer_timeout_s
        except (*VANISHED, ValueError) as error:
            cause, mend = why_not_opened(port, error, "motor controller")
            raise PortLost(f"{cause}: {mend}") from error

    def ask(self, command: bytes) -> str:
        """Send a command and return the line that answers it.

        What was still in the line from an earlier question is thrown away first. Raises LinkError when
        nothing comes in time, PortLost when the port fails, ProtocolError for an answer that is no text.
        """
        deadline = time.monotonic() + self.answer_timeout_s
        answer = b""
        try:
            self._serial.reset_input_buffer()
            self._serial.write(command)
            while not answer.endswith(b"\n"):
                received = self._serial.read_until(b"\n", LONGEST_LINE_BYTES)
                answer += received
                if len(answer) > LONGEST_LINE_BYTES:
                    raise ProtocolError(f"an answer without end: {answer[:20]!r}…")
                if not received or (time.monotonic() > deadline and not answer.endswith(b"\n")):
                    raise LinkError(f"no answer to '{readable(command)}' within {self.answer_timeout_s:g} s")
        except serial.SerialTimeoutException as error:  # a busy computer too, though all was written
            raise LinkError(f"'{readable(command)}' was not sent within {self.answer_timeout_s:g} s") from error
        except VANISHED as error:
            raise PortLost(f"the port failed: {error}") from error
        try:
            return answer.decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"an answer that is no text: {answer!r}") from error

    def close(self) -> None:
        """Close the port."""
        self._serial.close()
