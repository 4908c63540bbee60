"""What host and G4 say to each other: commands, replies and their meaning.

Source: YDLIDAR G4 development manual 01.13 and the vendor's SDK 1.2. Everything is little-endian. Scan
packets have a module of their own, ``packets``.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

BAUD = 230400
BITS_PER_BYTE = 10  # start bit, eight data bits, stop bit
BYTE_TIME_S = BITS_PER_BYTE / BAUD

COMMAND_START = 0xA5
REPLY_START = b"\xa5\x5a"
REPLY_HEADER_BYTES = 7
LONGEST_REPLY_BYTES = 64  # the longest known has 20; a larger length is line noise

# The range frequencies in the order of their codes, which is also the order in which D0 steps.
RATES_KHZ = (4, 8, 9)
SLOWEST_HZ, FASTEST_HZ = 5.0, 12.0  # of the rotation, from the data sheet
MODEL_G4 = 5  # what real devices and the SDK say; the manual has 4
MODELS_G4 = (4, 5)
MODEL_NAMES = {
    1: "F4",
    4: "G4 or S4",
    5: "G4",
    6: "X4",
    7: "G4 Pro",
    9: "R2",
    10: "G10",
    13: "G6",
    19: "G1",
    20: "G5",
}


class Command(IntEnum):
    """The second byte of a command."""

    FORCE_STOP = 0x00
    LOW_POWER_ON = 0x01
    LOW_POWER_OFF = 0x02
    LOW_POWER_QUERY = 0x05
    FASTER_TENTH = 0x09
    SLOWER_TENTH = 0x0A
    FASTER_ONE = 0x0B
    SLOWER_ONE = 0x0C
    GET_FREQUENCY = 0x0D
    CONSTANT_FREQUENCY_ON = 0x0E
    CONSTANT_FREQUENCY_OFF = 0x0F
    REBOOT = 0x40
    SCAN = 0x60
    FORCE_SCAN = 0x61
    STOP = 0x65
    REBOOT_SDK = 0x80
    DEVICE_INFO = 0x90
    HEALTH = 0x91
    HEALTH_SDK = 0x92
    NEXT_RATE = 0xD0
    GET_RATE = 0xD1
    HEARTBEAT = 0xD9

    def encode(self) -> bytes:
        """The two bytes on the wire."""
        return bytes((COMMAND_START, self))


class ReplyType(IntEnum):
    """The type byte of a reply header."""

    VALUE = 0x04  # device info and every setting
    HEALTH = 0x06
    SCAN = 0x81


# The length in a scan header means nothing: packets follow until the scan is stopped.
SCAN_HEADER = b"\xa5\x5a\x05\x00\x00\x40\x81"


@dataclass(frozen=True)
class Reply:
    """One reply: its type and its payload."""

    type: int
    payload: bytes

    def encode(self) -> bytes:
        """The reply on the wire."""
        return REPLY_START + struct.pack("<IB", len(self.payload), self.type) + self.payload


def find_reply(data: bytes, type: int, payload_bytes: int) -> Reply | None:
    """The first whole reply of that type and length in ``data``, whatever stands around it, or None."""
    wanted = REPLY_START + struct.pack("<IB", payload_bytes, type)
    start = data.find(wanted)
    end = start + REPLY_HEADER_BYTES + payload_bytes
    if start < 0 or end > len(data):
        return None
    return Reply(type, bytes(data[start + REPLY_HEADER_BYTES : end]))


@dataclass(frozen=True)
class DeviceInfo:
    """What the device says of itself."""

    model: int
    firmware: tuple[int, int]  # major, minor
    hardware: int
    serial: str  # sixteen digits

    PAYLOAD_BYTES = 20

    @classmethod
    def decode(cls, payload: bytes) -> "DeviceInfo":
        """Read the 20 bytes of a device info reply."""
        model, minor, major, hardware = payload[:4]
        # A digit is a byte 0–9; anything else is shown so that a person sees it is odd.
        return cls(model, (major, minor), hardware, "".join(f"{digit:x}" for digit in payload[4:20]))

    def encode(self) -> bytes:
        """The 20 bytes of a device info reply."""
        major, minor = self.firmware
        return bytes((self.model, minor, major, self.hardware)) + bytes(int(digit, 16) for digit in self.serial)

    def __str__(self) -> str:
        name = MODEL_NAMES.get(self.model, f"model {self.model}")
        major, minor = self.firmware
        return f"{name}, firmware {major}.{minor}, hardware {self.hardware}, serial {self.serial}"


@dataclass(frozen=True)
class Health:
    """What the device says of its health."""

    status: int  # 0 ok, 1 warning, 2 error
    code: int

    PAYLOAD_BYTES = 3

    @classmethod
    def decode(cls, payload: bytes) -> "Health":
        """Read the 3 bytes of a health reply."""
        return cls(*struct.unpack("<BH", payload))

    def encode(self) -> bytes:
        """The 3 bytes of a health reply."""
        return struct.pack("<BH", self.status, self.code)

    @property
    def ok(self) -> bool:
        """Whether the device has nothing to complain of."""
        return self.status == 0

    def __str__(self) -> str:
        if self.ok:
            return "the lidar is well"
        word = {1: "warns", 2: "reports an error"}.get(self.status, f"reports the unknown status {self.status}")
        # The manual gives no meaning to single codes; a weak supply is by far the most frequent cause.
        return f"the lidar {word} (code {self.code:#06x}): check its 5 V supply and that nothing blocks the rotor"
