"""Measuring localization without a click: random starts, kidnappings, and places that nobody can tell apart.

The building is known exactly, the map is made from scans of a part of its rooms, and what the robot sees later has
people in it that the map does not know.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, are_close, compose
from nanorover.machine import processor
from nanorover.mapping.grid import FREE, OCCUPIED, UNKNOWN, GridMap, OccupancyGrid
from nanorover.mapping.map_files import trinary
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
        return cls(rooms, mapped_from(rooms.walls, poses, params, rng), mapped)


def mapped_from(
    walls: NDArray[np.float64], poses: NDArray[np.float64], params: SlamParams, rng: np.random.Generator
) -> OccupancyGrid:
    """The map that scans from poses (N, 3) make of walls, with the three values that a map file keeps."""
    scans = [scan_at(walls, pose, rng) for pose in poses]
    counts = GridMap(params.map_resolution_m)
    points = [_points(scan, params).astype(np.float32) for scan in scans]
    counts.update(points, poses, [scan.T_base_laser for scan in scans])
    grid = counts.grid()
    cells = trinary(grid.cells, OCCUPIED, FREE, UNKNOWN).astype(np.int8)
    return OccupancyGrid(cells, grid.resolution_m, grid.T_map_origin)


def scan_at(
    walls: NDArray[np.float64], T_map_base: Pose, rng: np.random.Generator, lidar: Lidar = G4
) -> LaserScan:
    """One scan of a robot that stands."""
    still = Drive(np.tile(T_map_base, (3, 1)), 2.0 / lidar.rate_hz)
    return next(iter(record(walls, still, lidar, None, rng))).scan


def _points(scan: LaserScan, params: SlamParams) -> NDArray[np.float64]:
    return surface_points(scan, STANDING, params.point_spacing_m, params.max_range_m)[0]


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
    return are_close(truth, found, RIGHT_M, RIGHT_RAD)


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
    whose place was called sure and was not right. ``found_s`` has those who came to a room of the map."""

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
            if room in world.mapped:
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


def ambiguous_views(params: SlamParams, rng: np.random.Generator, count: int) -> tuple[int, int]:
    """Views of places that look like others, of them those that were called sure.

    An empty room (the same from two places), two rooms alike, and a corridor longer than the laser sees.
    """
    room, length = box(0.0, 0.0, 6.0, 4.0), 45.0
    alike = [
        piece
        for x in (0.0, 12.0)
        for piece in (*box(x, 0.0, 5.0, 4.0), *box(x + 1.0, -0.8, 1.0, 0.6, 0.3), *box(x - 2.0, 1.3, 0.5, 0.5))
    ]
    worlds = (
        (room, [(0.0, 0.0)], (1.5, 1.0)),
        (alike, [(0.0, 0.0), (12.0, 0.0)], (1.0, 0.4)),
        (box(0.0, 0.0, length, 2.0), [(x, 0.0) for x in np.arange(-21.0, 22.0, 3.0)], (4.0, 0.5)),
    )
    views, sure = 0, 0
    for segments, seen_from, spread in worlds:
        walls = np.array(segments)
        poses = np.array([[x, y, 0.0] for x, y in seen_from])
        grid = mapped_from(walls, poses, params, rng)
        search = GlobalSearch(MapWalls(grid), params.match_resolution_m, params.point_noise_m)
        for _ in range(count):
            pose = np.array([*(rng.uniform(-1.0, 1.0, 2) * spread), rng.uniform(-math.pi, math.pi)])
            places = search.places(_points(scan_at(walls, pose, rng), params))
            views += 1
            sure += bool(places) and places[0].share >= CONFIDENT
    return views, sure


# Per building: starts where enough of the view is in the map, where too little is, kidnappings. Ambiguous views.
STARTS, ELSEWHERE, KIDNAPPINGS, AMBIGUOUS = 20, 8, 4, 30
ENOUGH_KNOWN, TOO_LITTLE_KNOWN = (0.3, 1.0), (0.0, 0.2)


def measure(params: SlamParams, seeds: range, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Run everything over buildings of these seeds; returns plain figures."""
    ambiguous_views(params, np.random.default_rng(0), 1)  # compiles
    starts = random_starts(params, seeds, STARTS, ENOUGH_KNOWN)
    say(f"random starts: {starts.right} of {len(starts.ms)} right, {starts.sure} sure at once")
    elsewhere = random_starts(params, seeds, ELSEWHERE, TOO_LITTLE_KNOWN)
    say(f"starts outside the map: {elsewhere.wrong_and_sure} of {len(elsewhere.ms)} wrong and sure")
    kidnaps = kidnappings(params, seeds, KIDNAPPINGS)
    say(f"kidnappings: noticed after {max(kidnaps.noticed_s):.1f} s at most")
    views, sure = ambiguous_views(params, np.random.default_rng(1), AMBIGUOUS)
    found_s = np.array(kidnaps.found_s)
    return {
        "starts": len(starts.ms),
        "starts_right": starts.right,
        "starts_sure": starts.sure,
        "starts_wrong_and_sure": starts.wrong_and_sure,
        "search_ms": {
            "p50": round(float(np.percentile(starts.ms, 50)), 1),
            "p99": round(float(np.percentile(starts.ms, 99)), 1),
            "max": round(max(starts.ms), 1),
        },
        "outside": len(elsewhere.ms),
        "outside_wrong_and_sure": elsewhere.wrong_and_sure,
        "kidnappings": len(kidnaps.noticed_s),
        "noticed_s_max": round(max(kidnaps.noticed_s), 1),
        "found_within_2s": int((found_s <= NOTICE_S).sum()),
        "carried_into_the_map": len(found_s),
        "scans": kidnaps.scans,
        "scans_wrong_and_sure": kidnaps.wrong_and_sure,
        "ambiguous": views,
        "ambiguous_sure": sure,
    }


def table(result: dict[str, Any], command: str, date: str) -> str:
    """The figures as a Markdown page."""
    r, ms = result, result["search_ms"]
    rows = [
        ("random starts, at least 30 % of the view in the map", f"{r['starts_right']} of {r['starts']} right"),
        ("of them sure from the first scan", f"{r['starts_sure']}; wrong and sure {r['starts_wrong_and_sure']}"),
        ("CPU time of one search", f"p50 {ms['p50']} ms, p99 {ms['p99']} ms, most {ms['max']} ms"),
        (
            "starts of which the map knows at most 20 % of the view",
            f"{r['outside_wrong_and_sure']} of {r['outside']} wrong and sure",
        ),
        ("carried away while driving", f"{r['kidnappings']} times, noticed after at most {r['noticed_s_max']} s"),
        (
            "and into a mapped room: the place known again within 2 s",
            f"{r['found_within_2s']} of {r['carried_into_the_map']}",
        ),
        ("scans wrong and sure, later than 2 s after", f"{r['scans_wrong_and_sure']} of {r['scans']}"),
        ("views that look alike from several places", f"{r['ambiguous_sure']} of {r['ambiguous']} called sure"),
    ]
    lines = [f"{date}, `{command}`, {processor()}.", "", "| what | figure |", "|---|---|"]
    return "\n".join([*lines, *(f"| {what} | {figure} |" for what, figure in rows), ""])
