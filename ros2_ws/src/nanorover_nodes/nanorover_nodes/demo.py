"""The demonstration: real nodes as separate processes, a recording played into them, files to look at."""

import argparse
import json
import math
import re
import time
import webbrowser
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from nav_msgs.msg import Path as PathMsg
from rclpy.node import Node
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.geometry.scan import LaserScan
from nanorover.mapping.draw import draw_map
from nanorover.mapping.map_files import load_map
from nanorover.params import load
from nanorover.processes import Processes
from nanorover.replay.logs import Log, need, open_log
from nanorover.replay.records import Picture, Record
from nanorover.report import Figure, write_report
from nanorover.sim.recordings import shipped
from nanorover.slam.trajectory import write_tum
from nanorover.tables import NODES
from nanorover.view.access import address_of
from nanorover.view.params import WebParams
from nanorover_interfaces.srv import FilePath as FilePathSrv
from nanorover_nodes.convert import pose_of, stamp_ns_of
from nanorover_nodes.declared_topics import hear_declared
from nanorover_nodes.lifecycle import bring_up, call, wait_until
from nanorover_nodes.player import Player
from nanorover_nodes.program import as_the_robot, ending_in_words
from nanorover_nodes.sightings import Sightings

DISCOVERY_TIMEOUT_S = 15.0
# Beyond the nodes' own parameters: the compressed pictures of the recording, each of them, however fast it plays.
ARGUMENTS = {
    "slam": (),
    "web": (),
    "detector": ("-p", "use_compressed:=true", "-p", "rate_limit_hz:=0.0"),
}


@dataclass(frozen=True)
class Contents:
    """What a recording holds, known before it is played."""

    scans: int
    pictures: int
    duration_s: float

    @classmethod
    def of(cls, log: Log) -> "Contents":
        """Read the recording once; InputError when there is nothing to map in it."""
        counts = Counter(type(record) for record in log)
        need(log, LaserScan)
        return cls(counts[LaserScan], counts[Picture], log.summary.duration_s)


def main() -> None:
    """Run the demonstration; exit code 2 and a sentence where the input is bad."""
    parser = argparse.ArgumentParser(prog="nanorover demo")
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speed", type=float)
    parser.add_argument("--view", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    with ending_in_words(console):
        recording = arguments.recording or shipped("apartment").path
        demonstrate(recording, arguments.out, arguments.speed, arguments.view, console)


def demonstrate(recording: Path, out: Path, speed: float | None, view: bool, console: Console) -> None:
    """Start the nodes, play the recording, save and report. Raises InputError."""
    log = open_log(recording)
    contents = Contents.of(log)
    names = ["slam", *(["detector"] if contents.pictures else []), *(["web"] if view else [])]
    page = page_settings() if view else None
    rclpy.init()
    started = time.monotonic()
    try:
        with as_the_robot("demo", out / "log", page), Processes(out / "log") as processes:
            for name in names:
                parameters = ("-p", "use_sim_time:=true", *ARGUMENTS[name])
                processes.start(name, ["-m", NODES[name].module, "--ros-args", *parameters])
            session = Session(out, Node("demo"), speed, with_detector="detector" in names)
            for name in names:
                bring_up(session.node, name, processes.check)
            console.print(f"nodes {', '.join(names)} are up after {time.monotonic() - started:.1f} s")
            if page:
                open_page(console, page)
            session.play(log, contents, processes, console)
            session.save(recording, log, contents, console)
            if view:
                console.print("the page stays; Ctrl-C ends it")
                wait_until(session.node, lambda: False, math.inf)
    finally:
        rclpy.try_shutdown()


def in_words(name: str) -> str:
    """``StaticTransform`` as a person says it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def page_settings() -> tuple[str, int]:
    """Host and port of the page."""
    settings = load(WebParams, "web")
    return settings.host, settings.port


def open_page(console: Console, page: tuple[str, int]) -> None:
    """Tell the address of the page, and open it where there is a browser."""
    address = address_of(*page)
    console.print(f"watch it live: {address}")
    webbrowser.open(address)


class Session:
    """One run of the demonstration, from the first record to the report."""

    def __init__(self, out: Path, node: Node, speed: float | None, with_detector: bool) -> None:
        self.out = out
        self.node = node
        self.player = Player(node, speed, with_detector)
        self.sightings = Sightings(node) if with_detector else None
        self.path: PathMsg | None = None
        self.last_ns = 0
        self.playing_s = 0.0
        hear_declared(node, "path", self._on_path)

    def _on_path(self, message: PathMsg) -> None:
        self.path = message

    def play(self, log: Log, contents: Contents, processes: Processes, console: Console) -> None:
        """Play the recording with a progress bar; a node that dies, or hears nothing, ends it: InputError."""
        if not wait_until(self.node, self.player.ready, DISCOVERY_TIMEOUT_S):
            raise InputError("no node listens to the recording", "look into the logs of the nodes")
        columns = (TextColumn("{task.fields[what]}"), BarColumn(), TimeElapsedColumn())
        started = time.monotonic()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=contents.scans, what="")
            scans = 0

            def on_record(record: Record) -> None:
                nonlocal scans
                if isinstance(record, LaserScan):
                    processes.check()
                    scans += 1
                    self.last_ns = max(self.last_ns, record.stamp_ns)
                    progress.update(task, completed=scans, what=f"scan {scans} of {contents.scans}")

            self.player.play(log, on_record)
        self.playing_s = time.monotonic() - started

    def save(self, recording: Path, log: Log, contents: Contents, console: Console) -> None:
        """Have the SLAM node save map and graph, InputError where it cannot; draw and report what came out."""
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
        figures = [Figure("The map and the path driven, blue to red", self.out / "map.png")]
        result = self.result(recording, log, contents, poses)
        if self.sightings is not None:
            result["detections"] = self.sightings.counts()
            figures += self.sightings.save(self.out)
        with replacing(self.out / "result.json") as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
        tables = {heading.capitalize(): rows for heading, rows in result.items() if rows}
        write_report(self.out / "report.html", f"Nanorover demo: {recording.name}", tables, figures)
        for heading, rows in tables.items():
            console.print(f"[bold]{heading}[/]")
            for name, value in rows.items():
                console.print(f"  {name:<28}{value}")
        pictures = ", ".join(str(figure.path) for figure in figures)
        console.print(f"\nLook at [bold]{self.out / 'report.html'}[/], {pictures}")

    def _path_is_final(self) -> bool:
        return self.path is not None and stamp_ns_of(self.path.header.stamp) >= self.last_ns

    def result(
        self, recording: Path, log: Log, contents: Contents, poses: np.ndarray
    ) -> dict[str, dict[str, object]]:
        """The figures of the run, for people and for result.json."""
        driven_m = float(np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1).sum()) if len(poses) else 0.0
        time_rows: dict[str, object] = {
            "recorded": f"{contents.duration_s:.1f} s",
            "played in": f"{self.playing_s:.1f} s",
            "× real time": f"{contents.duration_s / self.playing_s:.1f}",
        }
        for way, conversation in (("scan → pose", self.player.scans), ("picture → boxes", self.player.pictures)):
            if conversation.answer_ms:
                p50, p99 = np.percentile(conversation.answer_ms, (50, 99))
                time_rows |= {f"{way}, p50": f"{p50:.1f} ms", f"{way}, p99": f"{p99:.1f} ms"}
        return {
            "run": {
                "recording": recording.name,
                "scans": contents.scans,
                "scans without an answer": self.player.scans.unanswered,
                "distance driven": f"{driven_m:.1f} m",
            },
            "time": time_rows,
            "recording": {
                **{in_words(name): count for name, count in log.summary.counts.items()},
                **{f"problem {i}": line for i, line in enumerate(log.problems.lines(), 1)},
            },
        }


if __name__ == "__main__":
    main()
