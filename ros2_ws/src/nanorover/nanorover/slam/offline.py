"""Mapping a whole recording in this process, as fast as it goes."""

import dataclasses
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nanorover.files import replacing
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.mapping.draw import draw_map
from nanorover.mapping.map_files import save_map
from nanorover.replay.logs import Log, Reading, need, open_log
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import SlamParams
from nanorover.slam.relations import read_relations, relation_error
from nanorover.slam.trajectory import write_tum

PROGRESS_SCANS = 200


def map_recording(
    path: Path,
    params: SlamParams,
    *,
    out: Path,
    reading: Reading | None = None,
    relations_path: Path | None = None,
    use_odometry: bool = True,
    on_progress: Callable[[int], None] = lambda scans: None,
) -> dict[str, Any]:
    """Map the recording and write map, picture, trajectory and result into ``out``; returns the result.

    ``cpu_s`` and ``scan_ms`` are what the method took, reading and writing of files left out;
    ``process_cpu_s`` has everything. Raises InputError for a recording without scans and for bad relations.
    """
    relations = read_relations(relations_path) if relations_path is not None else None
    log = open_log(path, reading)
    mapper = Mapper(params)
    mapper.warm_up()
    scan_s, odometry_s = run_log(mapper, log, use_odometry, on_progress)
    need(log, LaserScan)
    started = time.process_time()
    mapper.finish()
    stamps_ns, poses = mapper.trajectory()
    grid = mapper.grid()
    cpu_s = sum(scan_s) + odometry_s + time.process_time() - started
    ms = 1e3 * np.array(scan_s)
    with_odometry = use_odometry and log.summary.counts["Odometry"] > 0
    used = ("scan", "odom") if with_odometry else ("scan",)
    problems = log.problems.lines()
    unreached = mapper.front_end.counts["scans without odometry"]
    if use_odometry and not with_odometry:
        problems.append("the recording has no odometry that is known as such; mapped from the scans alone")
    elif use_odometry and unreached:
        problems.append(f"{unreached} × scan with no odometry close enough in time")
    if mapper.front_end.wheels_never_moved() and 2 * unreached < len(scan_s):
        problems.append("the odometry says that the robot never moved; mapped from the scans alone")
    if jumps := mapper.front_end.counts["odometry jumps left out"]:
        problems.append(f"{jumps} × odometry jump left out")
    result: dict[str, Any] = {
        "scans": len(scan_s),
        "duration_s": round(log.summary.duration_s, 3),
        "cpu_s": round(cpu_s, 4),
        "x_realtime": round(log.summary.duration_s / max(cpu_s, 1e-9), 1),
        "peak_rss_mb": 0.0,
        "scan_ms": {
            "mean": round(float(ms.mean()), 3),
            "p50": round(float(np.percentile(ms, 50)), 3),
            "p99": round(float(np.percentile(ms, 99)), 3),
            "max": round(float(ms.max()), 3),
        },
        "odometry": "odom" in used,
        "topics": {role: log.summary.topics[role] for role in used},
        "other_topics": {role: log.summary.other_topics.get(role, []) for role in used},
        "health": mapper.health(),
        "problems": problems,
        "params": dataclasses.asdict(params),
    }
    if relations is not None:
        result["relations"] = dataclasses.asdict(relation_error(relations, stamps_ns, poses))
    del mapper  # the picture needs about as much memory
    write_tum(out / "trajectory.tum", stamps_ns, poses)
    save_map(grid, out / "map")
    draw_map(out / "map.png", grid, poses)
    result["process_cpu_s"] = round(time.process_time(), 2)
    result["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1)
    with replacing(out / "result.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    return result


def run_log(
    mapper: Mapper, log: Log, use_odometry: bool, on_progress: Callable[[int], None] = lambda scans: None
) -> tuple[list[float], float]:
    """Feed a log to the mapper; returns the CPU seconds of every scan, and of all odometry together."""
    scan_s: list[float] = []
    odometry_s = 0.0
    for record in log:
        started = time.process_time()
        if isinstance(record, LaserScan):
            mapper.add_scan(record)
            scan_s.append(time.process_time() - started)
            if len(scan_s) % PROGRESS_SCANS == 0:
                on_progress(len(scan_s))
        elif use_odometry and isinstance(record, Odometry):
            mapper.add_odometry(record)
            odometry_s += time.process_time() - started
    return scan_s, odometry_s
