"""Matching against a field of a room known exactly: pose, covariance, and what contradicts."""

import math

import numpy as np
import pytest
from slam_rooms import rectangle, seen_from

from nanorover.geometry.se2 import between, compose
from nanorover.geometry.symmetric import solve3
from nanorover.slam.field import Field, doubled_part
from nanorover.slam.front_end import ODOMETRY_ERROR
from nanorover.slam.matching import EXACTLY, judge, refine, search
from nanorover.slam.motion import ErrorBound, Prediction
from nanorover.slam.params import slam_params
from nanorover.slam.tracker import NO_PRIOR, Match, Tracker

NOISE_M = 0.05


def field_of(points: np.ndarray) -> Field:
    field = Field(30.0, 0.05)
    field.clear(np.zeros(2))
    field.add(points.astype(np.float32), np.zeros(3), np.zeros(3))
    return field


@pytest.fixture(scope="module")
def room():
    points = rectangle(6.0, 4.0)
    return points, field_of(points)


def test_solve3_solves():
    rng = np.random.default_rng(3)
    for _ in range(50):
        M = rng.normal(size=(3, 3))
        A, x = M @ M.T + 0.1 * np.eye(3), rng.normal(size=3)
        assert solve3(A, A @ x) == pytest.approx(x, rel=1e-6, abs=1e-6)


def test_a_cleared_field_knows_nothing():
    field = field_of(np.concatenate([rectangle(6.0, 4.0), rectangle(29.0, 29.0)]))
    assert len(field) > 0 and field.arrays.free.any()
    field.clear(np.zeros(2))
    assert len(field) == 0
    for known in (field.arrays.nearest, field.arrays.likelihood, field.arrays.free):
        assert not known.any()


def test_refine_finds_the_pose_to_a_millimetre(room):
    points, field = room
    rng = np.random.default_rng(1)
    for _ in range(30):
        truth = np.array([*rng.uniform(-1, 1, 2), rng.uniform(-math.pi, math.pi)])
        guess = truth + rng.uniform(-1, 1, 3) * np.array([0.15, 0.15, 0.06])
        pose, _, rms_m = refine(field.arrays, seen_from(points, truth), guess, guess, NO_PRIOR, NOISE_M, EXACTLY)
        off = between(truth, pose)
        assert math.hypot(off[0], off[1]) < 0.003
        assert abs(off[2]) < 0.001
        assert rms_m < 0.005


def test_what_is_known_beforehand_counts_the_short_way_round(room):
    points, field = room
    truth, prior = np.array([0.2, 0.1, math.pi - 0.01]), np.array([0.2, 0.1, 0.01 - math.pi])
    strong = np.array([1.0, 1.0, 1e9])
    seen = seen_from(points, truth)
    pose, _, _ = refine(field.arrays, seen, truth, prior, strong, NOISE_M, EXACTLY)
    assert np.abs(between(prior, pose))[2] < 0.001
    assert math.hypot(*between(truth, pose)[:2]) < 0.01


def test_search_finds_the_basin(room):
    points, field = room
    truth = np.array([0.4, -0.3, 0.2])
    some = np.ascontiguousarray(seen_from(points, truth)[::8])
    centre = truth + np.array([0.5, -0.45, 0.3])
    found, likelihood = search(
        field.arrays, some, centre, np.array([0.7, 0.0, 0.5]), 0.1, 0.025, np.array([9.0, 9.0])
    )
    off = between(truth, found)
    assert math.hypot(off[0], off[1]) < 0.1
    assert abs(off[2]) < 0.03
    assert likelihood > 0.7


def test_the_covariance_is_what_repeated_measurements_scatter_by(room):
    points, field = room
    rng = np.random.default_rng(7)
    truth, errors = np.array([0.3, 0.2, 0.1]), []
    for _ in range(200):
        seen = seen_from(points, truth, rng, NOISE_M / 2)
        pose, information, _ = refine(field.arrays, seen, truth, truth, NO_PRIOR, NOISE_M / 2, EXACTLY)
        errors.append(between(truth, pose))
    stated = np.sqrt(np.diag(np.linalg.inv(information)))
    scatter = np.std(errors, axis=0)
    assert (scatter / stated < 2.0).all(), (scatter, stated)
    assert (scatter / stated > 0.4).all(), (scatter, stated)


def test_a_corridor_says_that_it_leaves_one_direction_open():
    points = rectangle(40.0, 2.0)
    points = points[np.abs(points[:, 3]) > 0.5]  # without its ends
    seen = seen_from(points[np.abs(points[:, 0]) < 8.0], np.zeros(3))
    field = field_of(points)
    _, information, _ = refine(field.arrays, seen, np.zeros(3), np.zeros(3), NO_PRIOR, NOISE_M, EXACTLY)
    sigma = np.sqrt(np.diag(np.linalg.inv(information)))
    assert sigma[0] > 0.5
    assert sigma[1] < 0.01


def test_the_other_side_of_a_thin_wall_does_not_pull():
    wall = rectangle(6.0, 4.0)
    behind = wall.copy()
    behind[:, :2] -= 0.12 * behind[:, 2:]  # the outer faces, seen from the neighbouring rooms
    behind[:, 2:] *= -1.0
    field = field_of(np.concatenate([wall, behind]))
    for guess in np.array([[0.05, 0.04, 0.0], [0.1, 0.0, 0.0], [0.0, -0.1, 0.0]]):
        pose, _, _ = refine(field.arrays, seen_from(wall, np.zeros(3)), guess, guess, NO_PRIOR, NOISE_M, EXACTLY)
        assert np.abs(pose[:2]).max() < 0.01


def test_judge_tells_known_from_new_from_contradicted(room):
    points, field = room
    seen = seen_from(points, np.zeros(3))
    explained, contradicted, missed = judge(field.arrays, seen, np.zeros(3))
    assert explained > 0.99
    assert contradicted == missed == 0.0
    smaller = seen_from(rectangle(3.0, 2.0), np.zeros(3))  # walls in the middle of what was seen to be free
    assert judge(field.arrays, smaller, np.zeros(3))[1] > 0.95
    larger = seen_from(rectangle(12.0, 10.0), np.zeros(3))  # walls where nothing was ever seen
    assert judge(field.arrays, larger, np.zeros(3)) == (0.0, 0.0, 0.0)


def test_a_wall_drawn_twice_is_noticed(room):
    points, field = room
    assert doubled_part(field.arrays) < 0.02
    twice = field_of(points)
    twice.add(points.astype(np.float32), np.array([0.2, 0.2, 0.0]), np.zeros(3))
    assert doubled_part(twice.arrays) > 0.3


def test_the_field_means_its_points_more_finely_than_its_cells(room):
    points, _ = room
    rng = np.random.default_rng(2)
    field = Field(30.0, 0.05)
    for _ in range(40):
        shift = np.array([*rng.normal(0.0, 0.01, 2), 0.0])
        field.add(seen_from(points, shift).astype(np.float32), np.zeros(3), np.zeros(3))
    pose, _, _ = refine(
        field.arrays, seen_from(points, np.zeros(3)), np.zeros(3), np.zeros(3), NO_PRIOR, NOISE_M, EXACTLY
    )
    assert np.abs(compose(pose, np.zeros(3))[:2]).max() < 0.006


def test_a_wall_of_sparse_points_is_known_between_them_too():
    """0.9 m apart, as rays are far away; a surface is known around a point as far as 0.3 m."""
    x = np.arange(-5.4, 5.5, 0.9)
    wall = np.column_stack([x, np.full(len(x), 3.0), np.zeros(len(x)), np.full(len(x), -1.0)])
    between_them = wall[:-1] + np.array([0.45, 0.0, 0.0, 0.0])
    assert judge(field_of(wall).arrays, between_them, np.zeros(3))[0] == 1.0
    doors = wall + 2.0 * wall * [1.0, 0.0, 0.0, 0.0]  # 2.7 m apart: between them may be nothing
    assert judge(field_of(doors).arrays, doors[:-1] + np.array([1.35, 0.0, 0.0, 0.0]), np.zeros(3))[0] == 0.0


def test_a_wall_seen_at_a_flat_angle_is_not_taken_for_free_space_between_its_points():
    """Half a degree from ray to ray: far down a corridor the points on its walls lie metres apart."""
    bearings = np.radians(np.arange(0.5, 180.0, 0.5))
    right = np.column_stack([1.2 / np.tan(bearings), np.full(len(bearings), -1.2)])
    far = right[(right[:, 0] > 0.0) & (right[:, 0] < 25.0)][::-1]
    normals = np.where(far[:, :1] < 4.0, [[0.0, 1.0]], [[0.0, 0.0]])  # none where the neighbours are far apart
    field = field_of(np.column_stack([far, normals]))
    close_up = np.column_stack([np.arange(8.0, 20.0, 0.05), np.full(240, -1.2), np.zeros(240), np.ones(240)])
    _, contradicted, _ = judge(field.arrays, close_up, np.zeros(3))
    assert contradicted < 0.02
    across = np.column_stack([np.arange(1.0, 6.0, 0.05), np.full(100, -0.5), np.zeros(100), np.ones(100)])
    assert judge(field.arrays, across, np.zeros(3))[1] > 0.5  # half way to the wall the rays went through


def test_a_wall_that_rays_pass_closely_is_not_taken_for_something_in_free_space():
    """Rays up a side corridor go through the cells in which its wall stands, which was never seen itself."""
    end = np.column_stack([np.arange(-1.1, 1.16, 0.05), np.full(46, 10.0), np.zeros(46), np.full(46, -1.0)])
    field = field_of(end)
    y = np.arange(8.8, 9.5, 0.05)
    beside = np.column_stack([np.full(len(y), 1.19), y, np.full(len(y), -1.0), np.zeros(len(y))])
    assert judge(field.arrays, beside, np.zeros(3))[1] == 0.0
    assert judge(field.arrays, beside - [1.19, 0.0, 0.0, 0.0], np.zeros(3))[1] > 0.8


def test_odometry_that_was_right_so_far_decides_between_views_that_fit_alike():
    """After a turn into a corridor half of the view is new, and going straight on would fit a little better."""
    turned = Prediction(np.array([0.5, 0.8, 1.5]), 0.1, 0.35)
    went_on = Prediction(np.array([0.9, 0.0, 0.0]), 0.9, 0.1)

    def worth(T_last_now: np.ndarray, explained: float, *predictions: Prediction) -> float:
        match = Match(T_last_now, np.eye(3), 0.0, explained, 0.0, 1.0 - explained, T_last_now, NO_PRIOR)
        return Tracker(slam_params())._worth(match, np.zeros(3), list(predictions))

    both = (turned, went_on)
    assert worth(turned.T_last_now, 0.7, *both) > worth(went_on.T_last_now, 0.84, *both)
    # Where the odometry lies, the view fits nowhere near it: then the scan decides.
    assert worth(turned.T_last_now, 0.2, *both) < worth(went_on.T_last_now, 0.95, *both)
    # A vague guess says little, however near to it is the view that fits a little better.
    both = (Prediction(turned.T_last_now, 0.05, 0.05), Prediction(went_on.T_last_now, 0.5, 0.5))
    assert worth(turned.T_last_now, 0.6, *both) > worth(went_on.T_last_now, 0.95, *both)


def test_what_wheels_err_by_straight_on_does_not_make_them_worthless_in_a_turn():
    wheels, rng = ErrorBound(*ODOMETRY_ERROR), np.random.default_rng(5)
    straight = np.array([1.0, 0.0, 0.0])
    for _ in range(400):
        wheels.learn(straight, compose(straight, rng.normal(size=3) * [0.05, 0.02, 0.03]))
    assert 0.05 < wheels.predict(straight).sigma_rad < 0.07  # 95 % are below twice the 0.03
    assert wheels.predict(np.array([0.6, 0.6, 1.5])).sigma_rad < 0.5
