"""Scenarios × seeds driven in one process, summed up as a table and drawn as ways."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.files import replacing
from nanorover.sim.navigation import drive
from nanorover.sim.outcome import Outcome
from nanorover.sim.scenarios import scenario_of
from nanorover.sim.simulation import Simulation

# What a row of the table shows, and under which heading.
COLUMNS = {
    "name": "scenario",
    "arrived": "arrived",
    "collisions": "collisions",
    "time_ratio": "time / ideal",
    "clearance_m": "least gap m",
    "people_clearance_m": "to people m",
    "slower_ms": "slower after ms",
    "never_slower": "never slower",
    "reasons": "reasons",
}


@dataclass(frozen=True, eq=False)
class Trial:
    """One drive: how it went, the way ``(N, 3)``, and how long things took: from somebody near until the robot is
    slower, and through real nodes from scans until they are velocities."""

    outcome: Outcome
    way: NDArray[np.float64]
    latency: dict[str, float] = field(default_factory=dict)


def drive_here(name: str, seed: int) -> Trial:
    """Drive a scenario in this process."""
    return Trial(*drive(name, seed))


def run(
    names: list[str],
    seeds: Iterable[int],
    progress: Callable[[str], None],
    drive_one: Callable[[str, int], Trial],
) -> list[Trial]:
    """Drive all of them, one after another."""
    trials: list[Trial] = []
    for seed in seeds:
        for name in names:
            progress(f"{name}, seed {seed}; {sum(t.outcome.success for t in trials)} of {len(trials)} arrived")
            trials.append(drive_one(name, seed))
    return trials


def summary(trials: list[Trial]) -> dict[str, Any]:
    """Per scenario and over all; a JSON object."""
    rows = []
    for name in dict.fromkeys(t.outcome.scenario for t in trials):
        of_name = [t.outcome for t in trials if t.outcome.scenario == name]
        latency = _latency([t.latency for t in trials if t.outcome.scenario == name])
        ratios = [o.time_s / o.ideal_s for o in of_name if o.success and o.ideal_s > 0.0]
        people = [o.people_clearance_m for o in of_name if o.people_clearance_m is not None]
        rows.append(
            {
                "name": name,
                "arrived": f"{sum(o.success for o in of_name)} / {len(of_name)}",
                "collisions": sum(o.collisions for o in of_name),
                "time_ratio": round(statistics.median(ratios), 2) if ratios else None,
                "clearance_m": min(o.clearance_m for o in of_name),
                "people_clearance_m": min(people) if people else None,
                "slower_ms": latency.get("person_to_slower_p50_ms"),
                "never_slower": latency.get("never_slower"),
                "reasons": "; ".join(f"seed {o.seed}: {o.reason}" for o in of_name if not o.success),
            }
        )
    outcomes = [t.outcome for t in trials]
    ratios = [o.time_s / o.ideal_s for o in outcomes if o.success and o.ideal_s > 0.0]
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "runs": len(outcomes),
        "success": sum(o.success for o in outcomes) / max(1, len(outcomes)),
        "collisions": sum(o.collisions for o in outcomes),
        "median_time_ratio": round(statistics.median(ratios), 3) if ratios else None,
        "least_people_clearance_m": min(
            (o.people_clearance_m for o in outcomes if o.people_clearance_m is not None), default=None
        ),
        "latency": _latency([t.latency for t in trials]),
        "scenarios": rows,
        "outcomes": [o.as_dict() for o in outcomes],
    }


def _latency(found: list[dict[str, float]]) -> dict[str, float]:
    """The median drive's median, the worst drive's 99 %, the sum of what is counted."""
    together: dict[str, Callable[[Iterable[float]], float]] = {"p99_ms": max, "p50_ms": statistics.median}
    return {
        key: together.get(key[-6:], sum)(f[key] for f in found if key in f)
        for key in dict.fromkeys(key for f in found for key in f)
    }


def write_picture(trials: list[Trial], path: Path) -> None:
    """The worlds from above, in metres of the map, with the ways driven."""
    from matplotlib.figure import Figure

    columns = min(4, len(trials))
    rows = -(-len(trials) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for trial, axis in zip(trials, axes, strict=False):
        _draw_way(axis, trial)
    for axis in axes[len(trials) :]:
        axis.remove()
    shown = {text.get_label(): text for axis in figure.axes for text in axis.get_legend_handles_labels()[0]}
    figure.legend(handles=[*shown.values()], loc="outside lower center", ncols=len(shown), frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, bbox_inches="tight")


def _draw_way(axis: Any, trial: Trial) -> None:
    from matplotlib.ticker import MultipleLocator

    outcome, way = trial.outcome, trial.way[::4]
    scenario = scenario_of(outcome.scenario, outcome.seed)
    grid = Simulation(scenario.scene, outcome.seed).map
    height, width = np.array(grid.cells.shape) * grid.resolution_m
    x, y = grid.origin_m
    axis.imshow(grid.cells > 0, origin="lower", extent=(x, x + width, y, y + height), cmap="Greys", vmax=1.6)
    for walker in scenario.scene.walkers:
        axis.plot(*np.array(walker.path_m).T, ":", color="tab:red", lw=1.5, label="who walks there")
    axis.plot(*scenario.goal[:2], "*", color="tab:orange", ms=12, ls="", label="goal")
    axis.scatter(*way[:, :2].T, c=np.arange(len(way)), cmap="viridis", s=6, label="way, dark at the start")
    axis.set_title(f"{outcome.scenario}: {outcome.time_s:.0f} s" + ("" if outcome.success else " (failed)"))
    for along in (axis.xaxis, axis.yaxis):
        along.set_major_locator(MultipleLocator(1.0))
    axis.set(xlabel="x (m)", ylabel="y (m)")
    axis.grid(alpha=0.25)
    axis.set_axisbelow(False)
    axis.spines[:].set_visible(False)
