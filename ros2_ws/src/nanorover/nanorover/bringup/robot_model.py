"""The robot's shape as URDF, and the fixed frames that stand in it.

The xacro file is the only place that says how the parts hang together; its dimensions are parameters. Every
joint is fixed: nothing of this robot moves against its base that a map or a picture would show.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from nanorover.base.params import BaseParams
from nanorover.errors import InputError
from nanorover.geometry.frames import Transform, rotation_of_rpy
from nanorover.params import param

XACRO = Path(__file__).with_name("robot.urdf.xacro")

# Of the base driver's parameters the model needs these.
WHEELS = ("wheel_radius_m", "wheel_separation_m")


@dataclass(frozen=True)
class FramesParams:
    """Names of the frames and where the parts sit; ``base_link`` is on the floor between the wheels."""

    base_frame: str = param("frame of the robot's base")
    laser_frame: str = param("frame of the lidar")
    camera_frame: str = param("frame of the camera, x forward")
    camera_optical_frame: str = param("frame of the camera's picture, z forward, x right")

    body_length_m: float = param("length of the body", "m", minimum=0.01, maximum=5.0)
    body_width_m: float = param("width of the body", "m", minimum=0.01, maximum=5.0)
    body_height_m: float = param("height of the body", "m", minimum=0.01, maximum=5.0)
    body_x_m: float = param("centre of the body before the wheels' axis", "m", minimum=-5.0, maximum=5.0)

    laser_x_m: float = param("lidar, forward of the wheels' axis", "m", minimum=-5.0, maximum=5.0)
    laser_y_m: float = param("lidar, left of the middle", "m", minimum=-5.0, maximum=5.0)
    laser_z_m: float = param("lidar, above the floor", "m", minimum=0.0, maximum=5.0)
    laser_roll_rad: float = param(
        "lidar about x; π where it hangs upside down", "rad", minimum=-3.15, maximum=3.15
    )
    laser_pitch_rad: float = param("lidar about y", "rad", minimum=-3.15, maximum=3.15)
    laser_yaw_rad: float = param("lidar about z", "rad", minimum=-3.15, maximum=3.15)

    camera_x_m: float = param("camera, forward of the wheels' axis", "m", minimum=-5.0, maximum=5.0)
    camera_y_m: float = param("camera, left of the middle", "m", minimum=-5.0, maximum=5.0)
    camera_z_m: float = param("camera, above the floor", "m", minimum=0.0, maximum=5.0)
    camera_roll_rad: float = param("camera about x", "rad", minimum=-3.15, maximum=3.15)
    camera_pitch_rad: float = param("camera about y; positive looks down", "rad", minimum=-3.15, maximum=3.15)
    camera_yaw_rad: float = param("camera about z; positive looks left", "rad", minimum=-3.15, maximum=3.15)


@dataclass(frozen=True, eq=False)
class FixedFrame:
    """``T_parent_child`` of a mounting."""

    parent: str
    child: str
    T_parent_child: Transform


def robot_urdf(frames: FramesParams, base: BaseParams) -> str:
    """The URDF of the robot with these dimensions.

    Raises InputError where the package xacro is missing.
    """
    try:
        import xacro
    except ImportError as error:
        raise InputError(
            "the robot model needs the package xacro", "run ./scripts/setup, or: apt install ros-$ROS_DISTRO-xacro"
        ) from error
    values = dataclasses.asdict(frames) | {name: getattr(base, name) for name in WHEELS}
    mappings = {name: str(value) for name, value in values.items()}
    return str(xacro.process_file(str(XACRO), mappings=mappings).toprettyxml(indent="  "))


def fixed_frames(urdf: str) -> list[FixedFrame]:
    """Every fixed joint of a URDF as a transform."""
    found = []
    for joint in ElementTree.fromstring(urdf).iter("joint"):
        parent, child, origin = joint.find("parent"), joint.find("child"), joint.find("origin")
        if joint.get("type") != "fixed" or parent is None or child is None:
            continue
        T = np.eye(4)
        if origin is not None:
            T[:3, 3] = [float(v) for v in origin.get("xyz", "0 0 0").split()]
            T[:3, :3] = rotation_of_rpy(*(float(v) for v in origin.get("rpy", "0 0 0").split()))
        found.append(FixedFrame(parent.get("link", ""), child.get("link", ""), T))
    return found
