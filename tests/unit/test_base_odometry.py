"""Wheel odometry against closed forms and against the spread of many noisy drives."""

import math

import numpy as np
import pytest

from nanorover.base.kinematics import Track
from nanorover.base.odometry import WheelOdometry

TRACK = Track(separation_m=0.2)
M_PER_TICK = 0.0001


def odometry(variance: float = 1e-3) -> WheelOdometry:
    made = WheelOdometry(TRACK, M_PER_TICK, 32, variance)
    made.restart((0, 0))
    return made


@pytest.mark.parametrize("turn_rad", [1e-9, 1e-3, 1.0, math.pi, -2.0])
def test_an_arc_is_exact_however_coarse_the_steps(turn_rad):
    radius_m = 1.0 / turn_rad
    left_m, right_m = 1.0 - turn_rad * 0.1, 1.0 + turn_rad * 0.1
    expected = [radius_m * math.sin(turn_rad), radius_m * (1.0 - math.cos(turn_rad))]
    once = TRACK.advance(np.zeros(3), left_m, right_m)
    assert once[:2] == pytest.approx(expected, abs=1e-6)
    assert math.remainder(once[2] - turn_rad, 2 * math.pi) == pytest.approx(0.0, abs=1e-12)
    many = np.zeros(3)
    for _ in range(100):
        many = TRACK.advance(many, left_m / 100, right_m / 100)
    assert many[:2] == pytest.approx(once[:2], abs=1e-9)
    assert math.remainder(many[2] - once[2], 2 * math.pi) == pytest.approx(0.0, abs=1e-9)


def test_turning_in_place_moves_nothing():
    pose = TRACK.advance(np.array([1.0, 2.0, 0.5]), -0.05, 0.05)
    assert pose == pytest.approx([1.0, 2.0, 1.0], abs=1e-12)


def test_speeds_of_wheels_and_body_are_inverse():
    assert TRACK.body_speeds(*TRACK.wheel_speeds(0.3, -1.2)) == pytest.approx((0.3, -1.2))


def test_the_counter_may_overflow():
    wheels = odometry()
    top = 2**31 - 1
    wheels.restart((top - 50, -(2**31) + 50))
    wheels.add((-(2**31) + 49, top - 49))  # left 100 on, right 100 back
    assert wheels.T_odom_base == pytest.approx([0.0, 0.0, -2 * 100 * M_PER_TICK / 0.2], abs=1e-12)


def test_standing_still_adds_no_uncertainty():
    wheels = odometry()
    wheels.add((1000, 1200))
    before = wheels.covariance.copy()
    for _ in range(100):
        wheels.add((1000, 1200))
    assert (wheels.covariance == before).all()


def test_covariance_is_the_spread_of_many_drives():
    """2000 drives with wheel noise of the stated variance, against the covariance that one drive states."""
    variance, steps, way_ticks = 1e-5, 8, (4000, 4200)  # long steps, so that the lever of each counts
    wheels = odometry(variance)
    for i in range(1, steps + 1):
        wheels.add((way_ticks[0] * i, way_ticks[1] * i))
    rng = np.random.default_rng(1)
    ways_m = np.array(way_ticks) * M_PER_TICK
    ends = []
    for _ in range(2000):
        pose = np.zeros(3)
        for noisy in ways_m + rng.normal(size=(steps, 2)) * np.sqrt(variance * ways_m):
            pose = TRACK.advance(pose, noisy[0], noisy[1])
        ends.append(pose)
    # Seen in units of the stated uncertainty, the spread is a unit ball.
    whiten = np.linalg.inv(np.linalg.cholesky(wheels.covariance))
    assert whiten @ np.cov(np.array(ends).T) @ whiten.T == pytest.approx(np.eye(3), abs=0.15)
