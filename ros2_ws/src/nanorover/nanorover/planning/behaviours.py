"""The leaves of the behaviour trees. Each commands through the pilot and says in one sentence what it is doing."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from py_trees.behaviour import Behaviour
from py_trees.common import Status

from nanorover.base.gate import Velocity
from nanorover.geometry.se2 import Pose, between, wrap_angle
from nanorover.planning.exploration import next_frontier
from nanorover.planning.global_planner import Plan, poses_along
from nanorover.planning.motion import turn_towards
from nanorover.planning.pilot import Pilot, Progress

LOST, UNKNOWN_ERROR = 1102, 1
GOAL_MOVED_M = 0.3
SAME_BLOCKAGE_M = 1.0
HELD = "held, and the lidar does not see by what"
SAME_BUMP_M, MOST_BUMPS = 0.5, 3
LOOK_AHEAD_S = 0.4
# Docking steers at a point so far ahead on the axis, and over the last piece of way for the yaw alone, so fast.
AHEAD_M, STRAIGHTEN_M, STRAIGHTEN_1_S = 0.2, 0.12, 1.5


class Leaf(Behaviour):
    """A behaviour with the pilot at hand."""

    def __init__(self, name: str, pilot: Pilot) -> None:
        super().__init__(name)
        self.pilot = pilot

    def succeeded(self, sentence: str) -> Status:
        """Stand; done."""
        self.pilot.hold("")
        self.feedback_message = sentence
        return Status.SUCCESS

    def failed(self, sentence: str, error: int = UNKNOWN_ERROR) -> Status:
        """Stand; it cannot be done."""
        self.pilot.fail(sentence, error)
        self.feedback_message = sentence
        return Status.FAILURE

    def commanding(self, velocity: Velocity, sentence: str = "") -> Status:
        """Go on."""
        self.pilot.command, self.pilot.reason = velocity, sentence
        self.pilot.trajectory = self.pilot.moment.T_map_base[None]
        self.feedback_message = sentence
        return Status.RUNNING


class Retreat:
    """Backing off from what holds the robot and the lidar does not see, as far as there is room; ``times`` is how
    often it was needed about here."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot = pilot
        self.off: Straight | None = None
        self.place_m, self.times = np.full(2, math.inf), 0

    def tick(self) -> bool:
        """Whether the robot backs off now, and commands that."""
        pilot, moment = self.pilot, self.pilot.moment
        if self.off is None:
            if not pilot.held():
                return False
            self.times = self.times + 1 if math.dist(self.place_m, moment.T_map_base[:2]) < SAME_BUMP_M else 1
            self.place_m = moment.T_map_base[:2].copy()
            way_m = pilot.params.back_off_m if pilot.command.linear_m_s < 0.0 else -pilot.params.back_off_m
            self.off = Straight(pilot, way_m, pilot.params.back_up_speed_m_s)
        self.off.tick_once()
        if self.off.status != Status.RUNNING:
            self.off = None
        return self.off is not None


class Reachable(Leaf):
    """Whether the map has a way to the goals at all."""

    def __init__(self, pilot: Pilot, goals: list[Pose]) -> None:
        super().__init__("reachable", pilot)
        self.goals = goals

    def update(self) -> Status:
        navigator, start = self.pilot.navigator, self.pilot.moment.T_map_base
        for goal in self.goals:
            found = navigator.plan(start, goal, by_map_alone=True)
            if found.error:
                return self.failed(found.reason, found.error)
            start = goal
        return self.succeeded("there is a way")


class Drive(Leaf):
    """Drive through poses to the last one, planning anew once in a while, when blocked, and when the goal moves.

    A pose that was passed is taken off the list of goals. With ``any_yaw`` being there is enough.
    """

    def __init__(
        self,
        pilot: Pilot,
        goals: Callable[[], list[Pose] | None],
        endless: bool = False,
        any_yaw: bool = False,
    ) -> None:
        super().__init__("drive", pilot)
        self.goals, self.endless, self.any_yaw = goals, endless, any_yaw

    def initialise(self) -> None:
        self.progress = Progress(self.pilot.params)
        self.planned_s, self.planned_to = -math.inf, np.full(2, math.inf)
        self.why = ""
        self.blocked_m: tuple[float, float] | None = None
        self.retreat = Retreat(self.pilot)
        self.pilot.waited_in_vain = False

    def update(self) -> Status:
        pilot, moment, navigator = self.pilot, self.pilot.moment, self.pilot.navigator
        if self.retreat.tick():
            navigator.stop()
            self.planned_s = -math.inf
            self.feedback_message = HELD
            return Status.RUNNING
        if self.retreat.times > MOST_BUMPS:
            return self.failed(f"{HELD}, {self.retreat.times} times")
        goals = self.goals()
        if goals is None:
            return self.failed("there is nothing to drive to any more", LOST)
        while len(goals) > 1 and self._passed(goals[0]):
            goals.pop(0)
        self._plan(goals[0])
        there = navigator.arrived(moment.T_map_base, any_yaw=self.any_yaw)
        if len(goals) == 1 and there and not self.why:
            if not self.endless:
                return self.succeeded("arrived")
            return self.commanding(Velocity(0.0, 0.0), "there")
        if len(navigator.path) == 0 or (there and self.why):
            pilot.hold(self.why)
        else:
            control = navigator.drive(moment.T_map_base, moment.velocity, moment.now_ns)
            pilot.command, pilot.trajectory, pilot.reason = control.velocity, control.trajectory, control.reason
        someone = navigator.person_near(moment.T_map_base)
        waits = someone or self.blocked_m is not None
        stuck_s = self.progress.lost_patience(moment, waits)
        held = "a person is in the way" if someone and self.progress.stands(moment) else ""
        if stuck_s:
            pilot.waited_in_vain = waits
            why = self.why or held or pilot.reason or "no progress"
            return self.failed(f"{why}, for {stuck_s:.0f} s", pilot.error or UNKNOWN_ERROR)
        self.feedback_message = self.why or held or pilot.reason or "driving"
        return Status.RUNNING

    def terminate(self, new_status: Status) -> None:
        self.pilot.navigator.stop()

    def _passed(self, goal: Pose) -> bool:
        return math.dist(goal[:2], self.pilot.moment.T_map_base[:2]) < self.pilot.params.pass_within_m

    def _plan(self, goal: Pose) -> None:
        pilot, moment, navigator = self.pilot, self.pilot.moment, self.pilot.navigator
        moved = math.dist(self.planned_to, goal[:2]) > GOAL_MOVED_M
        age_s = moment.now_s - self.planned_s
        if not (moved or age_s > pilot.params.replan_period_s or (age_s > 0.2 and navigator.blocked())):
            return
        self.planned_s, self.planned_to = moment.now_s, goal[:2].copy()
        found = navigator.plan(moment.T_map_base, goal)
        if found.error:
            found = navigator.plan_to_blockage(moment.T_map_base, goal) or found
        if not moved and self._same_blockage(found):
            return
        self.why, self.blocked_m, pilot.error = found.reason, found.blocked_m, found.error
        if len(found.path):
            if self.any_yaw:
                found.path[-1, 2] = found.path[-2, 2]
            if moved or not navigator.worth_keeping(moment.T_map_base, found.path):
                navigator.follow(found.path)
        elif moved or navigator.blocked():
            navigator.stop()  # better to stand than to follow a path that leads into something

    def _same_blockage(self, found: Plan) -> bool:
        """Whether the robot is on its way to a blockage, or before it, and it is still there."""
        navigator = self.pilot.navigator
        if self.blocked_m is None or navigator.blocked():
            return False
        if found.blocked_m is None:
            return not found.error and navigator.squeezes(found.path, self.blocked_m)
        return math.dist(self.blocked_m, found.blocked_m) < SAME_BLOCKAGE_M


class FollowPath(Leaf):
    """Drive along a path that somebody else has planned."""

    def __init__(self, pilot: Pilot, path: NDArray[np.float64]) -> None:
        super().__init__("follow path", pilot)
        self.path = path

    def initialise(self) -> None:
        self.progress = Progress(self.pilot.params)
        navigator = self.pilot.navigator
        spacing_m = navigator.settings.global_planner.point_spacing_m
        navigator.follow(poses_along(self.path[:, :2], spacing_m, float(self.path[-1, 2])))

    def update(self) -> Status:
        pilot, moment, navigator = self.pilot, self.pilot.moment, self.pilot.navigator
        if navigator.arrived(moment.T_map_base):
            return self.succeeded("arrived")
        if self.pilot.held():
            return self.failed(HELD)
        control = navigator.drive(moment.T_map_base, moment.velocity, moment.now_ns)
        pilot.command, pilot.trajectory, pilot.reason = control.velocity, control.trajectory, control.reason
        stuck_s = self.progress.lost_patience(moment, navigator.person_near(moment.T_map_base))
        if stuck_s:
            return self.failed(f"{pilot.reason or 'no progress'}, for {stuck_s:.0f} s")
        self.feedback_message = pilot.reason or "driving"
        return Status.RUNNING

    def terminate(self, new_status: Status) -> None:
        self.pilot.navigator.stop()


class Straight(Leaf):
    """Drive straight by a distance; negative is back. Fails before an obstacle, or where safety holds it."""

    def __init__(self, pilot: Pilot, distance_m: float, speed_m_s: float, within_s: float = math.inf) -> None:
        super().__init__("back up" if distance_m < 0.0 else "straight on", pilot)
        self.distance_m, self.speed_m_s, self.within_s = distance_m, speed_m_s, within_s

    def initialise(self) -> None:
        self.pilot.recoveries += 1
        self.start = self.pilot.moment.T_map_base.copy()
        self.start_s = self.pilot.moment.now_s

    def gone_m(self) -> float:
        """The way so far along the robot's axis."""
        return abs(float(between(self.start, self.pilot.moment.T_map_base)[0]))

    def update(self) -> Status:
        elapsed_s = self.pilot.moment.now_s - self.start_s
        needed_s = abs(self.distance_m) / self.speed_m_s
        if self.gone_m() >= abs(self.distance_m):
            return self.succeeded(f"{self.name} by {self.gone_m():.2f} m")
        if elapsed_s > min(self.within_s, 2.0 * needed_s + 2.0):
            return self.failed(f"could {self.name} by {self.gone_m():.2f} m only")
        if self.pilot.held():
            return self.failed(f"could {self.name} by {self.gone_m():.2f} m only: {HELD}")
        velocity = Velocity(math.copysign(self.speed_m_s, self.distance_m), 0.0)
        if self.pilot.navigator.runs_into(self.pilot.moment.T_map_base, velocity, LOOK_AHEAD_S):
            return self.failed(f"could {self.name} by {self.gone_m():.2f} m only: there is an obstacle")
        return self.commanding(velocity, self.name)


class Spin(Leaf):
    """Turn on the spot by an angle."""

    def __init__(self, pilot: Pilot, angle_rad: float, within_s: float = math.inf) -> None:
        super().__init__("spin", pilot)
        self.angle_rad, self.within_s = angle_rad, within_s

    def initialise(self) -> None:
        self.pilot.recoveries += 1
        self.turned_rad = 0.0
        self.last_rad = float(self.pilot.moment.T_map_base[2])
        self.start_s = self.pilot.moment.now_s
        self.turning_rad_s = 0.0

    def update(self) -> Status:
        moment, motion = self.pilot.moment, self.pilot.navigator.settings.motion
        yaw = float(moment.T_map_base[2])
        self.turned_rad += wrap_angle(yaw - self.last_rad)
        self.last_rad = yaw
        left_rad = self.angle_rad - self.turned_rad
        if abs(left_rad) < motion.goal_yaw_rad:
            return self.succeeded(f"turned by {self.turned_rad:.2f} rad")
        allowed_s = 3.0 * abs(self.angle_rad) / motion.max_angular_rad_s + 3.0
        if moment.now_s - self.start_s > min(self.within_s, allowed_s):
            return self.failed(f"could turn by {self.turned_rad:.2f} rad only")
        if self.pilot.held():
            return self.failed(f"could turn by {self.turned_rad:.2f} rad only: {HELD}")
        step_s = self.pilot.navigator.step_s
        self.turning_rad_s = turn_towards(left_rad, self.turning_rad_s, motion, step_s)
        if self.pilot.navigator.runs_into(moment.T_map_base, Velocity(0.0, self.turning_rad_s), LOOK_AHEAD_S):
            return self.failed(f"could turn by {self.turned_rad:.2f} rad only: there is an obstacle")
        return self.commanding(Velocity(0.0, self.turning_rad_s), self.name)


class Wait(Leaf):
    """Stand for a while."""

    def __init__(self, pilot: Pilot, for_s: float) -> None:
        super().__init__("wait", pilot)
        self.for_s = for_s

    def initialise(self) -> None:
        self.pilot.recoveries += 1
        self.start_s = self.pilot.moment.now_s

    def left_s(self) -> float:
        """Time still to wait."""
        return max(0.0, self.for_s - (self.pilot.moment.now_s - self.start_s))

    def update(self) -> Status:
        if self.left_s() <= 0.0:
            return self.succeeded(f"waited for {self.for_s:g} s")
        return self.commanding(Velocity(0.0, 0.0), f"waiting for {self.left_s():.0f} s")


class ClearCostmaps(Leaf):
    """Forget marked obstacles that the lidar would see: what still stands will be marked by the next scan."""

    def __init__(self, pilot: Pilot) -> None:
        super().__init__("clear the costmaps", pilot)

    def update(self) -> Status:
        self.pilot.recoveries += 1
        self.pilot.navigator.clear_costmaps(self.pilot.moment.now_s)
        return self.succeeded("costmaps cleared")


class Approach(Leaf):
    """Creep straight and precisely to a pose just ahead, steering onto its axis and at last for its yaw alone: the
    last piece of docking."""

    def __init__(self, pilot: Pilot, goal: Pose) -> None:
        super().__init__("approach", pilot)
        self.goal = goal

    def initialise(self) -> None:
        self.start_s = self.pilot.moment.now_s

    def update(self) -> Status:
        p, moment = self.pilot.params, self.pilot.moment
        x, y, yaw = between(self.goal, moment.T_map_base)  # the robot as the dock sees it
        if x >= -p.dock_distance_m:
            if abs(y) <= p.dock_distance_m and abs(yaw) <= p.dock_yaw_rad:
                return self.succeeded("docked")
            return self.failed(f"missed the dock by {abs(y):.3f} m and {abs(yaw):.2f} rad")
        if moment.now_s - self.start_s > 3.0 * p.staging_m / p.dock_speed_m_s + 5.0:
            return self.failed("something is before the dock")
        if x > -STRAIGHTEN_M:
            turning = -STRAIGHTEN_1_S * yaw
        else:  # steer at a point on the axis a little ahead, as pure pursuit does
            bearing = wrap_angle(math.atan2(-y, AHEAD_M) - yaw)
            turning = 2.0 * p.dock_speed_m_s * math.sin(bearing) / AHEAD_M
        return self.commanding(Velocity(p.dock_speed_m_s, turning), "docking")


class NextFrontier(Leaf):
    """Choose where to explore next; fails when nothing is left."""

    def __init__(self, pilot: Pilot, given_up: list[tuple[float, float]]) -> None:
        super().__init__("next frontier", pilot)
        self.given_up = given_up
        self.chosen: Pose | None = None
        self.exhausted = False  # the map was looked at, and has nothing to choose
        self.left = 0

    def update(self) -> Status:
        navigator = self.pilot.navigator
        if navigator.world is None:
            return self.failed("there is no map yet")
        pose = self.pilot.moment.T_map_base
        if not navigator.world.raster.contains(pose[0], pose[1]):
            return self.failed("the robot is outside the map")
        found, self.left = self._next(navigator.planning_cost(pose), self.given_up)
        self.chosen = found
        self.exhausted = found is None
        if found is None:
            return self.failed("nothing is left that can be explored")
        return self.succeeded(f"exploring ({found[0]:.1f}, {found[1]:.1f}), {self.left} left")

    def unreached(self, reached: list[tuple[float, float]]) -> int:
        """How many frontiers the map has a way to, but those at places that were reached."""
        return self._next(self.pilot.navigator.known_cost, reached)[1]

    def _next(self, cost: NDArray[np.uint8], seen: list[tuple[float, float]]) -> tuple[Pose | None, int]:
        pilot, world = self.pilot, self.pilot.navigator.world
        assert world is not None
        return next_frontier(cost, world, pilot.moment.T_map_base, pilot.params.least_frontier_m, seen)
