"""What the behaviours share: the moment they act in, the navigator they act through, what they command and why."""

import math
from dataclasses import dataclass, field

import numpy as np

from nanorover.base.gate import STILL, Velocity
from nanorover.geometry.se2 import Pose
from nanorover.params import param
from nanorover.planning.motion import stands
from nanorover.planning.navigator import Navigator

STANDS_FOR_S = 1.0
PAUSE_S = 0.5  # whoever was not asked for so long, blind perhaps, begins anew


@dataclass(frozen=True)
class BehavioursParams:
    """Values in ``params/behaviours.yaml``."""

    replan_period_s: float = param("time between plans", "s", minimum=0.1, maximum=60.0)
    patience_s: float = param("without progress for this long a drive has failed", "s", minimum=1.0, maximum=600.0)
    standing_patience_s: float = param("the same, standing still all the while", "s", minimum=1.0, maximum=600.0)
    blocked_patience_s: float = param(
        "the same, while a person or what is not on the map blocks the way",
        "s",
        minimum=1.0,
        maximum=600.0,
    )
    progress_m: float = param("so far is progress", "m", minimum=0.01, maximum=5.0)
    pass_within_m: float = param("a pose on the way is passed within this", "m", minimum=0.05, maximum=5.0)
    back_up_m: float = param("recovery: back up by this", "m", minimum=0.0, maximum=5.0)
    back_off_m: float = param(
        "back off by this from what holds the robot and cannot be seen", "m", minimum=0.0, maximum=1.0
    )
    back_up_speed_m_s: float = param("speed of both", "m/s", minimum=0.01, maximum=1.0)
    spin_rad: float = param("recovery: turn by this", "rad", minimum=0.0, maximum=6.3)
    wait_s: float = param("recovery: wait for this long", "s", minimum=0.0, maximum=600.0)
    least_frontier_m: float = param(
        "shorter borders of the unknown are not explored", "m", minimum=0.05, maximum=10.0
    )
    follow_distance_m: float = param("kept to a person that is followed", "m", minimum=0.5, maximum=10.0)
    lost_after_s: float = param("a person not seen for this long is lost", "s", minimum=0.1, maximum=60.0)
    staging_m: float = param("docking begins this far before the dock", "m", minimum=0.1, maximum=5.0)
    dock_speed_m_s: float = param("speed of docking", "m/s", minimum=0.01, maximum=0.5)
    dock_tries: int = param("after so many misses docking has failed", minimum=1, maximum=20)
    dock_distance_m: float = param("docked within this distance", "m", minimum=0.005, maximum=0.5)
    dock_yaw_rad: float = param("and within this angle", "rad", minimum=0.005, maximum=1.0)


@dataclass(frozen=True, eq=False)
class Moment:
    """What the robot knows of itself when a behaviour is ticked. ``now_s`` is the monotonic clock's, ``told`` what
    the wheels were told last, as far as that is known."""

    T_map_base: Pose
    velocity: Velocity
    now_s: float
    now_ns: int
    told: Velocity = STILL


@dataclass
class Pilot:
    """One per mission."""

    navigator: Navigator
    params: BehavioursParams
    moment: Moment
    command: Velocity = STILL
    trajectory: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    reason: str = ""
    error: int = 0
    recoveries: int = 0
    waited_in_vain: bool = False

    def hold(self, reason: str) -> None:
        """Stand, and say why."""
        self.command, self.reason = STILL, reason
        self.trajectory = self.moment.T_map_base[None]

    def held(self) -> bool:
        """Whether something unseen holds the robot against its command; it is an obstacle from now on."""
        return self.navigator.held(self.command, self.moment.T_map_base, self.moment.now_s)

    def fail(self, reason: str, error: int = 0) -> None:
        """Stand, and say why it is over."""
        self.hold(reason)
        self.error = error


class Progress:
    """Whether the robot gets anywhere."""

    def __init__(self, params: BehavioursParams) -> None:
        self.params = params
        self._pose: Pose | None = None
        self._since_s = 0.0
        self._moved_s = 0.0
        self._asked_s = -math.inf

    def stuck_s(self, moment: Moment) -> float:
        """For how long the robot has not gone by what counts as progress; turning to and fro is none."""
        p, pose = self.params, moment.T_map_base
        paused, self._asked_s = moment.now_s - self._asked_s > PAUSE_S, moment.now_s
        if self._pose is None or paused or math.dist(self._pose[:2], pose[:2]) > p.progress_m:
            self._pose, self._since_s = pose.copy(), moment.now_s
            self._moved_s = moment.now_s
        if not stands(moment.velocity):
            self._moved_s = moment.now_s
        return moment.now_s - self._since_s

    def stands(self, moment: Moment) -> bool:
        """Whether the robot has come to a stand, not only for a moment."""
        return moment.now_s - self._moved_s > STANDS_FOR_S

    def lost_patience(self, moment: Moment, waits: bool) -> float:
        """For how long there was no progress, once that is too long, else 0. Whoever stands still, held by the
        safety layer or by his own caution, is not going to get on; what one ``waits`` for may go again."""
        stuck_s, standing_s, p = self.stuck_s(moment), moment.now_s - self._moved_s, self.params
        if waits:
            return stuck_s if stuck_s > p.blocked_patience_s else 0.0
        if standing_s > p.standing_patience_s:
            return standing_s
        return stuck_s if stuck_s > p.patience_s else 0.0
