"""The points of a scan of a room known exactly: on the walls, with the walls' normals."""

import numpy as np
import pytest

from nanorover.geometry.scan import LaserScan
from nanorover.slam.preprocess import bent, surface_points

HALF = np.array([3.0, 2.0])  # the room reaches this far from the robot, in metres
SPACING_M, NOISE_M = 0.05, 0.02


def scan_of(beams: int, noise_m: float = 0.0) -> LaserScan:
    bearings = -np.pi + 2.0 * np.pi / beams * np.arange(beams)
    with np.errstate(divide="ignore"):
        ranges_m = np.minimum(HALF[0] / np.abs(np.cos(bearings)), HALF[1] / np.abs(np.sin(bearings)))
    ranges_m += np.random.default_rng(2).normal(size=beams) * noise_m
    return LaserScan(0, ranges_m.astype(np.float32), -np.pi, 2.0 * np.pi / beams, 0.1, 16.0, 0.1 / beams)


def points_of(beams: int, noise_m: float = 0.0) -> np.ndarray:
    return surface_points(scan_of(beams, noise_m), np.zeros(3), SPACING_M, 30.0)[0]


def off_the_walls_m(points: np.ndarray) -> np.ndarray:
    return np.abs(np.abs(points[:, :2]) - HALF).min(axis=1)


def away_from_corners(points: np.ndarray) -> np.ndarray:
    return points[np.abs(np.abs(points[:, :2]) - HALF).max(axis=1) > 0.4]


@pytest.mark.parametrize("beams", [180, 720])
def test_points_lie_on_the_walls_and_normals_face_the_robot(beams):
    points = points_of(beams)
    assert off_the_walls_m(points).max() < 0.02  # the worst are those beside the corners
    walls = away_from_corners(points)
    assert off_the_walls_m(walls).max() < 1e-5
    seen_on_both_sides = walls[1:-1]  # not the first and the last ray
    assert np.abs(seen_on_both_sides[:, 2:]).max(axis=1) == pytest.approx(1.0)
    assert (np.sum(points[:, :2] * points[:, 2:], axis=1) <= 0.0).all()


@pytest.mark.parametrize("beams", [360, 720])
def test_a_wall_seen_at_a_flat_angle_has_its_normal_there_too(beams):
    bearings = np.radians(4.0) + 2.0 * np.pi / beams * np.arange(beams // 4)
    ranges_m = np.float32(1.0 / np.sin(bearings))  # a wall 1 m to the left, seen up to 14 m ahead
    scan = LaserScan(0, ranges_m, bearings[0], 2.0 * np.pi / beams, 0.1, 16.0, 0.0)
    points = surface_points(scan, np.zeros(3), SPACING_M, 30.0)[0]
    assert np.diff(points[:2, 0]) < -0.5
    assert points[1:-1, 2:] == pytest.approx(np.tile([0.0, -1.0], (len(points) - 2, 1)), abs=1e-3)


@pytest.mark.parametrize("ranges_m", [[3.0, 6.0, 10.0], [3.0, 3.0, 8.0], [6.0, 3.0, 6.0]])
def test_things_at_different_distances_are_no_wall(ranges_m):
    scan = LaserScan(0, np.float32(ranges_m), 0.0, np.radians(0.5), 0.1, 16.0, 0.0)
    assert (surface_points(scan, np.zeros(3), 0.0, 30.0)[0][:, 2:] == 0.0).all()


def test_noise_is_averaged_over_the_neighbours_on_the_wall():
    walls = away_from_corners(points_of(720, NOISE_M))
    assert len(walls) > 100
    assert np.sqrt(np.mean(off_the_walls_m(walls) ** 2)) < 0.5 * NOISE_M


def test_points_bent_to_another_motion_are_those_made_with_it():
    was, is_now = np.array([0.1, 0.0, -0.3]), np.array([0.5, 0.05, 0.8])
    points, times_s = surface_points(scan_of(720), was, SPACING_M, 30.0)
    expected, expected_times_s = surface_points(scan_of(720), is_now, SPACING_M, 30.0)
    _, one, other = np.intersect1d(times_s, expected_times_s, return_indices=True)
    assert len(one) > 100
    assert np.abs(points[one, :2] - expected[other, :2]).max() > 0.1  # else this says nothing
    off = np.abs(bent(points, times_s, was, is_now)[one] - expected[other])
    assert np.median(off[:, :2]) < 1e-4 and np.percentile(off[:, :2], 95) < 0.001
    assert np.percentile(off[:, 2:], 95) < 0.01
