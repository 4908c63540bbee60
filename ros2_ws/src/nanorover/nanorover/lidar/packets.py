"""Scan packets: bytes ↔ ranges and angles, a whole read at a time.

A packet is ``PH AA 55 | CT | LSN | FSA u16 | LSA u16 | CS u16 | samples``; the angles run clockwise seen
from above. Source: YDLIDAR G4 development manual 01.13, sections "scan data" and "angle analysis".
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

HEADER = b"\xaa\x55"
HEADER_BYTES = 10
MOST_SAMPLES = 80  # a G4 never sends more; a larger count is a damaged header

# Second-level angle correction: where the laser sits beside the axis of rotation, in millimetres.
CORRECTION_OFFSET_MM = 21.8
CORRECTION_BASE_MM = 155.3
# Its limit for a far return: the most that a ray's true angle lies behind the motor's.
FAR_CORRECTION_DEG = float(np.degrees(np.arctan(-CORRECTION_OFFSET_MM / CORRECTION_BASE_MM)))

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Packets:
    """Decoded packets, ``P`` of them with ``N`` samples together, in the order of the wire.

    ``end`` counts bytes since the decoder was made: a packet ends before stream byte ``end``. ``damaged``
    is the number of bytes in front of a packet that belong to no packet. ``ahead_deg`` is how far the motor has
    turned since the first sample of the packet (first level), ``correction_deg`` what to add to the motor's angle
    to have where the sample lies (second level), 0 without return.
    """

    end: NDArray[np.int64]  # (P,)
    size: NDArray[np.int64]  # (P,) bytes of the packet
    damaged: NDArray[np.int64]  # (P,)
    count: NDArray[np.int64]  # (P,) samples of the packet
    zero: NDArray[np.bool_]  # (P,) the index mark of a revolution
    frequency_hz: Floats  # (P,) rotation as the device says it; nan where it does not
    first_deg: Floats  # (P,) motor angle of the first sample
    last_deg: Floats  # (P,) motor angle of the last sample
    ahead_deg: Floats  # (N,)
    correction_deg: Floats  # (N,)
    range_m: Floats  # (N,) 0 without return
    intensity: NDArray[np.int64]  # (N,) 0 for devices that send none

    def __len__(self) -> int:
        return len(self.end)

    @property
    def motor_deg(self) -> Floats:
        """(N,) angle of the motor at a sample, clockwise in [0, 360)."""
        return np.mod(np.repeat(self.first_deg, self.count) + self.ahead_deg, 360.0)

    @property
    def angle_deg(self) -> Floats:
        """(N,) where a sample lies, clockwise in [0, 360)."""
        return np.mod(self.motor_deg + self.correction_deg, 360.0)

    @classmethod
    def joined(cls, parts: list["Packets"]) -> "Packets":
        """Several in a row as one; at least one part."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def angle_correction_deg(range_mm: Floats) -> Floats:
    """What to add to the motor's angle for a return at that distance; no correction without return (0)."""
    returned = range_mm > 0
    mm = np.where(returned, range_mm, 1.0)
    correction = np.degrees(
        np.arctan(CORRECTION_OFFSET_MM * (CORRECTION_BASE_MM - mm) / (CORRECTION_BASE_MM * mm))
    )
    return np.where(returned, correction, 0.0)


class PacketDecoder:
    """Finds and decodes packets in a stream of bytes, however it is cut and damaged.

    Keeps at most one unfinished packet between two calls. ``sample_bytes`` is 2 for a G4 and 3 for sister
    models that send an intensity.
    """

    def __init__(self, sample_bytes: int = 2) -> None:
        self.sample_bytes = sample_bytes
        self.packets = 0
        self.bad_checksums = 0
        self.damaged_bytes = 0
        self._tail = b""
        self._tail_start = 0  # stream position of the first byte of the tail
        self._gap = 0  # bytes without a packet so far

    @property
    def position(self) -> int:
        """Bytes fed so far."""
        return self._tail_start + len(self._tail)

    def feed(self, data: bytes, last: bool = False) -> Packets:
        """The packets that end in ``data``; ``last`` says that no more bytes follow."""
        data = self._tail + data
        found: list[tuple[int, int, int]] = []  # start, samples, damaged bytes in front
        at = done = 0
        xors = (_running_xor(data, 0), _running_xor(data, 1))
        while (at := data.find(HEADER, at)) >= 0:
            # Bytes that cannot be a packet are passed over two at a time, so that a good one inside is found.
            samples = data[at + 3] if at + 4 <= len(data) else 0
            end = at + HEADER_BYTES + samples * self.sample_bytes
            if at + 4 > len(data) or (0 < samples <= MOST_SAMPLES and end > len(data)):
                if not last:
                    break
                at += 2
            elif 0 < samples <= MOST_SAMPLES and self._intact(data, xors[at % 2], at, samples):
                found.append((at, samples, self._gap + at - done))
                self._gap = 0
                at = done = end
            else:
                self.bad_checksums += 1
                at += 2
        if last:
            keep = len(data)
        elif at >= 0:
            keep = at
        else:
            keep = len(data) - data.endswith(HEADER[:1])
        self._gap += keep - done
        self.damaged_bytes += keep - sum(HEADER_BYTES + n * self.sample_bytes for _, n, _ in found)
        self.packets += len(found)
        packets = _decoded(data, found, self.sample_bytes, self._tail_start)
        self._tail = data[keep:]
        self._tail_start += keep
        return packets

    def _intact(self, data: bytes, xor: NDArray[np.uint16], at: int, samples: int) -> bool:
        """Whether checksum and both angles' check bits are right; ``xor`` is of the words in step with ``at``."""
        if not (data[at + 4] & 1 and data[at + 6] & 1):
            return False
        word, head_end = at // 2, at // 2 + HEADER_BYTES // 2
        if self.sample_bytes == 2:  # the checksum cancels all the other words
            return bool(xor[word] == xor[head_end + samples])
        triples = np.frombuffer(data, np.uint8, 3 * samples, at + HEADER_BYTES).reshape(-1, 3)
        intensity, low, high = np.bitwise_xor.reduce(triples).tolist()
        return bool(xor[word] ^ xor[head_end] == intensity ^ low ^ high << 8)


def _running_xor(data: bytes, first: int) -> NDArray[np.uint16]:
    """The xor of the 16-bit words from byte ``first`` up to before each of them, and of all at the end."""
    words = np.frombuffer(data[first:], "<u2", max(len(data) - first, 0) // 2)
    xor = np.zeros(len(words) + 1, np.uint16)
    np.bitwise_xor.accumulate(words, out=xor[1:])
    return xor


def _decoded(data: bytes, found: list[tuple[int, int, int]], sample_bytes: int, stream_start: int) -> Packets:
    """Decode the packets at known places, all samples in one go."""
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    start, count, damaged = table[:, 0], table[:, 1], table[:, 2]
    size = HEADER_BYTES + count * sample_bytes
    octets = np.frombuffer(data, np.uint8)
    head = octets[start[:, None] + np.arange(8)].astype(np.int64)
    ct = head[:, 2]
    zero = (ct & 1).astype(bool)
    tenths_hz = np.where(zero, ct >> 1, 0)
    first_deg = ((head[:, 4] | head[:, 5] << 8) >> 1) / 64.0
    last_deg = ((head[:, 6] | head[:, 7] << 8) >> 1) / 64.0

    # Number of a sample within its packet, and from it where its bytes stand.
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    place = np.repeat(start + HEADER_BYTES, count) + number * sample_bytes
    intensity = np.zeros(len(place), np.int64)
    if sample_bytes == 3:
        intensity = octets[place].astype(np.int64)
        place = place + 1
    range_mm = (octets[place] | octets[place + 1].astype(np.int64) << 8) / 4.0

    step_deg = np.mod(last_deg - first_deg, 360.0) / np.maximum(count - 1, 1)
    return Packets(
        end=stream_start + start + size,
        size=size,
        damaged=damaged,
        count=count,
        zero=zero,
        frequency_hz=np.where(tenths_hz > 0, tenths_hz / 10.0, np.nan),
        first_deg=first_deg,
        last_deg=last_deg,
        ahead_deg=number * np.repeat(step_deg, count),
        correction_deg=angle_correction_deg(range_mm),
        range_m=range_mm / 1000.0,
        intensity=intensity,
    )


def encode_packet(
    first_deg: float, last_deg: float, samples: NDArray[np.uint16], zero: bool = False, frequency_hz: float = 0.0
) -> bytes:
    """One packet of a G4; ``samples`` are quarter millimetres, 0 without return. Angles in [0, 360)."""
    ct = (round(frequency_hz * 10) << 1 | 1) if zero else 0
    # Rounding may reach 360°, which is 0°.
    first, last = (((round(deg * 64) % (360 * 64)) << 1) | 1 for deg in (first_deg, last_deg))
    words = np.array([0x55AA, ct | len(samples) << 8, first, last], "<u2")
    checksum = np.bitwise_xor.reduce(words) ^ np.bitwise_xor.reduce(samples)
    return words.tobytes() + np.array([checksum], "<u2").tobytes() + samples.astype("<u2").tobytes()
