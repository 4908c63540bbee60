"""Actions of the planner: what is asked becomes a task, what becomes of it is told.

The names and types are Nav2's; on distributions whose ``nav2_msgs`` lack a field, the field is left out.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from nav2_msgs.msg import MissedWaypoint
from py_trees.behaviour import Behaviour
from rclpy.action import ActionServer, CancelResponse

from nanorover.errors import InputError
from nanorover.geometry.se2 import Pose
from nanorover.planning import missions
from nanorover.planning.behaviours import FollowPath, Spin, Straight, Wait
from nanorover.planning.pilot import Pilot
from nanorover.tables import ACTIONS
from nanorover_nodes import convert
from nanorover_nodes.planner_tasks import (
    CANCELLED,
    FAILED,
    NO_POSE,
    SUCCEEDED,
    UNKNOWN,
    End,
    Task,
    Tasks,
    action_of,
)

if TYPE_CHECKING:
    from nanorover_nodes.planner import PlannerNode

MOST_VISITS = 5000  # of waypoints in one task: each is a branch of its tree, made when it begins


class Actions:
    """The action servers, and the services beside them."""

    def __init__(self, node: "PlannerNode", tasks: Tasks) -> None:
        self.node, self.tasks = node, tasks
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

    def destroy(self) -> None:
        """Close the servers."""
        for server in self.servers:
            server.destroy()

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
            result = action_of(goal).Result()
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
        task = self.tasks.begin(name, lambda pilot, _: missions.through_poses(pilot, poses), poses, goal)
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
        task = self.tasks.begin(
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
        task = self.tasks.begin(
            "follow_path", lambda pilot, _: FollowPath(pilot, np.array(poses)), poses[-1:], goal
        )

        def fill(feedback: Any, t: Task) -> None:
            feedback.distance_to_goal = float(self.node.navigator.left_m())
            feedback.speed = float(t.mission.pilot.moment.velocity.linear_m_s)

        task.fill = fill
        return task

    def _spin(self, goal: Any, request: Any) -> Task:
        within_s = _seconds(request.time_allowance) or np.inf
        angle_rad = _finite(request.target_yaw, "target_yaw")
        task = self.tasks.begin("spin", lambda pilot, _: Spin(pilot, angle_rad, within_s), [], goal)
        task.fill = lambda feedback, t: _with(feedback, angular_distance_traveled=float(t.mission.tree.turned_rad))
        return task

    def _back_up(self, goal: Any, request: Any) -> Task:
        within_s = _seconds(request.time_allowance) or np.inf
        distance_m, speed = abs(_finite(request.target.x, "target.x")), abs(_finite(request.speed, "speed"))
        speed = speed or self.node.params["behaviours"].back_up_speed_m_s
        task = self.tasks.begin("backup", lambda pilot, _: Straight(pilot, -distance_m, speed, within_s), [], goal)
        task.fill = lambda feedback, t: _with(feedback, distance_traveled=t.mission.tree.gone_m())
        return task

    def _wait(self, goal: Any, request: Any) -> Task:
        task = self.tasks.begin("wait", lambda pilot, _: Wait(pilot, _seconds(request.time)), [], goal)
        task.fill = lambda feedback, t: _with(feedback, time_left=_duration(t.mission.tree.left_s()))
        return task

    def _dock(self, goal: Any, request: Any) -> Task:
        if request.use_dock_id:
            raise InputError(f"there is no list of docks, so no dock '{request.dock_id}'", "give its dock_pose")
        pose = self.node.goals.read(request.dock_pose)
        stage = request.navigate_to_staging_pose
        task = self.tasks.begin("dock_robot", lambda pilot, _: missions.dock(pilot, pose, stage), [pose], goal)
        task.fill = lambda feedback, t: _with(feedback, docking_time=_duration(time.monotonic() - t.start_s))
        return task

    def _explore(self, goal: Any, request: Any) -> Task:
        within_s = _seconds(request.time_allowance) or np.inf
        task = self.tasks.begin("explore", lambda pilot, _: missions.Explore(pilot, within_s), [], goal)

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

        task = self.tasks.begin("follow_person", tree, [], goal)
        task.fill = lambda feedback, _: _with(
            feedback, object_id=max(0, quarries[0].object_id), distance_m=float(min(quarries[0].gap_m, 1e6))
        )
        return task

    def _compute_path(self, goal: Any) -> Any:
        result, start_s = action_of(goal).Result(), time.monotonic()
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
        self.node.navigator.clear_costmaps(time.monotonic(), touched=True)
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
