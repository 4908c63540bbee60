"""Parameters of the lidar; their values stand in ``params/lidar.yaml``."""

import math
from dataclasses import dataclass
from functools import cached_property

from nanorover.errors import InputError
from nanorover.lidar.protocol import FASTEST_HZ, RATES_KHZ, SLOWEST_HZ
from nanorover.params import param


@dataclass(frozen=True)
class LidarParams:
    """Where the lidar is, how it measures, and what of it becomes the scan."""

    port: str = param("serial port of the lidar")
    frame_id: str = param("frame of the scan; the mounting itself stands in the robot's description")
    frequency_hz: float = param(
        "revolutions per second, in steps of 0.1", "Hz", minimum=SLOWEST_HZ, maximum=FASTEST_HZ
    )
    rate_khz: int = param("samples per second in thousands", "kHz", choices=RATES_KHZ)
    range_min_m: float = param(
        "nearer returns become −inf; the device itself is good from 0.28, 0.26, 0.10 m on at 9, 8, 4 kHz",
        "m",
        minimum=0.0,
        maximum=16.0,
    )
    range_max_m: float = param("farther returns become +inf", "m", minimum=0.1, maximum=16.0)
    angle_min_deg: float = param(
        "first bearing of the scan, counter-clockwise from the connector", "°", minimum=-180.0, maximum=180.0
    )
    angle_max_deg: float = param("last bearing of the scan", "°", minimum=-180.0, maximum=180.0)
    ignored_sectors_deg: str = param(
        "sectors without meaning, e.g. the robot's own posts, which become NaN: 'from:to, from:to', "
        "counter-clockwise in degrees, '170:-170' goes through the back"
    )
    publish_points: bool = param("also publish each revolution as a point cloud with a time per point")
    publish_raw: bool = param("also publish the bytes as they came, for the recorder")

    def __post_init__(self) -> None:
        if self.range_min_m >= self.range_max_m:
            raise InputError(
                f"range_min_m {self.range_min_m:g} is not below range_max_m {self.range_max_m:g}",
                "swap or widen them",
            )
        if self.angle_min_deg >= self.angle_max_deg:
            raise InputError(
                f"angle_min_deg {self.angle_min_deg:g} is not below angle_max_deg {self.angle_max_deg:g}",
                "a crop cannot go through the back; use ignored_sectors_deg for that",
            )
        if abs(self.frequency_hz * 10 - round(self.frequency_hz * 10)) > 1e-6:
            raise InputError(
                f"frequency_hz {self.frequency_hz:g} is between the steps of the device",
                f"the nearest are in steps of 0.1, e.g. {round(self.frequency_hz, 1):g}",
            )
        self.ignored_sectors_rad  # noqa: B018 — reads and checks the text

    @property
    def beams(self) -> int:
        """Rays of a whole revolution: constant, as many as the device measures at the wanted frequency."""
        return round(self.rate_khz * 1000 / self.frequency_hz)

    @cached_property
    def ignored_sectors_rad(self) -> tuple[tuple[float, float], ...]:
        """The ignored sectors as (from, to), counter-clockwise. Raises InputError."""
        sectors = []
        for text in filter(None, (part.strip() for part in self.ignored_sectors_deg.split(","))):
            try:
                start, end = (float(value) for value in text.split(":"))
                if not (abs(start) <= 360 and abs(end) <= 360):
                    raise ValueError
            except ValueError:
                raise InputError(
                    f"ignored_sectors_deg: '{text}' is no sector",
                    "write 'from:to' in degrees, as '-15:15, 170:-170'",
                ) from None
            sectors.append((math.radians(start), math.radians(end)))
        return tuple(sectors)
