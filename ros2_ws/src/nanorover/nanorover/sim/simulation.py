"""The simulated robot in its world, in lock-step: bytes to and from its ports, pictures, and the truth.

Nothing here reads a clock; two runs with the same scene, seed and inputs are equal to the bit.
"""

import math
from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.base.emulator import ControllerSpec, Firmware
from nanorover.base.params import BaseParams
from nanorover.bringup.robot_model import FramesParams
from nanorover.errors import InputError
from nanorover.geometry.se2 import Pose
from nanorover.lidar.emulator import G4
from nanorover.lidar.params import LidarParams
from nanorover.params import load
from nanorover.sim.camera import Camera, Image
from nanorover.sim.dataset import boxes_of, fair
from nanorover.sim.lidar_view import LidarView
from nanorover.sim.model import FLOOR_GROUP, World, build_world
from nanorover.sim.params import SimParams
from nanorover.sim.robot import Build, Robot
from nanorover.sim.scene import Scene
from nanorover.sim.shapes import CLASSES, solids_of
from nanorover.sim.truth import Grid, TrueObject, true_map
from nanorover.sim.walkers import Walking

SLOW_TASKS_S = 0.01  # walkers move and collisions are counted this often
CLEARANCE_S = 0.1
NEAR_M = 1.0  # things farther away than this do not count for the clearance
APART_S = 0.5  # a touch counts anew after this long without one
SETTLING_S = 0.3  # the robot comes to rest on its wheels before time begins


@dataclass
class Score:
    """What a run has come to so far. ``touched`` names what the robot ran into, ``clearance_m`` is the least
    distance to anything but the floor."""

    touched: list[str] = field(default_factory=list)
    distance_m: float = 0.0
    clearance_m: float = NEAR_M

    @property
    def collisions(self) -> int:
        """How often it ran into something."""
        return len(self.touched)


class Simulation:
    """A scene with a robot in it.

    ``lidar`` and ``controller`` are the devices as state machines: give them the bytes of the drivers and take
    theirs, at ``now_s``. Raises InputError where the robot would start inside something.
    """

    def __init__(self, scene: Scene, seed: int = 0, *, params: SimParams | None = None) -> None:
        self.scene = scene
        self.params = params or load(SimParams, "sim")
        self.frames = load(FramesParams, "frames")
        self.base = load(BaseParams, "base")
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
        build = Build.drawn(self.params, self.base, streams[0])
        self.world: World = build_world(scene, self.params, self.base, self.frames, build)
        self.map: Grid = true_map(scene, self.frames.laser_z_m)
        self._data = mujoco.MjData(self.world.model)
        mujoco.mj_forward(self.world.model, self._data)
        self._robot = Robot(self.world.model, self._data, self.params.motor_latency_s)
        self._walkers = [Walking(walker, n, self.world) for n, walker in enumerate(scene.walkers)]
        self._view = LidarView(self.world, self._data, self.params, self.frames, streams[1])
        self._camera_rng = streams[2]
        self._camera: Camera | None = None
        spec = ControllerSpec(self.base.ticks_per_revolution, self.base.controller_rate_hz)
        self.controller = Firmware(spec)
        lidar = load(LidarParams, "lidar")
        self.lidar = G4(
            self._view,
            rate_khz=lidar.rate_khz,
            frequency_hz=lidar.frequency_hz,
            seed=int(streams[3].integers(1 << 31)),
        )
        self.score = Score()
        self.steps = 0
        self._per_slow_task = round(SLOW_TASKS_S / self.params.timestep_s)
        self._per_clearance = round(CLEARANCE_S / self.params.timestep_s)
        self._touched_s = -math.inf
        self._walkers_moved = False
        self._settle()

    @property
    def now_s(self) -> float:
        """Simulated time since the start."""
        return self.steps * self.params.timestep_s

    @property
    def now_ns(self) -> int:
        """The same, whole."""
        return round(self.steps * self.params.timestep_s * 1e9)

    @property
    def pose(self) -> Pose:
        """T_map_base, as it really is."""
        return self._robot.pose

    @property
    def turn_rate_rad_s(self) -> float:
        """How fast the robot really turns, counter-clockwise."""
        return self._robot.turn_rate_rad_s

    @property
    def data(self) -> mujoco.MjData:
        """MuJoCo's state, to look at."""
        return self._data

    def step(self) -> None:
        """One step of the physics, and all that hangs on it."""
        self.controller_step()
        before = self._data.qpos[:2].copy()
        mujoco.mj_step(self.world.model, self._data)
        self.steps += 1
        pose = self._robot.pose
        self.score.distance_m += math.dist(before.tolist(), pose[:2].tolist())
        self._view.moved(self.now_s, pose)
        if self._walkers_moved:  # after the last step: only this one has brought their geometry there
            self._view.refresh()
            self._walkers_moved = False
        if self.steps % self._per_slow_task == 0:
            self._move_walkers(pose)
            self._count_touch()
        if self.steps % self._per_clearance == 0:
            self.score.clearance_m = min(self.score.clearance_m, self.clearance_m())

    def controller_step(self) -> None:
        """Let the motor controller see its encoders and set the motors."""
        self._robot.drive(*self.controller.step(self.now_s, *self._robot.wheel_angles_rad))

    def picture(self) -> Image:
        """What the camera takes now, ``(H, W, 3)`` RGB. Raises InputError where nothing can be drawn here."""
        return self._opened_camera().picture(self._data, self.turn_rate_rad_s)

    def boxes(self) -> tuple[list[str], NDArray[np.float32], NDArray[np.bool_]]:
        """What the camera sees now: classes, boxes ``(N, 4)`` in pixels around what shows of each thing, and
        whether that is enough to be judged by."""
        boxes_px, labels, visible = boxes_of(self.world, self._data, self._opened_camera())
        return [CLASSES[label] for label in labels], boxes_px, fair(boxes_px, visible)

    def _opened_camera(self) -> Camera:
        if self._camera is None:
            self._camera = Camera(self.world.model, self.params, self._camera_rng)
        return self._camera

    def objects(self) -> list[TrueObject]:
        """Everything that stands or walks, where it is now."""
        fixed = [
            TrueObject(f"{t.kind} {n}", t.kind, np.array([*t.at_m, math.radians(t.yaw_deg)]), _size(t))
            for n, t in enumerate(self.scene.furniture)
        ]
        return fixed + self.moving_objects()

    def moving_objects(self) -> list[TrueObject]:
        """Those that walk, where they are now."""
        return [
            TrueObject(f"{w.kind} w{n}", w.kind, walking.pose, _size(w))
            for n, (w, walking) in enumerate(zip(self.scene.walkers, self._walkers, strict=True))
        ]

    def clearance_m(self) -> float:
        """Distance from the robot to the nearest thing that it could touch, at most ``NEAR_M``."""
        model, data = self.world.model, self._data
        hull = self._robot.geoms
        touchable = (model.geom_conaffinity > 0) & (model.geom_group != FLOOR_GROUP)
        away = np.linalg.norm(data.geom_xpos[:, :2] - self.pose[:2], axis=1) - model.geom_rbound
        nearest = NEAR_M
        for other in np.flatnonzero(touchable & (away < NEAR_M)):
            if away[other] < nearest:
                nearest = min(
                    nearest, *(mujoco.mj_geomDistance(model, data, g, other, nearest, None) for g in hull)
                )
        return nearest

    def warm_up(self) -> None:
        """Compile what would otherwise make the first rays late."""
        self._view.ranges(np.zeros(1), np.zeros(1))

    def close(self) -> None:
        """Free the camera's renderer."""
        if self._camera is not None:
            self._camera.close()

    def _settle(self) -> None:
        for walking in self._walkers:
            walking.show(self._data)
        mujoco.mj_forward(self.world.model, self._data)
        if self.clearance_m() <= 0.0:  # looked at first: physics would push the robot out
            at = self.scene.robot.at_m
            raise InputError(
                f"scene {self.scene.name}: the robot at {at} touches something", "move robot.at_m to a free place"
            )
        for _ in range(round(SETTLING_S / self.params.timestep_s)):
            mujoco.mj_step(self.world.model, self._data)
        self._view.moved(0.0, self._robot.pose)

    def _move_walkers(self, robot: Pose) -> None:
        for walking in self._walkers:
            walking.step(SLOW_TASKS_S, robot)
            walking.show(self._data)
        self._walkers_moved = bool(self._walkers)

    def _count_touch(self) -> None:
        things = self.world.thing[self._data.contact.geom]  # (C, 2), −1 for the floor and the robot
        touching = things[things >= 0]
        if not len(touching):
            return
        if self.now_s - self._touched_s > APART_S:
            self.score.touched.append(self.world.things[touching[0]])
        self._touched_s = self.now_s


def _size(thing: object) -> tuple[float, float, float]:
    """Ahead, across and up of a thing as it was built."""
    solids = solids_of(thing.kind, thing.size_m, thing.colour, thing.style)  # type: ignore[attr-defined]
    outlines: list[NDArray[np.float64]] = [
        outline for solid in solids if (outline := solid.outline(solid.at_m[2])) is not None
    ]
    points = np.concatenate(outlines)
    high = max(solid.at_m[2] + _half_height(solid) for solid in solids)
    ahead, across = (float(v) for v in np.ptp(points, axis=0))
    return ahead, across, high


def _half_height(solid: object) -> float:
    size = solid.size_m  # type: ignore[attr-defined]
    return float(size[2] if len(size) == 3 else size[-1])
