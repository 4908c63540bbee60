"""Measuring SLAM: logs with hand-verified relations, and drives in simulated buildings with exact truth."""

import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import alignment, between_all, compose_all
from nanorover.machine import processor
from nanorover.replay.logs import CARMEN_SUFFIXES, need, open_log
from nanorover.sim.buildings import BUILDINGS
from nanorover.sim.flatland import G4, G4_SWEEPING, SICK, WHEELS, Lidar, drive, record
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import SlamParams, slam_params
from nanorover.slam.relations import Relations, errors_of, read_relations, relation_error

LIDARS: dict[str, Lidar] = {"G4": G4, "G4 sweeping": G4_SWEEPING, "SICK": SICK}
LOG_SUFFIXES = tuple(suffix + packed for suffix in CARMEN_SUFFIXES for packed in ("", ".bz2", ".gz"))
RELATIONS_SUFFIX = ".relations"
NTH = {2: "2nd", 3: "3rd"}
# Relations of a simulated drive: poses this long apart, and returns to within this distance after this time.
APART_S = 1.0
RETURN_M, RETURN_S = 2.0, 20.0
RETURNS = 500


@dataclass(frozen=True)
class Case:
    """One run: a log by its path, or a building by its name with a lidar and wheels (None: no odometry)."""

    name: str
    odometry: str
    seed: int = 0
    log: Path | None = None
    lidar: str = ""
    every: int = 1  # only every so many scans of a simulated drive are used


def simulated_cases(seeds: int) -> list[Case]:
    """The simulated part of the bench."""
    cases = [
        Case("apartment", wheels, seed, lidar=lidar)
        for lidar in ("G4", "G4 sweeping")
        for wheels in (*WHEELS, "none")
        for seed in range(seeds)
    ]
    cases += [Case("office", wheels, seed, lidar="SICK") for wheels in ("weak", "none") for seed in range(seeds)]
    cases += [
        Case("office", wheels, seed, lidar="SICK", every=every)
        for wheels, spacings in (("good", (7,)), ("none", (2, 3, 5, 7)))
        for every in spacings
        for seed in range(seeds)
    ]
    return cases + [Case("campus", wheels, 0, lidar="G4") for wheels in ("good", "weak", "none")]


def log_cases(folder: Path) -> tuple[list[Case], list[str]]:
    """Every CARMEN log of a folder that has relations beside it, with and without odometry; and what is left out.

    Raises InputError when there is none.
    """
    logs = sorted(path for path in folder.iterdir() if path.name.endswith(LOG_SUFFIXES))
    fit = [path for path in logs if _relations_of(path).exists()]
    if not fit:
        raise InputError(
            f"{folder} holds no log with relations", f"beside each log.clf belongs a log{RELATIONS_SUFFIX}"
        )
    left_out = [f"{path.name}: no {_relations_of(path).name} beside it" for path in logs if path not in fit]
    known = {_relations_of(path) for path in logs}
    left_out += [
        f"{p.name}: no log beside it" for p in sorted(folder.glob("*" + RELATIONS_SUFFIX)) if p not in known
    ]
    return [Case(_name(path), odometry, log=path) for path in fit for odometry in ("log", "none")], left_out


def _name(log: Path) -> str:
    """The file's name without what says how it is written."""
    return log.name.removesuffix(max((s for s in LOG_SUFFIXES if log.name.endswith(s)), key=len))


def _relations_of(log: Path) -> Path:
    return log.with_name(_name(log) + RELATIONS_SUFFIX)


def run_case(case: Case, pictures: Path | None = None) -> dict[str, Any]:
    """Run one case in this process; with a folder, the map and the error over time are drawn into it.

    Raises InputError for a log without scans or relations that are not its own.
    """
    params = slam_params()
    mapper = Mapper(params)
    mapper.warm_up()
    scan_s: list[float] = []
    truth: list[NDArray[np.float64]] = []
    for records, T_map_base in _steps(case):
        started = time.process_time()
        for item in records:
            if isinstance(item, LaserScan):
                mapper.add_scan(item)
            else:
                mapper.add_odometry(item)
        scan_s.append(time.process_time() - started)
        truth.append(T_map_base)
    mapper.finish()
    stamps_ns, poses = mapper.trajectory()
    if case.log is not None:
        relations = read_relations(_relations_of(case.log))
    else:
        relations = true_relations(stamps_ns, np.array(truth), np.random.default_rng(case.seed))
    error = relation_error(relations, stamps_ns, poses)
    duration_s = float(np.ptp(stamps_ns)) * 1e-9
    ms = 1e3 * np.array(scan_s)
    if pictures is not None:
        _draw(case, mapper, relations, pictures)
    return {
        **{key: value for key, value in asdict(case).items() if key != "log"},
        "scans": len(ms),
        "duration_s": round(duration_s, 1),
        **asdict(error),
        "ate_m": None if case.log is not None else round(absolute_error_m(np.array(truth), poses), 4),
        "x_realtime": round(duration_s / (ms.sum() * 1e-3), 1),
        "ms_mean": round(float(ms.mean()), 3),
        "ms_p50": round(float(np.percentile(ms, 50)), 3),
        "ms_p99": round(float(np.percentile(ms, 99)), 3),
        "ms_max": round(float(ms.max()), 2),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1),
        "loops": int(mapper.loop_closer.counts["loops closed"]),
        "keyframes": len(mapper.graph),
    }


def _steps(case: Case) -> Iterator[tuple[list[Odometry | LaserScan], NDArray[np.float64]]]:
    """What comes up to and with every scan, and the true pose (NaN for a log)."""
    waiting: list[Odometry | LaserScan] = []
    if case.log is not None:
        log = open_log(case.log)
        for item in log:
            if isinstance(item, LaserScan):
                yield [*waiting, item], np.full(3, np.nan)
                waiting = []
            elif isinstance(item, Odometry) and case.odometry != "none":
                waiting.append(item)
        need(log, LaserScan)
        return
    rng = np.random.default_rng(case.seed)
    building = BUILDINGS[case.name](rng)
    steps = record(building.walls, drive(building.waypoints), LIDARS[case.lidar], WHEELS.get(case.odometry), rng)
    for k, step in enumerate(steps):
        waiting += step.odometry
        if k % case.every == 0:
            yield [*waiting, step.scan], step.T_map_base
            waiting = []


def true_relations(
    stamps_ns: NDArray[np.int64], truth: NDArray[np.float64], rng: np.random.Generator
) -> Relations:
    """Relations between true poses (N, 3): between neighbours in time, and between returns to a place."""
    times_s = (stamps_ns - stamps_ns[0]) * 1e-9
    step = max(int(np.searchsorted(times_s, APART_S)), 1)
    first = np.arange(0, len(truth) - step, step)
    pairs = [np.column_stack([first, first + step])]
    for k in rng.choice(len(truth), min(RETURNS, len(truth)), replace=False):
        near = np.hypot(truth[:, 0] - truth[k, 0], truth[:, 1] - truth[k, 1]) < RETURN_M
        again = np.flatnonzero(near & (np.abs(times_s - times_s[k]) > RETURN_S))
        if len(again) > 0:
            pairs.append(np.array([[k, rng.choice(again)]]))
    index = np.concatenate(pairs)
    return Relations(stamps_ns[index], between_all(truth[index[:, 0]], truth[index[:, 1]]))


def absolute_error_m(truth: NDArray[np.float64], poses: NDArray[np.float64]) -> float:
    """Root mean square distance of the positions after the best rigid alignment (Umeyama 1991, in the plane)."""
    off_m = (compose_all(alignment(truth, poses), poses) - truth)[:, :2]
    return float(np.sqrt((off_m**2).sum(axis=1).mean()))


def _draw(case: Case, mapper: Mapper, relations: Relations, folder: Path) -> None:
    """The map with the path driven, and the error of the relations over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from nanorover.files import replacing
    from nanorover.mapping.draw import draw_map

    stamps_ns, poses = mapper.trajectory()
    name = "-".join(
        str(part).replace(" ", "-") for part in (case.name, case.lidar or "log", case.odometry, case.every)
    )
    draw_map(folder / f"{name}-map.png", mapper.grid(), poses)
    trans_m, rot_rad = errors_of(relations, stamps_ns, poses)
    when_s = (relations.stamps_ns.max(axis=1) - stamps_ns.min()) * 1e-9
    figure, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, constrained_layout=True)
    for axis, values, label in ((axes[0], 100 * trans_m, "cm"), (axes[1], np.degrees(rot_rad), "degrees")):
        axis.plot(when_s, values, ".", markersize=3, color="#1f6fb2", alpha=0.6)
        axis.axhline(
            float(np.nanmean(values)), color="#c0392b", linewidth=1, label=f"mean {np.nanmean(values):.2f}"
        )
        axis.set_ylabel(f"error, {label}")
        axis.set_ylim(bottom=0)
        axis.legend(loc="upper right", frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_xlabel("time of the later pose, s")
    axes[0].set_title(f"{case.name}, odometry: {case.odometry}: error of every relation", loc="left")
    with replacing(folder / f"{name}-error.png") as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


def table(
    results: list[dict[str, Any]], not_measured: list[str], command: str, params: SlamParams, date: str
) -> str:
    """The results as a Markdown page: what was run, where and when, one line per kind of run, what was not run."""
    lines = [
        "# SLAM bench",
        "",
        f"{date}, `{command}`, {processor()}, one process at a time; Python {platform.python_version()}.",
        "Error: mean over relations (Kümmerle et al. 2009). Simulated: poses one second apart and returns; "
        "median and worst over the seeds. Times are CPU time of the method, loop closing included.",
        "",
        "| run | lidar | odometry | seeds | error, m | worst | error, ° | worst | ATE, m"
        " | × real time | ms p50 | p99 | max | RSS, MB | loops |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str, int], list[dict[str, Any]]] = {}
    for result in results:
        key = (result["name"], result["lidar"] or "as logged", result["odometry"], result["every"])
        groups.setdefault(key, []).append(result)
    for (name, lidar, odometry, every), runs in groups.items():

        def over(figure: str, what: Any = np.median, runs: list[dict[str, Any]] = runs) -> float:
            return float(what([run[figure] for run in runs]))

        spaced = f", every {NTH.get(every, f'{every}th')} scan" if every > 1 else ""
        ate = f"{over('ate_m', np.max):.3f}" if runs[0]["ate_m"] is not None else "–"
        lines.append(
            f"| {name}{spaced} | {lidar} | {odometry} | {len(runs)}"
            f" | {over('trans_m_mean'):.4f} | {over('trans_m_mean', np.max):.4f}"
            f" | {over('rot_deg_mean'):.3f} | {over('rot_deg_mean', np.max):.3f} | {ate}"
            f" | {over('x_realtime'):.0f} | {over('ms_p50'):.2f} | {over('ms_p99'):.2f}"
            f" | {over('ms_max', np.max):.1f} | {over('rss_mb', np.max):.0f} | {over('loops'):.0f} |"
        )
    partly = {r["name"]: f"over {r['n']} of {r['given']} relations" for r in results if r["n"] < r["given"]}
    notes = [f"- {name}: {over}" for name, over in partly.items()]
    notes += [f"- Not measured: {line}" for line in not_measured]
    lines += ["", *notes] if notes else []
    settings = ", ".join(f"{key} {value:g}" for key, value in asdict(params).items())
    return "\n".join([*lines, "", f"Settings, the same for all: {settings}.", ""])
