"""The robot's model: every dimension reaches the URDF, and the frames are those of REP-103 and REP-105."""

import dataclasses
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from nanorover import params
from nanorover.base.params import BaseParams
from nanorover.bringup.robot_model import FramesParams, fixed_frames, robot_urdf
from nanorover.geometry.frames import FrameTree, planar_pose


def tree_of(**changes) -> FrameTree:
    frames = params.load(FramesParams, "frames", **changes)
    tree = FrameTree()
    for frame in fixed_frames(robot_urdf(frames, params.load(BaseParams, "base"))):
        tree.set(frame.parent, frame.child, frame.T_parent_child)
    return tree


def test_the_lidar_sits_where_the_parameters_say():
    tree = tree_of(laser_x_m=0.07, laser_y_m=-0.02, laser_z_m=0.2, laser_yaw_rad=2.5)
    T = tree.lookup("base_link", "laser")
    assert T[:3, 3] == pytest.approx([0.07, -0.02, 0.2])
    assert planar_pose(T)[0] == pytest.approx([0.07, -0.02, 2.5])
    assert planar_pose(T)[1] is False


def test_a_lidar_that_hangs_upside_down():
    pose, upside_down = planar_pose(tree_of(laser_roll_rad=math.pi).lookup("base_link", "laser"))
    assert upside_down and pose[2] == pytest.approx(0.0)


def test_the_optical_frame_looks_along_z_with_x_to_the_right():
    R = tree_of(camera_pitch_rad=0.0, camera_yaw_rad=0.0).lookup("base_link", "camera_optical_frame")[:3, :3]
    right, down, forward = R.T
    assert forward == pytest.approx([1, 0, 0], abs=1e-9)
    assert right == pytest.approx([0, -1, 0], abs=1e-9)
    assert down == pytest.approx([0, 0, -1], abs=1e-9)


def test_a_camera_with_positive_pitch_looks_down_and_with_positive_yaw_left():
    R = tree_of(camera_pitch_rad=0.3, camera_yaw_rad=0.0).lookup("base_link", "camera_optical_frame")[:3, :3]
    assert (R @ [0, 0, 1])[2] == pytest.approx(-math.sin(0.3))
    R = tree_of(camera_pitch_rad=0.0, camera_yaw_rad=0.4).lookup("base_link", "camera_optical_frame")[:3, :3]
    assert (R @ [0, 0, 1])[1] == pytest.approx(math.sin(0.4))


def test_every_dimension_changes_the_model():
    base = params.load(BaseParams, "base")
    frames = params.load(FramesParams, "frames")
    plain = robot_urdf(frames, base)
    for field in dataclasses.fields(frames):
        value = getattr(frames, field.name)
        changed = dataclasses.replace(
            frames, **{field.name: f"{value}_2" if isinstance(value, str) else value + 0.01}
        )
        assert robot_urdf(changed, base) != plain, field.name
    for name in ("wheel_radius_m", "wheel_separation_m"):
        assert robot_urdf(frames, dataclasses.replace(base, **{name: 0.4})) != plain, name


def test_the_wheels_touch_the_floor_and_stand_apart_as_the_base_says():
    base = params.load(BaseParams, "base")
    urdf = ElementTree.fromstring(robot_urdf(params.load(FramesParams, "frames"), base))
    heights = {f.child: f.T_parent_child[:3, 3] for f in fixed_frames(ElementTree.tostring(urdf, "unicode"))}
    left, right = heights["left_wheel"], heights["right_wheel"]
    assert left[2] == right[2] == base.wheel_radius_m
    assert np.linalg.norm(left - right) == pytest.approx(base.wheel_separation_m)
