"""A flat world of walls, a robot that drives through it, and its laser and wheels: truth known exactly.

Deliberately small and quick, for measuring SLAM on many seeds. Walls are straight segments; rays are cast
exactly, each from where the robot is at that instant, so a scan taken while moving is distorted as a real one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, compose, wrap_angle, wrap_angles

START_NS = 1_000_000_000
ODOMETRY_RATE_HZ = 50.0


@dataclass(frozen=True)
class Lidar:
    """A spinning lidar; ``sweep`` False measures all rays at the same instant."""

    beams: int = 720
    rate_hz: float = 10.0
    field_of_view_rad: float = 2.0 * math.pi
    range_min_m: float = 0.26
    range_max_m: float = 16.0
    noise_m: float = 0.005
    noise_per_m: float = 0.005
    dropout: float = 0.01
    sweep: bool = False
    T_base_laser: tuple[float, float, float] = (0.05, 0.0, 0.0)


@dataclass(frozen=True)
class Wheels:
    """How odometry errs: in scale, at random with the way, and by events per second (slip, sudden turns)."""

    scale: float = 1.01
    turn_scale: float = 1.01
    noise_per_m: float = 0.01
    turn_noise_per_m: float = 0.005
    turn_noise_per_rad: float = 0.005
    slip_per_s: float = 0.0
    slip_m: float = 0.3
    jump_per_s: float = 0.0
    jump_rad: float = 0.52


G4 = Lidar()
G4_SWEEPING = Lidar(sweep=True)
SICK = Lidar(
    beams=181,
    rate_hz=5.0,
    field_of_view_rad=math.pi,
    range_min_m=0.0,
    range_max_m=80.0,
    noise_m=0.012,
    noise_per_m=0.0,
    dropout=0.002,
)
WHEELS = {
    "good": Wheels(),
    "fair": Wheels(1.04, 0.96, 0.03, 0.015, 0.02),
    "weak": Wheels(1.10, 0.90, 0.10, 0.05, 0.05, slip_per_s=0.02, jump_per_s=0.01),
}


@njit(cache=True, nogil=True)
def _cast(walls: NDArray[np.float64], x: float, y: float, angle: float, longest: float) -> float:
    """Distance from x, y to the first wall in a direction, inf when there is none within ``longest``."""
    c, s = math.cos(angle), math.sin(angle)
    nearest = longest
    for k in range(len(walls)):
        ax, ay = walls[k, 0] - x, walls[k, 1] - y
        bx, by = walls[k, 2] - x, walls[k, 3] - y
        # In the ray's own axes: the wall must cross the ray's line, and in front of it.
        a_across, b_across = -s * ax + c * ay, -s * bx + c * by
        if a_across * b_across > 0.0 or a_across == b_across:
            continue
        a_along, b_along = c * ax + s * ay, c * bx + s * by
        distance = a_along + (b_along - a_along) * a_across / (a_across - b_across)
        if 0.0 < distance < nearest:
            nearest = distance
    return nearest if nearest < longest else math.inf


@njit(cache=True, nogil=True)
def _scan(
    walls: NDArray[np.float64], poses: NDArray[np.float64], angles: NDArray[np.float64], longest: float
) -> NDArray[np.float64]:
    """One distance per ray, each from its own sensor pose (N, 3)."""
    made = np.empty(len(angles))
    for i in range(len(angles)):
        made[i] = _cast(walls, poses[i, 0], poses[i, 1], poses[i, 2] + angles[i], longest)
    return made


def near(walls: NDArray[np.float64], x: float, y: float, within_m: float) -> NDArray[np.float64]:
    """The walls (M, 4) whose bounding box comes within a distance of a place."""
    low = np.minimum(walls[:, :2], walls[:, 2:]) - within_m
    high = np.maximum(walls[:, :2], walls[:, 2:]) + within_m
    return walls[(low[:, 0] < x) & (x < high[:, 0]) & (low[:, 1] < y) & (y < high[:, 1])]


@dataclass(frozen=True, eq=False)
class Drive:
    """True poses (N, 3) of the base at a fine, even step of time."""

    poses: NDArray[np.float64]
    step_s: float

    @property
    def duration_s(self) -> float:
        return (len(self.poses) - 1) * self.step_s

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M, 3) the true pose at each time, straight between the steps."""
        position = np.clip(times_s / self.step_s, 0.0, len(self.poses) - 1.001)
        first = position.astype(int)
        part = (position - first)[:, None]
        step = self.poses[first + 1] - self.poses[first]
        step[:, 2] = wrap_angles(step[:, 2])
        return self.poses[first] + part * step


def drive(
    waypoints: NDArray[np.float64], speed_m_s: float = 0.6, turn_rad_s: float = 0.8, step_s: float = 0.01
) -> Drive:
    """Drive through waypoints (N, 2) as a differential drive does: turning towards each, slower in turns."""
    pose = np.array([*waypoints[0], math.atan2(*(waypoints[1] - waypoints[0])[::-1])])
    poses = [pose.copy()]
    speed, turn = 0.0, 0.0
    for goal in waypoints[1:]:
        while True:
            ahead = goal - pose[:2]
            distance = math.hypot(ahead[0], ahead[1])
            if distance < 0.25:
                break
            error = wrap_angle(math.atan2(ahead[1], ahead[0]) - pose[2])
            wanted_turn = float(np.clip(2.0 * error, -turn_rad_s, turn_rad_s))
            wanted = speed_m_s * max(math.cos(error), 0.0) ** 2 if abs(error) < 1.2 else 0.0
            speed += float(np.clip(wanted - speed, -0.8 * step_s, 0.8 * step_s))
            turn += float(np.clip(wanted_turn - turn, -3.0 * step_s, 3.0 * step_s))
            middle = pose[2] + 0.5 * turn * step_s
            pose = pose + step_s * np.array([speed * math.cos(middle), speed * math.sin(middle), turn])
            pose[2] = wrap_angle(pose[2])
            poses.append(pose.copy())
    return Drive(np.array(poses), step_s)


@dataclass(frozen=True, eq=False)
class Step:
    """One scan, the odometry that came since the one before, and the true pose at the scan's stamp."""

    scan: LaserScan
    odometry: list[Odometry]
    T_map_base: Pose


def record(
    walls: NDArray[np.float64], driven: Drive, lidar: Lidar, wheels: Wheels | None, rng: np.random.Generator
) -> Iterator[Step]:
    """What the robot's sensors report during the drive, one scan after the other.

    A scan is handed over when its last ray is measured, so odometry up to then comes before it.
    """
    period_s = 1.0 / lidar.rate_hz
    increment = lidar.field_of_view_rad / (lidar.beams - (lidar.field_of_view_rad < 6.28))
    angles = -lidar.field_of_view_rad / 2 + increment * np.arange(lidar.beams)
    time_increment_s = period_s / lidar.beams if lidar.sweep else 0.0
    T_base_laser = np.array(lidar.T_base_laser)
    odometry = _odometry(driven, wheels, rng)
    for k in range(int((driven.duration_s - period_s) / period_s)):
        bases = driven.at(k * period_s + time_increment_s * np.arange(lidar.beams, dtype=np.float64))
        c, s = np.cos(bases[:, 2]), np.sin(bases[:, 2])
        sensors = np.column_stack(
            [
                bases[:, 0] + c * T_base_laser[0] - s * T_base_laser[1],
                bases[:, 1] + s * T_base_laser[0] + c * T_base_laser[1],
                bases[:, 2] + T_base_laser[2],
            ]
        )
        seen = near(walls, bases[0, 0], bases[0, 1], lidar.range_max_m)
        ranges_m = _scan(seen, sensors, angles.astype(np.float64), lidar.range_max_m)
        ranges_m += rng.normal(size=lidar.beams) * (
            lidar.noise_m + lidar.noise_per_m * np.where(np.isfinite(ranges_m), ranges_m, 0.0)
        )
        ranges_m[ranges_m < lidar.range_min_m] = -math.inf
        ranges_m[rng.random(lidar.beams) < lidar.dropout] = math.inf
        stamp_ns = START_NS + round(k * period_s * 1e9)
        scan = LaserScan(
            stamp_ns=stamp_ns,
            ranges_m=ranges_m.astype(np.float32),
            angle_min_rad=float(angles[0]),
            angle_increment_rad=increment,
            range_min_m=lidar.range_min_m,
            range_max_m=lidar.range_max_m,
            time_increment_s=time_increment_s,
            scan_time_s=period_s,
            T_base_laser=T_base_laser,
        )
        end_ns = stamp_ns + round(time_increment_s * lidar.beams * 1e9)
        came = [reading for reading in odometry if reading.stamp_ns <= end_ns]
        odometry = odometry[len(came) :]
        yield Step(scan, came, bases[0])


def _odometry(driven: Drive, wheels: Wheels | None, rng: np.random.Generator) -> list[Odometry]:
    """The wheels' readings of the whole drive."""
    if wheels is None:
        return []
    period_s = 1.0 / ODOMETRY_RATE_HZ
    poses = driven.at(period_s * np.arange(int(driven.duration_s * ODOMETRY_RATE_HZ), dtype=np.float64))
    made, T_odom_base = [], np.zeros(3)
    for k in range(len(poses)):
        if k > 0:
            T_odom_base = compose(T_odom_base, _erring(between(poses[k - 1], poses[k]), wheels, period_s, rng))
        made.append(Odometry(START_NS + round(k * period_s * 1e9), T_odom_base))
    return made


def _erring(motion: Pose, wheels: Wheels, period_s: float, rng: np.random.Generator) -> Pose:
    """What the wheels make of a true motion."""
    way, turn = math.hypot(motion[0], motion[1]), abs(motion[2])
    # Noise of independent steps grows with the root of the way; the figures are those of one metre, one radian.
    noise_m = wheels.noise_per_m * math.sqrt(way)
    noise_rad = wheels.turn_noise_per_m * math.sqrt(way) + wheels.turn_noise_per_rad * math.sqrt(turn)
    made = motion * np.array([wheels.scale, wheels.scale, wheels.turn_scale])
    made += rng.normal(size=3) * np.array([noise_m, 0.3 * noise_m, noise_rad])
    if rng.random() < wheels.slip_per_s * period_s:
        made[0] += rng.uniform(-1.0, 1.0) * wheels.slip_m
    if rng.random() < wheels.jump_per_s * period_s:
        made[2] += rng.choice([-1.0, 1.0]) * wheels.jump_rad
    return made
