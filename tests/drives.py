"""A robot that is driven through a known room, with the scans and the odometry that it would record."""

import math
from dataclasses import dataclass, field

import numpy as np

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import compose

PERIOD_NS = 100_000_000
START_NS = 1_000_000_000_000

# Walls of a room that looks the same from nowhere: x1, y1, x2, y2.
WALLS = np.array(
    [
        [-3.0, -2.5, 4.0, -2.5], [4.0, -2.5, 4.0, 2.0], [4.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 3.5],
        [1.0, 3.5, -3.0, 3.5], [-3.0, 3.5, -3.0, -2.5], [2.4, -1.0, 3.1, -1.0], [3.1, -1.0, 3.1, -0.4],
        [3.1, -0.4, 2.4, -0.4], [2.4, -0.4, 2.4, -1.0], [-2.2, 2.0, -1.6, 2.6], [-1.6, 2.6, -2.2, 2.8],
    ]
)  # fmt: skip


def ranges_to_walls(origin: np.ndarray, bearings_rad: np.ndarray) -> np.ndarray:
    """Distance to the nearest wall along each bearing, in metres."""
    start, along = WALLS[:, :2], WALLS[:, 2:] - WALLS[:, :2]
    rays = np.column_stack((np.cos(bearings_rad), np.sin(bearings_rad)))
    cross = rays[:, None, 0] * along[None, :, 1] - rays[:, None, 1] * along[None, :, 0]
    to_start = start - origin[:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (to_start[:, 0] * along[:, 1] - to_start[:, 1] * along[:, 0])[None, :] / cross
        part = (to_start[None, :, 0] * rays[:, None, 1] - to_start[None, :, 1] * rays[:, None, 0]) / cross
    hit = (distance > 0) & (part >= 0) & (part <= 1)
    return np.where(hit, distance, np.inf).min(axis=1)


@dataclass(frozen=True)
class Build:
    """How the robot is really built, and what it believes: scales are believed over true. It turns by
    ``drift_rad_m`` per metre of the way that it believes in, and does not know."""

    T_base_laser: np.ndarray = field(default_factory=lambda: np.array([0.05, 0.0, 0.0]))
    way_read: float = 1.0
    turn_read: float = 1.0
    drift_rad_m: float = 0.0
    mirrored: bool = False
    beams: int = 360
    noise_m: float = 0.004


def drive(build: Build, seconds: float = 40.0, seed: int = 0) -> tuple[list[LaserScan], list[Odometry]]:
    """Straight parts and turns to both sides, 10 Hz; ``T_base_laser`` is left out of the scans."""
    random = np.random.default_rng(seed)
    true, read = np.array([-1.0, -1.0, 0.3]), np.zeros(3)
    bearings = np.linspace(-math.pi, math.pi, build.beams, endpoint=False)
    scans, odometry = [], []
    for i in range(int(seconds * 10)):
        stamp_ns = START_NS + i * PERIOD_NS
        odometry.append(Odometry(stamp_ns, read.copy()))
        laser = compose(true, build.T_base_laser)
        ranges = ranges_to_walls(laser, bearings + laser[2]) + random.normal(0, build.noise_m, build.beams)
        if build.mirrored:
            ranges = ranges[(-np.arange(build.beams)) % build.beams]
        scans.append(
            LaserScan(stamp_ns, ranges.astype(np.float32), -math.pi, 2 * math.pi / build.beams, 0.1, 16.0)
        )
        way, turn = maneuver(i)
        true = compose(true, np.array([way, 0.0, turn]))
        way_read = way * build.way_read
        read = compose(read, np.array([way_read, 0.0, (turn - build.drift_rad_m * way_read) * build.turn_read]))
    return scans, odometry


def maneuver(i: int) -> tuple[float, float]:
    """Way (m) and turn (rad) of step ``i``: ahead, turn left, ahead, turn right, a circle."""
    phase = i % 100
    if phase < 25:
        return 0.03, 0.0
    if phase < 45:
        return 0.005, 0.09
    if phase < 70:
        return 0.03, 0.01
    if phase < 90:
        return 0.0, -0.07
    return 0.02, 0.16
