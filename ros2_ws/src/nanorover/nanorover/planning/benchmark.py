"""How fast the planner's parts are: CPU time of one core, in situations of the size that the budgets name."""

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover import params
from nanorover.base.gate import Velocity
from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import wrap_angles
from nanorover.machine import one_core
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.safety import AUTONOMY, Safety
from nanorover.planning.safety_params import SafetyParams

BEAMS = 720
WARM_UP = 5
CRUISE = Velocity(0.4, 0.1)


def run(rounds: int) -> dict[str, Any]:
    """Measure everything; a JSON object."""
    cv2.setNumThreads(1)
    generator = np.random.default_rng(0)
    parts = [
        *_controllers(generator, rounds),
        *_global_plans(generator, max(5, rounds // 20)),
        _costmaps(generator, rounds),
        _fusion(rounds),
        _safety(generator, rounds),
    ]
    return {
        "machine": one_core(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "rounds": rounds,
        "parts": parts,
    }


def _part(
    name: str, call: Callable[[int], object], rounds: int, budget_ms: float, of: str = "p99_ms"
) -> dict[str, Any]:
    """Measure one part; ``call`` is given the number of the round."""
    times_ms = []
    for number in range(rounds + WARM_UP):
        start = time.process_time_ns()
        call(number)
        times_ms.append((time.process_time_ns() - start) * 1e-6)
    kept = np.array(times_ms[WARM_UP:])
    figures = {
        "mean_ms": round(float(kept.mean()), 4),
        "p50_ms": round(float(np.percentile(kept, 50)), 4),
        "p99_ms": round(float(np.percentile(kept, 99)), 4),
    }
    return {"name": name, **figures, "budget_ms": budget_ms, "of": of, "kept": figures[of] <= budget_ms}


def _scan(stamp_ns: int, ranges_m: NDArray[np.float64]) -> LaserScan:
    return LaserScan(stamp_ns, ranges_m.astype(np.float32), -np.pi, 2 * np.pi / BEAMS, 0.1, 12.0, 1e-4)


def _room(side_m: float, cell_m: float = 0.05) -> OccupancyGrid:
    cells = np.zeros((round(side_m / cell_m),) * 2, np.int8)
    cells[[0, -1]] = cells[:, [0, -1]] = 100
    return OccupancyGrid(cells, cell_m, np.array([-side_m / 2, -side_m / 2, 0.0]))


def _controllers(generator: np.random.Generator, rounds: int) -> list[dict[str, Any]]:
    """Along a straight path between posts, with three walkers about for MPPI."""
    found = []
    walkers = np.array(
        [[1.5, 1.0, 0, -0.5, 0.25, 0.5, 0.1, 1.5], [-1.5, 1, 0, -0.5, 0.25, 0.5, 0.1, 1.5],
         [2.0, -1.0, -0.3, 0.0, 0.25, 0.5, 0.1, 1.5]], np.float32,
    )  # fmt: skip
    path = np.column_stack([np.linspace(0, 4, 81), np.zeros(81), np.zeros(81)])
    for name, objects, budget_ms, of in (
        ("mppi", walkers[:0], 10.0, "mean_ms"),
        ("mppi", walkers, 20.0, "p99_ms"),
        ("pure_pursuit", walkers[:0], 0.2, "mean_ms"),
    ):
        navigator = Navigator(load_settings(controller=name))
        navigator.on_map(_room(10.0), 0.0)
        posts = generator.uniform(-2.5, 2.5, (25, 2))
        for x, y in posts[np.hypot(*posts.T) > 0.6]:
            navigator.local.seen_s[navigator.local.raster.cell(x, y)] = 0.0
        navigator.local.follow(np.zeros(3), None)
        navigator.local.refresh(navigator.local.whole, 0.0)
        p = navigator.settings.mppi
        words = f"MPPI {p.samples} × {p.steps}, {len(objects)} walkers" if name == "mppi" else "pure pursuit"

        def drive(_: int, n: Navigator = navigator, o: NDArray[np.float32] = objects) -> None:
            n.controller.control(np.zeros(3), CRUISE, path, n.local, o)

        found.append(_part(words, drive, rounds, budget_ms, of))
    return found


def _global_plans(generator: np.random.Generator, rounds: int) -> list[dict[str, Any]]:
    """Across 1,000 × 1,000 cells."""
    found = []
    for name, lethal in (
        ("empty", np.zeros((1000, 1000), bool)),
        ("posts", generator.random((1000, 1000)) < 0.002),
        ("rooms", _rooms(generator)),
        ("meander of 780 m", _meander()),
    ):
        grid = _room(50.0)
        grid.cells[lethal] = 100
        navigator = Navigator(load_settings())
        navigator.on_map(grid, 0.0)

        def find(_: int, n: Navigator = navigator) -> None:
            n.plan(np.array([-24.0, -24.0, 0.0]), np.array([23.5, 23.5, 0.0]))

        found.append(_part(f"global plan, {name}", find, rounds, 50.0))
    return found


def _rooms(generator: np.random.Generator) -> NDArray[np.bool_]:
    lethal = np.zeros((1000, 1000), bool)
    lethal[::100] = lethal[:, ::100] = True
    for i in range(0, 1000, 100):
        for j in range(0, 1000, 100):
            along, across = generator.integers(20, 60, 2)
            lethal[i + along : i + along + 20, j] = False
            lethal[i, j + across : j + across + 20] = False
    return lethal


def _meander() -> NDArray[np.bool_]:
    lethal = np.zeros((1000, 1000), bool)
    for number, row in enumerate(range(50, 950, 50)):
        lethal[row] = True
        lethal[row, slice(30, 60) if number % 2 == 0 else slice(940, 970)] = False
    return lethal


def _costmaps(generator: np.random.Generator, rounds: int) -> dict[str, Any]:
    """Marking, clearing and inflating both maps by scans of a cluttered room, while driving."""
    navigator = Navigator(load_settings())
    navigator.on_map(_room(20.0), 0.0)
    scans = [_scan(n, generator.uniform(1.0, 6.0, BEAMS)) for n in range(20)]

    def update(number: int) -> None:
        pose = np.array([0.02 * (number % 100), 0.0, 0.01 * number])
        navigator.on_scan(scans[number % 20], pose, CRUISE, 0.1 * number)

    return _part(f"both costmaps, {BEAMS} beams", update, rounds, 3.0, "mean_ms")


def _fusion(rounds: int) -> dict[str, Any]:
    """Clusters and tracks of 20 walkers."""
    fusion = Fusion(params.load(FusionParams, "fusion"))
    bearings = -np.pi + np.arange(BEAMS) * 2 * np.pi / BEAMS
    angles, ranges_m = np.linspace(-3.0, 3.0, 20), 2.0 + np.arange(20) % 4 * 0.8

    def seen(number: int) -> LaserScan:
        ranges = np.full(BEAMS, np.inf)
        for angle, r in zip(angles + 0.002 * number, ranges_m, strict=True):
            off = np.abs(wrap_angles(bearings - angle))
            ranges[off < 0.15 / r] = r
        return _scan(number * 100_000_000, ranges)

    scans = [seen(number) for number in range(rounds + WARM_UP)]

    def update(number: int) -> None:
        fusion.on_scan(scans[number], np.zeros(3))

    return _part("fusion and tracking, 20 objects", update, rounds, 2.0, "mean_ms")


def _safety(generator: np.random.Generator, rounds: int) -> dict[str, Any]:
    """A new scan and a decision with five people about."""
    settings = load_settings()
    safety = Safety(params.load(SafetyParams, "safety"), settings.robot, 0.0)
    people = generator.uniform(-3.0, 3.0, (5, 5))
    people[:, 4] = 0.25

    def decide(number: int) -> None:
        now_s = 0.1 * number
        safety.on_scan(_scan(number + 1, generator.uniform(1.0, 6.0, BEAMS)), now_s)
        safety.on_pose(number + 1, np.eye(3) * 1e-4, now_s)
        safety.on_people(people, now_s)
        for node in safety.params.watched_nodes:
            safety.on_heartbeat(node, "", now_s)
        safety.on_velocity(AUTONOMY, CRUISE, now_s)
        safety.decide(now_s)

    return _part("safety: scan and decision", decide, rounds, 1.0)
