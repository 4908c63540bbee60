"""The way driven, kept relative to keyframes so that it follows the graph."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanorover.files import replacing
from nanorover.geometry.se2 import Pose, compose_all, quaternion_of_yaw


class Trajectory:
    """One entry for every scan: stamp, keyframe, and the pose seen from it."""

    def __init__(self) -> None:
        self._stamps_ns = np.zeros(1024, np.int64)
        self._references = np.zeros(1024, np.int32)
        self._relative = np.zeros((1024, 3), np.float32)  # small numbers: float32 keeps micrometres
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, stamp_ns: int, reference: int, T_reference_base: Pose) -> None:
        """Add one scan."""
        if self._count == len(self._stamps_ns):
            self._stamps_ns = np.concatenate([self._stamps_ns, np.zeros_like(self._stamps_ns)])
            self._references = np.concatenate([self._references, np.zeros_like(self._references)])
            self._relative = np.concatenate([self._relative, np.zeros_like(self._relative)])
        self._stamps_ns[self._count] = stamp_ns
        self._references[self._count] = reference
        self._relative[self._count] = T_reference_base
        self._count += 1

    def revise_last(self, T_reference_base: Pose) -> None:
        """Replace the pose of the last scan."""
        self._relative[self._count - 1] = T_reference_base

    def arrays(self) -> dict[str, NDArray]:
        """The content, for a file."""
        n = self._count
        return {
            "path_stamps_ns": self._stamps_ns[:n],
            "path_references": self._references[:n],
            "path_relative": self._relative[:n],
        }

    @classmethod
    def of(cls, arrays: dict[str, NDArray]) -> "Trajectory":
        """The trajectory of ``arrays()``; raises KeyError or ValueError when something is missing."""
        made = cls()
        rows = zip(arrays["path_stamps_ns"], arrays["path_references"], arrays["path_relative"], strict=True)
        for stamp_ns, reference, relative in rows:
            made.append(int(stamp_ns), int(reference), relative)
        return made

    def stamps_ns(self, every: int = 1) -> NDArray[np.int64]:
        """(N,) in the order of arrival, of each ``every``-th scan."""
        return self._stamps_ns[: self._count : every].copy()

    def poses(self, keyframes: NDArray[np.float64], every: int = 1) -> NDArray[np.float64]:
        """(N, 3) T_map_base of each ``every``-th scan, from the keyframes' poses (M, 3)."""
        relative = self._relative[: self._count : every]
        if len(keyframes) == 0:
            return relative.astype(np.float64)
        at = keyframes[self._references[: self._count : every]]
        return compose_all(at, relative)


def evenly_along(poses: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Indices of at most ``most`` of the poses (N, 3): all of few, else even in the way driven with both ends."""
    if len(poses) <= most:
        return np.arange(len(poses))
    way_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(poses[:, :2], axis=0).T))])
    chosen = np.searchsorted(way_m, np.linspace(0.0, way_m[-1], most - 1))
    return np.unique(np.append(chosen, len(poses) - 1))


def write_tum(path: Path, stamps_ns: NDArray[np.int64], poses: NDArray[np.float64]) -> None:
    """Write lines ``t x y z qx qy qz qw``; the stamp with the six decimals of the log it came from."""
    lines = []
    for stamp_ns, (x, y, yaw) in zip(stamps_ns.tolist(), poses.tolist(), strict=True):
        _, _, qz, qw = quaternion_of_yaw(yaw)
        seconds, microseconds = divmod(stamp_ns // 1000, 1_000_000)
        lines.append(f"{seconds}.{microseconds:06d} {x:.6f} {y:.6f} 0 0 0 {qz:.9f} {qw:.9f}\n")
    with replacing(path) as temporary:
        temporary.write_text("".join(lines))
