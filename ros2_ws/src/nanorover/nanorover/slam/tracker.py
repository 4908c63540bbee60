"""The front end: where a scan belongs in the local map, or a sentence why that cannot be said."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, compose
from nanorover.slam.field import Field
from nanorover.slam.matching import judge, refine, search
from nanorover.slam.motion import Prediction
from nanorover.slam.params import SlamParams

SEARCH_POINTS = 70
SEARCH_STEP_M = 0.10
SEARCH_STEP_RAD = 0.025
# The search looks at least this far around a prediction, and in sigmas.
LEAST_WINDOW_M = 0.30
LEAST_WINDOW_RAD = 0.24
WINDOW_SIGMAS = 1.5
MOST_WINDOW_M = 1.0
MOST_WINDOW_RAD = 1.0
# When no prediction led to a good match, everything a robot can do between two scans is searched.
WIDE_WINDOW_M = 1.2
WIDE_WINDOW_RAD = 1.8
WIDE_STEP_RAD = 0.05
WIDE_SECTORS = 3
# A match with this score makes further guesses needless.
BEYOND_DOUBT = 0.85
# Two matches that explain the scan about equally well are told apart by what was predicted.
CLEARLY_BETTER = 0.03
# What keeps the equations solvable where nothing is known beforehand (information of x, y, yaw).
NO_PRIOR = np.array([1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Match:
    """A pose in the map's frame with its information (3, 3), and how the scan fits there.

    ``explained`` and ``contradicted`` are parts of the scan, ``rms_m`` the distance of its points.
    """

    T_map_base: Pose
    information: NDArray[np.float64]
    rms_m: float
    explained: float
    contradicted: float

    @property
    def score(self) -> float:
        """What one match is preferred to another by."""
        return self.explained - self.contradicted


class Tracker:
    """Finds scans in a field, starting from predictions."""

    def __init__(self, params: SlamParams) -> None:
        self.params = params
        self.wide_searches = 0

    def match(self, field: Field, points: NDArray[np.float64], last: Pose, predictions: list[Prediction]) -> Match:
        """The best match of ``points`` (N, 4); the caller judges by ``explained`` whether it is good enough.

        ``last`` is the base's pose at the scan before; ``predictions`` come with the most trusted first.
        """
        best: Match | None = None
        for prediction in predictions:
            window = np.array(
                [
                    _between(WINDOW_SIGMAS * prediction.sigma_m, LEAST_WINDOW_M, MOST_WINDOW_M),
                    0.0,
                    _between(WINDOW_SIGMAS * prediction.sigma_rad, LEAST_WINDOW_RAD, MOST_WINDOW_RAD),
                ]
            )
            found = self._around(field, points, last, prediction, 0.0, window, SEARCH_STEP_RAD)
            if best is None or found.score > best.score + CLEARLY_BETTER:
                best = found
            if best.score >= BEYOND_DOUBT:
                return best
        assert best is not None
        if best.score >= self.params.good_match:
            return best
        return self._wide(field, points, last, predictions[0], best)

    def again(self, field: Field, points: NDArray[np.float64], match: Match) -> Match:
        """The match of the same scan after its points were made anew, near the first."""
        start = match.T_map_base
        pose, information, rms_m = refine(field.arrays, points, start, start, NO_PRIOR, self.params.point_noise_m)
        return Match(pose, information, rms_m, *judge(field.arrays, points, pose))

    def _wide(
        self, field: Field, points: NDArray[np.float64], last: Pose, prediction: Prediction, best: Match
    ) -> Match:
        """Search all that is possible between two scans, sector by sector of the turn."""
        self.wide_searches += 1
        window = np.array([WIDE_WINDOW_M, 0.0, WIDE_WINDOW_RAD / WIDE_SECTORS])
        for sector in range(WIDE_SECTORS):
            turn = WIDE_WINDOW_RAD * (2.0 * sector / (WIDE_SECTORS - 1) - 1.0) * (1.0 - 1.0 / WIDE_SECTORS)
            found = self._around(field, points, last, prediction, turn, window, WIDE_STEP_RAD)
            if found.score > best.score + CLEARLY_BETTER:
                best = found
        return best

    def _around(
        self,
        field: Field,
        points: NDArray[np.float64],
        last: Pose,
        prediction: Prediction,
        turn: float,
        window: NDArray[np.float64],
        step_rad: float,
    ) -> Match:
        expected = compose(last, prediction.T_last_now)
        centre = expected + np.array([0.0, 0.0, turn])
        sigma = np.array([prediction.sigma_m, prediction.sigma_rad])
        some = points[:: max(len(points) // SEARCH_POINTS, 1)]
        start, _ = search(field.arrays, some, centre, window, SEARCH_STEP_M, step_rad, sigma)
        off = math.hypot(start[0] - expected[0], start[1] - expected[1]) / sigma[0]
        off = max(off, abs(start[2] - expected[2]) / sigma[1], 1.0)
        # A prediction that the search contradicts loses its weight (as under a Cauchy kernel).
        information = 1.0 / (off * np.array([sigma[0], sigma[0], sigma[1]])) ** 2
        pose, information, rms_m = refine(
            field.arrays, points, start, expected, information, self.params.point_noise_m
        )
        return Match(pose, information, rms_m, *judge(field.arrays, points, pose))


def _between(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
