"""Contact times against a brute-force drive."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanorover.geometry.se2 import inverse, transform_points
from nanorover.planning.contact import arc_pose, contact_time, people_contact_time, receding, rectangle_distance

RECTANGLE = np.array([0.15, 0.2, 0.125])
coordinates = st.floats(-2.0, 2.0)
speeds = st.floats(-0.6, 0.6)
turns = st.floats(-2.0, 2.0)


def inside(x: float, y: float, slack_m: float = 0.0) -> bool:
    return -RECTANGLE[1] - slack_m <= x <= RECTANGLE[0] + slack_m and abs(y) <= RECTANGLE[2] + slack_m


def seen_after(point: np.ndarray, v: float, w: float, t: float) -> np.ndarray:
    return transform_points(inverse(np.array(arc_pose(v, w, t))), point[None])[0]


@given(coordinates, coordinates, speeds, turns)
def test_the_point_is_outside_before_and_on_the_edge_at_contact(x, y, v, w):
    point = np.array([x, y])
    t = contact_time(x, y, v, w, RECTANGLE)
    end = min(t, 6.0)
    for earlier in np.linspace(0.0, end, 200, endpoint=False)[:-1]:
        if t > 0.0:
            assert not inside(*seen_after(point, v, w, earlier), slack_m=-1e-4)
    if t <= 6.0:
        assert inside(*seen_after(point, v, w, t), slack_m=1e-4)


@given(coordinates, coordinates, speeds, turns)
def test_receding_means_that_the_distance_does_not_shrink(x, y, v, w):
    now = rectangle_distance(x, y, RECTANGLE)
    soon = rectangle_distance(*seen_after(np.array([x, y]), v, w, 1e-4), RECTANGLE)
    if now > 0.01:
        if receding(x, y, v, w, RECTANGLE):
            assert soon >= now - 1e-6
        else:
            assert soon <= now + 1e-6


@pytest.mark.parametrize(
    ("x", "y", "v", "w", "expected"),
    [
        (1.15, 0.0, 0.5, 0.0, 2.0),  # straight on
        (1.15, 0.2, 0.5, 0.0, math.inf),  # passes beside
        (-0.7, 0.1, -0.25, 0.0, 2.0),  # backwards
        (1.0, 0.0, -0.5, 0.0, math.inf),  # away from it
        (0.0, 0.1, 0.3, 0.0, 0.0),  # inside
        # turning left, the front left corner sweeps towards the y axis: the top edge reaches radius 0.16 at
        # x = sqrt(0.16² − 0.125²), which is this angle short of the y axis
        (0.0, 0.16, 0.0, 1.0, math.asin(math.sqrt(0.16**2 - 0.125**2) / 0.16)),
    ],
)
def test_known_cases(x, y, v, w, expected):
    assert contact_time(x, y, v, w, RECTANGLE) == pytest.approx(expected, abs=1e-9)


def test_a_person_who_walks_towards_the_robot():
    # 2 m ahead, radius 0.2, walks at 1 m/s towards a robot at 0.5 m/s: the gap of 1.65 − 0.4 m closes at 1.5 m/s
    person = np.array([[2.0, 0.0, -1.0, 0.0, 0.2]])
    expected = (2.0 - 0.15 - 0.2 - 0.4) / 1.5
    assert people_contact_time(person, 0.0, 0.5, 0.0, RECTANGLE, (0.4, 0.4, 0.0), 5.0) == pytest.approx(
        expected, abs=0.051
    )
    older = people_contact_time(person, 0.3, 0.5, 0.0, RECTANGLE, (0.4, 0.4, 0.0), 5.0)
    assert older == pytest.approx(expected - 0.3 / 1.5, abs=0.051)


def test_a_person_who_crosses_behind_is_no_obstacle():
    person = np.array([[-1.0, 2.0, 0.0, -1.0, 0.2]])
    assert math.isinf(people_contact_time(person, 0.0, 0.5, 0.0, RECTANGLE, (0.4, 0.4, 0.0), 5.0))


def test_one_may_pass_somebody_who_stands_beside_but_not_come_nearer():
    """Gaps beside the robot, between the least room 0.4 and the clearance 0.5."""
    for x, drives in ((-0.05, True), (0.1, True), (0.5, False)):
        person = np.array([[x, 0.125 + 0.2 + 0.44, 0.0, 0.0, 0.2]])
        seconds = people_contact_time(person, 0.0, 0.3, 0.0, RECTANGLE, (0.5, 0.4, 0.0), 3.0)
        assert math.isinf(seconds) == drives, x
    near = np.array([[0.0, 0.125 + 0.2 + 0.39, 0.0, 0.0, 0.2]])
    assert people_contact_time(near, 0.0, -0.3, 0.0, RECTANGLE, (0.5, 0.4, 0.0), 3.0) == 0.0


@pytest.mark.parametrize(
    ("vx", "vy", "too_near"), [(0.0, 0.8, True), (0.0, -0.8, True), (0.8, 0.0, False), (0.1, 0.0, False)]
)
def test_whoever_walks_by_may_turn_who_walks_away_may_not(vx, vy, too_near):
    """0.7 m ahead of the robot that backs away: 0.4 m are kept, and half a second of the walker's way."""
    person = np.array([[0.15 + 0.2 + 0.7, 0.0, vx, vy, 0.2]])
    seconds = people_contact_time(person, 0.0, -0.3, 0.0, RECTANGLE, (0.4, 0.4, 0.5), 3.0)
    assert (seconds == 0.0) == too_near
