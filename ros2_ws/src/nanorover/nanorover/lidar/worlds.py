"""What an emulated lidar looks at."""

import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from nanorover.arrays import read_arrays
from nanorover.errors import InputError

Floats = NDArray[np.float64]

# What a file of recorded scans must hold.
SCAN_ARRAYS = ("ranges_m", "angle_min_rad", "angle_increment_rad", "scan_time_s")


class World(Protocol):
    """Anything that can say how far it is."""

    def ranges(self, stamp_s: Floats, bearing_clockwise_rad: Floats) -> Floats:
        """Metres to the nearest thing, ``(N,)``, +inf for nothing, for rays at those times and bearings ``(N,)``.

        Bearings run clockwise from the lidar's connector (its x axis), as the wire has them; the times never
        decrease from call to call by more than one call's span. The emulator asks up to twice per sample.
        """
        ...


class Room:
    """Walls and round posts seen from a lidar that stands still.

    ``walls`` is ``(W, 2, 2)``: start and end points; ``posts`` is ``(P, 3)``: x, y, radius; ``T_room_lidar``
    is ``(x, y, yaw)``; metres and radians.
    """

    def __init__(self, walls: Floats, posts: Floats, T_room_lidar: tuple[float, float, float]) -> None:
        self.walls = np.asarray(walls, float).reshape(-1, 2, 2)
        self.posts = np.asarray(posts, float).reshape(-1, 3)
        self.T_room_lidar = T_room_lidar

    def ranges(self, stamp_s: Floats, bearing_clockwise_rad: Floats) -> Floats:
        """See ``World.ranges``."""
        x, y, yaw = self.T_room_lidar
        heading = yaw - bearing_clockwise_rad
        direction = np.stack([np.cos(heading), np.sin(heading)], axis=-1)  # (N, 2)
        nearest = np.full(len(heading), np.inf)
        if len(self.walls):
            start = self.walls[:, 0] - (x, y)
            along = self.walls[:, 1] - self.walls[:, 0]
            cross = direction[:, None, 0] * along[:, 1] - direction[:, None, 1] * along[:, 0]  # (N, W)
            with np.errstate(divide="ignore", invalid="ignore"):
                distance = (start[:, 0] * along[:, 1] - start[:, 1] * along[:, 0]) / cross
                place = (start[:, 0] * direction[:, None, 1] - start[:, 1] * direction[:, None, 0]) / cross
            hit = (distance > 0) & (place >= 0) & (place <= 1)
            nearest = np.where(hit, distance, np.inf).min(axis=1)
        if len(self.posts):
            centre = self.posts[:, :2] - (x, y)
            ahead = direction @ centre.T  # (N, P)
            aside_squared = (centre**2).sum(axis=1) - ahead**2
            depth_squared = self.posts[:, 2] ** 2 - aside_squared
            distance = ahead - np.sqrt(np.maximum(depth_squared, 0.0))
            hit = (depth_squared > 0) & (distance > 0)
            nearest = np.minimum(nearest, np.where(hit, distance, np.inf).min(axis=1))
        return nearest


class RecordedScans:
    """A sequence of scans played over and over: ``ranges_m`` is ``(S, N)``, ray 0 at ``angle_min_rad``."""

    def __init__(
        self, ranges_m: Floats, angle_min_rad: float, angle_increment_rad: float, period_s: float
    ) -> None:
        self.ranges_m = np.where(np.isfinite(ranges_m), ranges_m, np.inf)
        self.angle_min_rad = angle_min_rad
        self.angle_increment_rad = angle_increment_rad
        self.period_s = period_s

    def ranges(self, stamp_s: Floats, bearing_clockwise_rad: Floats) -> Floats:
        """See ``World.ranges``."""
        scans, rays = self.ranges_m.shape
        scan = (stamp_s / self.period_s).astype(int) % scans
        turn = np.mod(-bearing_clockwise_rad - self.angle_min_rad + self.angle_increment_rad / 2, 2 * math.pi)
        ray = (turn / self.angle_increment_rad).astype(int)
        return np.where(ray < rays, self.ranges_m[scan, np.minimum(ray, rays - 1)], np.inf)


# Where nothing else is asked for: a room of 6 m × 4 m with an alcove and two posts.
DEFAULT_ROOM = {
    "walls": [[[-2.5, -2.0], [3.5, -2.0], [3.5, 1.0], [2.0, 1.0], [2.0, 2.0], [-2.5, 2.0]]],
    "posts": [[1.5, -0.8, 0.15], [-1.2, 1.0, 0.1]],
    "lidar": [0.0, 0.0, 0.0],
}


def read_world(path: Path | None) -> World:
    """The world in a file, or the default room without one.

    ``.yaml`` holds ``walls`` (closed polygons of ``[x, y]``), ``posts`` (``[x, y, radius]``) and ``lidar``
    (``[x, y, yaw_deg]``); ``.npz`` holds scans as ``nanorover lidar --out`` writes them. Raises InputError.
    """
    if path is None:
        return _room(DEFAULT_ROOM, "the default room")
    if not path.is_file():
        raise InputError(f"there is no world {path}", "give a room as .yaml or recorded scans as .npz")
    if path.suffix == ".npz":
        return _recorded(path)
    try:
        return _room(yaml.safe_load(path.read_text()), str(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}", "see docs/lidar.md for an example") from error


def _room(described: Any, source: str) -> Room:
    example = (
        "expected e.g. 'walls: [[[-2, -2], [2, -2], [2, 2], [-2, 2]]]', optional posts and lidar: [x, y, yaw_deg]"
    )
    if not isinstance(described, dict) or set(described) - {"walls", "posts", "lidar"}:
        raise InputError(f"{source} does not describe a room", example)
    try:
        polygons = [np.array(polygon, float).reshape(-1, 2) for polygon in described.get("walls") or []]
        walls = [np.stack([polygon, np.roll(polygon, -1, axis=0)], axis=1) for polygon in polygons]
        posts = np.array(described.get("posts") or [], float).reshape(-1, 3)
        x, y, yaw_deg = (float(value) for value in described.get("lidar") or (0.0, 0.0, 0.0))
    except (TypeError, ValueError) as error:
        raise InputError(f"{source} does not describe a room: {error}", example) from error
    room = Room(np.concatenate(walls) if walls else np.empty((0, 2, 2)), posts, (x, y, math.radians(yaw_deg)))
    if not all(np.isfinite(values).all() for values in (room.walls, room.posts, np.array(room.T_room_lidar))):
        raise InputError(f"{source}: a coordinate is not a finite number", example)
    return room


def _recorded(path: Path) -> RecordedScans:
    try:
        ranges_m, angle_min_rad, angle_increment_rad, scan_time_s = _arrays_of_scans(path)
        scans = RecordedScans(
            np.atleast_2d(ranges_m.astype(float)),
            float(angle_min_rad),
            float(angle_increment_rad),
            float(np.median(scan_time_s)),
        )
        apart = 0 < scans.angle_increment_rad < math.inf and 0 < scans.period_s < math.inf
        if scans.ranges_m.ndim != 2 or not (apart and math.isfinite(scans.angle_min_rad)):
            raise ValueError("a scan has a row of ranges, and its rays and times are some way apart")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} holds no recorded scans: {error}", "record some with 'nanorover lidar --out scans.npz'"
        ) from error
    return scans


def _arrays_of_scans(path: Path) -> list[NDArray[Any]]:
    stored = read_arrays(path)
    for name in SCAN_ARRAYS:
        if name not in stored or stored[name].size == 0:
            raise ValueError(f"{name} is {'empty' if name in stored else 'missing'}")
    return [stored[name] for name in SCAN_ARRAYS]
