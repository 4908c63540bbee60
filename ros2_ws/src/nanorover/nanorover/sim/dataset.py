"""Pictures with exact boxes out of simulated worlds, to train and test a detector on."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.base.params import BaseParams
from nanorover.bringup.robot_model import FramesParams
from nanorover.params import load
from nanorover.sim.camera import Camera
from nanorover.sim.floorplan import random_scene
from nanorover.sim.looks import look
from nanorover.sim.model import World, build_world
from nanorover.sim.params import SimParams
from nanorover.sim.paths import Ways
from nanorover.sim.people import BODY_HEIGHTS_M
from nanorover.sim.robot import Build
from nanorover.sim.scene import Furniture, Scene, Walker
from nanorover.sim.shapes import CLASSES
from nanorover.sim.truth import true_map
from nanorover.sim.walkers import Walking

PICTURES_PER_WORLD = 16
CANDIDATES = 30  # places tried for the camera
EXTRAS = 14  # things beyond the usual furniture, so that rare classes are not rare
NEAREST_M, FARTHEST_M = 0.7, 4.5  # from the camera to the thing that it is pointed at
# What is smaller than this, or of which less can be seen, is marked as not to be judged by.
LEAST_SIDE_PX = 8
LEAST_VISIBLE = 0.3


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture ``(H, W, 3)`` RGB and what is in it: boxes ``(N, 4)`` x0, y0, x1, y1 in pixels around what can be
    seen of each thing, labels ``(N,)`` as indices of ``shapes.CLASSES``, and which part ``(N,)`` of its
    pixels within the picture other things leave free. Who stands so near that only legs are in the picture counts
    as seen: such are those that matter to a robot."""

    image: NDArray[np.uint8]
    boxes_px: NDArray[np.float32]
    labels: NDArray[np.int64]
    visible: NDArray[np.float32]


def fair(boxes_px: NDArray[np.float32], visible: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes ``(N,)`` a detector may be judged by: large enough, and enough of the thing in view."""
    sides = boxes_px[:, 2:] - boxes_px[:, :2]
    return np.asarray((sides.min(axis=1, initial=np.inf) >= LEAST_SIDE_PX) & (visible >= LEAST_VISIBLE))


def render_dataset(seed: int, count: int, *, width_px: int = 320, height_px: int = 240) -> Iterator[Sample]:
    """``count`` pictures from as many random worlds as needed; the same seed gives the same pictures.

    Camera height, pitch, view angle, light, blur and noise vary; every class is looked at equally often. Raises
    InputError where this machine cannot draw.
    """
    for world_number in range(math.ceil(count / PICTURES_PER_WORLD)):
        here = min(PICTURES_PER_WORLD, count - world_number * PICTURES_PER_WORLD)
        rng = np.random.default_rng((seed, world_number))
        yield from _world_pictures(rng, here, width_px, height_px)


def _world_pictures(rng: np.random.Generator, count: int, width_px: int, height_px: int) -> Iterator[Sample]:
    scene = random_scene(int(rng.integers(1 << 31)))
    grid = true_map(scene, *BODY_HEIGHTS_M)
    ways = Ways(grid, radius_m=0.18)
    scene = _crowded(scene, ways, rng)
    sim = load(
        SimParams, "sim", camera_width_px=width_px, camera_height_px=height_px,
        camera_fov_deg=float(rng.uniform(60.0, 100.0)), camera_noise=float(rng.uniform(1.0, 5.0)),
    )  # fmt: skip
    frames = replace(
        load(FramesParams, "frames"),
        camera_z_m=float(rng.uniform(0.08, 0.3)), camera_pitch_rad=float(rng.uniform(-0.35, 0.1)),
    )  # fmt: skip
    base = load(BaseParams, "base")
    world = build_world(scene, sim, base, frames, Build.drawn(sim, base, rng))
    data = mujoco.MjData(world.model)
    for number, walker in enumerate(scene.walkers):
        Walking(walker, number, world).show(data)
    mujoco.mj_forward(world.model, data)
    camera = Camera(world.model, sim, rng)
    given = 0
    while given < count:
        if not _point_camera(world, data, ways, rng):
            continue
        given += 1
        turn_rate = float(rng.normal(0.0, 0.6))
        yield labelled(world, data, camera, turn_rate)
    camera.close()


def labelled(world: World, data: mujoco.MjData, camera: Camera, turn_rate_rad_s: float) -> Sample:
    """The camera's picture now, with its boxes."""
    return Sample(camera.picture(data, turn_rate_rad_s), *boxes_of(world, data, camera))


def boxes_of(
    world: World, data: mujoco.MjData, camera: Camera
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """What the camera sees now: boxes, labels and visible parts as in ``Sample``."""
    shown = camera.things(data)
    thing_of = np.append(world.thing, -1)  # so that −1, nothing, is no thing
    owner = thing_of[shown]
    boxes, labels, visible = [], [], []
    for thing in np.unique(owner[owner >= 0]):
        kind = world.things[thing].split()[0]
        if kind not in CLASSES:
            continue
        rows, columns = np.nonzero(owner == thing)
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        geoms = np.flatnonzero(world.thing == thing)
        part = len(rows) / max(len(rows), camera.pixels_alone(data, geoms))
        boxes.append(box)
        labels.append(CLASSES.index(kind))
        visible.append(part)
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(visible, np.float32),
    )


def _crowded(scene: Scene, ways: Ways, rng: np.random.Generator) -> Scene:
    """The scene with more things to name, standing anywhere free."""
    cells = np.argwhere(ways.clearance_m > 0.25)
    furniture, walkers = list(scene.furniture), list(scene.walkers)
    for kind in rng.choice(["person", "cat", "dog", "ball", "bottle", "box", "chair", "plant", "bottle"], EXTRAS):
        x, y = (float(v) for v in ways.grid.centres(cells[rng.integers(len(cells))][None])[0])
        size, colour, style = look(str(kind), rng)
        yaw_deg = float(rng.uniform(0.0, 360.0))
        if kind in ("person", "cat", "dog"):
            ahead = (x + math.cos(math.radians(yaw_deg)), y + math.sin(math.radians(yaw_deg)))
            walkers.append(Walker(str(kind), ((x, y), ahead), 0.5, size, colour, style))
        else:
            furniture.append(Furniture(str(kind), (x, y), yaw_deg, size, colour, style))
    return replace(scene, furniture=tuple(furniture), walkers=tuple(walkers))


def _point_camera(world: World, data: mujoco.MjData, ways: Ways, rng: np.random.Generator) -> bool:
    """Put the robot somewhere free, looking roughly at a thing of a class drawn; False where that fails."""
    kinds = np.array([name.split()[0] for name in world.things])
    here = [kind for kind in CLASSES if (kinds == kind).any()]
    thing = rng.choice(np.flatnonzero(kinds == rng.choice(here)))
    target = data.geom_xpos[world.thing == thing].mean(axis=0)[:2]
    cells = np.argwhere(ways.clearance_m > 0.15)
    points = ways.grid.centres(cells)
    away = np.linalg.norm(points - target, axis=1)
    near = np.flatnonzero((away > NEAREST_M) & (away < FARTHEST_M))
    seeing = [k for k in rng.permutation(near)[:CANDIDATES] if _in_sight(points[k], target, ways)]
    if not seeing:
        return False
    x, y = points[seeing[0]]
    yaw = math.atan2(target[1] - y, target[0] - x) + rng.normal(0.0, 0.3)
    data.qpos[:7] = (x, y, 0.0, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    mujoco.mj_forward(world.model, data)
    return True


def _in_sight(eye: NDArray[np.float64], target: NDArray[np.float64], ways: Ways) -> bool:
    """Whether no wall or furniture lies between, up to the thing's own surroundings."""
    away = float(np.linalg.norm(target - eye))
    way = np.linspace(0.0, max(0.0, 1.0 - 0.6 / away), 2 + int(away / ways.grid.resolution_m))[:, None]
    line = ways.grid.indices(eye + way * (target - eye))
    return bool((ways.clearance_m[tuple(line.T)] > 0.0).all())
