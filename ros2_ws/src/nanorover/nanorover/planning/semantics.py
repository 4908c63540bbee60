"""A person is not a chair: how near, how fast and on which side each class of object is passed."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.se2 import Pose
from nanorover.params import param
from nanorover.planning.costmap import INSCRIBED, Raster

PREDICTION_STEP_S = 0.25


@dataclass(frozen=True)
class SemanticsParams:
    """One entry per class in each list; values in ``params/semantics.yaml``. Other classes mean nothing here:
    the lidar sees them as obstacles all the same."""

    classes: tuple[str, ...] = param("classes that are passed in their own way")
    clearances_m: tuple[float, ...] = param("room kept around them", "m", minimum=0.0, maximum=5.0)
    speeds_m_s: tuple[float, ...] = param("greatest speed near them", "m/s", minimum=0.02, maximum=5.0)
    lead_s: tuple[float, ...] = param(
        "this much of their way before them is theirs: one passes behind", "s", minimum=0.0, maximum=10.0
    )
    may_move: tuple[bool, ...] = param("whether they walk about")
    slow_within_m: float = param("what counts as near", "m", minimum=0.0, maximum=10.0)
    moving_from_m_s: float = param("slower ones stand", "m/s", minimum=0.01, maximum=2.0)
    growth_m_s: float = param("how fast the room around their prediction grows", "m/s", minimum=0.0, maximum=2.0)
    predicted_cost: int = param(
        "cost of a place where one is predicted, falling with time", minimum=0, maximum=252
    )


@dataclass(frozen=True)
class Manners:
    """How one class is passed."""

    clearance_m: float
    speed_m_s: float
    lead_s: float
    may_move: bool


class Semantics:
    """The rules, and what they make of the objects of a moment. Raises InputError for lists of unequal length."""

    def __init__(self, params: SemanticsParams) -> None:
        self.params = params
        lists = (params.clearances_m, params.speeds_m_s, params.lead_s, params.may_move)
        if any(len(values) != len(params.classes) for values in lists):
            raise InputError(
                "semantics: the lists are not equally long: "
                + ", ".join(str(len(values)) for values in (params.classes, *lists)),
                "every class needs one entry in each",
            )
        rows = zip(params.clearances_m, params.speeds_m_s, params.lead_s, params.may_move, strict=True)
        self.manners = {name: Manners(*row) for name, row in zip(params.classes, rows, strict=True)}

    def moving(
        self, objects: list[TrackedObject], reach_m: float = math.inf, at: Pose | None = None
    ) -> list[TrackedObject]:
        """Those that walk about now, nearest first where ``at`` is given."""
        walking = [
            o
            for o in objects
            if o.class_id in self.manners
            and self.manners[o.class_id].may_move
            and o.speed_m_s >= self.params.moving_from_m_s
        ]
        if at is None:
            return walking
        gaps = {o.id: math.hypot(o.state[0] - at[0], o.state[1] - at[1]) for o in walking}
        return sorted((o for o in walking if gaps[o.id] < reach_m), key=lambda o: gaps[o.id])

    def animate(self, objects: list[TrackedObject]) -> list[TrackedObject]:
        """People and pets, walking or standing."""
        return [o for o in objects if o.class_id in self.manners and self.manners[o.class_id].may_move]

    def for_controller(
        self, objects: list[TrackedObject], at: Pose, now_ns: int, reach_m: float
    ) -> NDArray[np.float32]:
        """Rows of ``critics.people_cost``: people and pets within reach, brought forward to now."""
        rows = []
        for o in self.animate(objects):
            manners = self.manners[o.class_id]
            age_s = min(max(0.0, (now_ns - o.stamp_ns) * 1e-9), 1.0)
            walks = o.speed_m_s >= self.params.moving_from_m_s
            vx, vy = (o.state[2], o.state[3]) if walks else (0.0, 0.0)
            x, y = o.state[0] + vx * age_s, o.state[1] + vy * age_s
            if math.hypot(x - at[0], y - at[1]) < reach_m:
                growth = self.params.growth_m_s if walks else 0.0
                rows.append(
                    (x, y, vx, vy, o.radius_m, manners.clearance_m, growth, manners.lead_s if walks else 0.0)
                )
        return np.array(rows, np.float32).reshape(-1, 8)

    def speed_limit_m_s(self, objects: list[TrackedObject], at: Pose) -> float:
        """The greatest speed that those nearby allow."""
        limit = math.inf
        for o in objects:
            manners = self.manners.get(o.class_id)
            gap = math.hypot(o.state[0] - at[0], o.state[1] - at[1]) - o.radius_m
            if manners is not None and gap < self.params.slow_within_m:
                limit = min(limit, manners.speed_m_s)
        return limit

    def stamp(
        self, cost: NDArray[np.uint8], raster: Raster, objects: list[TrackedObject], inscribed_m: float
    ) -> None:
        """Raise the costs of a map where objects are and where they are going to be, in place.

        Standing ones cannot be driven through, and all of the room about them is entered only where there is no
        other way; the way of walking ones only costs, for it will be free again.
        """
        p = self.params
        for o in objects:
            manners = self.manners.get(o.class_id)
            if manners is None:
                continue
            walks = manners.may_move and o.speed_m_s >= p.moving_from_m_s
            body_m = o.radius_m + inscribed_m
            horizon_s = manners.lead_s if walks else 0.0
            for t in np.arange(0.0, horizon_s + 1e-9, PREDICTION_STEP_S):
                x, y = o.state[0] + o.state[2] * t * walks, o.state[1] + o.state[3] * t * walks
                fade = 1.0 - t / (horizon_s + PREDICTION_STEP_S)
                rim = p.predicted_cost * fade
                peaks = (rim, rim, 0.0) if walks else (float(INSCRIBED), INSCRIBED - 1.0, rim)
                room_m = manners.clearance_m + p.growth_m_s * t
                where = ((x - raster.x_m) / raster.resolution_m, (y - raster.y_m) / raster.resolution_m)
                _stamp(
                    cost,
                    where,
                    body_m / raster.resolution_m,
                    room_m / raster.resolution_m,
                    peaks,
                )


@njit(cache=True)
def _stamp(
    cost: NDArray[np.uint8], at: tuple[float, float], body: float, room: float, peaks: tuple[float, float, float]
) -> None:
    """A disc of ``peaks[0]``, and a rim from ``peaks[1]`` down to ``peaks[2]``; in cells. Unknown cells stay."""
    rows, columns = cost.shape
    reach = body + room
    for row in range(max(0, int(at[1] - reach)), min(rows, int(at[1] + reach) + 2)):
        for column in range(max(0, int(at[0] - reach)), min(columns, int(at[0] + reach) + 2)):
            away = math.hypot(column + 0.5 - at[0], row + 0.5 - at[1])
            share = (away - body) / max(room, 1e-6)
            value = peaks[0] if away <= body else peaks[1] + share * (peaks[2] - peaks[1]) if share <= 1.0 else 0.0
            if value > cost[row, column]:
                cost[row, column] = int(value)
