"""Recordings into the real node processes, against the clock: shows that the coat of ROS fits the library."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rich.console import Console

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import alignment
from nanorover.processes import Processes
from nanorover.replay import truth as truths
from nanorover.replay.cases import TruthWatcher
from nanorover.replay.components import ROWS
from nanorover.replay.graph import run
from nanorover.replay.logs import need, open_log
from nanorover.tables import NODES
from nanorover_nodes.lifecycle import bring_up, wait_until
from nanorover_nodes.player import Player
from nanorover_nodes.program import as_the_robot, ending_in_words

NODES_PLAYED = ("slam",)
LIBRARY = tuple(row for row in ROWS if row.name in ("lidar", *NODES_PLAYED))
DISCOVERY_TIMEOUT_S = 15.0
# Through processes a scan may be lost and a pose may come from other odometry, but not a different map.
LEAST_ANSWERED = 0.9
LARGEST_RMSE_M = 0.05


def main() -> None:
    """Exit code 1 when the nodes differ from the library, 2 when a recording cannot be read."""
    parser = argparse.ArgumentParser(prog="nanorover replay --ros")
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    with ending_in_words(console), as_the_robot("replay", arguments.out / "log"):
        cases = [through_nodes(path, arguments.out, arguments.speed) for path in arguments.recordings]
    with replacing(arguments.out / "ros.json") as temporary:
        temporary.write_text(json.dumps({"cases": cases}, indent=2) + "\n")
    if arguments.json:
        print(json.dumps({"cases": cases}))
    else:
        for case in cases:
            print(case["status"].upper(), case["recording"])
            for name, value in case.items():
                print(f"    {name}: {value}")
    sys.exit(0 if all(case["status"] == "passed" for case in cases) else 1)


def through_nodes(recording: Path, out: Path, speed: float) -> dict[str, Any]:
    """Play one recording into fresh node processes at a multiple of real time, with /clock.

    The poses that come back are compared with those of the library in lock-step, and with the truth where the
    recording knows it. Raises InputError.
    """
    log = open_log(recording)
    watcher = TruthWatcher()
    in_process = run(LIBRARY, log, watcher.watch)
    need(log, LaserScan)
    rclpy.init()
    try:
        node = Node("replay")
        with Processes(out / "log") as processes:
            for name in NODES_PLAYED:
                processes.start(name, ["-m", NODES[name].module, "--ros-args", "-p", "use_sim_time:=true"])
            for name in NODES_PLAYED:
                bring_up(node, name, processes.check)
            player = Player(node, speed)
            if not wait_until(node, player.ready, DISCOVERY_TIMEOUT_S):
                raise InputError("no node listens to the scans", f"the logs of the nodes are in {out / 'log'}")
            started = time.monotonic()
            player.play(log, lambda _: processes.check())
            played_s = time.monotonic() - started
    finally:
        rclpy.try_shutdown()
    steps = in_process.outputs["slam"]
    return {
        "recording": str(recording),
        **_verdict(player.T_map_base, steps["stamp_ns"], steps["T_map_base"]),
        "x_realtime": round(log.summary.duration_s / played_s, 2),
        "truth": _against_truth(player.T_map_base, watcher.truth()),
    }


def _verdict(answered: dict[int, Any], stamps_ns: Any, T_map_base: Any) -> dict[str, Any]:
    """The poses of the nodes against those of the library, scan by scan; their map begins where they heard the
    first scan, which need not be the first of the recording."""
    both = [i for i, stamp_ns in enumerate(stamps_ns) if int(stamp_ns) in answered]
    share = len(both) / len(stamps_ns)
    result: dict[str, Any] = {"status": "changed", "scans": len(stamps_ns), "answered": round(share, 4)}
    if both:
        nodes = np.array([answered[int(stamps_ns[i])] for i in both])
        apart = truths.pose_error(T_map_base[both], nodes, alignment(T_map_base[both], nodes))
        result |= {
            "rmse_to_library_m": round(apart.trans_rmse_m, 5),
            "max_to_library_m": round(apart.trans_max_m, 5),
        }
        if share >= LEAST_ANSWERED and apart.trans_rmse_m <= LARGEST_RMSE_M:
            result["status"] = "passed"
    return result


def _against_truth(answered: dict[int, Any], truth: truths.Truth | None) -> dict[str, float]:
    if truth is None or len(answered) < 2:
        return {}
    stamps_ns = np.array(sorted(answered), dtype=np.int64)
    inside, true_poses = truth.at(stamps_ns)
    estimated = np.array([answered[int(stamp_ns)] for stamp_ns in stamps_ns[inside]])
    T_true_estimated = alignment(true_poses, estimated)
    return vars(truths.pose_error(true_poses, estimated, T_true_estimated))


if __name__ == "__main__":
    main()
