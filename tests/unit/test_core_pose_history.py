"""Poses between those that are known, and none where nothing is."""

import math

import numpy as np
import pytest

from nanorover.geometry.pose_history import PoseHistory

S = 1_000_000_000


def history(*seconds: float, goes_on: bool = False) -> PoseHistory:
    """Something that drives along x at 0.5 m/s and turns by 0.2 rad/s, its heading past π at 1 s."""
    made = PoseHistory(50, S // 2, goes_on)
    for t in seconds:
        made.add(
            round(t * S), np.array([0.5 * t, 0.0, (math.pi - 0.2 + 0.2 * t + math.pi) % (2 * math.pi) - math.pi])
        )
    return made


@pytest.mark.parametrize(
    ("known_s", "at_s", "x_m"),
    [
        ((1.0, 1.2), 1.1, 0.55),
        ((0.9, 1.2), 1.2, 0.6),  # exactly a known one
        ((0.0, 10.0), 5.0, None),  # within a gap
        ((0.0, 10.0), 0.0, 0.0),  # but its edges are known
        ((0.0, 10.0), 0.1, 0.0),  # and what is near to them
        ((0.0, 10.0), 9.95, 5.0),
        ((0.0, 10.0), 0.11, None),
        ((0.0, 0.5), 0.25, 0.125),  # the longest that is none
        ((1.0, 1.2), 1.6, 0.6),  # after the newest it stays, for a while
        ((1.0, 1.2), 1.71, None),
        ((1.0, 1.2), 0.6, 0.5),
        ((1.0, 1.2), 0.49, None),
        ((), 1.0, None),
    ],
)
def test_a_pose_is_known_between_two_that_are_near_and_shortly_beyond_the_ends(known_s, at_s, x_m):
    found = history(*known_s).at(round(at_s * S))
    assert (None if found is None else pytest.approx(found[0])) == x_m


def test_the_heading_turns_the_short_way_past_pi():
    assert history(0.8, 1.4).at(round(1.1 * S)) is None
    assert history(0.8, 1.2).at(round(1.1 * S))[2] == pytest.approx(-math.pi + 0.02)


def test_what_moves_smoothly_goes_on_with_its_last_velocity():
    ahead = history(1.0, 1.1, goes_on=True).at(round(1.5 * S))
    # 0.05 m per 0.1 s as seen from the pose itself, so 0.2 m in 0.4 s
    assert math.hypot(ahead[0] - 0.55, ahead[1]) == pytest.approx(0.2, abs=1e-3)
    assert ahead[2] == pytest.approx(-math.pi + 0.1)
    assert history(1.1, goes_on=True).at(round(1.5 * S))[0] == pytest.approx(0.55)
    assert history(0.0, 1.1, goes_on=True).at(round(1.5 * S))[0] == pytest.approx(
        0.55
    )  # its velocity is not known
    assert history(1.0, 1.1, goes_on=True).at(round(1.61 * S)) is None


def test_a_stamp_that_runs_backwards_starts_anew():
    made = history(1.0, 1.1)
    assert not made.add(S // 2, np.ones(3))
    assert made.at(round(1.1 * S)) is None and made.newest() == pytest.approx(np.ones(3))
