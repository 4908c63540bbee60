"""The demonstration: real nodes as separate processes, a recording played into them, files to look at."""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from nav_msgs.msg import Path as PathMsg
from rclpy.node import Node
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.mapping.draw import draw_map
from nanorover.mapping.map_files import load_map
from nanorover.processes import Processes
from nanorover.replay.logs import Log, open_log
from nanorover.replay.records import Record
from nanorover.report import Figure, write_report
from nanorover.slam.trajectory import write_tum
from nanorover.tables import NODES, TOPICS
from nanorover_interfaces.srv import FilePath as FilePathSrv
from nanorover_nodes.component import qos_profile
from nanorover_nodes.convert import pose_of, stamp_ns_of
from nanorover_nodes.lifecycle import bring_up, call, wait_until
from nanorover_nodes.live_view import LiveView
from nanorover_nodes.player import Player

SHIPPED_RECORDING = Path(__file__).resolve().parents[4] / "tests" / "recordings" / "apartment.mcap"
NODES_SHOWN = ("slam",)
DISCOVERY_TIMEOUT_S = 15.0


def main() -> None:
    """Run the demonstration; exit code 2 and a sentence where the input is bad."""
    parser = argparse.ArgumentParser(prog="nanorover demo")
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speed", type=float)
    parser.add_argument("--view", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    try:
        recording = arguments.recording or SHIPPED_RECORDING
        demonstrate(recording, arguments.out, arguments.speed, arguments.view, console)
    except InputError as error:
        console.print(f"[bold red]error:[/] {error}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)


def demonstrate(recording: Path, out: Path, speed: float | None, view: bool, console: Console) -> None:
    """Start the nodes, play the recording, save and report. Raises InputError."""
    log = open_log(recording)
    rclpy.init()
    started = time.monotonic()
    try:
        with Processes(out / "log") as processes:
            for name in NODES_SHOWN:
                node_arguments = ["-m", NODES[name].module, "--ros-args", "-p", "use_sim_time:=true"]
                processes.start(name, node_arguments)
            session = Session(out, speed)
            for name in NODES_SHOWN:
                bring_up(session.node, name)
            console.print(f"nodes {', '.join(NODES_SHOWN)} are up after {time.monotonic() - started:.1f} s")
            viewer = LiveView(session.node, console) if view else None
            session.play(log, processes, console)
            session.save(recording, log, console)
            if viewer is not None:
                viewer.wait(console)
    finally:
        rclpy.try_shutdown()


class Session:
    """One run of the demonstration, from the first record to the report."""

    def __init__(self, out: Path, speed: float | None) -> None:
        self.out = out
        self.node = Node("demo")
        self.player = Player(self.node, speed)
        self.path: PathMsg | None = None
        declared = TOPICS["path"]
        self.node.create_subscription(PathMsg, declared.name, self._on_path, qos_profile(declared.subscribe))

    def _on_path(self, message: PathMsg) -> None:
        self.path = message

    def play(self, log: Log, processes: Processes, console: Console) -> None:
        """Play the recording with a progress bar; a node that dies ends it with its last words."""
        if not wait_until(self.node, self.player.ready, DISCOVERY_TIMEOUT_S):
            raise InputError("no node listens to the scans", "look into the logs of the nodes")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
        )
        self.scans, self.first_ns, self.last_ns = 0, None, 0
        started = time.monotonic()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("playing", total=None, what="")

            def on_record(record: Record) -> None:
                if not isinstance(record, LaserScan):
                    return
                processes.check()
                self.scans += 1
                self.first_ns = record.stamp_ns if self.first_ns is None else min(self.first_ns, record.stamp_ns)
                self.last_ns = max(self.last_ns, record.stamp_ns)
                progress.update(task, what=f"{self.scans} scans, {(self.last_ns - self.first_ns) / 1e9:.0f} s")

            self.player.play(log, on_record)
        self.playing_s = time.monotonic() - started

    def save(self, recording: Path, log: Log, console: Console) -> None:
        """Have the SLAM node save map and graph; draw and report what came out."""
        for service, path in (("slam/save_map", self.out / "map"), ("slam/serialize_map", self.out / "graph")):
            request = FilePathSrv.Request(path=str(path.resolve()))
            response = call(self.node, FilePathSrv, service, request, timeout_s=60.0)
            if not response.success:
                raise InputError(f"{service}: {response.message}")
        # The path is corrected with every closure, so the newest one counts.
        wait_until(self.node, self._path_is_final, timeout_s=10.0)
        stamped = self.path.poses if self.path is not None else []
        poses = np.array([pose_of(p.pose) for p in stamped]).reshape(-1, 3)
        write_tum(self.out / "trajectory.tum", np.array([stamp_ns_of(p.header.stamp) for p in stamped]), poses)
        draw_map(self.out / "map.png", load_map(self.out / "map.yaml"), poses)
        result = self.result(recording, log, poses)
        (self.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
        tables = {"Run": result["run"], "Time": result["time"], "Recording": result["recording"]}
        figures = [Figure("The map and the path driven", self.out / "map.png")]
        write_report(self.out / "report.html", f"Nanorover demo: {recording.name}", tables, figures)
        for heading, rows in tables.items():
            console.print(f"[bold]{heading}[/]")
            for name, value in rows.items():
                console.print(f"  {name:<28}{value}")
        console.print(f"\nLook at [bold]{self.out / 'report.html'}[/] and [bold]{self.out / 'map.png'}[/]")

    def _path_is_final(self) -> bool:
        return self.path is not None and stamp_ns_of(self.path.header.stamp) >= self.last_ns

    def result(self, recording: Path, log: Log, poses: np.ndarray) -> dict[str, dict[str, object]]:
        """The figures of the run, for people and for result.json."""
        recorded_s = (self.last_ns - (self.first_ns or 0)) / 1e9
        driven_m = float(np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1).sum()) if len(poses) else 0.0
        p50, p99 = np.percentile(self.player.answer_ms, (50, 99)) if self.player.answer_ms else (np.nan, np.nan)
        return {
            "run": {
                "recording": recording.name,
                "scans": self.scans,
                "scans without an answer": self.player.unanswered,
                "distance driven": f"{driven_m:.1f} m",
            },
            "time": {
                "recorded": f"{recorded_s:.1f} s",
                "played in": f"{self.playing_s:.1f} s",
                "× real time": f"{recorded_s / self.playing_s:.1f}",
                "scan → pose, p50": f"{p50:.1f} ms",
                "scan → pose, p99": f"{p99:.1f} ms",
            },
            "recording": {
                **{name: count for name, count in log.summary.counts.items()},
                **{f"problem {i}": line for i, line in enumerate(log.problems.lines(), 1)},
            },
        }


if __name__ == "__main__":
    main()
