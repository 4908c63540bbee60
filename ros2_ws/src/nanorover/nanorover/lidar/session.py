"""Questions and settings: the part of the conversation with a G4 that is not the stream."""

import struct
import time

from nanorover.lidar.packets import HEADER
from nanorover.lidar.port import LinkError, Port
from nanorover.lidar.protocol import (
    BAUD,
    LONGEST_REPLY_BYTES,
    MODELS_G4,
    RATES_KHZ,
    SCAN_HEADER,
    Command,
    DeviceInfo,
    Health,
    ReplyType,
    find_reply,
)
from nanorover.serial_ports import ports_here

ANSWER_S = 0.5
QUIET_S = 0.06  # a stopped lidar sends nothing for this long
STOP_S = 0.5
TRIES = 2


class NoAnswer(LinkError):
    """No fitting reply came; ``received`` is what came instead."""

    def __init__(self, sentence: str, received: bytes) -> None:
        super().__init__(sentence)
        self.received = received


class Session:
    """The conversation over an open port. Every method raises LinkError when it fails."""

    def __init__(self, port: Port) -> None:
        self.port = port

    def stop(self) -> bytes:
        """Stop scan and motor; returns what still came until the line fell silent."""
        received = b""
        deadline = time.monotonic() + STOP_S
        self.port.write(Command.FORCE_STOP.encode() + Command.STOP.encode())
        while (data := self.port.read(QUIET_S)) and time.monotonic() < deadline:
            received += data
        if data:  # it goes on: the command may have been lost
            self.port.write(Command.FORCE_STOP.encode() + Command.STOP.encode())
            received += data + self.port.read(QUIET_S)
        return received

    def ask(self, command: Command, payload_bytes: int, type: int = ReplyType.VALUE, tries: int = TRIES) -> bytes:
        """Send a command and return the payload of its reply. Raises NoAnswer when none comes."""
        received = b""
        for _ in range(tries):
            self.port.write(command.encode())
            deadline = time.monotonic() + ANSWER_S
            while (left_s := deadline - time.monotonic()) > 0:
                received += self.port.read(left_s)
                reply = find_reply(received, type, payload_bytes)
                if reply is not None:
                    return reply.payload
        raise NoAnswer(f"the lidar does not answer {command.name.lower().replace('_', ' ')}", received)

    def identify(self, before: bytes) -> DeviceInfo:
        """Who is there; ``before`` is what came unasked. The error names what is there instead of a G4."""
        try:
            info = DeviceInfo.decode(self.ask(Command.DEVICE_INFO, DeviceInfo.PAYLOAD_BYTES))
        except NoAnswer as error:
            raise _stranger(self.port.path, before + error.received) from error
        if info.model not in MODELS_G4:
            raise LinkError(
                f"on {self.port.path} is a lidar of another model ({info})", "this driver is for the G4"
            )
        return info

    def health(self) -> Health:
        """How the device says it is."""
        try:
            payload = self.ask(Command.HEALTH_SDK, Health.PAYLOAD_BYTES, ReplyType.HEALTH, tries=1)
        except NoAnswer:  # the manual has another code
            payload = self.ask(Command.HEALTH, Health.PAYLOAD_BYTES, ReplyType.HEALTH)
        return Health.decode(payload)

    def set_rate(self, rate_khz: int) -> None:
        """Step through the range frequencies until the wanted one is set. Raises LinkError where it cannot be."""
        wanted = RATES_KHZ.index(rate_khz)
        code = self.ask(Command.GET_RATE, 1)[0]
        for _ in RATES_KHZ:
            if code == wanted:
                return
            code = self.ask(Command.NEXT_RATE, 1, tries=1)[0]  # a second try would step twice
        if code != wanted:
            raise LinkError(f"the lidar does not take the range frequency {rate_khz} kHz (it says code {code})")

    def set_frequency(self, frequency_hz: float) -> None:
        """Step the rotation to the wanted setting and read it back. Raises LinkError where it stays otherwise."""
        wanted = round(frequency_hz * 10)
        for _ in range(TRIES):
            setting = self._frequency_tenths()
            if setting == wanted:
                return
            whole, tenths = divmod(abs(wanted - setting), 10)
            faster = wanted > setting
            steps = [Command.FASTER_ONE if faster else Command.SLOWER_ONE] * whole
            steps += [Command.FASTER_TENTH if faster else Command.SLOWER_TENTH] * tenths
            for step in steps:
                self.ask(step, 4, tries=1)
        setting = self._frequency_tenths()
        if setting != wanted:
            raise LinkError(f"the lidar does not take {wanted / 10:g} Hz, it stays at {setting / 10:g} Hz")

    def _frequency_tenths(self) -> int:
        (hundredths,) = struct.unpack("<I", self.ask(Command.GET_FREQUENCY, 4))
        return round(hundredths / 10)

    def settle_modes(self) -> None:
        """Motor regulated while it scans and off while it does not."""
        self.ask(Command.CONSTANT_FREQUENCY_ON, 1)
        self.ask(Command.LOW_POWER_ON, 1)

    def heartbeat_off(self) -> None:
        """Undo what another driver may have left behind: a device that stops without signs of life."""
        if self.ask(Command.HEARTBEAT, 1, tries=1)[0] == 0:  # the command toggles, 0 says enabled
            self.ask(Command.HEARTBEAT, 1, tries=1)

    def start_scan(self) -> bytes:
        """Start the scan; returns what came of the stream already. Raises NoAnswer when it does not start."""
        self.port.write(Command.SCAN.encode())
        received = b""
        deadline = time.monotonic() + ANSWER_S
        while (left_s := deadline - time.monotonic()) > 0:
            received += self.port.read(left_s)
            at = received.find(SCAN_HEADER)
            if at >= 0:
                return received[at + len(SCAN_HEADER) :]
        raise NoAnswer("the lidar does not start to scan", received)


def _stranger(path: str, received: bytes) -> LinkError:
    """What seems to be on a port that gave these bytes instead of an answer, and what to do."""
    if not received:
        return LinkError(
            f"nothing answers on {path}",
            f"check that the lidar has its 5 V supply and that this is its port; {ports_here()}",
        )
    printable = sum(32 <= octet < 127 or octet in b"\r\n\t" for octet in received)
    if printable > 0.9 * len(received):
        said = received.decode("ascii", "replace").split()[0:1] or [""]
        return LinkError(
            f"another device is on {path}, it says '{said[0][:40]}'", f"choose the lidar's port; {ports_here()}"
        )
    if HEADER in received and len(received) > LONGEST_REPLY_BYTES:
        return LinkError(f"the lidar on {path} scans but does not hear commands", "power it off and on again")
    return LinkError(
        f"what comes from {path} cannot be read at {BAUD} baud",
        f"it is another device, or a lidar with another baud rate; choose the G4's port; {ports_here()}",
    )
