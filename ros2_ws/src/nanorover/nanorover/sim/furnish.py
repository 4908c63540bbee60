"""Putting furniture into a room so that doors stay clear and nothing overlaps."""

import math
from dataclasses import dataclass

import numpy as np

from nanorover.sim.looks import look
from nanorover.sim.scene import Furniture
from nanorover.sim.solids import Colour, Size

WALL_M = 0.08  # half a wall and a gap
DOOR_CLEAR_M = 0.75
GAP_M = 0.06

# What stands against a wall, what stands free, and what may lie about, by the use of a room.
AT_WALL = {
    "living": ["couch", "tv", "shelf", "plant", "cabinet"],
    "bedroom": ["bed", "cabinet", "chair", "plant"],
    "kitchen": ["cabinet", "cabinet", "cabinet", "shelf", "bin"],
    "study": ["desk", "shelf", "shelf", "couch", "plant"],
    "play": ["shelf", "couch", "box", "plant"],
    "storage": ["shelf", "shelf", "cabinet", "box", "box"],
    "office": ["desk", "desk", "shelf", "cabinet", "plant"],
    "meeting": ["tv", "cabinet", "plant"],
    "lounge": ["couch", "couch", "plant", "shelf", "tv"],
    "corridor": ["plant", "bin", "shelf"],
}
FREE_STANDING = {
    "living": ["coffee table", "lamp"],
    "kitchen": ["dining"],
    "meeting": ["dining"],
    "lounge": ["coffee table", "screen"],
    "office": ["screen"],
}
LITTER = ["ball", "bottle", "box", "box", "bottle", "bin", "ball", "chair"]


@dataclass(frozen=True)
class Room:
    """A rectangle of the floor plan, its use, and the middles of the doors in its walls."""

    x0: float
    y0: float
    x1: float
    y1: float
    use: str
    doors: tuple[tuple[float, float], ...] = ()

    @property
    def area(self) -> float:
        """In m²."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    @property
    def middle(self) -> tuple[float, float]:
        """The centre."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def touches(self, door: tuple[float, float]) -> bool:
        """Whether a door is in one of its walls."""
        x, y = door
        return self.x0 - 0.01 <= x <= self.x1 + 0.01 and self.y0 - 0.01 <= y <= self.y1 + 0.01


class _Floor:
    """What is taken already: axis-aligned boxes, and discs in front of doors."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.taken: list[tuple[float, float, float, float]] = []

    def fits(self, x: float, y: float, half_x: float, half_y: float) -> bool:
        room = self.room
        if x - half_x < room.x0 + WALL_M or x + half_x > room.x1 - WALL_M:
            return False
        if y - half_y < room.y0 + WALL_M or y + half_y > room.y1 - WALL_M:
            return False
        for dx, dy in room.doors:
            if math.hypot(max(0.0, abs(dx - x) - half_x), max(0.0, abs(dy - y) - half_y)) < DOOR_CLEAR_M:
                return False
        return not any(
            abs(x - tx) < half_x + hx + GAP_M and abs(y - ty) < half_y + hy + GAP_M
            for tx, ty, hx, hy in self.taken
        )

    def take(self, x: float, y: float, half_x: float, half_y: float) -> None:
        self.taken.append((x, y, half_x, half_y))


def furnish(room: Room, number: int, rng: np.random.Generator) -> list[Furniture]:
    """Furniture for a room of this use; leaves out what does not fit."""
    floor = _Floor(room)
    things: list[Furniture] = []
    for kind in AT_WALL[room.use]:
        if rng.random() < 0.85:
            things += _at_wall(floor, kind, rng)
    for kind in FREE_STANDING.get(room.use, []):
        if rng.random() < 0.8:
            things += _standing_free(floor, kind, rng)
    for kind in rng.permutation(LITTER)[: int(rng.integers(1, 4))]:
        things += _litter(floor, str(kind), rng)
    return things


def _placed(floor: _Floor, kind: str, drawn: tuple[Size, Colour, str], x: float, y: float, yaw: int) -> Furniture:
    size, colour, style = drawn
    return Furniture(kind, (round(x, 3), round(y, 3)), float(yaw), size, colour, style)


def _at_wall(floor: _Floor, kind: str, rng: np.random.Generator) -> list[Furniture]:
    """Put a thing with its back to a wall; a desk brings its chair along."""
    desk = kind == "desk"
    size, colour, style = look("table" if desk else kind, rng)
    if desk:
        size, style = (size[1], size[0], 0.74), "plain"
    ahead, across = (0.44, size[1] + 0.3) if kind == "tv" else (size[0], size[1])
    room = floor.room
    for _ in range(30):
        yaw = 90 * int(rng.integers(4))  # the way it looks, away from its wall
        half_x, half_y = (ahead / 2, across / 2) if yaw % 180 == 0 else (across / 2, ahead / 2)
        x = rng.uniform(room.x0 + half_x, max(room.x0 + half_x, room.x1 - half_x))
        y = rng.uniform(room.y0 + half_y, max(room.y0 + half_y, room.y1 - half_y))
        back = WALL_M + 0.03
        x = {0: room.x0 + half_x + back, 180: room.x1 - half_x - back}.get(yaw, x)
        y = {90: room.y0 + half_y + back, 270: room.y1 - half_y - back}.get(yaw, y)
        if not floor.fits(x, y, half_x, half_y):
            continue
        floor.take(x, y, half_x, half_y)
        if not desk:
            return [_placed(floor, kind, (size, colour, style), x, y, yaw)]
        # a table's long side is its x, so a desk along the wall is turned by a quarter
        things = [_placed(floor, "table", ((size[1], size[0], size[2]), colour, style), x, y, (yaw + 90) % 360)]
        return things + _seat(floor, (x, y), yaw, ahead / 2 + 0.22, "office", rng)
    return []


def _seat(
    floor: _Floor, at: tuple[float, float], towards: int, away_m: float, style: str, rng: np.random.Generator
) -> list[Furniture]:
    """A chair at this distance from a table, looking at it."""
    size, colour, _ = look("chair", rng)
    x = at[0] + away_m * math.cos(math.radians(towards))
    y = at[1] + away_m * math.sin(math.radians(towards))
    # a chair may stand half under its table: only the room and its doors count
    clear = _Floor(floor.room)
    clear.taken = [t for t in floor.taken if math.dist(t[:2], at) > 0.01]
    if not clear.fits(x, y, 0.25, 0.25):
        return []
    floor.take(x, y, 0.25, 0.25)
    turned = (towards + 180 + int(rng.integers(-20, 21))) % 360
    return [_placed(floor, "chair", (size, colour, style), x, y, turned)]


def _standing_free(floor: _Floor, kind: str, rng: np.random.Generator) -> list[Furniture]:
    room = floor.room
    is_table = kind in ("coffee table", "dining")
    size, colour, style = look("table" if is_table else kind, rng)
    if kind == "coffee table":
        size = (round(0.7 * size[0], 2), round(0.7 * size[1], 2), 0.42)
    if style == "round":
        size = (min(size[0], 1.1), min(size[0], 1.1), size[2])
    margin = 0.55 if kind == "dining" else 0.35
    for _ in range(30):
        yaw = 90 * int(rng.integers(2))
        half_x, half_y = (size[0] / 2, size[1] / 2) if yaw == 0 else (size[1] / 2, size[0] / 2)
        x = rng.uniform(0.35, 0.65) * (room.x1 - room.x0) + room.x0
        y = rng.uniform(0.35, 0.65) * (room.y1 - room.y0) + room.y0
        if not floor.fits(x, y, half_x + margin, half_y + margin):
            continue
        floor.take(x, y, half_x, half_y)
        things = [_placed(floor, "table" if is_table else kind, (size, colour, style), x, y, yaw)]
        if kind == "dining":
            chair = str(rng.choice(["plain", "wood"]))
            for towards, reach in ((0, half_x), (90, half_y), (180, half_x), (270, half_y)):
                if rng.random() < 0.8:
                    things += _seat(floor, (x, y), towards, reach + 0.15, chair, rng)
        if is_table and rng.random() < 0.6:
            bottle, tint, plain = look("bottle", rng)
            things.append(
                Furniture("bottle", (round(x, 3), round(y, 3)), 0.0, bottle, tint, plain, lift_m=size[2])
            )
        return things
    return []


def _litter(floor: _Floor, kind: str, rng: np.random.Generator) -> list[Furniture]:
    """A small thing on the floor, near a wall more often than not."""
    room = floor.room
    size, colour, style = look(kind, rng)
    half = max(size[:2]) * 0.6
    for _ in range(20):
        x, y = rng.uniform(room.x0 + 0.3, room.x1 - 0.3), rng.uniform(room.y0 + 0.3, room.y1 - 0.3)
        to_wall = min(x - room.x0, room.x1 - x, y - room.y0, room.y1 - y)
        if to_wall < 0.55 and floor.fits(x, y, half, half):
            floor.take(x, y, half, half)
            return [_placed(floor, kind, (size, colour, style), x, y, int(rng.integers(360)))]
    return []
