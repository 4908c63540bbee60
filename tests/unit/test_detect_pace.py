"""Which pictures a rate limit takes."""

import numpy as np
import pytest

from nanorover.perception.pace import Pace


def taken_s(arrivals_s: np.ndarray, limit_hz: float) -> np.ndarray:
    pace = Pace(limit_hz)
    return np.array([s for s in arrivals_s if pace.admits(s)])


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_at_exactly_the_limit_loses_nothing(seed: int) -> None:
    jitter_s = np.random.default_rng(seed).uniform(-0.01, 0.01, 300)
    assert len(taken_s(np.arange(300) / 15 + jitter_s, 15.0)) == 300


def test_of_a_faster_camera_the_limit_is_taken_evenly() -> None:
    jitter_s = np.random.default_rng(0).uniform(-0.002, 0.002, 300)
    taken = taken_s(np.arange(300) / 30 + jitter_s, 15.0)
    assert len(taken) == 150
    assert np.diff(taken) == pytest.approx(1 / 15, abs=0.005)


@pytest.mark.parametrize("camera_hz", [15.1, 20.0, 47.0, 1000.0])
def test_the_limit_holds_over_any_time(camera_hz: float) -> None:
    count = len(taken_s(np.arange(0, 60, 1 / camera_hz), 15.0))
    assert 0.85 * 900 <= count <= 901


def test_a_silence_earns_no_burst_and_no_limit_takes_all() -> None:
    pace = Pace(10.0)
    assert [pace.admits(s) for s in (0.0, 60.0, 60.01, 60.02, 60.1)] == [True, True, False, False, True]
    pace.limit(0.0)
    assert all(pace.admits(s) for s in (60.1001, 60.1002, 60.1003))
