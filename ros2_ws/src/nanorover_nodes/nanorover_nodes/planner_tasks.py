"""Actions of the planner: one task at a time; a new one preempts the old one, every end has a reason.

The names and types are Nav2's; on distributions whose ``nav2_msgs`` lack a field, the field is left out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from nav2_msgs.msg import MissedWaypoint
from numpy.typing import NDArray
from py_trees.behaviour import Behaviour
from py_trees.common import Status
from rclpy.action import ActionServer, CancelResponse
from rclpy.task import Future

from nanorover.base.gate import STILL, Velocity
from nanorover.errors import InputError
from nanorover.geometry.se2 import Pose
from nanorover.planning import missions
from nanorover.planning.behaviours import FollowPath, Spin, Straight, Wait
from nanorover.planning.missions import Mission
from nanorover.planning.pilot import Moment, Pilot
from nanorover.tables import ACTIONS
from nanorover_nodes import convert

if TYPE_CHECKING:
    from nanorover_nodes.planner import PlannerNode

FEEDBACK_PERIOD_S = 0.5
MOST_VISITS = 5000  # of waypoints in one task: each is a branch of its tree, made when it begins
NO_POSE = 202  # TF_ERROR of ComputePathToPose
UNKNOWN = 1
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
# Stands between the task and its reason, in what the node says of itself.
TASK_FAILED = " failed: "


@dataclass(frozen=True)
class End:
    """How a task ended, and why."""

    outcome: str
    error: int = 0
    reason: str = ""


@dataclass
class Task:
    """What the robot does now."""

    name: str
    mission: Mission
    future: Future
    goal: Any = None
    poses_left: list[Pose] = field(default_factory=list)
    missed: list[tuple[int, str]] = field(default_factory=list)
    fill: Callable[[Any, "Task"], None] = lambda feedback, task: None
    start_s: float = field(default_factory=time.monotonic)
    told_s: float = 0.0


class Tasks:
    """The action servers and the task that runs."""

    def __init__(self, node: "PlannerNode") -> None:
        self.node = node
        self.task: Task | None = None
        self.servers: list[ActionServer] = []
        self._serve_task("navigate_to_pose", self._navigate)
        self._serve_task("navigate_through_poses", self._navigate)
        self._serve_task("follow_waypoints", self._waypoints)
        self._serve_task("follow_path", self._follow_path)
        self._serve_task("spin", self._spin)
        self._serve_task("backup", self._back_up)
        self._serve_task("wait", self._wait)
        self._serve_task("dock_robot", self._dock)
        self._serve_task("explore", self._explore)
        self._serve_task("follow_person", self._follow_person)
        self._serve("compute_path_to_pose", self._compute_path)
        for name in ("global", "local"):
            node.serve(f"{name}_costmap/clear_entirely_{name}_costmap", self._clear)

    @property
    def running(self) -> bool:
        """Whether there is a task."""
        return self.task is not None

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name if self.task else "idle"

    def destroy(self) -> None:
        """Close the servers."""
        for server in self.servers:
            server.destroy()

    def trajectory(self) -> NDArray[np.float64]:
        """Where the last command leads."""
        return self.task.mission.pilot.trajectory if self.task else np.zeros((0, 3))

    def drive_to(self, goal: Pose) -> None:
        """A goal without an action, as RViz sends it. InputError if the robot does not know where it is."""
        self._begin("goal_pose", lambda pilot, task: missions.through_poses(pilot, [goal]), [goal])

    def tick(self, moment: Moment) -> tuple[Velocity, str]:
        """One control cycle: the command, and what the task says."""
        task = self.task
        if task is None:
            return STILL, "idle"
        if task.goal is not None and task.goal.is_cancel_requested:
            self._end(End(CANCELLED, 0, "cancelled"))
            return STILL, "cancelled"
        status = task.mission.tick(moment)
        pilot = task.mission.pilot
        if status == Status.RUNNING:
            self._tell(task, moment)
            return pilot.command, task.mission.feedback() or task.name
        if status == Status.SUCCESS:
            self._end(End(SUCCEEDED, 0, pilot.reason))
            return STILL, f"{task.name}: {pilot.reason or 'done'}"
        self._end(End(FAILED, pilot.error or UNKNOWN, pilot.reason))
        return STILL, f"{task.name}{TASK_FAILED}{pilot.reason}"

    def end_all(self, reason: str) -> bool:
        """The task is over, for a reason outside it; False where there was none."""
        if self.task is None:
            return False
        self._end(End(FAILED, NO_POSE, reason))
        self.node.last_word = reason
        return True

    # -- one task -------------------------------------------------------------------------------------

    def _begin(
        self, name: str, tree: Callable[[Pilot, Task], Behaviour], poses: list[Pose], goal: Any = None
    ) -> Task:
        """Preempt what runs, and start anew."""
        moment = self.node.moment()
        if not self.node.active:
            raise InputError("the planner is not active")
        if self.node.stopped:
            raise InputError("the emergency stop is on", "release it first")
        if moment is None:
            raise InputError("the robot does not know where it is", "no chain of transforms from map to base")
        if self.task is not None:
            self._end(End(FAILED, UNKNOWN, f"preempted by {name}"), drive_on=True)
        mission = Mission(self.node.navigator, self.node.params["behaviours"], moment)
        task = Task(name, mission, Future(), goal, poses)
        mission.start(tree(mission.pilot, task))
        self.task = task
        self.node.blind_since_s = 0.0
        return task

    def _end(self, end: End, drive_on: bool = False) -> None:
        """The task is over; the robot stands then, unless another task makes it ``drive_on``."""
        task, self.task = self.task, None
        assert task is not None
        task.mission.cancel(end.reason)
        if not drive_on:
            self.node._command(STILL)
        if end.outcome == FAILED:
            self.node.get_logger().warning(f"{task.name}: {end.reason}")
        task.future.set_result(end)

    def _tell(self, task: Task, moment: Moment) -> None:
        if task.goal is None or moment.now_s - task.told_s < FEEDBACK_PERIOD_S:
            return
        task.told_s = moment.now_s
        feedback = _type_of(task.goal).Feedback()
        task.fill(feedback, task)
        task.goal.publish_feedback(feedback)

    # -- action servers -------------------------------------------------------------------------------

    def _serve(self, name: str, execute: Callable[[Any], Any]) -> None:
        """Offer a declared action, where the ROS distribution knows its type: Humble has no docking."""
        try:
            kind = convert.message_class(ACTIONS[name].type)
        except AttributeError:
            self.node.get_logger().warning(f"no action {name}: this ROS has no {ACTIONS[name].type}")
            return
        accept = CancelResponse.ACCEPT
        self.servers.append(ActionServer(self.node, kind, name, execute, cancel_callback=lambda _: accept))

    def _serve_task(self, name: str, begin: Callable[[Any, Any], Task]) -> None:
        """Offer an action that makes the robot move."""

        async def execute(goal: Any) -> Any:
            result = _type_of(goal).Result()
            try:
                task = begin(goal, goal.request)
            except InputError as error:
                goal.abort()
                return _with(result, error_code=UNKNOWN, error_msg=str(error), success=False)
            end: End = await task.future
            elapsed = _duration(time.monotonic() - task.start_s)
            _with(result, error_code=end.error, error_msg=end.reason, total_elapsed_time=elapsed)
            _with(result, success=end.outcome == SUCCEEDED)
            if hasattr(result, "missed_waypoints"):
                result.missed_waypoints = [_missed(i, goal.request.poses[i]) for i, _ in task.missed]
                result.error_msg = "; ".join(f"{i}: {why}" for i, why in task.missed) or end.reason
            if hasattr(result, "mapped_area_m2"):
                result.mapped_area_m2 = self._mapped_m2()
            {SUCCEEDED: goal.succeed, FAILED: goal.abort, CANCELLED: goal.canceled}[end.outcome]()
            return result

        self._serve(name, execute)

    def _navigate(self, goal: Any, request: Any) -> Task:
        messages = request.poses if hasattr(request, "poses") else [request.pose]
        if not messages:
            raise InputError("there is no pose to drive to")
        poses = [self.node.goals.read(message) for message in messages]
        name = "navigate_to_pose" if len(poses) == 1 else "navigate_through_poses"
        task = self._begin(name, lambda pilot, _: missions.through_poses(pilot, poses), poses, goal)
        task.fill = self._fill_navigation
        return task

    def _waypoints(self, goal: Any, request: Any) -> Task:
        poses = [self.node.goals.read(message) for message in request.poses]
        if not poses:
            raise InputError("there are no waypoints")
        if request.goal_index >= len(poses):
            raise InputError(f"goal_index is {request.goal_index}", f"the last waypoint is {len(poses) - 1}")
        loops = max(0, request.number_of_loops)
        if loops * len(poses) > MOST_VISITS:
            raise InputError(f"{loops} loops of {len(poses)} waypoints", f"{MOST_VISITS} visits are the most")
        order = [*range(request.goal_index, len(poses)), *(list(range(len(poses))) * loops)]
        rounds = [(number, poses[number]) for number in order]
        task = self._begin(
            "follow_waypoints", lambda pilot, t: missions.waypoints(pilot, rounds, t.missed), poses, goal
        )

        def fill(feedback: Any, t: Task) -> None:
            tree = t.mission.tree
            current = getattr(tree, "current_child", None)
            feedback.current_waypoint = current.number if current is not None else 0

        task.fill = fill
        return task

    def _follow_path(self, goal: Any, request: Any) -> Task:
        poses = []
        for message in request.path.poses:
            one = PoseStamped(header=request.path.header, pose=message.pose)
            poses.append(self.node.goals.read(one))
        if len(poses) < 2:
            raise InputError(f"the path has {len(poses)} poses", "two are the least")
        task = self._begin("follow_path", lambda pilot, _: FollowPath(pilot, np.array(poses)), poses[-1:], goal)

        def fill(feedback: Any, t: Task) -> None:
            feedback.distance_to_goal = float(self.node.navigator.left_m())
            feedback.speed = float(t.mission.pilot.moment.velocity.linear_m_s)

        task.fill = fill
        return task

    def _spin(self, goal: Any, request: Any) -> Task:
        within_s = _seconds(request.time_allowance) or np.inf
        angle_rad = _finite(request.target_yaw, "target_yaw")
        task = self._begin("spin", lambda pilot, _: Spin(pilot, angle_rad, within_s), [], goal)
        task.fill = lambda feedback, t: _with(feedback, angular_distance_traveled=float(t.mission.tree.turned_rad))
        return task

    def _back_up(self, goal: Any, request: Any) -> Task:
        within_s = _seconds(request.time_allowance) or np.inf
        distance_m, speed = abs(_finite(request.target.x, "target.x")), abs(_finite(request.speed, "speed"))
        speed = speed or self.node.params["behaviours"].back_up_speed_m_s
        task = self._begin("backup", lambda pilot, _: Straight(pilot, -distance_m, speed, within_s), [], goal)
        task.fill = lambda feedback, t: _with(feedback, distance_traveled=t.mission.tree.gone_m())
        return task

    def _wait(self, goal: Any, request: Any) -> Task:
        task = self._begin("wait", lambda pilot, _: Wait(pilot, _seconds(request.time)), [], goal)
        task.fill = lambda feedback, t: _with(feedback, time_left=_duration(t.mission.tree.left_s()))
        return task

    def _dock(self, goal: Any, request: Any) -> Task:
        if request.use_dock_id:
            raise InputError(f"there is no list of docks, so no dock '{request.dock_id}'", "give its dock_pose")
        pose = self.node.goals.read(request.dock_pose)
        stage = request.navigate_to_staging_pose
        task = self._begin("dock_robot", lambda pilot, _: missions.dock(pilot, pose, stage), [pose], goal)
        task.fill = lambda feedback, t: _with(feedback, docking_time=_duration(time.monotonic() - t.start_s))
        return task

    def _explore(self, goal: Any, request: Any) -> Task:
        within_s = _seconds(request.time_allowance) or np.inf
        task = self._begin("explore", lambda pilot, _: missions.Explore(pilot, within_s), [], goal)

        def fill(feedback: Any, t: Task) -> None:
            tree: Any = t.mission.tree
            if tree.chooser.chosen is not None:
                feedback.frontier = self._stamped(tree.chooser.chosen)
            feedback.frontiers_left, feedback.mapped_area_m2 = tree.chooser.left, self._mapped_m2()

        task.fill = fill
        return task

    def _follow_person(self, goal: Any, request: Any) -> Task:
        quarries: list[missions.Quarry] = []

        def tree(pilot: Pilot, _: Task) -> Behaviour:
            quarries.append(missions.Quarry(pilot, request.object_id, float(request.distance_m)))
            return missions.follow_person(pilot, quarries[0])

        task = self._begin("follow_person", tree, [], goal)
        task.fill = lambda feedback, _: _with(
            feedback, object_id=max(0, quarries[0].object_id), distance_m=float(min(quarries[0].gap_m, 1e6))
        )
        return task

    def _compute_path(self, goal: Any) -> Any:
        result, start_s = _type_of(goal).Result(), time.monotonic()
        try:
            end = self.node.goals.read(goal.request.goal)
            start = (
                self.node.goals.read(goal.request.start) if goal.request.use_start else self.node.poses.latest()
            )
            if start is None:
                raise InputError("the robot does not know where it is")
            found = self.node.navigator.plan(start, end)
            error, reason = found.error, found.reason
            result.path = self.node.views.path_msg(found.path)
        except InputError as problem:
            error, reason = NO_POSE, str(problem)
        result.planning_time = _duration(time.monotonic() - start_s)
        _with(result, error_code=error, error_msg=reason)
        goal.abort() if error else goal.succeed()
        return result

    def _clear(self, request: Any) -> str:
        self.node.navigator.clear_costmaps(time.monotonic())
        return "cleared"

    # -- what is told ---------------------------------------------------------------------------------

    def _fill_navigation(self, feedback: Any, task: Task) -> None:
        pilot = task.mission.pilot
        left_m = self.node.navigator.left_m()
        poses = task.poses_left
        left_m += sum(float(np.hypot(*(b[:2] - a[:2]))) for a, b in pairwise(poses))
        feedback.current_pose = self._stamped(pilot.moment.T_map_base)
        feedback.navigation_time = _duration(time.monotonic() - task.start_s)
        feedback.estimated_time_remaining = _duration(left_m / self.node.params["motion"].max_linear_m_s)
        feedback.number_of_recoveries = pilot.recoveries
        feedback.distance_remaining = float(left_m)
        _with(feedback, number_of_poses_remaining=len(poses))

    def _stamped(self, pose: Pose) -> PoseStamped:
        message = PoseStamped(pose=convert.pose_msg(pose))
        message.header.frame_id = self.node.settings.map_frame
        message.header.stamp = self.node.get_clock().now().to_msg()
        return message

    def _mapped_m2(self) -> float:
        world = self.node.navigator.world
        return 0.0 if world is None else float(np.count_nonzero(~world.unknown)) * world.raster.resolution_m**2


def _type_of(goal: Any) -> Any:
    """The action that was asked for."""
    return goal._action_server.action_type


def _with(message: Any, **values: Any) -> Any:
    """Set the fields that this distribution's message has."""
    for name, value in values.items():
        if hasattr(message, name):
            setattr(message, name, value)
    return message


def _missed(index: int, pose: PoseStamped) -> MissedWaypoint:
    return _with(MissedWaypoint(index=index), goal=pose, error_code=UNKNOWN)


def _finite(value: float, name: str) -> float:
    if not np.isfinite(value):
        raise InputError(f"{name} is {value}", "it must be finite")
    return float(value)


def _seconds(duration: Duration) -> float:
    return duration.sec + duration.nanosec * 1e-9


def _duration(seconds: float) -> Duration:
    return Duration(sec=int(seconds), nanosec=int(seconds % 1.0 * 1e9))
