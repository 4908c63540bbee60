"""Measuring localization without a click: random starts, kidnappings, and places that nobody can tell apart.

The building is known exactly, the map is made from scans of a part of its rooms, and what the robot sees later has
people in it that the map does not know.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, between, compose
from nanorover.mapping.grid import FREE, OCCUPIED, UNKNOWN, GridMap, OccupancyGrid
from nanorover.sim.buildings import box
from nanorover.sim.flatland import G4, START_NS, WHEELS, Drive, Lidar, drive, record
from nanorover.sim.rooms import Rooms, building, distance_m
from nanorover.slam.global_search import GlobalSearch
from nanorover.slam.localizer import CONFIDENT, Localizer
from nanorover.slam.map_field import MapWalls
from nanorover.slam.matching import judge
from nanorover.slam.params import SlamParams
from nanorover.slam.preprocess import surface_points

STANDING = np.zeros(3)
# The part of the rooms that are mapped, from how many places each.
MAPPED_PART, VIEWS = 0.65, 4
PEOPLE, PERSON_M, PEOPLE_WITHIN_M, IN_THE_WAY_M = 3, 0.3, (0.8, 3.0), 0.5
# A place is right within this.
RIGHT_M, RIGHT_RAD = 0.3, 0.1
# Noticed in time after being carried away.
NOTICE_S = 2.0
# A place is called sure from this confidence on.
SURE = 0.5


@dataclass(frozen=True, eq=False)
class World:
    """A building and the map that the robot has of it."""

    rooms: Rooms
    grid: OccupancyGrid
    mapped: NDArray[np.int64]  # indices of the rooms that are in the map

    @classmethod
    def made(cls, rng: np.random.Generator, params: SlamParams, size_m: float = 25.0) -> "World":
        """A random building of ``size_m`` × ``size_m``, a part of its rooms mapped."""
        rooms = building(rng, size_m)
        mapped = np.sort(rng.permutation(len(rooms.rooms))[: math.ceil(MAPPED_PART * len(rooms.rooms))])
        poses = np.concatenate([rooms.places(rng, room, VIEWS) for room in mapped])
        scans = [scan_at(rooms.walls, pose, rng) for pose in poses]
        counts = GridMap(params.map_resolution_m)
        points = [_points(scan, params).astype(np.float32) for scan in scans]
        counts.update(points, poses, [scan.T_base_laser for scan in scans])
        return cls(rooms, as_saved(counts.grid()), mapped)


def as_saved(grid: OccupancyGrid) -> OccupancyGrid:
    """The grid with the three values that a map file keeps."""
    cells = np.full(grid.cells.shape, UNKNOWN, np.int8)
    cells[grid.cells > 0.65 * OCCUPIED] = OCCUPIED
    cells[(grid.cells >= 0) & (grid.cells < 0.25 * OCCUPIED)] = FREE
    return OccupancyGrid(cells, grid.resolution_m, grid.T_map_origin)


def scan_at(
    walls: NDArray[np.float64], T_map_base: Pose, rng: np.random.Generator, lidar: Lidar = G4
) -> LaserScan:
    """One scan of a robot that stands."""
    still = Drive(np.tile(T_map_base, (3, 1)), 2.0 / lidar.rate_hz)
    return next(iter(record(walls, still, lidar, None, rng))).scan


def _points(scan: LaserScan, params: SlamParams) -> NDArray[np.float64]:
    return surface_points(scan, STANDING, params.point_spacing_m, params.max_range_m)


def with_people(
    walls: NDArray[np.float64], way: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The walls, and people who stand around the first pose of a way (N, 3), and not in it."""
    boxes: list[list[float]] = []
    place = way[0]
    while len(boxes) < 4 * PEOPLE:
        bearing, away = rng.uniform(-math.pi, math.pi), rng.uniform(*PEOPLE_WITHIN_M)
        x, y = place[0] + away * math.cos(bearing), place[1] + away * math.sin(bearing)
        if np.hypot(*(way[:, :2] - [x, y]).T).min() > IN_THE_WAY_M:
            boxes += box(x, y, PERSON_M, PERSON_M, bearing)
    return np.concatenate([walls, np.array(boxes)])


def is_right(found: Pose, truth: Pose) -> bool:
    """Whether a found place is the true one."""
    off = between(truth, found)
    return math.hypot(off[0], off[1]) < RIGHT_M and abs(off[2]) < RIGHT_RAD


@dataclass
class Starts:
    """What became of random starts: counts, and the CPU time of each search in ms."""

    right: int = 0  # the first place is the true one
    sure: int = 0  # and it is confident
    wrong_and_sure: int = 0
    ms: list[float] = field(default_factory=list)


def random_starts(
    params: SlamParams, seeds: range, per_world: int, known: tuple[float, float], size_m: float = 25.0
) -> Starts:
    """Single scans from random places of which a part within ``known`` (at least, at most) is in the map."""
    outcome = Starts()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        world = World.made(rng, params, size_m)
        search = GlobalSearch(MapWalls(world.grid), params.match_resolution_m, params.point_noise_m)
        for T_map_base, points in _views(world, search, params, known, rng, per_world):
            started = time.process_time()
            places = search.places(points)
            outcome.ms.append(1e3 * (time.process_time() - started))
            right = bool(places) and is_right(places[0].T_map_base, T_map_base)
            sure = bool(places) and places[0].share >= CONFIDENT
            outcome.right += right
            outcome.sure += right and sure
            outcome.wrong_and_sure += sure and not right
    return outcome


def _views(
    world: World,
    search: GlobalSearch,
    params: SlamParams,
    known: tuple[float, float],
    rng: np.random.Generator,
    count: int,
) -> Iterator[tuple[Pose, NDArray[np.float64]]]:
    """Random poses of which the map has enough, and what is seen there."""
    tries = 0
    while count > 0 and tries < 2000:
        tries += 1
        T_map_base = world.rooms.places(rng, int(rng.integers(len(world.rooms.rooms))), 1)[0]
        points = _points(scan_at(with_people(world.rooms.walls, T_map_base[None], rng), T_map_base, rng), params)
        part = judge(search.field.arrays, points, T_map_base)[0]
        if known[0] <= part <= known[1]:
            count -= 1
            yield T_map_base, points


@dataclass
class Kidnaps:
    """Robots that were carried away: when each noticed, when it knew its place again (inf: never), and the scans
    whose place was called sure and was not right."""

    noticed_s: list[float] = field(default_factory=list)
    found_s: list[float] = field(default_factory=list)
    wrong_and_sure: int = 0
    scans: int = 0


def kidnappings(params: SlamParams, seeds: range, per_world: int, size_m: float = 25.0) -> Kidnaps:
    """Drive in one room, be carried to another without the wheels noticing, drive on there.

    Noticed is the first scan after it whose place is not called sure or is right. Wrong and sure does not count
    the first ``NOTICE_S`` after being carried.
    """
    outcome = Kidnaps()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        world = World.made(rng, params, size_m)
        for _ in range(per_world):
            _kidnap(Localizer(params, world.grid), world, rng, outcome)
    return outcome


def _kidnap(localizer: Localizer, world: World, rng: np.random.Generator, outcome: Kidnaps) -> None:
    """Drive in a mapped room until the place is known, and then in any other room."""
    first = int(rng.choice(world.mapped))
    second = int(rng.choice([room for room in range(len(world.rooms.rooms)) if room != first]))
    offset_ns, T_odom_start = 0, np.zeros(3)
    for room in (first, second):
        way = way_in(world.rooms, room, rng)
        walls = with_people(world.rooms.walls, way.poses[::10], rng)
        T_odom_base, noticed_s, found_s = T_odom_start, math.inf, math.inf
        for step in record(walls, way, G4, WHEELS["good"], rng):
            for reading in step.odometry:
                T_odom_base = compose(T_odom_start, reading.T_odom_base)
                localizer.add_odometry(Odometry(reading.stamp_ns + offset_ns, T_odom_base))
            result = localizer.add_scan(replace(step.scan, stamp_ns=step.scan.stamp_ns + offset_ns))
            since_s = (step.scan.stamp_ns - START_NS) * 1e-9
            right = localizer.localized and is_right(result.T_map_base, step.T_map_base)
            sure = localizer.localized and localizer.confidence >= SURE
            if right or not sure:
                noticed_s = min(noticed_s, since_s)
            elif since_s > NOTICE_S or room == first:
                outcome.wrong_and_sure += 1
            if right and sure:
                found_s = min(found_s, since_s)
            outcome.scans += 1
        if room == second:
            outcome.noticed_s.append(noticed_s)
            outcome.found_s.append(found_s)
        offset_ns += round((way.duration_s + 0.1) * 1e9)
        T_odom_start = T_odom_base


def way_in(rooms: Rooms, room: int, rng: np.random.Generator, legs: int = 3) -> Drive:
    """A drive along straight, free lines between random places of a room."""
    places = [rooms.places(rng, room, 1)[0]]
    while len(places) <= legs:
        goal = rooms.places(rng, room, 1)[0]
        between_m = np.linspace(places[-1], goal, 20)
        if math.dist(places[-1][:2], goal[:2]) > 0.8 and min(distance_m(rooms.walls, p) for p in between_m) > 0.3:
            places.append(goal)
    return drive(np.array(places)[:, :2])
