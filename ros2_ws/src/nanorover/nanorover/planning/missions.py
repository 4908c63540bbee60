"""Behaviour trees for what people ask of the robot (py-trees), and the mission that runs one."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from py_trees.behaviour import Behaviour
from py_trees.common import Status
from py_trees.composites import Selector, Sequence
from py_trees.decorators import Decorator, FailureIsSuccess

from nanorover.geometry.se2 import Pose, compose
from nanorover.planning.behaviours import (
    Approach,
    ClearCostmaps,
    Drive,
    Leaf,
    NextFrontier,
    Reachable,
    Spin,
    Straight,
    Wait,
)
from nanorover.planning.global_planner import GOAL_OCCUPIED, NO_WAY
from nanorover.planning.navigator import Navigator
from nanorover.planning.pilot import BehavioursParams, Moment, Pilot

ANYONE = -1
NEARER_M = 0.3  # by so much a round of recoveries must bring the robot on
TIMEOUT = 1001  # of the action Explore
IN_VAIN = 2  # drives that ended where they began: the robot is stuck
SHUT_S = 2.0  # without a way for so long, another frontier is looked at: no recovery opens it


def persistent(pilot: Pilot, drive: Callable[[], Behaviour], left_m: Callable[[], float]) -> Behaviour:
    """Drive; if that fails, recover and drive again, each time in another way: clear, back up, wait, spin. And so
    on for as long as that brings the robot nearer to the goal; where it has waited in vain none of that helps."""
    p = pilot.params
    recoveries: list[Leaf] = [
        ClearCostmaps(pilot),
        Straight(pilot, -p.back_up_m, p.back_up_speed_m_s),
        Wait(pilot, p.wait_s),
        Spin(pilot, p.spin_rad),
    ]
    again = [
        Sequence(
            f"{r.name}, then drive", memory=True, children=[Hopeful(pilot), FailureIsSuccess(r.name, r), drive()]
        )
        for r in recoveries
    ]
    rounds = WhileItHelps(Selector("recover", memory=True, children=again), left_m)
    return Selector("drive or recover", memory=True, children=[drive(), rounds])


class Hopeful(Behaviour):
    """Whether recovering may help."""

    def __init__(self, pilot: Pilot) -> None:
        super().__init__("hopeful")
        self.pilot = pilot

    def update(self) -> Status:
        return Status.FAILURE if self.pilot.waited_in_vain else Status.SUCCESS


class WhileItHelps(Decorator):
    """Recover in rounds, for as long as a round has brought the robot nearer to the goal."""

    def __init__(self, child: Behaviour, left_m: Callable[[], float]) -> None:
        super().__init__("while it helps", child)
        self.left_m = left_m

    def initialise(self) -> None:
        self.least_m = self.left_m()

    def update(self) -> Status:
        if self.decorated.status != Status.FAILURE:
            return self.decorated.status
        left_m = self.left_m()
        if not left_m < self.least_m - NEARER_M:
            return Status.FAILURE
        self.least_m = left_m
        return Status.RUNNING


def through_poses(pilot: Pilot, goals: list[Pose], *, any_yaw: bool = False, recovers: bool = True) -> Behaviour:
    """Drive through poses to the last one; fails at once if there is no way. Passed poses leave the list."""

    def left_m() -> float:
        poses = [pilot.moment.T_map_base, *goals]
        plans = [pilot.navigator.plan(a, b, by_map_alone=True) for a, b in pairwise(poses)]
        return sum(math.inf if p.error else p.length_m for p in plans)

    def drive() -> Behaviour:
        return Drive(pilot, lambda: goals, any_yaw=any_yaw)

    way = persistent(pilot, drive, left_m) if recovers else drive()
    return Sequence("navigate", memory=True, children=[Reachable(pilot, goals), way])


class Missed(FailureIsSuccess):
    """A waypoint that failed is noted, and the next one follows."""

    def __init__(self, number: int, child: Behaviour, missed: list[tuple[int, str]], pilot: Pilot) -> None:
        super().__init__(f"waypoint {number}", child)
        self.number, self.missed, self.pilot = number, missed, pilot

    def update(self) -> Status:
        status = super().update()
        if self.decorated.status == Status.FAILURE:
            self.missed.append((self.number, self.pilot.reason))
        return status


def waypoints(pilot: Pilot, goals: list[tuple[int, Pose]], missed: list[tuple[int, str]]) -> Behaviour:
    """Drive to one numbered pose after another; the numbers not reached come into ``missed`` with the reason."""
    visits = [Missed(number, through_poses(pilot, [goal]), missed, pilot) for number, goal in goals]
    return Sequence("waypoints", memory=True, children=visits)


class Explore(Leaf):
    """Look at one frontier after another until none is left that can be reached; a robot that is stuck fails.

    What could not be reached is left for the end, and recovered from there, or where the robot did not get away.
    """

    def __init__(self, pilot: Pilot, within_s: float = math.inf) -> None:
        super().__init__("explore", pilot)
        self.within_s, self.end_s = within_s, pilot.moment.now_s + within_s
        # a place that showed nothing new must not be chosen for ever, nor one that cannot be reached
        self.given_up: list[tuple[float, float]] = []
        self.reached: list[tuple[float, float]] = []
        self.chooser = NextFrontier(pilot, self.given_up)
        self.drive: Behaviour | None = None
        self.thorough = False
        self.in_vain = 0  # drives, one after the other, that have not brought the robot anywhere

    def update(self) -> Status:
        pilot, chooser = self.pilot, self.chooser
        if pilot.moment.now_s > self.end_s:
            return self.failed(f"not explored within {self.within_s:.0f} s", TIMEOUT)
        if self.drive is None:
            chooser.tick_once()
            if chooser.status == Status.FAILURE:
                if self.thorough or not chooser.exhausted or len(self.given_up) == len(self.reached):
                    return self._end()
                self.thorough, self.given_up[:] = True, self.reached
                return Status.RUNNING
            assert chooser.chosen is not None
            self.start, self.open_s = pilot.moment.T_map_base.copy(), pilot.moment.now_s
            recovers = self.thorough or self.in_vain > 0
            self.drive = through_poses(pilot, [chooser.chosen], any_yaw=True, recovers=recovers)
        self.drive.tick_once()
        tip = self.drive.tip()
        self.feedback_message = f"{chooser.feedback_message}: {tip.feedback_message if tip else ''}"
        no_way = pilot.error in (NO_WAY, GOAL_OCCUPIED)
        if not no_way:
            self.open_s = pilot.moment.now_s
        if self.drive.status == Status.RUNNING and pilot.moment.now_s - self.open_s < SHUT_S:
            return Status.RUNNING
        assert chooser.chosen is not None
        place = (float(chooser.chosen[0]), float(chooser.chosen[1]))
        self.given_up.append(place)
        gone_m = math.dist(self.start[:2], pilot.moment.T_map_base[:2])
        if self.drive.status == Status.SUCCESS:
            self.reached.append(place)
            self.in_vain = 0
        elif not no_way:
            self.in_vain = self.in_vain + 1 if gone_m < pilot.params.progress_m else 0
        self.drive.stop(Status.INVALID)
        self.drive = None
        if self.in_vain == IN_VAIN:
            return self.failed(f"stuck: {pilot.reason}")
        return Status.RUNNING

    def _end(self) -> Status:
        pilot = self.pilot
        if not self.chooser.exhausted:
            return self.failed(pilot.reason)
        unreached = self.chooser.unreached(self.reached)
        borders = "1 border" if unreached == 1 else f"{unreached} borders"
        if unreached == 0:
            return self.succeeded("explored: nothing is left that can be explored")
        if not self.reached:
            return self.failed(f"explored nothing, {borders} could not be reached")
        status = self.succeeded(f"explored, {borders} could not be reached")
        pilot.reason = self.feedback_message
        return status

    def terminate(self, new_status: Status) -> None:
        if self.drive is not None:
            self.drive.stop(Status.INVALID)


class Quarry:
    """The person that is followed: a track, or another one that takes its place when its track is lost."""

    def __init__(self, pilot: Pilot, object_id: int, distance_m: float) -> None:
        self.pilot, self.object_id = pilot, object_id
        self.distance_m = distance_m or pilot.params.follow_distance_m
        self.last_m: np.ndarray | None = None
        self.seen_s = pilot.moment.now_s
        self.gap_m = math.inf

    def goals(self) -> list[Pose] | None:
        """A pose at the wanted distance, looking at the person; None once the person is lost."""
        moment, navigator = self.pilot.moment, self.pilot.navigator
        people = navigator.semantics.animate(navigator.objects)
        near = self.last_m if self.last_m is not None else moment.T_map_base[:2]
        chosen = next((o for o in people if o.id == self.object_id), None)
        if chosen is None and (self.object_id == ANYONE or self.last_m is not None):
            chosen = min(people, key=lambda o: math.dist(o.state[:2], near), default=None)
            if chosen is not None and self.last_m is not None and math.dist(chosen.state[:2], near) > 1.0:
                chosen = None
        if chosen is not None:
            self.object_id, self.last_m, self.seen_s = chosen.id, chosen.state[:2].copy(), moment.now_s
        elif self.last_m is None or moment.now_s - self.seen_s > self.pilot.params.lost_after_s:
            return None
        assert self.last_m is not None
        away = self.last_m - moment.T_map_base[:2]
        self.gap_m = float(np.hypot(*away))
        share = max(0.0, 1.0 - self.distance_m / max(self.gap_m, 1e-6))
        return [np.array([*(moment.T_map_base[:2] + share * away), math.atan2(away[1], away[0])])]


def follow_person(pilot: Pilot, quarry: Quarry) -> Behaviour:
    """Keep near a person until cancelled or lost."""
    return Drive(pilot, quarry.goals, endless=True)


def dock(pilot: Pilot, goal: Pose, stage: bool = True) -> Behaviour:
    """Drive to a pose before the dock, then creep onto it; what missed it backs out and tries again."""
    p = pilot.params
    staging = compose(goal, np.array([-p.staging_m, 0.0, 0.0]))

    def again() -> Behaviour:
        out = Straight(pilot, -p.staging_m, p.back_up_speed_m_s)
        steps = [FailureIsSuccess(out.name, out), through_poses(pilot, [staging]), Approach(pilot, goal)]
        return Sequence("dock again", memory=True, children=steps)

    first = [through_poses(pilot, [staging])] if stage else []
    tries = [Approach(pilot, goal), *(again() for _ in range(p.dock_tries - 1))]
    return Sequence("dock", memory=True, children=[*first, Selector("approach", memory=True, children=tries)])


class Mission:
    """A tree being run. ``tick`` it at the control rate; the command is the pilot's."""

    def __init__(self, navigator: Navigator, params: BehavioursParams, moment: Moment) -> None:
        self.pilot = Pilot(navigator, params, moment)
        self.tree: Behaviour | None = None

    def start(self, tree: Behaviour) -> None:
        """Run this tree from the next tick on."""
        self.tree = tree

    def tick(self, moment: Moment) -> Status:
        """One step; the pilot holds still unless the tree is running."""
        assert self.tree is not None
        self.pilot.moment = moment
        self.pilot.navigator.bump.on_wheels(moment.velocity, moment.told, moment.now_s)
        self.tree.tick_once()
        if self.tree.status != Status.RUNNING:
            self.pilot.hold(self.pilot.reason)
        return self.tree.status

    def cancel(self, reason: str) -> None:
        """Stop wherever it is."""
        if self.tree is not None:
            self.tree.stop(Status.INVALID)
        self.pilot.navigator.stop()
        self.pilot.hold(reason)

    def feedback(self) -> str:
        """What the running leaf says."""
        tip = self.tree.tip() if self.tree is not None else None
        return tip.feedback_message if tip is not None else ""
