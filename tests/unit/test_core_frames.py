"""The transform tree against hand-made truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nanorover.geometry.frames import FrameTree, planar_pose, quaternion_of, rotation_of_rpy, transform_of

QUARTER_LEFT = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))
UPSIDE_DOWN = (1.0, 0.0, 0.0, 0.0)


def test_a_chain_composes_in_both_directions():
    tree = FrameTree()
    tree.set("base_link", "mast", transform_of((0.1, 0.0, 0.2), QUARTER_LEFT))
    tree.set("mast", "laser", transform_of((0.5, 0.0, 0.0), (0, 0, 0, 1)))
    pose, upside_down = planar_pose(tree.lookup("base_link", "laser"))
    assert pose == pytest.approx([0.1, 0.5, math.pi / 2])
    assert not upside_down
    pose, _ = planar_pose(tree.lookup("laser", "base_link"))
    assert pose == pytest.approx([-0.5, 0.1, -math.pi / 2])


def test_siblings_are_connected_through_their_parent():
    tree = FrameTree()
    tree.set("base_link", "laser", transform_of((0.2, 0.0, 0.0), (0, 0, 0, 1)))
    tree.set("base_link", "camera", transform_of((0.0, 0.3, 0.0), (0, 0, 0, 1)))
    assert tree.lookup("camera", "laser")[:2, 3] == pytest.approx([0.2, -0.3])


def test_an_unconnected_frame_is_unknown_and_a_frame_is_itself():
    tree = FrameTree()
    assert tree.lookup("base_link", "laser") is None
    assert tree.lookup("laser", "laser") == pytest.approx(np.eye(4))


def test_a_loop_ends():
    tree = FrameTree()
    tree.set("a", "b", np.eye(4))
    tree.set("b", "a", np.eye(4))
    assert tree.lookup("a", "c") is None


def test_a_lidar_mounted_upside_down_is_recognised():
    _, upside_down = planar_pose(transform_of((0, 0, 0.1), UPSIDE_DOWN))
    assert upside_down


@pytest.mark.parametrize(
    ("translation", "quaternion"),
    [((0, 0, 0), (0, 0, 0, 0)), ((math.nan, 0, 0), (0, 0, 0, 1)), ((0, 0, 0), (0, 0, math.inf, 1))],
)
def test_what_is_no_transform_is_refused(translation, quaternion):
    with pytest.raises(ValueError, match="no transform"):
        transform_of(translation, quaternion)


@given(st.tuples(*[st.floats(-1, 1) for _ in range(4)]).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_every_quaternion_gives_a_rotation(quaternion):
    R = transform_of((0.0, 0.0, 0.0), quaternion)[:3, :3]
    assert pytest.approx(np.eye(3), abs=1e-9) == R @ R.T
    assert np.linalg.det(R) == pytest.approx(1.0)


ANGLES = st.floats(-math.pi, math.pi)


@given(ANGLES, ANGLES, ANGLES)
def test_roll_pitch_and_yaw_turn_about_fixed_axes(roll_rad, pitch_rad, yaw_rad):
    wanted = Rotation.from_euler("xyz", [roll_rad, pitch_rad, yaw_rad]).as_matrix()
    assert rotation_of_rpy(roll_rad, pitch_rad, yaw_rad) == pytest.approx(wanted, abs=1e-12)


@given(ANGLES, ANGLES, ANGLES)
def test_a_quaternion_says_the_same_rotation(roll_rad, pitch_rad, yaw_rad):
    T = np.eye(4)
    T[:3, :3] = rotation_of_rpy(roll_rad, pitch_rad, yaw_rad)
    quaternion = quaternion_of(T)
    assert quaternion[3] >= 0
    assert transform_of((0, 0, 0), quaternion) == pytest.approx(T, abs=1e-9)
