"""Scans and captures as files of arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.lidar.assemble import Revolution
from nanorover.lidar.packets import PacketDecoder, Packets


def write_scans(path: Path, revolutions: list[Revolution]) -> None:
    """Write scans as ``.npz``: ``ranges_m``, ``ray_time_s`` ``(S, N)``, ``stamp_ns`` ``(S,)`` and geometry."""
    scans = [revolution.scan for revolution in revolutions]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ranges_m=np.array([scan.ranges_m for scan in scans]),
            ray_time_s=np.array([revolution.ray_time_s for revolution in revolutions]),
            stamp_ns=np.array([scan.stamp_ns for scan in scans]),
            time_increment_s=np.array([scan.time_increment_s for scan in scans]),
            scan_time_s=np.array([scan.scan_time_s for scan in scans]),
            angle_min_rad=scans[0].angle_min_rad,
            angle_increment_rad=scans[0].angle_increment_rad,
            range_min_m=scans[0].range_min_m,
            range_max_m=scans[0].range_max_m,
        )


@dataclass(frozen=True, eq=False)
class Capture:
    """A decoded serial capture; ``revolution`` ``(N,)`` counts from 0 at the first index mark, −1 before."""

    packets: Packets
    revolution: NDArray[np.int64]
    bad_checksums: int
    damaged_bytes: int
    sample_bytes: int

    @property
    def revolutions(self) -> int:
        """Whole revolutions: from one index mark to the next."""
        return max(int(self.packets.zero.sum()) - 1, 0)


def read_capture(path: Path) -> Capture:
    """Decode a raw serial capture of a G4 or, with an intensity per sample, of a sister model.

    Which of the two it is, is told by which way more checksums are right. Raises InputError for a file that
    cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read capture {path}: {error.strerror}", "give a file of raw bytes from the lidar's port"
        ) from error
    decoded = []
    for sample_bytes in (2, 3):
        decoder = PacketDecoder(sample_bytes)
        packets = decoder.feed(data, last=True)
        decoded.append((len(packets), -sample_bytes, decoder, packets))
    _, _, decoder, packets = max(decoded, key=lambda found: found[:2])
    return Capture(
        packets=packets,
        revolution=np.repeat(np.cumsum(packets.zero) - 1, packets.count),
        bad_checksums=decoder.bad_checksums,
        damaged_bytes=decoder.damaged_bytes,
        sample_bytes=decoder.sample_bytes,
    )


def write_capture(path: Path, capture: Capture) -> None:
    """Write the samples as ``.npz``: ``angle_deg`` clockwise corrected, ``range_m``, ``revolution``, intensity."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            angle_deg=capture.packets.angle_deg,
            range_m=capture.packets.range_m,
            revolution=capture.revolution,
            intensity=capture.packets.intensity,
        )
