"""One task at a time: a new one preempts the old one, every end has a reason."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from py_trees.behaviour import Behaviour
from py_trees.common import Status
from rclpy.task import Future

from nanorover.base.gate import STILL, Velocity
from nanorover.errors import InputError
from nanorover.geometry.se2 import Pose
from nanorover.planning import missions
from nanorover.planning.missions import Mission
from nanorover.planning.pilot import Moment, Pilot

if TYPE_CHECKING:
    from nanorover_nodes.planner import PlannerNode

FEEDBACK_PERIOD_S = 0.5
NO_POSE = 202  # TF_ERROR of ComputePathToPose
UNKNOWN = 1
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
IDLE = "idle"
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
    """The task that runs, if any."""

    def __init__(self, node: "PlannerNode") -> None:
        self.node = node
        self.task: Task | None = None

    @property
    def running(self) -> bool:
        """Whether there is a task."""
        return self.task is not None

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name if self.task else IDLE

    def trajectory(self) -> NDArray[np.float64]:
        """Where the last command leads."""
        return self.task.mission.pilot.trajectory if self.task else np.zeros((0, 3))

    def drive_to(self, goal: Pose) -> None:
        """A goal without an action, as RViz sends it. InputError if the robot does not know where it is."""
        self.begin("goal_pose", lambda pilot, task: missions.through_poses(pilot, [goal]), [goal])

    def tick(self, moment: Moment) -> tuple[Velocity, str]:
        """One control cycle: the command, and what the task says."""
        task = self.task
        if task is None:
            return STILL, IDLE
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

    def end_all(self, reason: str, error: int = UNKNOWN) -> bool:
        """The task is over, for a reason outside it; False where there was none."""
        if self.task is None:
            return False
        self._end(End(FAILED, error, reason))
        self.node.last_word = reason
        return True

    def begin(
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
        self.node.blind_since_s, self.node.last_word = 0.0, "begins"
        return task

    def _end(self, end: End, drive_on: bool = False) -> None:
        """The task is over; the robot stands then, unless another task makes it ``drive_on``."""
        task, self.task = self.task, None
        assert task is not None
        task.mission.cancel(end.reason)
        if not drive_on:
            self.node._command(STILL)
            self.node.views.show_no_way()
        if end.outcome == FAILED:
            self.node.get_logger().warning(f"{task.name}: {end.reason}")
        task.future.set_result(end)

    def _tell(self, task: Task, moment: Moment) -> None:
        if task.goal is None or moment.now_s - task.told_s < FEEDBACK_PERIOD_S:
            return
        task.told_s = moment.now_s
        feedback = action_of(task.goal).Feedback()
        task.fill(feedback, task)
        task.goal.publish_feedback(feedback)


def action_of(goal: Any) -> Any:
    """The action that was asked for."""
    return goal._action_server.action_type
