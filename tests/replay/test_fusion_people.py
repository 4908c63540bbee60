"""People who walk past a fixed lidar: followed for long, predicted better than by standing still."""

from collections import defaultdict

import numpy as np
import pytest

from data import recording
from nanorover import params
from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.geometry.scan import LaserScan
from nanorover.replay.logs import open_log


@pytest.fixture(scope="module")
def trails() -> dict[int, dict[int, np.ndarray]]:
    """Track id → number of the scan → state."""
    fusion = Fusion(params.load(FusionParams, "fusion"))
    found: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
    scans = (r for r in open_log(recording("bags/hokuyo_people_leg_tracker_demo.bag")) if isinstance(r, LaserScan))
    for number, scan in enumerate(scans):
        for seen in fusion.on_scan(scan, np.zeros(3)):
            found[seen.id][number] = seen.state
    return found


def test_people_are_followed_for_seconds(trails):
    lives_s = [len(trail) / 10.0 for trail in trails.values()]
    assert np.median(lives_s) > 5.0
    assert sum(life < 2.0 for life in lives_s) < 0.2 * len(lives_s)
    most_at_once = max(sum(k in trail for trail in trails.values()) for k in range(0, 1260, 10))
    assert 3 <= most_at_once <= 14


@pytest.mark.parametrize("horizon_s", [0.5, 1.0])
def test_prediction_beats_standing_still(trails, horizon_s):
    predicted_m, still_m = [], []
    for trail in trails.values():
        for k, state in trail.items():
            later = trail.get(k + round(10 * horizon_s))
            if later is not None and np.hypot(*state[2:]) > 0.3:
                predicted_m.append(np.hypot(*(later[:2] - state[:2] - horizon_s * state[2:])))
                still_m.append(np.hypot(*(later[:2] - state[:2])))
    assert len(predicted_m) > 1000
    assert np.mean(predicted_m) < 0.75 * np.mean(still_m)
    assert np.median(predicted_m) < 0.65 * np.median(still_m)
