"""The simulated robot: a chassis on two driven wheels and a castor, with motors that are not perfect."""

import math
from collections import deque
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.base.params import BaseParams
from nanorover.bringup.robot_model import FramesParams
from nanorover.geometry.frames import rotation_of_rpy
from nanorover.geometry.se2 import Pose
from nanorover.sim.params import SimParams

GROUND_CLEARANCE_M = 0.02
BATTERY_SHARE = 0.65  # of the chassis' mass
WHEEL_WIDTH_M = 0.022
CASTOR_RADIUS_M = 0.02
LIDAR_HALF_M = (0.036, 0.02)  # radius and half height of a G4
ROBOT_GROUP = 3

_GEOM = mujoco.mjtGeom
# Priority: in every contact the robot's own friction counts, so that the castor glides and the tyres grip.
_LOOK = {"contype": 1, "conaffinity": 0, "group": ROBOT_GROUP, "priority": 1}


@dataclass(frozen=True)
class Build:
    """One robot out of a series: what its maker's tolerances gave it."""

    left_radius_m: float
    right_radius_m: float
    separation_m: float
    left_strength: float
    right_strength: float

    @staticmethod
    def drawn(sim: SimParams, base: BaseParams, rng: np.random.Generator) -> "Build":
        """Draw a robot around the nominal dimensions that its driver believes in."""
        radius = base.wheel_radius_m * (1.0 + sim.wheel_radius_error * rng.standard_normal(2))
        separation = base.wheel_separation_m * (1.0 + sim.wheel_separation_error * rng.standard_normal())
        strength = 1.0 + sim.motor_mismatch * rng.standard_normal(2)
        return Build(float(radius[0]), float(radius[1]), float(separation), float(strength[0]), float(strength[1]))


def add_robot(
    spec: mujoco.MjSpec, sim: SimParams, base: BaseParams, frames: FramesParams, build: Build, start: Pose
) -> None:
    """Put the robot into a model: bodies ``base_link``, ``left_wheel`` and ``right_wheel``, motors, camera."""
    yaw = start[2]
    body = spec.worldbody.add_body(
        name="base_link", pos=[start[0], start[1], 0.0], quat=[math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]
    )
    body.add_freejoint(name="base")
    _add_body(body, sim, frames, build)
    sides = (("left", 1, build.left_radius_m, build.left_strength),
             ("right", -1, build.right_radius_m, build.right_strength))  # fmt: skip
    for name, side, radius, strength in sides:
        at = [0.0, side * build.separation_m / 2, base.wheel_radius_m]
        wheel = body.add_body(name=f"{name}_wheel", pos=at)
        wheel.add_joint(
            name=f"{name}_wheel", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0],
            frictionloss=sim.motor_friction_nm, armature=2e-4,
        )  # fmt: skip
        # An ellipsoid touches the floor in one point, so the track is exactly the separation.
        wheel.add_geom(
            name=f"{name}_tyre", type=_GEOM.mjGEOM_ELLIPSOID, size=[radius, WHEEL_WIDTH_M / 2, radius],
            mass=sim.wheel_mass_kg, condim=4, friction=[sim.wheel_friction, 0.002, 0.0001],
            solref=[0.008, 1.0], rgba=[0.15, 0.15, 0.15, 1], **_LOOK,
        )  # fmt: skip
        motor = spec.add_actuator(name=f"{name}_motor", target=f"{name}_wheel", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        # A brushed motor: torque falls linearly from stall to free speed.
        stall = sim.stall_torque_nm * strength
        motor.gaintype, motor.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        motor.gainprm[0], motor.biasprm[2] = stall, -stall / sim.free_speed_rad_s
        motor.ctrllimited, motor.ctrlrange = True, [-1.0, 1.0]
    _add_camera(body, sim, frames)


def _add_body(body: mujoco.MjsBody, sim: SimParams, frames: FramesParams, build: Build) -> None:
    half_width = min(frames.body_width_m / 2, build.separation_m / 2 - WHEEL_WIDTH_M / 2 - 0.004)
    half_height = frames.body_height_m / 2
    body.add_geom(
        name="chassis", type=_GEOM.mjGEOM_BOX, size=[frames.body_length_m / 2, half_width, half_height],
        pos=[frames.body_x_m, 0.0, GROUND_CLEARANCE_M + half_height],
        mass=(1.0 - BATTERY_SHARE) * sim.chassis_mass_kg, rgba=[0.18, 0.36, 0.56, 1],
        friction=[0.3, 0.005, 0.0001], **_LOOK,
    )  # fmt: skip
    rear = frames.body_x_m - frames.body_length_m / 2
    # The battery lies over the castor and keeps the robot from tipping forward.
    body.add_geom(
        name="battery", type=_GEOM.mjGEOM_BOX, size=[0.02, half_width / 2, 0.015],
        pos=[rear + 0.04, 0.0, GROUND_CLEARANCE_M + 0.02], mass=BATTERY_SHARE * sim.chassis_mass_kg,
        contype=0, conaffinity=0, group=ROBOT_GROUP,
    )  # fmt: skip
    at = [frames.laser_x_m, frames.laser_y_m, frames.laser_z_m]
    body.add_geom(
        name="lidar", type=_GEOM.mjGEOM_CYLINDER, size=[*LIDAR_HALF_M, 0], pos=at, mass=0.0,
        rgba=[0.12, 0.12, 0.13, 1], **_LOOK,
    )  # fmt: skip
    body.add_geom(
        name="castor", type=_GEOM.mjGEOM_SPHERE, size=[CASTOR_RADIUS_M, 0, 0], mass=0.02, condim=1,
        pos=[rear + CASTOR_RADIUS_M, 0, CASTOR_RADIUS_M], rgba=[0.5, 0.5, 0.5, 1], **_LOOK,
    )  # fmt: skip


def _add_camera(body: mujoco.MjsBody, sim: SimParams, frames: FramesParams) -> None:
    R = rotation_of_rpy(frames.camera_roll_rad, frames.camera_pitch_rad, frames.camera_yaw_rad)
    # MuJoCo's camera looks along its own -z with y up; camera_link has x ahead and z up.
    right, up = -R[:, 1], R[:, 2]
    body.add_camera(
        name="camera", pos=[frames.camera_x_m, frames.camera_y_m, frames.camera_z_m],
        xyaxes=[*right, *up], fovy=sim.camera_fovy_deg,
    )  # fmt: skip


class Robot:
    """Reads and drives the robot inside a running model."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, latency_s: float) -> None:
        self._data = data
        self._base = int(model.joint("base").qposadr[0])
        self._velocity = int(model.joint("base").dofadr[0])
        self._wheels = [int(model.joint(f"{side}_wheel").qposadr[0]) for side in ("left", "right")]
        self._duties: deque[tuple[float, float]] = deque([(0.0, 0.0)] * round(latency_s / model.opt.timestep))
        in_group = np.flatnonzero(model.geom_group == ROBOT_GROUP)
        self.geoms: NDArray[np.int64] = in_group[model.geom_contype[in_group] > 0]

    @property
    def pose(self) -> Pose:
        """T_map_base seen from above."""
        x, y, _, w, i, j, k = self._data.qpos[self._base : self._base + 7].tolist()
        return np.array([x, y, math.atan2(2.0 * (w * k + i * j), 1.0 - 2.0 * (j * j + k * k))])

    @property
    def turn_rate_rad_s(self) -> float:
        """How fast it turns, counter-clockwise."""
        return float(self._data.qvel[self._velocity + 5])

    @property
    def wheel_angles_rad(self) -> tuple[float, float]:
        """Left and right, forward positive."""
        return float(self._data.qpos[self._wheels[0]]), float(self._data.qpos[self._wheels[1]])

    def drive(self, left_duty: float, right_duty: float) -> None:
        """Give the motors their duties for the next step; they take effect after the latency."""
        self._duties.append((left_duty, right_duty))
        self._data.ctrl[:2] = self._duties.popleft()
