"""A scenario driven through the real nodes, each its own process, around a simulated world: an outcome as JSON.

SLAM localizes in the scenario's map, the planner is asked through its action, the simulator says how it went.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, Twist
from nav2_msgs.action import NavigateToPose
from rclpy.action import ActionClient
from rclpy.node import Node
from rich.console import Console
from sensor_msgs.msg import LaserScan

from nanorover.bringup.robot_model import FramesParams
from nanorover.errors import InputError
from nanorover.geometry.se2 import Pose
from nanorover.mapping.map_files import save_map
from nanorover.params import load
from nanorover.planning.navigator import load_settings
from nanorover.processes import Processes
from nanorover.sim.outcome import LONGEST_S, Outcome, ideal_s, known_map
from nanorover.sim.ports import BASE_LINK, LIDAR_LINK
from nanorover.sim.scenarios import Scenario, scenario_of
from nanorover.sim.scenarios import pose_of as scenario_pose
from nanorover.sim.scene import save_scene
from nanorover.sim.slow_down import SlowDown
from nanorover_nodes.convert import pose_msg, pose_of, pose_with_covariance_msg, scan_of
from nanorover_nodes.declared_topics import hear_declared, publish_declared
from nanorover_nodes.latency import ScanToVelocity
from nanorover_nodes.lifecycle import bring_up, wait_until
from nanorover_nodes.mission import start_nodes
from nanorover_nodes.program import as_the_robot, ending_in_words

NODES_USED = ("simulator", "static_frames", "lidar", "base", "slam", "planner", "safety")
READY_S = 60.0
# The simulator sums up once a second; the next sum after the end holds everything.
SILENT_S = 5.0
CLICK_COVARIANCE = np.diag([0.01, 0.01, 0.01])


def main() -> None:
    """Run one scenario; exit code 2 and a sentence where the input is bad."""
    parser = argparse.ArgumentParser(prog="nanorover sim")
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    with ending_in_words(console):
        driven = run_scenario(scenario_of(arguments.scenario, arguments.seed), arguments.seed)
    print(json.dumps(driven))


def run_scenario(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Start the nodes, drive, stop them: the outcome, the way driven, and how long scans took to be velocities.

    Raises InputError.
    """
    with tempfile.TemporaryDirectory() as folder, as_the_robot("sim", Path(folder) / "log"):
        return _with_nodes(scenario, seed, Path(folder))


def _with_nodes(scenario: Scenario, seed: int, ports: Path) -> dict[str, Any]:
    with Processes(ports / "log") as processes:
        save_scene(scenario.scene, ports / "world.yaml")
        height_m = load(FramesParams, "frames").laser_z_m
        map_file = save_map(known_map(scenario.mapped, height_m), ports / "map")
        given: dict[str, dict[str, Any]] = {
            "simulator": {"world": ports / "world.yaml", "seed": seed, "ports": ports},
            "lidar": {"port": ports / LIDAR_LINK},
            "base": {"port": ports / BASE_LINK},
            "slam": {"mode": "localization", "map": map_file},
        }
        start_nodes(processes, NODES_USED, given)
        rclpy.init()
        try:
            drive = Drive(scenario, load(FramesParams, "frames"))
            for name in NODES_USED:
                bring_up(drive.node, name, processes.check)
            outcome = drive.run(processes, seed, height_m)
            way = np.round(np.array(drive.way), 3).tolist()
            slower = drive.slow_down.figures() if scenario.scene.walkers else {}
            latency = drive.latency.figures() | slower
            return {"outcome": outcome.as_dict(), "way": way, "latency": latency}
        finally:
            rclpy.try_shutdown()


class Drive:
    """Whoever sends the robot on its way, and what he sees of it."""

    def __init__(self, scenario: Scenario, frames: FramesParams) -> None:
        self.scenario = scenario
        self.node = Node("scenario")
        self.slow_down = SlowDown(known_map(scenario.mapped, frames.laser_z_m))
        self.T_base_laser = np.array([frames.laser_x_m, frames.laser_y_m, frames.laser_yaw_rad])
        self.upside_down = abs(frames.laser_roll_rad) > math.pi / 2.0
        self.way: list[Pose] = []
        self.world: dict[str, str] = {}
        self.planner: dict[str, str] = {}
        self.recoveries = 0
        self.believed: Pose | None = None
        for topic, callback in (
            ("truth/pose", self._on_truth), ("pose", self._on_pose), ("/diagnostics", self._on_diagnostics),
            ("scan", self._on_scan), ("cmd_vel", self._on_velocity),
        ):  # fmt: skip
            hear_declared(self.node, topic, callback)
        self._initial_pose = publish_declared(self.node, "initialpose")
        self.latency = ScanToVelocity(self.node)
        self._client = ActionClient(self.node, NavigateToPose, "navigate_to_pose")

    def run(self, processes: Processes, seed: int, height_m: float) -> Outcome:
        """Say where the robot is, send the goal, wait for the end. Raises InputError where a node ends."""
        s = self.scenario
        self._wait(processes, self._ready, READY_S, "no truth, no pose or no map arrives")
        start = s.believed if s.believed is not None else scenario_pose(s.scene.robot.at_m, s.scene.robot.yaw_deg)
        self._wait(processes, lambda: self._told(start), READY_S, "the pose cannot be set")
        ideal = ideal_s(known_map(s.scene, height_m), load_settings(), self.way[-1], s.goal)
        self.way.clear()
        goal = NavigateToPose.Goal(pose=PoseStamped(pose=pose_msg(s.goal)))
        goal.pose.header.frame_id = "map"
        sent = self._client.send_goal_async(goal, feedback_callback=self._on_feedback)
        self._wait(processes, sent.done, READY_S, "the planner does not take the goal")
        self.latency.begin()
        started_s = time.monotonic()
        ended = sent.result().get_result_async()
        arrived, reason = False, f"not there after {LONGEST_S:.0f} s"
        if wait_until(self.node, lambda: processes.check() or ended.done(), LONGEST_S):
            arrived = ended.result().status == GoalStatus.STATUS_SUCCEEDED
            reason = getattr(ended.result().result, "error_msg", "")
        time_s = time.monotonic() - started_s
        self.world = {}
        self._wait(processes, lambda: bool(self.world), SILENT_S, "the simulator does not say how it went")
        touched, reason = self.world["touched"], "" if arrived else reason
        gap_m = float(self.world["people_clearance_m"])
        return Outcome(
            s.name, seed, arrived and not touched, reason, int(self.world["collisions"]), touched,
            round(time_s, 2), round(ideal, 2), round(float(self.world["min_clearance_m"]), 3),
            round(gap_m, 3) if math.isfinite(gap_m) else None, self.recoveries,
        )  # fmt: skip

    def _ready(self) -> bool:
        return bool(self.way and self.world and "map cells" in self.planner) and self._client.server_is_ready()

    def _told(self, start: Pose) -> bool:
        """Say where the robot is, as a person does in RViz, until SLAM believes it."""
        if self.believed is not None and math.dist(self.believed[:2], start[:2]) < 0.2:
            return True
        self._initial_pose.publish(
            pose_with_covariance_msg(self.node.get_clock().now().nanoseconds, "map", start, CLICK_COVARIANCE)
        )
        return False

    def _wait(self, processes: Processes, condition: Any, timeout_s: float, what: str) -> None:
        if not wait_until(self.node, lambda: processes.check() or condition(), timeout_s):
            raise InputError(what, "the nodes' logs say why; is this machine fast enough for all of them?")

    def _on_truth(self, message: PoseStamped) -> None:
        self.way.append(pose_of(message.pose))

    def _on_scan(self, message: LaserScan) -> None:
        if self.way:
            scan = scan_of(message, self.T_base_laser, self.upside_down)
            self.slow_down.on_scan(scan, self.way[-1], time.monotonic())

    def _on_velocity(self, message: Twist) -> None:
        self.slow_down.on_velocity(message.linear.x, time.monotonic())

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.believed = pose_of(message.pose.pose)

    def _on_feedback(self, message: Any) -> None:
        self.recoveries = message.feedback.number_of_recoveries

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {value.key: value.value for value in status.values}
            if status.name.endswith("simulator"):
                self.world = values
            elif status.name.endswith("planner"):
                self.planner = values


if __name__ == "__main__":
    main()
