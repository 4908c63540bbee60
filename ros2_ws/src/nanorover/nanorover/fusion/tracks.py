"""Tracks: a Kalman filter each, measurements assigned to them all at once, ids that stay.

Constant velocity with white acceleration (Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to
Tracking and Navigation", 2001, ch. 6); the assignment is the cheapest one overall (scipy).
"""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nanorover.fusion.fusion_params import FusionParams
from nanorover.fusion.measurements import Measurement
from nanorover.fusion.objects import MOVING, STANDING, TrackedObject

START_SPEED_DEVIATION_M_S = 0.8
FORBIDDEN = 1e6
YOUTH_COST = 4.0
MISSED_UNSURE = 1  # scan and camera take turns: one of them need not see it
TRAIL = 4  # scans after which whoever walks has left where he was
PLACES = 10  # measurements that are looked back to for where it set out
LEFT_M, LEFT_S = 0.12, 0.5  # by going at least so far, within at most so long
CAME_WEIGHT = 0.1  # of the newest scan's word on whether something stands where it came to
UNSURE_S = 0.5  # after the last sign of moving


def predicted(
    states: NDArray[np.float64], covariances: NDArray[np.float64], dt_s: float, acceleration_m_s2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """States ``(..., 4)`` and covariances ``(..., 4, 4)`` after ``dt_s`` of constant velocity."""
    F = np.eye(4)
    F[0, 2] = F[1, 3] = dt_s
    q = acceleration_m_s2**2
    near, cross, far = q * dt_s**4 / 4.0, q * dt_s**3 / 2.0, q * dt_s**2
    Q = np.array([[near, 0, cross, 0], [0, near, 0, cross], [cross, 0, far, 0], [0, cross, 0, far]])
    return states @ F.T, F @ covariances @ F.T + Q


@njit(cache=True)
def corrected(
    state: NDArray[np.float64],
    covariance: NDArray[np.float64],
    position_m: NDArray[np.float64],
    covariance_m2: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """State ``(4,)`` and covariance ``(4, 4)`` after a measured position, compiled: a track costs more in calls
    than in numbers. Joseph's form stays symmetric and positive."""
    a, b = covariance[0, 0] + covariance_m2[0, 0], covariance[0, 1] + covariance_m2[0, 1]
    c, d = covariance[1, 0] + covariance_m2[1, 0], covariance[1, 1] + covariance_m2[1, 1]
    determinant = a * d - b * c
    gain = np.empty((4, 2))
    I_KH = np.eye(4)
    for i in range(4):
        gain[i, 0] = (covariance[i, 0] * d - covariance[i, 1] * c) / determinant
        gain[i, 1] = (covariance[i, 1] * a - covariance[i, 0] * b) / determinant
        I_KH[i, 0] -= gain[i, 0]
        I_KH[i, 1] -= gain[i, 1]
    off = position_m - state[:2]
    moved = state + gain[:, 0] * off[0] + gain[:, 1] * off[1]
    return moved, I_KH @ covariance @ I_KH.T + gain @ covariance_m2 @ gain.T


@dataclass
class Track:
    """One thing followed."""

    id: int
    state: NDArray[np.float64]
    covariance: NDArray[np.float64]
    radius_m: float
    start_m: NDArray[np.float64]
    seen_ns: int
    hits: int = 1
    misses: int = 0
    votes: dict[str, float] = field(default_factory=dict)
    made: bool = False
    mover: bool = False
    entries: int = 0
    new: bool = False
    came: float = 0.0
    far_m: float = 0.0
    entered_ns: int = 0
    places_m: deque[NDArray[np.float64]] = field(default_factory=lambda: deque(maxlen=PLACES))
    trail: deque[tuple[int, NDArray[np.float64]]] = field(default_factory=lambda: deque(maxlen=TRAIL))

    def update(self, m: Measurement, stamp_ns: int, params: FusionParams) -> None:
        """Take a measurement."""
        self.state, self.covariance = corrected(self.state, self.covariance, m.position_m, m.covariance_m2)
        speed = math.hypot(self.state[2], self.state[3])
        if speed > params.greatest_speed_m_s:
            self.state[2:] *= params.greatest_speed_m_s / speed
        self.radius_m += (0.3 if m.class_id else 0.1) * (m.radius_m - self.radius_m)
        if m.class_id:
            self.votes = {name: params.vote_memory * votes for name, votes in self.votes.items()}
            self.votes[m.class_id] = self.votes.get(m.class_id, 0.0) + m.score
        if m.points_m is not None:
            self.trail.append((stamp_ns, m.points_m))
        self.hits += 1
        self.misses = 0
        self.seen_ns = stamp_ns
        self.made = self.made or self.hits >= params.birth_hits
        self.places_m.append(self.state[:2].copy())
        if self.entries:
            self.far_m = max(self.far_m, self._way_m())
        self.came += CAME_WEIGHT * (m.came - self.came)
        if m.entered:
            self.moved(stamp_ns, params)
        elif self.came < 0.5 and self.stands(stamp_ns, params):
            self.mover, self.entries, self.far_m = False, 0, 0.0

    def stands(self, stamp_ns: int, params: FusionParams) -> bool:
        """Whether it shows no sign of moving for so long that it may be a thing; sooner of what hardly moved."""
        memory_s = params.mover_memory_s if self.far_m > params.mover_sure_way_m else params.mover_doubt_s
        return (stamp_ns - self.entered_ns) * 1e-9 > memory_s

    def has_left(self, stamp_ns: int) -> bool:
        """Whether it was seen elsewhere some scans ago; if nothing is there now, it has moved."""
        if self.misses or len(self.trail) < TRAIL:
            return False
        first_ns, then = self.trail[0]
        way_m = math.dist(then.mean(axis=0), self.trail[-1][1].mean(axis=0))
        return way_m >= LEFT_M and (stamp_ns - first_ns) * 1e-9 <= LEFT_S

    def moved(self, stamp_ns: int, params: FusionParams) -> None:
        """It has come to where nothing was, or gone from where it stood: if that happens again and again, and it
        gets somewhere, it moves by itself.

        One that went far is remembered as a walker for long; one that hardly did may be the legs of a chair.
        """
        if not self.entries:
            self.start_m = self.places_m[0]  # whoever shows that he walks has walked for a while
        self.entries += 1
        self.entered_ns = stamp_ns
        speed = math.hypot(self.state[2], self.state[3])
        goes = speed > params.mover_speed_m_s and self._way_m() > params.mover_way_m
        self.mover = self.mover or (goes and self.entries >= params.mover_entries)

    def _way_m(self) -> float:
        """How far it is from where it seems to have set out."""
        return math.dist(self.state[:2], self.start_m)

    def comes(self, stamp_ns: int) -> bool:
        """Whether there was a sign of moving just now."""
        return self.entries > 0 and (stamp_ns - self.entered_ns) * 1e-9 <= UNSURE_S

    def as_object(self, stamp_ns: int, params: FusionParams) -> TrackedObject:
        """What others see of it."""
        unnamed = STANDING if self.mover and self.stands(stamp_ns, params) else MOVING
        class_id, votes = max(self.votes.items(), key=lambda v: v[1]) if self.votes else (unnamed, 0.0)
        score = votes / sum(self.votes.values()) if self.votes else 0.0
        return TrackedObject(
            self.id,
            class_id,
            score,
            stamp_ns,
            self.state.copy(),
            self.covariance.copy(),
            self.radius_m,
            bool(self.votes),
        )


class Tracker:
    """All tracks; measurements of one moment come together."""

    def __init__(self, params: FusionParams) -> None:
        self.params = params
        self.tracks: list[Track] = []
        self.stamp_ns: int | None = None
        self._next_id = 1

    def clear(self) -> None:
        """Forget everything, as after a jump of the pose or the clock; ids go on."""
        self.tracks, self.stamp_ns = [], None

    def update(self, measurements: list[Measurement], stamp_ns: int) -> None:
        """Take what was measured at ``stamp_ns``; an older moment than the last is taken as the same."""
        if self.stamp_ns is not None:
            self._predict(max(0.0, (stamp_ns - self.stamp_ns) * 1e-9))
        self.stamp_ns = stamp_ns if self.stamp_ns is None else max(self.stamp_ns, stamp_ns)
        pairs = self._assign(measurements)
        for i, j in pairs.items():
            self.tracks[i].update(measurements[j], stamp_ns, self.params)
        for i, track in enumerate(self.tracks):
            if i not in pairs:
                track.misses += 1
        self.tracks = [track for track in self.tracks if self._lives(track, stamp_ns)]
        taken = set(pairs.values())
        for j, measurement in enumerate(measurements):
            if j not in taken:
                self._bear(measurement, stamp_ns)

    def objects(self) -> list[TrackedObject]:
        """Tracks that are sure: named by a camera, or moving by themselves."""
        stamp_ns = self.stamp_ns or 0
        return [t.as_object(stamp_ns, self.params) for t in self.tracks if t.made and (t.votes or t.mover)]

    def unsure(self) -> list[TrackedObject]:
        """Tracks that have come to where nothing was or gone from where they stood, not yet often enough, those
        that have just come into view, and those that a camera has just named: all will be known in some scans."""
        stamp_ns, judged = self.stamp_ns or 0, 2 * self.params.birth_hits
        seen = [t for t in self.tracks if t.misses <= MISSED_UNSURE and not t.mover]
        return [
            t.as_object(stamp_ns, self.params)
            for t in seen
            if (not t.made if t.votes else t.comes(stamp_ns) or (t.new and t.hits <= judged))
        ]

    def _predict(self, dt_s: float) -> None:
        if not self.tracks:
            return
        states = np.stack([t.state for t in self.tracks])
        covariances = np.stack([t.covariance for t in self.tracks])
        states, covariances = predicted(states, covariances, dt_s, self.params.acceleration_deviation_m_s2)
        for track, state, covariance in zip(self.tracks, states, covariances, strict=True):
            track.state, track.covariance = state, covariance

    def _assign(self, measurements: list[Measurement]) -> dict[int, int]:
        """Track → measurement, cheapest overall by squared Mahalanobis distance and spread, within the gates."""
        if not (self.tracks and measurements):
            return {}
        at = np.stack([t.state[:2] for t in self.tracks])
        spread = np.stack([t.covariance[:2, :2] for t in self.tracks])
        # a young track must not steal the measurement of an old one
        youth = np.array([0.0 if t.made else YOUTH_COST for t in self.tracks])
        S = spread[:, None] + np.stack([m.covariance_m2 for m in measurements])
        d = np.stack([m.position_m for m in measurements]) - at[:, None]
        determinant = S[..., 0, 0] * S[..., 1, 1] - S[..., 0, 1] ** 2
        squared = S[..., 1, 1] * d[..., 0] ** 2 - 2.0 * S[..., 0, 1] * d[..., 0] * d[..., 1]
        squared = (squared + S[..., 0, 0] * d[..., 1] ** 2) / determinant
        cost = squared + np.log(determinant) + youth[:, None]
        cost[squared > self.params.gate_sigmas**2] = FORBIDDEN
        rows, columns = linear_sum_assignment(cost)
        return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if cost[i, j] < FORBIDDEN}

    def _lives(self, track: Track, stamp_ns: int) -> bool:
        p = self.params
        if not track.made:
            return track.misses <= p.birth_misses
        standing = (track.votes or track.mover) and math.hypot(track.state[2], track.state[3]) < p.mover_speed_m_s
        silent_s = (stamp_ns - track.seen_ns) * 1e-9
        return silent_s <= (p.keep_standing_s if standing else p.keep_s)

    def _bear(self, m: Measurement, stamp_ns: int) -> None:
        covariance = np.zeros((4, 4))
        covariance[:2, :2] = m.covariance_m2
        covariance[2:, 2:] = np.eye(2) * START_SPEED_DEVIATION_M_S**2
        state = np.array([*m.position_m, 0.0, 0.0])
        track = Track(
            self._next_id, state, covariance, m.radius_m, m.position_m.copy(), stamp_ns, entered_ns=stamp_ns,
            entries=int(m.entered), new=m.new,
        )  # fmt: skip
        track.votes = {m.class_id: m.score} if m.class_id else {}
        track.places_m.append(track.start_m)
        if m.points_m is not None:
            track.trail.append((stamp_ns, m.points_m))
        track.made = self.params.birth_hits <= 1
        self.tracks.append(track)
        self._next_id += 1
