"""The measures against truth, where the answer follows from the construction."""

import math

import numpy as np
import pytest

from nanorover.geometry.se2 import alignment, compose, inverse, wrap_angle
from nanorover.mapping.grid import OccupancyGrid
from nanorover.replay.records import TrueMap, TruePose
from nanorover.replay.truth import clearance_m, map_agreement, pose_error, truth_of

RNG = np.random.default_rng(3)
NO_MOTION = np.zeros(3)


def path(count: int = 50) -> np.ndarray:
    angles = np.linspace(0.0, 5.0, count)
    return np.column_stack([2.0 * np.cos(angles), np.sin(angles), angles % 3.0])


def moved(poses: np.ndarray, T: np.ndarray) -> np.ndarray:
    return np.array([compose(T, pose) for pose in poses])


@pytest.mark.parametrize("T", [[0.0, 0.0, 0.0], [3.0, -2.0, 1.0], [-1.0, 5.0, 3.1]])
def test_a_path_in_another_frame_has_no_error(T):
    true = path()
    T_true_estimated = np.array(T)
    estimated = moved(true, inverse(T_true_estimated))
    found = alignment(true, estimated)
    assert found == pytest.approx(T_true_estimated, abs=1e-9)
    error = pose_error(true, estimated, found)
    assert (error.trans_max_m, error.rot_max_deg) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_a_robot_that_turns_in_place_is_aligned_by_its_direction():
    true = np.column_stack([np.zeros(20), np.zeros(20), np.linspace(-3, 3, 20)])
    T = np.array([1.0, 2.0, 0.7])
    assert alignment(true, moved(true, inverse(T))) == pytest.approx(T, abs=1e-9)


def test_known_errors_are_measured():
    true = path()
    estimated = true.copy()
    estimated[:, 0] += np.where(np.arange(50) % 2, 0.1, -0.1)
    estimated[10, 2] += math.radians(5.0)
    error = pose_error(true, estimated, NO_MOTION)
    assert error.trans_rmse_m == pytest.approx(0.1) and error.trans_max_m == pytest.approx(0.1)
    assert error.rot_max_deg == pytest.approx(5.0) and error.rot_rmse_deg == pytest.approx(5.0 / math.sqrt(50))


def test_true_poses_are_interpolated_and_outside_is_left_out():
    records = [TruePose(i * 100, np.array([i, 0.0, wrap_angle(math.pi - 0.1 + 0.2 * i)])) for i in range(3)]
    inside, poses = truth_of(records, None).at(np.array([-1, 0, 50, 150, 200, 201]))
    assert list(inside) == [False, True, True, True, True, False]
    assert poses[:, 0] == pytest.approx([0.0, 0.5, 1.5, 2.0])
    assert np.cos(poses[1, 2]) == pytest.approx(-1.0), "across the wrap, the short way"
    assert truth_of(records[:1], None) is None


def room() -> np.ndarray:
    cells = np.zeros((60, 80), np.int8)
    cells[:3], cells[-3:], cells[:, :3], cells[:, -3:] = 100, 100, 100, 100
    return cells


def true_map(cells: np.ndarray) -> TrueMap:
    return TrueMap(0, cells, 0.05, np.array([-2.0, -1.5, 0.0]))


def grid(cells: np.ndarray, T: np.ndarray = NO_MOTION) -> OccupancyGrid:
    """The same map in another frame."""
    return OccupancyGrid(cells, 0.05, compose(inverse(T), np.array([-2.0, -1.5, 0.0])))


@pytest.mark.parametrize("T", [NO_MOTION, np.array([1.0, -2.0, math.pi / 2]), np.array([0.31, 0.17, 0.4])])
def test_the_same_map_agrees_in_any_frame(T):
    agreement = map_agreement(grid(room(), T), true_map(room()), T)
    assert agreement.iou_occupied > 0.97 and agreement.iou_free > 0.99
    assert agreement.coverage == pytest.approx(1.0, abs=0.01)


def test_only_what_the_map_claims_to_know_is_judged_but_coverage_tells():
    half = room()
    half[:, 40:] = -1
    agreement = map_agreement(grid(half), true_map(room()), NO_MOTION)
    assert agreement.iou_occupied == 1.0 and agreement.iou_free == 1.0
    assert agreement.coverage == pytest.approx(0.5, abs=0.01)


def test_a_wall_in_the_wrong_place_costs():
    wrong = room()
    wrong[30, 10:70] = 100
    agreement = map_agreement(grid(wrong), true_map(room()), NO_MOTION)
    walls = (room() == 100).sum()
    assert agreement.iou_occupied == pytest.approx(walls / (walls + 60))
    assert agreement.iou_free < 1.0


def test_a_shift_of_one_cell_is_forgiven_but_not_of_three():
    near = map_agreement(grid(np.roll(room(), 1, axis=1)), true_map(room()), NO_MOTION)
    far = map_agreement(grid(np.roll(room(), 3, axis=1)), true_map(room()), NO_MOTION)
    assert near.iou_occupied == 1.0
    assert far.iou_occupied < 0.9


def test_clearance_is_the_distance_to_the_nearest_wall():
    # the free inside spans x −1.85 … 1.85; the path comes within 0.35 m of the right wall
    poses = [TruePose(i, np.array([0.1 * i, 0.0, 0.0])) for i in range(16)]
    assert clearance_m(truth_of(poses, true_map(room()))) == pytest.approx(0.35, abs=0.05)
    assert clearance_m(truth_of(poses, None)) is None
