"""A flat world for tests: walls as segments, people as walking discs, an exact lidar, a robot with real limits."""

import math
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from nanorover import params
from nanorover.base.gate import STILL, Velocity, VelocityGate
from nanorover.base.params import BaseParams
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import inverse, transform_points
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.motion import pose_after
from nanorover.robot import RobotParams

BEAMS = 720
RANGE_MAX_M = 12.0
NOISE_M = 0.01
BASE = params.load(BaseParams, "base")
ROBOT = params.load(RobotParams, "robot")


@njit(cache=True)
def _cast(x, y, yaw, segments, discs, beams, range_max):
    ranges = np.full(beams, np.inf, np.float32)
    for i in range(beams):
        bearing = yaw - math.pi + 2.0 * math.pi * i / beams
        c, s = math.cos(bearing), math.sin(bearing)
        nearest = np.inf
        for k in range(len(segments)):
            ax, ay = segments[k, 0] - x, segments[k, 1] - y
            ex, ey = segments[k, 2] - segments[k, 0], segments[k, 3] - segments[k, 1]
            across = c * ey - s * ex
            if abs(across) < 1e-12:
                continue
            t = (ax * ey - ay * ex) / across
            u = (ax * s - ay * c) / across
            if t > 0.0 and 0.0 <= u <= 1.0:
                nearest = min(nearest, t)
        for k in range(len(discs)):
            dx, dy = discs[k, 0] - x, discs[k, 1] - y
            along = c * dx + s * dy
            off = dx * dx + dy * dy - along * along
            r2 = discs[k, 2] * discs[k, 2]
            if along > 0.0 and off < r2:
                nearest = min(nearest, along - math.sqrt(r2 - off))
        if nearest <= range_max:
            ranges[i] = nearest
    return ranges


def box(
    x: float, y: float, width: float, depth: float, yaw: float = 0.0
) -> list[tuple[float, float, float, float]]:
    """The four sides of a box about ``(x, y)``."""
    corners = transform_points(
        np.array([x, y, yaw]), np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, depth / 2)
    )
    return [(*corners[i], *corners[(i + 1) % 4]) for i in range(4)]


@dataclass
class Walker:
    """A disc that walks through points and stays at the last one; it starts when told."""

    way: list[tuple[float, float]]
    speed_m_s: float = 1.0
    radius_m: float = 0.2
    starts_s: float = 0.0

    def at(self, t: float) -> np.ndarray:
        left = max(0.0, t - self.starts_s) * self.speed_m_s
        for a, b in zip(self.way[:-1], self.way[1:], strict=True):
            length = math.dist(a, b)
            if left < length:
                return np.array(a) + (np.array(b) - a) * left / length
            left -= length
        return np.array(self.way[-1], dtype=np.float64)


@dataclass
class FlatWorld:
    """Steps in simulated time; the robot obeys a command ``delay_s`` after it was given. Segments that are
    ``unseen`` hold it, while its wheels turn on, or do not where it ``stalls``; those that are seen only count."""

    segments: list[tuple[float, float, float, float]]
    pose: np.ndarray
    walkers: list[Walker] = field(default_factory=list)
    seed: int = 0
    delay_s: float = 0.1
    unseen: list[tuple[float, float, float, float]] = field(default_factory=list)
    stalls: bool = False

    def __post_init__(self) -> None:
        self.t = self.held_s = 0.0
        self.velocity = self.told = STILL
        self.gate = VelocityGate(BASE)
        self.commands: list[tuple[float, Velocity]] = []
        self.generator = np.random.default_rng(self.seed)
        self.walls = np.array(self.segments, dtype=np.float64).reshape(-1, 4)
        self.least_gap_m = math.inf
        self.least_people_gap_moving_m = math.inf

    @property
    def stamp_ns(self) -> int:
        return 10_000_000_000 + round(self.t * 1e9)

    def scan(self) -> LaserScan:
        discs = np.array([[*w.at(self.t), w.radius_m] for w in self.walkers]).reshape(-1, 3)
        ranges = _cast(*self.pose, self.walls, discs, BEAMS, RANGE_MAX_M)
        ranges += self.generator.normal(0.0, NOISE_M, BEAMS).astype(np.float32)
        return LaserScan(self.stamp_ns, ranges, -math.pi, 2 * math.pi / BEAMS, 0.1, RANGE_MAX_M)

    def command(self, velocity: Velocity) -> None:
        self.commands.append((self.t + self.delay_s, velocity))

    def step(self, dt_s: float) -> None:
        self.t += dt_s
        while self.commands and self.commands[0][0] <= self.t + 1e-9:
            self.gate.want(self.commands.pop(0)[1], self.t)
        self.velocity = self.told = self.gate.permit(self.t, dt_s)[0]
        pose = pose_after(self.pose, self.velocity, dt_s)
        if self._unseen_gap_m(pose) < min(0.0, self._unseen_gap_m(self.pose)):
            self.held_s += dt_s
            self.velocity = STILL if self.stalls else self.told
        else:
            self.pose = pose
        self._measure()

    def _unseen_gap_m(self, pose: np.ndarray) -> float:
        points = [np.linspace(s[:2], s[2:], 50) for s in self.unseen]
        return float(_gap(transform_points(inverse(pose), np.concatenate(points))).min()) if points else math.inf

    def _measure(self) -> None:
        """The gaps to walls and people; exact to a millimetre."""
        T = inverse(self.pose)
        near = [s for s in self.walls if _segment_distance(self.pose[:2], s) < 0.6]
        for s in near:
            points = np.linspace(s[:2], s[2:], max(2, int(math.dist(s[:2], s[2:]) / 0.005)))
            self.least_gap_m = min(self.least_gap_m, float(_gap(transform_points(T, points)).min()))
        for walker in self.walkers:
            gap = float(_gap(transform_points(T, walker.at(self.t)[None]))[0]) - walker.radius_m
            if abs(self.velocity.linear_m_s) > 0.02:
                self.least_people_gap_moving_m = min(self.least_people_gap_moving_m, gap)
                self.least_gap_m = min(self.least_gap_m, gap)

    def map(self, resolution_m: float = 0.05, without: int = 0) -> OccupancyGrid:
        """What a mapper would have made of the walls, less the last ``without`` of them."""
        walls = self.walls[: len(self.walls) - without]
        low, high = walls.reshape(-1, 2).min(axis=0) - 0.5, walls.reshape(-1, 2).max(axis=0) + 0.5
        shape = np.ceil((high - low) / resolution_m).astype(int)
        cells = np.zeros((shape[1], shape[0]), np.int8)
        for s in walls:
            points = np.linspace(s[:2], s[2:], max(2, int(math.dist(s[:2], s[2:]) / 0.01)))
            columns, rows = np.floor((points - low) / resolution_m).astype(int).T
            cells[rows, columns] = 100
        return OccupancyGrid(cells=cells, resolution_m=resolution_m, T_map_origin=np.array([*low, 0.0]))


def _segment_distance(point: np.ndarray, s: np.ndarray) -> float:
    a, b = s[:2], s[2:]
    t = np.clip(np.dot(point - a, b - a) / max(np.dot(b - a, b - a), 1e-12), 0.0, 1.0)
    return float(np.linalg.norm(point - a - t * (b - a)))


def _gap(points: np.ndarray) -> np.ndarray:
    """Distance of points in the base frame from the footprint; negative inside."""
    out_x = np.maximum(points[:, 0] - ROBOT.footprint_front_m, -ROBOT.footprint_rear_m - points[:, 0])
    out_y = np.abs(points[:, 1]) - ROBOT.half_width_m
    return np.where(
        (out_x < 0) & (out_y < 0), np.maximum(out_x, out_y), np.hypot(np.maximum(out_x, 0), np.maximum(out_y, 0))
    )
