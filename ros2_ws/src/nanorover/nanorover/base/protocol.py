"""The serial protocol of ``ros_arduino_bridge``: lines of text, one letter per command.

A command is a letter, its arguments separated by blanks, and a carriage return; the controller answers with
one line. Speeds of ``m`` are encoder ticks per cycle of the controller (30 per second as shipped). As the
README of ``ros_arduino_bridge`` (hbrobotics) documents it:

====  =====================================  ======================
``b``  baud rate                              the number
``e``  encoders                               ``left right``
``r``  reset the encoders                     ``OK``
``m``  closed-loop speeds ``left right``      ``OK``
``o``  raw PWM ``left right`` (−255 … 255)    ``OK``
``u``  gains ``Kp:Kd:Ki:Ko``                  ``OK``
``a``  analog input ``pin``                   0 … 1023
====  =====================================  ======================
"""

import re
from dataclasses import dataclass

END = b"\r"
ANSWER_END = b"\r\n"
OK = "OK"
INVALID = "Invalid Command"

BAUD_RATE, READ_ENCODERS, RESET_ENCODERS = "b", "e", "r"
MOTOR_SPEEDS, MOTOR_PWM, UPDATE_PID, ANALOG_READ = "m", "o", "u", "a"

MAX_PWM = 255
ANALOG_FULL_SCALE = 1023
# The controller's line buffer; a longer line is noise.
LONGEST_LINE_BYTES = 64

_ENCODERS = re.compile(r"(-?\d{1,10}) (-?\d{1,10})")
_NUMBER = re.compile(r"\d{1,10}")


class ProtocolError(Exception):
    """An answer that is not the one asked for."""


@dataclass(frozen=True)
class Gains:
    """The controller's whole-number PID: output = (Kp·error − Kd·change + Ki·sum) / Ko."""

    kp: int
    kd: int
    ki: int
    ko: int


def command(letter: str, *arguments: int) -> bytes:
    """The bytes of a command."""
    return " ".join((letter, *(str(a) for a in arguments))).encode("ascii") + END


def gains_command(gains: Gains) -> bytes:
    """The bytes that set the controller's gains."""
    return f"{UPDATE_PID} {gains.kp}:{gains.kd}:{gains.ki}:{gains.ko}".encode("ascii") + END


def parse_encoders(answer: str) -> tuple[int, int]:
    """Ticks of the left and right wheel; raises ProtocolError for any other answer."""
    match = _ENCODERS.fullmatch(answer)
    if match is None:
        raise ProtocolError(f"asked for the encoders, got {answer!r}")
    return int(match[1]), int(match[2])


def parse_number(answer: str) -> int:
    """A number that is not negative; raises ProtocolError for any other answer."""
    if _NUMBER.fullmatch(answer) is None:
        raise ProtocolError(f"asked for a number, got {answer!r}")
    return int(answer)


def parse_ok(answer: str) -> None:
    """Nothing; raises ProtocolError unless the command was accepted."""
    if answer != OK:
        raise ProtocolError(f"a command was answered with {answer!r}")


def parse_command(line: bytes) -> tuple[str, tuple[int, ...]]:
    """Letter and arguments of a received command; raises ProtocolError when it is none."""
    try:
        letter, *arguments = line.decode("ascii").split()
        if letter == UPDATE_PID and len(arguments) == 1:
            arguments = arguments[0].split(":")
        values = tuple(int(a) for a in arguments)
    except ValueError as error:
        raise ProtocolError(f"no command: {line!r}") from error
    wanted = {MOTOR_SPEEDS: 2, MOTOR_PWM: 2, UPDATE_PID: 4, ANALOG_READ: 1}
    known = (*wanted, BAUD_RATE, READ_ENCODERS, RESET_ENCODERS)
    if letter not in known or len(values) != wanted.get(letter, 0):
        raise ProtocolError(f"no command: {line!r}")
    return letter, values


def wrapped_difference(after: int, before: int, bits: int) -> int:
    """``after − before`` of two readings of a signed counter of that many bits, which wraps around."""
    half = 1 << (bits - 1)
    return (after - before + half) % (1 << bits) - half
