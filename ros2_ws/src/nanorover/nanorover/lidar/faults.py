"""What can go wrong with an emulated lidar, on request."""

from dataclasses import dataclass

import numpy as np

from nanorover.errors import InputError

# Kind → (default duration in seconds, meaning).
KINDS = {
    "bit_errors": (0.5, "single bits of packets flip"),
    "lost_bytes": (0.5, "bytes inside packets go missing"),
    "truncated": (0.5, "packets end early"),
    "garbage": (0.5, "random bytes stand between packets"),
    "stuck": (2.0, "the motor stands still while the laser measures on"),
    "silence": (2.0, "nothing comes and nothing is heard, then all goes on as before"),
    "reboot": (1.0, "the device restarts as after power loss and forgets its settings"),
    "disconnect": (2.0, "the port vanishes, the device loses power"),
    "health": (5.0, "the device reports an error when asked for its health"),
}
# Share of the packets that a fault of the line hits while it lasts.
HIT_SHARE = 0.5


@dataclass(frozen=True)
class Fault:
    """One fault: from ``at_s`` after the emulator's start, for ``duration_s``."""

    kind: str
    at_s: float
    duration_s: float

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read ``KIND@TIME`` or ``KIND@TIME+DURATION`` (seconds). Raises InputError."""
        kind, _, when = text.partition("@")
        if kind not in KINDS:
            raise InputError(f"unknown fault '{kind}' in '{text}'", "known: " + ", ".join(KINDS))
        at, _, duration = when.partition("+")
        try:
            fault = cls(kind, float(at), float(duration) if duration else KINDS[kind][0])
        except ValueError:
            fault = None
        if fault is None or not (0 <= fault.at_s < np.inf and 0 < fault.duration_s < np.inf):
            raise InputError(
                f"'{text}' says no time", "write KIND@SECONDS or KIND@SECONDS+DURATION, as silence@5+2"
            )
        return fault

    def active(self, elapsed_s: float) -> bool:
        """Whether it lasts at that time after the start."""
        return self.at_s <= elapsed_s < self.at_s + self.duration_s


def damaged(packet: bytes, kind: str, random: np.random.Generator) -> bytes:
    """The packet as it leaves a bad line; it stays whole only under garbage, which precedes it."""
    octets = np.frombuffer(packet, np.uint8).copy()
    if kind == "bit_errors":
        octets[random.integers(len(octets))] ^= np.uint8(1 << random.integers(8))
    elif kind == "lost_bytes":
        octets = np.delete(octets, random.integers(len(octets), size=random.integers(1, 5)))
    elif kind == "truncated":
        octets = octets[: random.integers(1, len(octets))]
    elif kind == "garbage":
        octets = np.concatenate([random.integers(256, size=random.integers(1, 60), dtype=np.uint8), octets])
    return octets.tobytes()
