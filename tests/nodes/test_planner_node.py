"""Planner and safety as real processes drive a kinematic robot through a flat world."""

import math
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from flat_world import FlatWorld, box
from geometry_msgs.msg import Point, PoseStamped, TwistStamped
from nav2_msgs.action import (
    BackUp,
    ComputePathToPose,
    DockRobot,
    FollowWaypoints,
    NavigateThroughPoses,
    NavigateToPose,
    Spin,
    Wait,
)
from rclpy.action import ActionClient
from std_msgs.msg import Bool, Empty
from tf2_msgs.msg import TFMessage

from nanorover.base.gate import Velocity
from nanorover.bringup.notes import STOPPED_NOTE
from nanorover.geometry.scan import Odometry
from nanorover_interfaces.action import Explore, FollowPerson
from nanorover_nodes.convert import (
    grid_msg,
    odometry_msg,
    pose_msg,
    pose_with_covariance_msg,
    scan_msg,
    transform_msg,
    twist_msg,
)

pytestmark = pytest.mark.nodes

ROOM = [(0, 0, 6, 0), (6, 0, 6, 4), (6, 4, 0, 4), (0, 4, 0, 0)]
STEP_S = 0.05
T_MAP_ODOM = np.array([0.4, -0.3, 0.0])


class Robot:
    """The flat world in real time: scans, odometry, poses and transforms out, ``cmd_vel`` in."""

    def __init__(self, graph, world: FlatWorld, known_without: int = 0) -> None:
        self.graph, self.world = graph, world
        self.outputs = {
            t: graph.offer(t)
            for t in ("scan", "odom", "cmd_vel_sent", "pose", "map", "/tf", "/tf_static", "goal_pose")
        }
        self.commands = graph.collect("cmd_vel")
        self.diagnostics = graph.collect("/diagnostics")
        self.stopped_clock = False
        self.map = grid_msg(world.map(without=known_without), world.stamp_ns, "map", began_ns=100)
        for name in ("scan", "odom", "map", "/tf_static", "goal_pose"):
            graph.wait_until(lambda name=name: self.outputs[name].get_subscription_count() > 0, f"{name} is heard")
        mounting = transform_msg(0, "base_link", "laser", np.zeros(3))
        self.outputs["/tf_static"].publish(TFMessage(transforms=[mounting]))
        self.outputs["map"].publish(self.map)
        self.next_s = time.monotonic()
        self.steps = 0

    def live(self) -> None:
        """Catch up with the real time, at most a little."""
        now_s = time.monotonic()
        if now_s < self.next_s:
            return
        self.next_s = max(self.next_s + STEP_S, now_s - 0.2)
        w = self.world
        if self.commands:
            newest = self.commands[-1]
            self.commands.clear()
            w.command(Velocity(newest.linear.x, newest.angular.z))
        w.step(STEP_S)
        self.steps += 1
        stamp_ns = time.time_ns()
        odometry = odometry_msg(Odometry(stamp_ns, w.pose - T_MAP_ODOM), "odom", "base_link")
        odometry.twist.twist.linear.x, odometry.twist.twist.angular.z = (
            w.velocity.linear_m_s,
            w.velocity.angular_rad_s,
        )
        if self.stopped_clock:
            return
        self.outputs["odom"].publish(odometry)
        self.outputs["cmd_vel_sent"].publish(TwistStamped(twist=twist_msg(w.told)))
        edges = [("map", "odom", T_MAP_ODOM), ("odom", "base_link", w.pose - T_MAP_ODOM)]
        self.outputs["/tf"].publish(TFMessage(transforms=[transform_msg(stamp_ns, *edge) for edge in edges]))
        if self.steps % 2 == 0:
            scan = w.scan()
            scan = type(scan)(**{**vars(scan), "stamp_ns": stamp_ns})
            self.outputs["scan"].publish(scan_msg(scan))
            certain = np.diag([1e-4] * 3)
            self.outputs["pose"].publish(pose_with_covariance_msg(stamp_ns, "map", w.pose, certain))

    def until(self, condition, what: str, timeout_s: float = 60.0) -> None:
        """Live until the condition holds."""
        self.graph.wait_until(lambda: self.live() or condition(), what, timeout_s)

    def says(self, node: str, words: str) -> bool:
        health = self.graph.health_of(node, self.diagnostics)
        return health is not None and words in health.message

    def value(self, node: str, key: str) -> str:
        health = self.graph.health_of(node, self.diagnostics)
        return "" if health is None else next((v.value for v in health.values if v.key == key), "")

    def ask(self, kind, name: str, goal):
        """Send an action goal; the handle."""
        client = ActionClient(self.graph.node, kind, name)
        self.until(client.server_is_ready, f"{name} is served")
        future = client.send_goal_async(goal, feedback_callback=lambda m: self.feedback.append(m.feedback))
        self.feedback: list = []
        self.until(future.done, f"{name} is accepted")
        return future.result()

    def result(self, handle):
        future = handle.get_result_async()
        self.until(future.done, "a result", 90.0)
        return future.result().result


def goal(x: float, y: float, yaw: float = 0.0, frame: str = "map") -> PoseStamped:
    message = PoseStamped(pose=pose_msg(np.array([x, y, yaw])))
    message.header.frame_id = frame
    return message


@pytest.fixture
def robot(graph):
    """A room with a box that the map does not know."""
    for node in ("planner", "safety"):
        extra = ("-p", "watched_nodes:=['planner']") if node == "safety" else ()
        graph.start(node, *extra)
        graph.bring_up(node)
    made = Robot(graph, FlatWorld(ROOM + box(3.0, 2.0, 0.6, 0.8), np.array([1.0, 2.0, 0.0])), known_without=4)
    made.until(
        lambda: made.says("planner", "idle") and made.value("planner", "map cells"), "the planner has a map"
    )
    return made


def test_it_drives_around_what_the_map_does_not_know(graph, robot):
    plans, local_plans = graph.collect("plan"), graph.collect("local_plan")
    costmaps = graph.collect("local_costmap/costmap"), graph.collect("global_costmap/costmap")
    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 2.0, 1.0)))
    assert handle.accepted
    result = robot.result(handle)
    assert (result.error_code, result.error_msg) == (0, "")
    assert math.dist(robot.world.pose[:2], (5.0, 2.0)) < 0.2
    assert robot.world.pose[2] == pytest.approx(1.0, abs=0.25)
    assert robot.world.least_gap_m > 0.0
    first, last = robot.feedback[0], robot.feedback[-1]
    assert first.distance_remaining > 3.5
    assert last.distance_remaining < 1.0
    assert first.current_pose.header.frame_id == "map"
    assert plans and plans[0].header.frame_id == "map"
    assert plans[0].poses[-1].pose.position.x == pytest.approx(5.0, abs=0.05)
    assert local_plans
    robot.until(lambda: costmaps[0] and costmaps[1], "both costmaps")
    assert {100, 0} <= set(np.unique(costmaps[0][-1].data))
    robot.until(lambda: robot.world.velocity.linear_m_s == 0.0, "it stands")
    health = graph.health_of("planner", robot.diagnostics)
    values = {v.key: v.value for v in health.values}
    assert float(values["cycle p50 ms"]) < float(values["cycle p99 ms"])


def test_wheels_that_were_told_to_turn_and_do_not_are_noticed_where_nothing_is_seen(robot):
    robot.world.unseen, robot.world.stalls = box(1.7, 2.0, 0.2, 0.8), True
    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 2.0, 1.0)))
    robot.until(lambda: robot.world.held_s > 0.0, "something holds it")
    robot.until(lambda: robot.world.told.linear_m_s < 0.0, "it backs off")
    assert robot.world.held_s < 2.0
    assert robot.result(handle).error_msg == ""
    robot.until(lambda: robot.value("planner", "bumps") not in ("", "0"), "bumps are counted")


def test_goals_that_make_no_sense_are_refused_with_the_reason(robot):
    old = goal(2.0, 2.0)
    old.header.stamp.sec = 1_000_000
    for pose, words in (
        (goal(50.0, 2.0), "outside the map"),
        (goal(math.nan, 2.0), "no pose"),
        (goal(2.0, 2.0, frame="moon"), "'moon' is not known"),
        (goal(2.0, 2.0, frame=""), "no frame"),
        (goal(6.3, 2.0), "no way"),
        (old, "s old"),
    ):
        handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=pose))
        result = robot.result(handle)
        assert result.error_code != 0, words
        assert words in result.error_msg
        assert robot.world.pose == pytest.approx([1.0, 2.0, 0.0], abs=1e-6)


def test_the_other_actions_say_what_they_did(robot):
    robot.until(lambda: robot.steps > 10, "odometry")
    assert robot.result(robot.ask(Wait, "wait", Wait.Goal(time=Duration(nanosec=300_000_000)))).error_code == 0
    assert robot.result(robot.ask(Spin, "spin", Spin.Goal(target_yaw=0.8))).error_code == 0
    assert robot.world.pose[2] == pytest.approx(0.8, abs=0.25)
    back = BackUp.Goal(target=Point(x=0.2), speed=0.15)
    assert robot.result(robot.ask(BackUp, "backup", back)).error_code == 0
    assert math.dist(robot.world.pose[:2], (1.0, 2.0)) == pytest.approx(0.2, abs=0.07)
    through = NavigateThroughPoses.Goal(poses=[goal(1.2, 1.2), goal(2.0, 0.8)])
    assert robot.result(robot.ask(NavigateThroughPoses, "navigate_through_poses", through)).error_code == 0
    assert math.dist(robot.world.pose[:2], (2.0, 0.8)) < 0.25
    points = FollowWaypoints.Goal(poses=[goal(50.0, 1.0), goal(1.2, 0.8)])
    followed = robot.result(robot.ask(FollowWaypoints, "follow_waypoints", points))
    assert [m.index for m in followed.missed_waypoints] == [0] and "outside the map" in followed.error_msg
    assert math.dist(robot.world.pose[:2], (1.2, 0.8)) < 0.25
    nobody = robot.result(robot.ask(FollowPerson, "follow_person", FollowPerson.Goal(object_id=-1)))
    assert nobody.error_code != 0 and nobody.error_msg
    unknown = DockRobot.Goal(use_dock_id=True, dock_id="home")
    refused = robot.result(robot.ask(DockRobot, "dock_robot", unknown))
    assert not refused.success and "home" in refused.error_msg


def test_a_path_is_planned_without_driving(robot):
    request = ComputePathToPose.Goal(goal=goal(5.0, 3.0), start=goal(1.0, 1.0), use_start=True)
    result = robot.result(robot.ask(ComputePathToPose, "compute_path_to_pose", request))
    assert result.path.poses, result.error_msg
    ends = [(p.pose.position.x, p.pose.position.y) for p in (result.path.poses[0], result.path.poses[-1])]
    assert ends == [pytest.approx((1.0, 1.0)), pytest.approx((5.0, 3.0))]
    # a goal in the robot's own frame
    request = ComputePathToPose.Goal(goal=goal(0.0, 1.0, frame="base_link"))
    robot.until(lambda: robot.steps > 10, "odometry")
    result = robot.result(robot.ask(ComputePathToPose, "compute_path_to_pose", request))
    assert result.path.poses[-1].pose.position.y == pytest.approx(3.0, abs=0.05)


def test_goal_pose_cancel_and_preempt(graph, robot):
    robot.outputs["goal_pose"].publish(goal(5.0, 3.5))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.15, "goal_pose makes it drive")
    asked = graph.collect("cmd_vel_nav")
    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.4)))
    robot.until(lambda: robot.says("planner", "navigate_to_pose"), "the action preempts it")
    assert min(m.linear.x for m in asked) > 0.0, "and drives on"
    cancelled = handle.cancel_goal_async()
    robot.until(cancelled.done, "the cancel is answered")
    result = robot.result(handle)
    assert result.error_msg == "cancelled"
    robot.until(lambda: robot.world.velocity == Velocity(0.0, 0.0), "it stands")
    first = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.5)))
    second = robot.ask(Explore, "explore", Explore.Goal())
    assert "preempted by explore" in robot.result(first).error_msg
    assert robot.result(second).mapped_area_m2 > 20.0


def test_a_goal_without_an_action_is_cancelled_by_its_topic_and_no_way_is_shown_any_more(graph, robot):
    cancel, plans = graph.offer("cancel"), graph.collect("plan")
    robot.outputs["goal_pose"].publish(goal(5.0, 3.5))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.15, "it drives")
    robot.until(lambda: plans and plans[-1].poses, "its way is shown")
    cancel.publish(Empty())
    robot.until(lambda: robot.world.velocity == Velocity(0.0, 0.0), "it stands")
    robot.until(lambda: robot.says("planner", "cancelled"), "and says why")
    robot.until(lambda: not plans[-1].poses, "its way is gone")
    robot.outputs["goal_pose"].publish(goal(5.0, 3.5))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.15, "the next goal drives")
    handle = robot.ask(Wait, "wait", Wait.Goal(time=Duration(sec=600)))
    robot.until(lambda: robot.says("planner", "wait"), "another task")
    cancel.publish(Empty())
    assert robot.result(handle).error_msg == "cancelled", "whatever it does"


def test_what_became_of_an_earlier_task_is_not_said_of_the_next(robot):
    robot.outputs["goal_pose"].publish(goal(50.0, 50.0))
    robot.until(lambda: robot.says("planner", "goal_pose failed: "), "no way leads there")
    robot.diagnostics.clear()
    robot.outputs["goal_pose"].publish(goal(5.0, 3.5))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.15, "it drives")
    said = [s.message for message in robot.diagnostics for s in message.status if s.name == "/planner"]
    assert not [words for words in said if words.startswith("goal_pose: goal_pose failed")], said


def test_the_emergency_stop_ends_the_task_and_its_release_sets_nothing_going(graph, robot):
    stop = graph.offer("e_stop")
    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.5)))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.2, "it drives")
    stop.publish(Bool(data=True))
    assert robot.result(handle).error_msg == "emergency stop"
    robot.until(lambda: robot.world.velocity == Velocity(0.0, 0.0), "it stands")
    refused = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.5)))
    assert "release it first" in robot.result(refused).error_msg
    robot.until(lambda: robot.says("planner", "emergency stop"), "it says so")
    stop.publish(Bool(data=False))
    robot.until(lambda: robot.says("planner", "idle"), "and no longer once it is released")
    asked, stands = graph.collect("cmd_vel_nav"), robot.world.pose.copy()
    steps = robot.steps + 40
    robot.until(lambda: robot.steps > steps, "two seconds pass")
    assert asked == [] and robot.world.pose == pytest.approx(stands)
    robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.5)))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.2, "a new task drives")


def test_silence_is_a_stop_and_then_a_stated_failure(robot):
    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.5)))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.2, "it drives")
    robot.stopped_clock = True
    robot.until(lambda: robot.world.velocity == Velocity(0.0, 0.0), "it stands")
    result = robot.result(handle)
    assert "no fresh scan" in result.error_msg
    robot.stopped_clock = False
    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.5)))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.2, "it drives again")


def test_a_planner_that_comes_back_under_a_pressed_stop_takes_no_goal(graph, tmp_path):
    (tmp_path / STOPPED_NOTE).touch()
    graph.start("planner", "-p", f"run_folder:={tmp_path}")
    graph.bring_up("planner")
    diagnostics, goals = graph.collect("/diagnostics"), graph.offer("goal_pose")
    graph.wait_until(goals.get_subscription_count, "the planner listens")
    goals.publish(goal(1.0, 1.0))
    graph.wait_until(
        lambda: (s := graph.health_of("planner", diagnostics)) and "the emergency stop is on" in s.message,
        "refused",
    )


def test_where_the_maps_frame_begins_anew_the_task_ends_and_what_was_marked_is_forgotten(graph, robot):
    costmaps = graph.collect("global_costmap/costmap")

    def box_front() -> int:
        """The highest cost about the front of the box, which only scans have shown."""
        info = costmaps[-1].info
        cost = np.array(costmaps[-1].data).reshape(info.height, info.width)
        column, row = (
            int((at - low) / info.resolution)
            for at, low in ((2.7, info.origin.position.x), (2.0, info.origin.position.y))
        )
        return int(cost[row - 1 : row + 2, column - 1 : column + 2].max())

    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(5.0, 3.5)))
    robot.until(lambda: robot.world.velocity.linear_m_s > 0.2, "it drives")
    robot.until(lambda: costmaps and box_front() == 100, "the box is marked")
    robot.outputs["map"].publish(robot.map)  # the same session: it drives on
    robot.until(lambda: robot.world.pose[0] > 1.5, "it drives on")
    robot.stopped_clock = True  # no scan marks the box again
    costmaps.clear()
    robot.until(lambda: len(costmaps) > 1, "the scans on their way have arrived")
    costmaps.clear()
    robot.outputs["map"].publish(grid_msg(robot.world.map(without=4), 0, "map", began_ns=200))
    assert "began anew" in robot.result(handle).error_msg
    robot.until(lambda: costmaps and box_front() < 99, "the box is forgotten")


def test_a_useless_map_and_a_jump_are_survived(graph, robot):
    bad = grid_msg(robot.world.map(), 0, "map")
    bad.info.width += 1
    robot.outputs["map"].publish(bad)

    def refused() -> bool:
        values = graph.health_of("planner", robot.diagnostics).values
        return any("refused: map of" in v.key for v in values)

    robot.until(refused, "the map is refused")
    smaller = robot.world.map(resolution_m=0.1)
    robot.outputs["map"].publish(grid_msg(smaller, 0, "map", began_ns=100))
    robot.world.pose = np.array([1.5, 1.0, 2.0])
    handle = robot.ask(NavigateToPose, "navigate_to_pose", NavigateToPose.Goal(pose=goal(4.5, 1.0)))
    assert robot.result(handle).error_code == 0
    health = graph.health_of("planner", robot.diagnostics)
    values = {v.key: v.value for v in health.values}
    assert int(values["pose jumps"]) == 1
    assert "callback_faults" not in values
