"""Situations that try a navigator: each a small world, what the map knows of it, and where to drive.

A seed jitters places, speeds and the world's own noise; the difficulty stays.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nanorover.geometry.se2 import Pose
from nanorover.sim.scene import Furniture, Opening, Point, Scene, Start, Walker, Wall

GLASS_AT_M = 3.5


@dataclass(frozen=True)
class Scenario:
    """One situation: the world as it is, the world as the map has it, and the goal. A robot that was carried away
    believes to be elsewhere."""

    name: str
    scene: Scene
    mapped: Scene
    goal: Pose
    believed: Pose | None = None


def _scenario(
    scene: Scene,
    goal_m: Point,
    goal_deg: float,
    *,
    furniture: tuple[Furniture, ...] | None = None,
    extra_walls: tuple[Wall, ...] = (),
    believed: Start | None = None,
) -> Scenario:
    """``furniture`` is what the map has instead of the scene's, ``extra_walls`` what it has besides."""
    mapped = replace(
        scene,
        furniture=scene.furniture if furniture is None else furniture,
        walls=(*scene.walls, *extra_walls),
    )
    elsewhere = pose_of(believed.at_m, believed.yaw_deg) if believed else None
    return Scenario(scene.name, scene, mapped, pose_of(goal_m, goal_deg), elsewhere)


def pose_of(at_m: Point, yaw_deg: float) -> Pose:
    """A place of a scene and a direction in degrees as a pose."""
    return np.array([*at_m, math.radians(yaw_deg)])


def outer(width_m: float, depth_m: float) -> tuple[Wall, ...]:
    """Four walls about a rectangle."""
    corners = ((0.0, 0.0), (width_m, 0.0), (width_m, depth_m), (0.0, depth_m))
    return tuple(Wall(corners[i], corners[(i + 1) % 4]) for i in range(4))


def _scene(name: str, size_m: Point, start: Start, walls: tuple[Wall, ...], **more: object) -> Scene:
    return Scene(name, size_m, start, (*outer(*size_m), *walls), **more)  # type: ignore[arg-type]


def _jitter(rng: np.random.Generator, point: Point, by_m: float = 0.15) -> Point:
    x, y = np.array(point) + rng.uniform(-by_m, by_m, 2)
    return round(float(x), 3), round(float(y), 3)


def _start(rng: np.random.Generator, point: Point, yaw_deg: float = 0.0) -> Start:
    return Start(_jitter(rng, point), round(yaw_deg + float(rng.uniform(-20.0, 20.0)), 1))


def corridor(rng: np.random.Generator) -> Scenario:
    """A corridor of 1.1 m with a bend."""
    walls = (Wall((0.0, 1.2), (5.8, 1.2)), Wall((5.8, 1.2), (5.8, 5.0)))
    scene = _scene("corridor", (7.0, 5.0), _start(rng, (0.7, 0.6)), walls)
    return _scenario(scene, _jitter(rng, (6.4, 4.3), 0.1), 90.0)


def doorway(rng: np.random.Generator) -> Scenario:
    """Two rooms and a door of 0.8 m, half open."""
    door = Opening("door", at_m=1.2 + float(rng.uniform(0.0, 1.5)), width_m=0.8, leaf_deg=100.0)
    scene = _scene(
        "doorway", (7.0, 4.0), _start(rng, (1.0, 3.0)), (Wall((3.5, 0.0), (3.5, 4.0), openings=(door,)),)
    )
    return _scenario(scene, _jitter(rng, (6.0, 3.0)), 0.0)


def clutter(rng: np.random.Generator) -> Scenario:
    """A room full of things that the map does not know."""
    things = []
    spots = [(x, y) for x in np.arange(1.9, 6.2, 1.05) for y in np.arange(0.8, 4.6, 1.05)]
    for x, y in spots:
        if rng.random() < 0.75:
            kind = str(rng.choice(["chair", "box", "bin", "plant"]))
            things.append(Furniture(kind, _jitter(rng, (float(x), float(y)), 0.12), float(rng.uniform(0, 360))))
    scene = _scene("clutter", (8.0, 5.0), _start(rng, (0.7, 2.5)), (), furniture=tuple(things))
    return _scenario(scene, _jitter(rng, (7.3, 2.5)), 0.0, furniture=())


def crossing(rng: np.random.Generator) -> Scenario:
    """Two people who cross the way."""
    people = tuple(
        Walker("person", (_jitter(rng, (x, 0.7)), _jitter(rng, (x, 4.3))), float(rng.uniform(0.6, 1.1)))
        for x in (3.0, 5.0)
    )
    scene = _scene("crossing", (8.0, 5.0), _start(rng, (0.8, 2.5)), (), walkers=people)
    return _scenario(scene, _jitter(rng, (7.2, 2.5)), 0.0)


def steps_out(rng: np.random.Generator) -> Scenario:
    """A person steps out from behind a wall, close before the robot."""
    walls = (Wall((3.6, 1.3), (3.6, 3.5)), Wall((0.0, 1.3), (3.6, 1.3)))
    person = Walker(
        "person", (_jitter(rng, (4.3, 2.6), 0.1), (4.3, 0.65), (6.5, 0.65)), float(rng.uniform(0.7, 1.0))
    )
    scene = _scene("steps_out", (8.0, 3.5), _start(rng, (0.8, 0.65)), walls, walkers=(person,))
    return _scenario(scene, _jitter(rng, (7.0, 2.6)), 90.0)


def surprise(rng: np.random.Generator) -> Scenario:
    """A person comes out of a side door, into the way of the robot that is close by at full speed."""
    wall = Wall((0.0, 1.2), (8.0, 1.2), openings=(Opening("door", at_m=4.0, width_m=0.7),))
    way = ((float(rng.uniform(2.2, 3.6)), 2.9), (6.5, 2.9), (4.0, 2.3), (4.0, 0.5))
    scene = _scene("surprise", (8.0, 3.6), _start(rng, (0.7, 0.7)), (wall,), walkers=(Walker("person", way, 1.0),))
    return _scenario(scene, _jitter(rng, (7.3, 0.6), 0.1), 0.0)


def pet(rng: np.random.Generator) -> Scenario:
    """A cat that runs about."""
    way = tuple(_jitter(rng, p, 0.3) for p in ((2.5, 1.0), (4.0, 3.0), (5.5, 1.2), (3.5, 2.0)))
    animal = Walker(str(rng.choice(["cat", "dog"])), way, float(rng.uniform(0.5, 0.9)))
    scene = _scene("pet", (8.0, 4.0), _start(rng, (0.8, 2.0)), (), walkers=(animal,))
    return _scenario(scene, _jitter(rng, (7.2, 2.0)), 0.0)


def blocked(rng: np.random.Generator) -> Scenario:
    """The short way through a door is blocked by what the map does not know; another door is open."""
    near, far = Opening("door", at_m=1.0, width_m=0.9), Opening("door", at_m=4.0, width_m=0.9)
    wall = Wall((4.0, 0.0), (4.0, 5.0), openings=(near, far))
    things = (Furniture("cabinet", _jitter(rng, (4.3, 1.0), 0.05)),)
    scene = _scene("blocked", (8.0, 5.0), _start(rng, (1.0, 1.0)), (wall,), furniture=things)
    return _scenario(scene, _jitter(rng, (7.0, 1.0)), 0.0, furniture=())


def dead_end(rng: np.random.Generator) -> Scenario:
    """The start is at the end of an alcove too narrow to turn in."""
    low, high = 1.7, 2.1 + float(rng.uniform(-0.02, 0.03))
    walls = (
        Wall((4.0, low), (6.0, low), thickness_m=0.04),
        Wall((4.0, high), (6.0, high), thickness_m=0.04),
        Wall((6.0, low), (6.0, high), thickness_m=0.04),
    )
    start = Start((5.6, round((low + high) / 2, 3)), float(rng.uniform(-2.0, 2.0)))
    scene = _scene("dead_end", (7.0, 4.0), start, walls)
    return _scenario(scene, _jitter(rng, (1.0, 1.0)), 180.0)


def glass(rng: np.random.Generator) -> Scenario:
    """A pane that the lidar hardly sees; the map has it, because a person drew it."""
    pane = Opening("pane", at_m=2.0, width_m=2.4)
    door = Opening("door", at_m=4.2, width_m=0.9)
    wall = Wall((GLASS_AT_M, 0.0), (GLASS_AT_M, 5.0), openings=(pane, door))
    scene = _scene("glass", (7.0, 5.0), _start(rng, (1.2, 2.0)), (wall,))
    drawn = Wall((GLASS_AT_M, 0.8), (GLASS_AT_M, 3.2))
    return _scenario(scene, _jitter(rng, (6.0, 2.0)), 0.0, extra_walls=(drawn,))


def moved(rng: np.random.Generator) -> Scenario:
    """Furniture stands elsewhere than on the map."""
    then = tuple(Furniture(k, p) for k, p in (("table", (3.0, 3.6)), ("couch", (5.0, 1.2)), ("box", (4.0, 2.4))))
    now = tuple(
        Furniture(k, _jitter(rng, p), float(rng.uniform(0, 90)))
        for k, p in (("table", (3.2, 1.4)), ("couch", (5.2, 3.5)), ("box", (4.6, 2.2)))
    )
    scene = _scene("moved", (8.0, 5.0), _start(rng, (0.8, 2.4)), (), furniture=now)
    return _scenario(scene, _jitter(rng, (7.2, 2.4)), 0.0, furniture=then)


def narrow(rng: np.random.Generator) -> Scenario:
    """A gap of the footprint and 10 cm."""
    gap = Opening("door", at_m=1.5 + float(rng.uniform(0.0, 1.0)), width_m=0.35)
    scene = _scene("narrow", (6.0, 4.0), _start(rng, (1.0, 2.0)), (Wall((3.0, 0.0), (3.0, 4.0), openings=(gap,)),))
    return _scenario(scene, _jitter(rng, (5.0, 2.0)), 0.0)


def oncoming(rng: np.random.Generator) -> Scenario:
    """A person comes towards the robot in a corridor of 3 m."""
    person = Walker(
        "person", (_jitter(rng, (6.8, 1.2), 0.3), _jitter(rng, (2.0, 1.2), 0.3)), float(rng.uniform(0.6, 1.0))
    )
    scene = _scene("oncoming", (8.5, 3.0), _start(rng, (0.8, 1.5)), (), walkers=(person,))
    return _scenario(scene, _jitter(rng, (7.7, 1.5)), 0.0)


def kidnapped(rng: np.random.Generator) -> Scenario:
    """The robot was carried to another room than it believes, looking elsewhere."""
    doors = Opening("door", at_m=1.0, width_m=0.9), Opening("door", at_m=3.6, width_m=0.9)
    walls = (
        Wall((3.2, 0.0), (3.2, 5.0), openings=doors[:1]),
        Wall((5.6, 0.0), (5.6, 5.0), openings=doors[1:]),
    )
    things = Furniture("couch", (6.6, 0.6)), Furniture("cabinet", (4.4, 4.6)), Furniture("table", (1.2, 3.6))
    scene = _scene("kidnapped", (8.0, 5.0), _start(rng, (1.0, 1.2)), walls, furniture=things)
    elsewhere = _start(rng, (6.9, 2.8), float(rng.uniform(-180.0, 180.0)))
    return _scenario(scene, _jitter(rng, (4.4, 2.2)), 0.0, believed=elsewhere)


SCENARIOS: dict[str, Callable[[np.random.Generator], Scenario]] = {
    make.__name__: make
    for make in (corridor, doorway, clutter, crossing, oncoming, steps_out, surprise, pet, blocked, dead_end,
                 glass, moved, narrow, kidnapped)
}  # fmt: skip


def scenario_of(name: str, seed: int) -> Scenario:
    """The scenario ``name`` of a seed."""
    return SCENARIOS[name](np.random.default_rng([seed, *name.encode()]))
