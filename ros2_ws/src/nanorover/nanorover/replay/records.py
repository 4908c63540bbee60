"""What a recording is made of: typed records beside ``LaserScan`` and ``Odometry``.

Every record has ``stamp_ns``: when its content was true, by the clock of the robot that made it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.frames import Transform
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose

JPEG_QUALITY = 90
RAW_CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1}
BASE_FRAME = "base_link"


@dataclass(frozen=True, eq=False)
class Picture:
    """A camera picture: the bytes of a file (``jpeg``, ``png``) or of a raw buffer.

    Raw encodings are ``rgb8``, ``bgr8`` and ``mono8``, rows packed without padding; only they need
    ``width_px`` and ``height_px``.
    """

    stamp_ns: int
    data: bytes
    encoding: str
    width_px: int = 0
    height_px: int = 0
    frame_id: str = "camera_optical_frame"

    @property
    def compressed(self) -> bool:
        """Whether ``data`` is a picture file rather than a raw buffer."""
        return self.encoding in ("jpeg", "png")

    def rgb(self) -> NDArray[np.uint8]:
        """The picture as ``(H, W, 3)`` RGB; raises InputError when the bytes hold no picture."""
        from nanorover.perception.images import ENCODINGS, decode_image

        if self.compressed:
            bgr = decode_image(np.frombuffer(self.data, np.uint8), f"at {self.stamp_ns} ns")
            return np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)
        channels = RAW_CHANNELS.get(self.encoding)
        if channels is None or len(self.data) != self.width_px * self.height_px * channels:
            raise InputError(
                f"the picture at {self.stamp_ns} ns has {len(self.data)} bytes of '{self.encoding[:20]}' "
                f"for {self.width_px}×{self.height_px} pixels",
                "known raw encodings are " + ", ".join(ENCODINGS),
            )
        raw = np.frombuffer(self.data, np.uint8).reshape(self.height_px, self.width_px, channels)
        ordered = raw[:, :, ::-1] if self.encoding == "bgr8" else raw
        return np.ascontiguousarray(np.broadcast_to(ordered, (*raw.shape[:2], 3)))

    @property
    def jpeg(self) -> bytes:
        """The bytes of a JPEG file, encoded here unless they came as one."""
        return self.data if self.encoding == "jpeg" else self.as_jpeg(JPEG_QUALITY)

    def as_jpeg(self, quality: int) -> bytes:
        """The bytes of a JPEG file of this quality (1 … 100)."""
        from nanorover.perception.images import encode_jpeg

        return encode_jpeg(self.rgb()[:, :, ::-1], quality)


@dataclass(frozen=True, eq=False)
class CameraInfo:
    """Intrinsics: ``K`` is ``(3, 3)``, ``distortion`` the coefficients of ``distortion_model``."""

    stamp_ns: int
    width_px: int
    height_px: int
    K: NDArray[np.float64]
    distortion: NDArray[np.float64]
    distortion_model: str = "plumb_bob"
    frame_id: str = "camera_optical_frame"


@dataclass(frozen=True, eq=False)
class TruePose:
    """Where the base really is: ``T_map_base``, known in simulation only."""

    stamp_ns: int
    T_map_base: Pose


@dataclass(frozen=True, eq=False)
class TrueMap:
    """The world as an occupancy grid ``(H, W)`` int8: 0 free, 100 occupied, −1 unknown; row 0 is the lowest y."""

    stamp_ns: int
    cells: NDArray[np.int8]
    resolution_m: float
    T_map_origin: Pose = field(default_factory=lambda: np.zeros(3))


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """Where things of a simulated world are: names and classes, ``T_map_object`` ``(N, 3)``, and sizes ``(N, 3)``
    ahead, across and up in metres. What is not in it has not moved since it was last said."""

    stamp_ns: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    T_map_object: NDArray[np.float64]
    size_m: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """What a simulated camera sees in the picture of the same stamp: the class of each thing, and the box
    ``(N, 4)`` x0, y0, x1, y1 around what shows of it, on the plane one metre before the camera (x right, y down).
    ``fair`` ``(N,)`` is false where so little shows that nobody is to be judged by it."""

    stamp_ns: int
    kinds: tuple[str, ...]
    boxes_m: NDArray[np.float64]
    fair: NDArray[np.bool_]
    frame_id: str = "camera_optical_frame"


@dataclass(frozen=True, eq=False)
class VelocityCommand:
    """What was wanted of the base, in its own frame."""

    stamp_ns: int
    linear_m_s: float
    angular_rad_s: float


@dataclass(frozen=True, eq=False)
class StaticTransform:
    """A mounting: ``T_parent_child`` is ``(4, 4)``."""

    stamp_ns: int
    parent: str
    child: str
    T_parent_child: Transform


@dataclass(frozen=True, eq=False)
class LidarBytes:
    """Bytes as they came from the lidar's serial port; the stamp is their time of arrival."""

    stamp_ns: int
    data: bytes


Record: TypeAlias = (
    LaserScan
    | Odometry
    | Picture
    | CameraInfo
    | TruePose
    | TrueMap
    | TrueObjects
    | TrueBoxes
    | VelocityCommand
    | StaticTransform
    | LidarBytes
)


# What holds all the time: its stamps say when it was said.
STANDING = (StaticTransform, TrueMap)


class Problems:
    """What was wrong in a recording but did not stop the reading: counted by kind, with the first place."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first_place: dict[str, str] = {}

    def add(self, kind: str, place: str, count: int = 1) -> None:
        """Count a problem; only the first place of each kind is kept."""
        self.counts[kind] += count
        self.first_place.setdefault(kind, place)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def lines(self) -> list[str]:
        """One sentence per kind, the most frequent first."""
        return [f"{n} × {kind} (first: {self.first_place[kind]})" for kind, n in self.counts.most_common()]

    def as_dict(self) -> dict[str, dict[str, int | str]]:
        """For a JSON result: kind → count and first place."""
        return {kind: {"count": n, "first": self.first_place[kind]} for kind, n in sorted(self.counts.items())}


@dataclass
class Summary:
    """What has been read so far: counts by record name, first and last stamp; by role the topics chosen, and those
    that could have been chosen as well."""

    counts: Counter[str] = field(default_factory=Counter)
    topics: dict[str, str] = field(default_factory=dict)
    other_topics: dict[str, list[str]] = field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None

    @property
    def duration_s(self) -> float:
        """From the first record to the last."""
        if self.first_ns is None or self.last_ns is None:
            return 0.0
        return (self.last_ns - self.first_ns) / 1e9

    def count(self, record: Record) -> None:
        """Count one record; what holds all the time leaves the span alone."""
        self.counts[type(record).__name__] += 1
        if isinstance(record, STANDING):
            return
        self.first_ns = record.stamp_ns if self.first_ns is None else min(self.first_ns, record.stamp_ns)
        self.last_ns = record.stamp_ns if self.last_ns is None else max(self.last_ns, record.stamp_ns)
