"""A mission through the real nodes, each its own process, around a simulated world: one JSON object comes out."""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, Twist
from rclpy.node import Node
from rich.console import Console
from rich.progress import Progress
from sensor_msgs.msg import LaserScan as LaserScanMsg

from nanorover.base.gate import Velocity
from nanorover.bringup.robot_model import FramesParams
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.params import load
from nanorover.processes import Processes
from nanorover.replay.records import TruePose
from nanorover.replay.truth import truth_of
from nanorover.sim.floorplan import scene_of
from nanorover.sim.mission import MISSIONS, Result, errors_of, mission_of, pilot_of, verdict
from nanorover.sim.ports import BASE_LINK, LIDAR_LINK
from nanorover.sim.rover import PILOT_HZ
from nanorover.sim.simulation import Score
from nanorover.tables import NODES
from nanorover_nodes.convert import pose_of, scan_of, stamp_ns_of, twist_msg
from nanorover_nodes.declared_topics import hear_declared, publish_declared
from nanorover_nodes.lifecycle import bring_up, wait_until
from nanorover_nodes.program import as_the_robot, ending_in_words

NODES_USED = ("simulator", "static_frames", "lidar", "base", "slam")
READY_S = 30.0
# A world that says nothing of itself for this long has stopped.
SILENT_S = 5.0


def main() -> None:
    """Run a mission; exit code 2 and a sentence where the input is bad."""
    parser = argparse.ArgumentParser(prog="nanorover sim")
    parser.add_argument("--mission", required=True)
    parser.add_argument("--world", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--duration", type=float)
    parser.add_argument("--window", action="store_true")
    parser.add_argument("--view", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    with ending_in_words(console):
        print(json.dumps(run_mission(arguments, console).as_dict()))


def run_mission(arguments: argparse.Namespace, console: Console) -> Result:
    """Start the nodes, drive, stop them. Raises InputError."""
    mission_of(arguments.mission)
    with tempfile.TemporaryDirectory() as folder, as_the_robot("sim", Path(folder) / "log"):
        return _with_nodes(arguments, console, Path(folder))


def _with_nodes(arguments: argparse.Namespace, console: Console, ports: Path) -> Result:
    with Processes(ports / "log") as processes:
        given = {
            "simulator": {
                "world": arguments.world, "seed": arguments.seed, "ports": ports, "window": arguments.window,
            },
            "lidar": {"port": ports / LIDAR_LINK},
            "base": {"port": ports / BASE_LINK},
        }  # fmt: skip
        start_nodes(processes, NODES_USED, given)
        rclpy.init()
        try:
            drive = Drive(arguments)
            bring_up_all(drive.node, processes, NODES_USED)
            if arguments.view:
                from nanorover_nodes.live_view import LiveView

                LiveView(drive.node, console)
            return drive.run(processes, console)
        finally:
            rclpy.try_shutdown()


def start_nodes(processes: Processes, names: Iterable[str], given: Mapping[str, Mapping[str, object]]) -> None:
    """Start nodes of the table, each with the parameters that it is given."""
    for name in names:
        words = [word for key, value in given.get(name, {}).items() for word in ("-p", f"{key}:={_plain(value)}")]
        processes.start(name, ["-m", NODES[name].module, "--ros-args", *words])


def bring_up_all(node: Node, processes: Processes, names: Iterable[str]) -> None:
    """Configure and activate nodes; InputError with the end of its log for one that refuses."""
    for name in names:
        try:
            bring_up(node, name, processes.check)
        except InputError as error:
            processes.check()
            raise InputError(f"{error.args[0]}:\n{processes.last_words(name)}") from error


def _plain(value: object) -> str:
    """A parameter's value on a command line; a seed as a world must stay text."""
    if isinstance(value, bool | int):
        return str(value).lower()
    return json.dumps(str(value))


class Drive:
    """The pilot at the wheel of the real nodes, and what it notes."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.mission, self.seed = mission_of(arguments.mission), arguments.seed
        self.duration_s = arguments.duration or MISSIONS[arguments.mission].duration_s
        self.scene = scene_of(arguments.world)
        self.pilot = pilot_of(self.mission.name, self.scene, self.seed)
        frames = load(FramesParams, "frames")
        self._T_base_laser = np.array([frames.laser_x_m, frames.laser_y_m, frames.laser_yaw_rad])
        self.scan: LaserScan | None = None
        self.true_poses: list[TruePose] = []
        self.poses: list[tuple[int, np.ndarray]] = []
        self.world: dict[str, str] = {}
        self.heard_s = time.monotonic()
        self.node = Node("mission")
        self._velocity = publish_declared(self.node, "cmd_vel")
        for topic, callback in (
            ("scan", self._on_scan), ("truth/pose", self._on_truth), ("pose", self._on_pose),
            ("/diagnostics", self._on_diagnostics),
        ):  # fmt: skip
            hear_declared(self.node, topic, callback)

    def run(self, processes: Processes, console: Console) -> Result:
        """Drive until the end of the mission; raises InputError where a node ends or nothing comes."""
        if not wait_until(self.node, lambda: bool(self.scan and self.true_poses and self.world), READY_S):
            processes.check()
            raise InputError("no scans or no truth arrive from the nodes", "their logs say why")
        start_s = self._world_s
        self.node.create_timer(1.0 / PILOT_HZ, self._steer)
        with Progress(console=console) as progress:
            task = progress.add_task(f"{self.mission.name} in {self.scene.name}", total=self.duration_s)
            while self._world_s - start_s < self.duration_s and not self.pilot.done:
                rclpy.spin_once(self.node, timeout_sec=0.1)
                progress.update(task, completed=self._world_s - start_s)
                processes.check()
                if time.monotonic() - self.heard_s > SILENT_S:
                    raise InputError(f"the world is silent since {SILENT_S:g} s", "its node may be overloaded")
        driven_s = self._world_s - start_s
        self._velocity.publish(Twist())
        self.world = {}
        if not wait_until(self.node, lambda: bool(self.world), SILENT_S):
            raise InputError("the simulator does not say how the drive went", "its node may be overloaded")
        return self._result(driven_s)

    @property
    def _world_s(self) -> float:
        """The newest moment of the world that has been heard of."""
        return self.true_poses[-1].stamp_ns / 1e9

    def _result(self, time_s: float) -> Result:
        stamps_ns = np.array([stamp_ns for stamp_ns, _ in self.poses], dtype=np.int64)
        poses = np.array([pose for _, pose in self.poses]).reshape(-1, 3)
        compared = errors_of(truth_of(self.true_poses, None), stamps_ns, poses)
        touched = [name for name in self.world["touched"].split(", ") if name]
        score = Score(touched, float(self.world["distance_m"]), float(self.world["min_clearance_m"]))
        why = verdict(self.mission.name, score, arrived=self.pilot.done, coverage=None)
        return Result(
            mission=self.mission.name, world=self.scene.name, seed=self.seed, success=not why, why=why,
            collisions=score.collisions, distance_m=score.distance_m, time_s=round(time_s, 2),
            min_clearance_m=score.clearance_m, pose_error=compared[0] if compared else None, map=None,
            real_time_factor=float(self.world["real_time_factor"]),
        )  # fmt: skip

    def _steer(self) -> None:
        wanted = Velocity(*self.pilot.command(self.scan, self.true_poses[-1].T_map_base))
        self._velocity.publish(twist_msg(wanted))

    def _on_scan(self, message: LaserScanMsg) -> None:
        self.scan = scan_of(message, self._T_base_laser)

    def _on_truth(self, message: PoseStamped) -> None:
        self.heard_s = time.monotonic()
        self.true_poses.append(TruePose(stamp_ns_of(message.header.stamp), pose_of(message.pose)))

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.poses.append((stamp_ns_of(message.header.stamp), pose_of(message.pose.pose)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith("simulator") and status.values:
                self.world = {value.key: value.value for value in status.values}


if __name__ == "__main__":
    main()
