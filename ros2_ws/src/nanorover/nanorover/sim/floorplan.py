"""Worlds from a seed: apartments cut into rooms and offices along a corridor, furnished and peopled."""

import colorsys
import math
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from nanorover.errors import InputError
from nanorover.sim.furnish import Room, furnish
from nanorover.sim.people import peopled
from nanorover.sim.scene import SHIPPED, Opening, Scene, Start, Wall, as_saved, load_scene
from nanorover.sim.solids import Colour

DOOR_M = 0.92
STYLES = ("apartment", "office")
ATTEMPTS = 40
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Edge:
    """A straight wall between two rooms (or a room and outside), along x or y."""

    from_m: tuple[float, float]
    to_m: tuple[float, float]
    rooms: tuple[int, int]

    @property
    def length_m(self) -> float:
        return math.dist(self.from_m, self.to_m)


def random_scene(seed: int, style: str = "") -> Scene:
    """A world that depends on nothing but the seed and the style (drawn as well where it is not given).

    Every room can be reached by the robot. Raises InputError for an unknown style.
    """
    if style and style not in STYLES:
        raise InputError(f"no style of worlds is called '{style}'", "known: " + ", ".join(STYLES))
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng((seed, attempt))
        drawn = "office" if rng.random() < 0.3 else "apartment"
        scene = _attempt(rng, seed, style or drawn)
        if scene is not None:
            return as_saved(scene)
    raise InputError(f"seed {seed} gives no world that can be driven through", "choose another seed")


def scene_of(text: str) -> Scene:
    """A world as a person names it: a seed (``7``), a style and a seed (``office:7``), a shipped scene or a file.

    Raises InputError for what is none of these.
    """
    style, _, seed = text.rpartition(":")
    if seed.isdecimal():
        return random_scene(int(seed), style)
    if style in STYLES or NUMBER.fullmatch(seed):
        raise InputError(f"'{seed}' is no seed of a world", "a seed is a whole number from 0 on, as 7 or office:7")
    path = SHIPPED.get(text, Path(text))
    if not path.exists():
        seeded = ", ".join(f"{style}:SEED" for style in STYLES)
        raise InputError(
            f"there is no world '{text}'",
            f"known: {', '.join(SHIPPED)}, SEED, {seeded}, or the path of a scene file",
        )
    return load_scene(path)


def _attempt(rng: np.random.Generator, seed: int, style: str) -> Scene | None:
    rooms, corridor = (_apartment(rng), None) if style == "apartment" else _office(rng)
    size = (max(r.x1 for r in rooms), max(r.y1 for r in rooms))
    colour = _wall_colour(rng)
    walls, doors = _walls(rng, rooms, corridor, colour, glassy=style == "office")
    rooms = [replace(room, doors=tuple(d for d in doors if room.touches(d))) for room in rooms]
    furniture = [thing for n, room in enumerate(rooms) for thing in furnish(room, n, rng)]
    hub = rooms[corridor] if corridor is not None else max(rooms, key=lambda r: r.area)
    scene = Scene(
        name=f"{style} {seed}", size_m=size, robot=Start(hub.middle), walls=tuple(walls),
        furniture=tuple(furniture), floor="tiles" if style == "office" and rng.random() < 0.5 else
        str(rng.choice(["wood", "carpet", "tiles", "concrete"], p=[0.5, 0.2, 0.2, 0.1])),
        light=round(float(rng.uniform(0.8, 1.1)), 2), seed=seed,
    )  # fmt: skip
    return peopled(scene, rooms, rng)


def _apartment(rng: np.random.Generator) -> list[Room]:
    """A rectangle cut into rooms again and again."""
    width, depth = rng.uniform(7.5, 11.0), rng.uniform(6.0, 8.5)
    pieces, done = [(0.0, 0.0, round(width, 2), round(depth, 2))], []
    while pieces:
        x0, y0, x1, y1 = pieces.pop()
        w, h = x1 - x0, y1 - y0
        along_x = w > h * rng.uniform(0.8, 1.25)
        length = w if along_x else h
        if length < 5.2 or (w * h < 17.0 and rng.random() < 0.75):
            done.append((x0, y0, x1, y1))
            continue
        cut = round(rng.uniform(0.4, 0.6) * length, 2)
        if along_x:
            pieces += [(x0, y0, x0 + cut, y1), (x0 + cut, y0, x1, y1)]
        else:
            pieces += [(x0, y0, x1, y0 + cut), (x0, y0 + cut, x1, y1)]
    done.sort(key=lambda p: -(p[2] - p[0]) * (p[3] - p[1]))
    uses = ["living", "bedroom", "kitchen", "study", "bedroom", "play", "storage"]
    return [Room(*piece, uses[n % len(uses)]) for n, piece in enumerate(done)]


def _office(rng: np.random.Generator) -> tuple[list[Room], int]:
    """Rooms on both sides of a corridor; the corridor's index."""
    width, hall = round(rng.uniform(11.0, 15.0), 2), round(rng.uniform(1.7, 2.3), 2)
    below, above = round(rng.uniform(3.2, 4.2), 2), round(rng.uniform(3.2, 4.2), 2)
    rooms = [Room(0.0, below, width, below + hall, "corridor")]
    for y0, y1 in ((0.0, below), (below + hall, below + hall + above)):
        count = int(rng.integers(3, 5))
        cuts = np.linspace(0.0, width, count + 1)
        cuts[1:-1] += rng.uniform(-0.35, 0.35, count - 1)
        for a, b in pairwise(cuts):
            use = str(rng.choice(["office", "office", "meeting", "lounge"]))
            rooms.append(Room(round(float(a), 2), y0, round(float(b), 2), y1, use))
    return rooms, 0


def _edges(rooms: list[Room]) -> list[Edge]:
    """Every stretch of wall between two rooms, or between a room and outside (index −1)."""
    edges = []
    for n, a in enumerate(rooms):
        for m in range(n + 1, len(rooms)):
            b = rooms[m]
            low, high = max(a.y0, b.y0), min(a.y1, b.y1)
            if high - low > 0.05 and (math.isclose(a.x1, b.x0) or math.isclose(b.x1, a.x0)):
                x = a.x1 if math.isclose(a.x1, b.x0) else a.x0
                edges.append(Edge((x, low), (x, high), (n, m)))
            low, high = max(a.x0, b.x0), min(a.x1, b.x1)
            if high - low > 0.05 and (math.isclose(a.y1, b.y0) or math.isclose(b.y1, a.y0)):
                y = a.y1 if math.isclose(a.y1, b.y0) else a.y0
                edges.append(Edge((low, y), (high, y), (n, m)))
    return edges


def _walls(
    rng: np.random.Generator, rooms: list[Room], corridor: int | None, colour: Colour, *, glassy: bool
) -> tuple[list[Wall], list[tuple[float, float]]]:
    """Walls with their doors, windows and panes; the middles of the doors."""
    inner = [edge for edge in _edges(rooms)]
    doors: list[tuple[float, float]] = []
    joined = list(range(len(rooms)))
    walls = []
    for k in rng.permutation(len(inner)):
        edge = inner[k]
        a, b = edge.rooms
        wanted = joined[a] != joined[b] or (corridor is None and rng.random() < 0.45)
        if corridor is not None:
            wanted = corridor in edge.rooms or rng.random() < 0.15
        openings: list[Opening] = []
        if wanted and edge.length_m > DOOR_M + 0.9:
            joined = [joined[a] if group == joined[b] else group for group in joined]
            openings = _door(rng, edge, glassy=glassy and corridor in edge.rooms)
            at = next(o.at_m for o in openings if o.kind == "door") / edge.length_m
            doors.append(tuple(p + at * (q - p) for p, q in zip(edge.from_m, edge.to_m, strict=True)))
        walls.append(Wall(edge.from_m, edge.to_m, 0.1, colour, openings=tuple(openings)))
    w, h = max(r.x1 for r in rooms), max(r.y1 for r in rooms)
    corners = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        walls.append(Wall(start, end, 0.2, colour, openings=_windows(rng, math.dist(start, end))))
    return walls, doors


def _door(rng: np.random.Generator, edge: Edge, *, glassy: bool) -> list[Opening]:
    at = round(float(rng.uniform(DOOR_M / 2 + 0.3, edge.length_m - DOOR_M / 2 - 0.3)), 2)
    leaf = round(float(rng.uniform(70.0, 110.0)), 0) if rng.random() < 0.6 else None
    openings = [Opening("door", at, DOOR_M, leaf)]
    spare = edge.length_m - at - DOOR_M / 2 - 0.3
    if glassy and spare > 1.0 and rng.random() < 0.6:
        wide = round(min(1.6, spare - 0.2), 2)
        openings.append(Opening("pane", round(at + DOOR_M / 2 + 0.1 + wide / 2, 2), wide))
    return openings


def _windows(rng: np.random.Generator, length: float) -> tuple[Opening, ...]:
    count = int(length // 3.2)
    places = [(k + 0.5) * length / max(1, count) for k in range(count)]
    kinds = ["pane" if rng.random() < 0.15 else "window" for _ in places]
    return tuple(Opening(kind, round(at, 2), 1.3) for kind, at in zip(kinds, places, strict=True))


def _wall_colour(rng: np.random.Generator) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(rng.uniform(0.05, 0.65), rng.uniform(0.02, 0.14), rng.uniform(0.82, 0.94))
    return round(r, 3), round(g, 3), round(b, 3)
