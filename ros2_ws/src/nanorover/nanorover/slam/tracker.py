"""Where a scan fits in a field: at what was expected of it, around that, or anywhere near; chosen by its worth."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, between, compose
from nanorover.slam.field import Field
from nanorover.slam.matching import ROUGHLY, judge, refine, search
from nanorover.slam.motion import Prediction
from nanorover.slam.params import SlamParams

SEARCH_POINTS = 70
# So many points, or up to twice as many, are enough for a match that is refined again with all of them.
ROUGH_POINTS = 180
SEARCH_STEP_M = 0.10
SEARCH_STEP_RAD = 0.025
# The search looks at least this far around a prediction, and in sigmas.
LEAST_WINDOW_M, LEAST_WINDOW_RAD = 0.30, 0.24
MOST_WINDOW_M, MOST_WINDOW_RAD = 1.0, 1.0
WINDOW_SIGMAS = 1.5
# When no prediction led to a good match, everything a robot can do between two scans is searched.
WIDE_WINDOW_M, WIDE_WINDOW_RAD = 1.2, 1.8
WIDE_STEP_RAD = 0.05
WIDE_SECTORS = 3
# A match with this score makes further guesses needless.
BEYOND_DOUBT = 0.85
# A match that falls this far below what is usual here is doubted, and everything near is searched.
BELOW_USUAL, USUAL_RATE = 0.1, 0.05
# One that is nearly as good as usual, found right where it was expected, needs no search at all.
NEARLY_USUAL = 0.02
# Being one sigma off a prediction costs 0.7 of the first part of the score, ten sigmas 4.6 of it; to follow a less
# trusted prediction costs the second. With few scans, half of the view after a turn is new, and a corridor
# straight on fits nearly as well as the one that the robot turned into.
PRICE_OF_SURPRISE, PRICE_OF_DISTRUST = 0.05, 0.15
CLEARLY_BETTER = 0.03
# A match that is dearer than this (two sigmas off) is doubted too, unless it is nearly as good as usual.
DEAR = PRICE_OF_SURPRISE * math.log1p(4.0)
# A scan of which the map knows less than this part is not told apart by the little that it knows: after a turn
# that nothing foretold, a wrong place explains a third of it well.
LEAST_KNOWN = 0.6
# What keeps the equations solvable where nothing is known beforehand (information of x, y, yaw).
NO_PRIOR = np.array([1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Match:
    """A pose in the map's frame with its information (3, 3), and how the scan fits there.

    ``explained``, ``contradicted`` and ``missed`` are parts of the scan (see ``matching.judge``). ``expected`` is
    the pose that was expected, ``prior`` its diagonal information (3,); both are accounted for in the match.
    """

    T_map_base: Pose
    information: NDArray[np.float64]
    rms_m: float
    explained: float
    contradicted: float
    missed: float
    expected: Pose
    prior: NDArray[np.float64]

    @property
    def score(self) -> float:
        """How well the scan fits where the map is known, 1 at best: a view of something new fits well too."""
        known = self.explained + self.contradicted + self.missed
        return (self.explained - self.contradicted) / max(known, LEAST_KNOWN)


class Tracker:
    """Finds scans in a field, starting from predictions."""

    def __init__(self, params: SlamParams) -> None:
        self.params = params
        self.wide_searches = 0
        self.usual_score = 1.0

    def match(self, field: Field, points: NDArray[np.float64], last: Pose, predictions: list[Prediction]) -> Match:
        """The best match of ``points`` (N, 4); the caller judges by its ``score`` whether it is good enough.

        ``last`` is the base's pose at the scan before; ``predictions`` come with the most trusted first.
        """
        best = self._refined(field, points, *_as_expected(last, predictions[0]))
        nearly_usual = max(BEYOND_DOUBT, self.usual_score - NEARLY_USUAL)
        if best.score >= nearly_usual:
            self.usual_score += USUAL_RATE * (best.score - self.usual_score)
            return best
        for prediction in predictions:
            window = np.array(
                [
                    min(max(WINDOW_SIGMAS * prediction.sigma_m, LEAST_WINDOW_M), MOST_WINDOW_M),
                    0.0,
                    min(max(WINDOW_SIGMAS * prediction.sigma_rad, LEAST_WINDOW_RAD), MOST_WINDOW_RAD),
                ]
            )
            found = self._around(field, points, last, prediction, 0.0, window, SEARCH_STEP_RAD)
            if self._worth(found, last, predictions) > self._worth(best, last, predictions):
                best = found
            if best.score >= BEYOND_DOUBT:
                break
        is_poor = best.score < max(self.params.good_match, min(self.usual_score, BEYOND_DOUBT) - BELOW_USUAL)
        if is_poor or (best.score < nearly_usual and self._price(best, last, predictions) > DEAR):
            best = self._wide(field, points, last, predictions, best)
        self.usual_score += USUAL_RATE * (best.score - self.usual_score)
        return best

    def again(self, field: Field, points: NDArray[np.float64], match: Match, how: tuple[float, float]) -> Match:
        """The match of the same scan refined once more, from where the first refinement ended.

        The first ends early, and its points may be bent since. How the scan fits is as good as the same. What was
        expected counts again: where walls leave a direction open, nothing else tells.
        """
        start, noise_m = match.T_map_base, self.params.point_noise_m
        pose, information, rms_m = refine(field.arrays, points, start, match.expected, match.prior, noise_m, how)
        return replace(match, T_map_base=pose, information=information, rms_m=rms_m)

    def _worth(self, match: Match, last: Pose, predictions: list[Prediction]) -> float:
        """What a match is chosen by: its score, less its price."""
        return match.score - self._price(match, last, predictions)

    @staticmethod
    def _price(match: Match, last: Pose, predictions: list[Prediction]) -> float:
        """What being far from every prediction costs a match."""
        moved = between(last, match.T_map_base)
        price = math.inf
        for k, prediction in enumerate(predictions):
            off = between(prediction.T_last_now, moved)
            squares = (off[0] ** 2 + off[1] ** 2) / prediction.sigma_m**2 + (off[2] / prediction.sigma_rad) ** 2
            nats = math.log1p(squares) + prediction.vaguer(predictions[0])
            price = min(price, k * PRICE_OF_DISTRUST + PRICE_OF_SURPRISE * nats)
        return price

    def _wide(
        self,
        field: Field,
        points: NDArray[np.float64],
        last: Pose,
        predictions: list[Prediction],
        best: Match,
    ) -> Match:
        """Search all that is possible between two scans, sector by sector of the turn."""
        self.wide_searches += 1
        window = np.array([WIDE_WINDOW_M, 0.0, WIDE_WINDOW_RAD / WIDE_SECTORS])
        worth = self._worth(best, last, predictions) + CLEARLY_BETTER
        for sector in range(WIDE_SECTORS):
            turn = WIDE_WINDOW_RAD * (2.0 * sector / (WIDE_SECTORS - 1) - 1.0) * (1.0 - 1.0 / WIDE_SECTORS)
            found = self._around(field, points, last, predictions[0], turn, window, WIDE_STEP_RAD)
            if self._worth(found, last, predictions) > worth:
                worth, best = self._worth(found, last, predictions), found
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
        """The best match in a window around what a prediction says, turned by ``turn``."""
        expected = compose(last, prediction.T_last_now)
        centre = expected + np.array([0.0, 0.0, turn])
        sigma = np.array([prediction.sigma_m, prediction.sigma_rad])
        some = _some(points, SEARCH_POINTS)
        start, _ = search(field.arrays, some, centre, window, SEARCH_STEP_M, step_rad, sigma)
        off = math.hypot(start[0] - expected[0], start[1] - expected[1]) / sigma[0]
        off = max(off, abs(start[2] - expected[2]) / sigma[1], 1.0)
        # A prediction that the search contradicts loses its weight (as under a Cauchy kernel).
        information = 1.0 / (off * np.array([sigma[0], sigma[0], sigma[1]])) ** 2
        return self._refined(field, points, start, expected, information)

    def _refined(
        self,
        field: Field,
        points: NDArray[np.float64],
        start: Pose,
        expected: Pose,
        prior: NDArray[np.float64],
    ) -> Match:
        some, noise_m = _some(points, ROUGH_POINTS), self.params.point_noise_m
        pose, information, rms_m = refine(field.arrays, some, start, expected, prior, noise_m, ROUGHLY)
        return Match(pose, information, rms_m, *judge(field.arrays, points, pose), expected, prior)


def _some(points: NDArray[np.float64], enough: int) -> NDArray[np.float64]:
    """At least ``enough`` of the points, evenly chosen; in one layout of the array, for one compiled kernel."""
    return np.ascontiguousarray(points[:: max(len(points) // enough, 1)])


def _as_expected(last: Pose, prediction: Prediction) -> tuple[Pose, Pose, NDArray[np.float64]]:
    """Start, expected pose and its information for a match that begins where the prediction says."""
    expected = compose(last, prediction.T_last_now)
    sigma = np.array([prediction.sigma_m, prediction.sigma_m, prediction.sigma_rad])
    return expected, expected, 1.0 / sigma**2
