"""A scene as a MuJoCo model."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.base.params import BaseParams
from nanorover.bringup.robot_model import FramesParams
from nanorover.sim.params import SimParams
from nanorover.sim.robot import Build, add_robot
from nanorover.sim.scene import Scene
from nanorover.sim.shapes import solids_of
from nanorover.sim.solids import SURFACES, Solid

# Groups: what the lidar's plane can cut, the rest of the world, the floor (the robot is a group of its own).
RAY_GROUP, HIGH_GROUP, FLOOR_GROUP = 0, 1, 2
# The robot is lower than this: what begins above it can never be touched.
REACH_M = 0.25
# Rays leave from here up to the highest lidar that may be mounted.
RAY_HEIGHTS_M = (0.05, 0.4)

_KIND = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}
GLASS_ALPHA = 0.22
_FLOORS = {
    "wood": (0.74, 0.58, 0.42),
    "tiles": (0.82, 0.8, 0.76),
    "carpet": (0.46, 0.48, 0.52),
    "concrete": (0.66, 0.66, 0.64),
}


@dataclass(frozen=True, eq=False)
class World:
    """A compiled scene. ``surface`` and ``thing`` give for each geom the index of its surface in
    ``shapes.SURFACES`` and of its thing in ``things`` (−1 for the floor and the robot); ``limbs`` names the
    moving bodies of each walker."""

    scene: Scene
    model: mujoco.MjModel
    things: tuple[str, ...]
    surface: NDArray[np.int8]
    thing: NDArray[np.int32]
    limbs: tuple[tuple[str, ...], ...]


def build_world(scene: Scene, sim: SimParams, base: BaseParams, frames: FramesParams, build: Build) -> World:
    """Compile a scene with a robot in it."""
    spec = mujoco.MjSpec()
    _options(spec, scene, sim)
    _textures(spec)
    spec.worldbody.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05], material=f"floor {scene.floor}",
        contype=0, conaffinity=1, group=FLOOR_GROUP, friction=[1.0, 0.005, 0.0001],
    )  # fmt: skip
    things: list[str] = []
    surfaces: dict[str, int] = {}
    owners: dict[str, int] = {}

    def add(body: mujoco.MjsBody, solids: list[Solid], thing: int) -> None:
        for solid in solids:
            name = f"solid {len(owners)}"
            owners[name], surfaces[name] = thing, SURFACES.index(solid.surface)
            _add_solid(body, solid, name)

    for name, solids in scene.fixed_solids():
        add(spec.worldbody, solids, len(things))
        things.append(name)
    limbs = []
    for n, walker in enumerate(scene.walkers):
        solids = solids_of(walker.kind, walker.size_m, walker.colour, walker.style)
        names = tuple(dict.fromkeys(solid.limb for solid in solids))
        for limb in names:
            body = spec.worldbody.add_body(name=f"walker {n} {limb}", mocap=True, pos=[*walker.path_m[0], 0.0])
            add(body, [solid for solid in solids if solid.limb == limb], len(things))
        things.append(f"{walker.kind} w{n}")
        limbs.append(names)
    add_robot(spec, sim, base, frames, build, np.array([*scene.robot.at_m, np.radians(scene.robot.yaw_deg)]))
    model = spec.compile()
    surface, thing = np.zeros(model.ngeom, np.int8), np.full(model.ngeom, -1, np.int32)
    for name, owner in owners.items():
        geom = model.geom(name).id
        surface[geom], thing[geom] = surfaces[name], owner
    return World(scene, model, tuple(things), surface, thing, tuple(limbs))


def _options(spec: mujoco.MjSpec, scene: Scene, sim: SimParams) -> None:
    spec.option.timestep = sim.timestep_s
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.compiler.degree = False
    quality, look = spec.visual.quality, spec.visual.headlight
    quality.shadowsize, quality.offsamples = 1024, 0
    # Few facets: a software renderer spends its time on vertices.
    quality.numslices, quality.numstacks, quality.numquads = 16, 10, 1
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    spec.visual.map.znear, spec.visual.map.zfar = 0.002, 3.0
    bright = scene.light
    look.ambient, look.diffuse, look.specular = [0.4 * bright] * 3, [0.22 * bright] * 3, [0.0] * 3
    # One distant lamp high above, turned a little by the seed, so that shadows differ from world to world.
    rng = np.random.default_rng(scene.seed or 0)
    lean = rng.uniform(-0.12, 0.12, 2)
    middle = np.array(scene.size_m) / 2
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, dir=[*lean, -1.0], pos=[*(middle - 5.0 * lean), 6.0],
        diffuse=[0.42 * bright] * 3, ambient=[0.0] * 3, specular=[0.1] * 3, castshadow=True,
    )  # fmt: skip


def _add_solid(body: mujoco.MjsBody, solid: Solid, name: str) -> None:
    half_height = {"box": 2, "ellipsoid": 2, "cylinder": 1, "sphere": 0}[solid.kind]
    low, high = (solid.at_m[2] + sign * solid.size_m[half_height] for sign in (-1, 1))
    size = [*solid.size_m, 0.0, 0.0][:3]
    in_plane = low < RAY_HEIGHTS_M[1] and high > RAY_HEIGHTS_M[0]
    geom = body.add_geom(
        name=name, type=_KIND[solid.kind], size=size, pos=list(solid.at_m),
        quat=[np.cos(solid.yaw_rad / 2), 0, 0, np.sin(solid.yaw_rad / 2)],
        rgba=[*solid.colour, GLASS_ALPHA if solid.surface == "glass" else 1.0], mass=0.0, contype=0,
        conaffinity=int(low < REACH_M), group=RAY_GROUP if in_plane else HIGH_GROUP, friction=[0.4, 0.005, 0.0001],
    )  # fmt: skip
    if solid.texture or solid.surface == "mirror":
        geom.material = solid.texture or "mirror"


def _textures(spec: mujoco.MjSpec) -> None:
    """Patterns drawn here: boards, tiles, pile, concrete, and the ceiling as the sky."""
    rng = np.random.default_rng(7)
    patterns = {
        "wood": _grain(rng, 256),
        "floor wood": _boards(rng, 256),
        "floor tiles": _tiles(rng, 256),
        "floor carpet": _pile(rng, 128, 0.12),
        "floor concrete": _pile(rng, 128, 0.05),
        "ball": _ball_pattern(64),
    }
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.93, 0.92], rgb2=[0.8, 0.8, 0.79], width=64, height=64,
    )  # fmt: skip
    for name, grey in patterns.items():
        tint = np.array(
            _FLOORS.get(name.removeprefix("floor "), (1.0, 1.0, 1.0)) if name[:5] == "floor" else (1, 1, 1)
        )
        picture = (np.clip(grey[:, :, None] * tint, 0.0, 1.0) * 255).astype(np.uint8)
        texture = spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3,
            width=picture.shape[1], height=picture.shape[0],
        )  # fmt: skip
        texture.data = picture.tobytes()
        material = spec.add_material(name=name, texuniform=name != "ball", specular=0.1, shininess=0.2)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        material.texrepeat = [1, 1] if name == "ball" else [0.5, 0.5] if name[:5] == "floor" else [0.8, 0.8]
    spec.add_material(name="mirror", specular=0.8, shininess=0.9, rgba=[0.72, 0.78, 0.82, 1.0])


def _grain(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Wood grain: streaks along the rows."""
    streaks = np.cumsum(rng.normal(0.0, 0.02, size))
    streaks -= np.linspace(0.0, streaks[-1], size)
    return np.clip(0.92 + streaks[:, None] + rng.normal(0.0, 0.012, (size, size)), 0.6, 1.0)


def _boards(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Floor boards with joints."""
    picture = _grain(rng, size)
    wide = size // 8
    for k in range(8):
        rows = slice(k * wide, (k + 1) * wide)
        picture[rows] *= rng.uniform(0.86, 1.06)
        picture[k * wide] *= 0.7
        joint = int(rng.integers(size))
        picture[rows, joint : joint + 1] *= 0.75
    return picture


def _tiles(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    picture = 0.97 + rng.normal(0.0, 0.012, (size, size))
    for k in range(4):
        line = k * size // 4
        picture[line : line + 3] = picture[:, line : line + 3] = 0.7
    return picture


def _pile(rng: np.random.Generator, size: int, depth: float) -> NDArray[np.float64]:
    return np.clip(1.0 - depth + rng.normal(0.0, depth / 2, (size, size)), 0.0, 1.0)


def _ball_pattern(size: int) -> NDArray[np.float64]:
    """Panels as on a football."""
    y, x = np.mgrid[0:size, 0:size] / size
    return np.where((np.sin(6 * np.pi * x) * np.sin(6 * np.pi * y)) > 0.35, 0.35, 1.0)
