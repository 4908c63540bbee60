"""Missions in a simulated world, and the in-process way to run them: as fast as it goes, equal to the bit."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import alignment
from nanorover.params import load
from nanorover.replay.records import TrueMap, TruePose
from nanorover.replay.truth import MapAgreement, PoseError, Truth, map_agreement, pose_error, truth_of
from nanorover.sim.pilots import Pilot, Tour, Wander
from nanorover.sim.rover import Rover
from nanorover.sim.scene import Scene
from nanorover.sim.simulation import Score, Simulation

# A wanderer that has seen less of what it could reach has not explored.
ENOUGH_COVERAGE = 0.4


@dataclass(frozen=True)
class Mission:
    """A task for the robot: who drives, for how long at most, and what it means to succeed."""

    name: str
    duration_s: float
    meaning: str


MISSIONS = {
    mission.name: mission
    for mission in (
        Mission(
            "wander", 90.0, f"explore by scans alone; see {ENOUGH_COVERAGE:.0%} of the free space, touch nothing"
        ),
        Mission("tour", 240.0, "drive the scene's tour through its rooms to the end, touch nothing"),
    )
}


@dataclass(frozen=True)
class Result:
    """How a mission went; ``why`` says in words what was missing. The pose error is None without SLAM poses."""

    mission: str
    world: str
    seed: int
    success: bool
    why: str
    collisions: int
    distance_m: float
    time_s: float
    min_clearance_m: float
    pose_error: PoseError | None
    map: MapAgreement | None
    real_time_factor: float

    def as_dict(self) -> dict[str, Any]:
        """For a JSON object."""
        return asdict(self)


def mission_of(name: str) -> Mission:
    """A mission by its name; raises InputError for an unknown one."""
    if name not in MISSIONS:
        raise InputError(f"no mission is called '{name}'", "known: " + ", ".join(MISSIONS))
    return MISSIONS[name]


def pilot_of(name: str, scene: Scene, seed: int) -> Pilot:
    """Who drives this mission. Raises InputError for an unknown one and for a scene without a tour to drive."""
    mission_of(name)
    if name == "wander":
        return Wander(np.random.default_rng((seed, 1)))
    if len(scene.tour_m) < 2:
        raise InputError(f"scene {scene.name} has no tour", "add tour_m to it, or choose the mission wander")
    return Tour(scene.tour_m)


def verdict(mission: str, score: Score, *, arrived: bool, coverage: float | None) -> str:
    """What the mission lacks, in words; empty for success."""
    if score.collisions:
        return "ran into " + ", ".join(score.touched)
    if mission == "tour" and not arrived:
        return "the tour was not driven to its end"
    if mission == "wander" and coverage is not None and coverage < ENOUGH_COVERAGE:
        return f"only {coverage:.0%} of the free space was seen"
    return ""


def errors_of(
    truth: Truth | None, stamps_ns: NDArray[np.int64], poses: NDArray[np.float64]
) -> tuple[PoseError, NDArray[np.float64]] | None:
    """The error of SLAM's poses ``(N, 3)`` and the alignment ``T_true_estimated``; None where nothing compares."""
    if truth is None or len(poses) < 2:
        return None
    inside, true = truth.at(stamps_ns)
    if inside.sum() < 2:
        return None
    T_true_estimated = alignment(true, poses[inside])
    return pose_error(true, poses[inside], T_true_estimated), T_true_estimated


def run_in_process(
    name: str,
    scene: Scene,
    seed: int,
    *,
    duration_s: float | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Result:
    """Drive a mission through the drivers and SLAM in this process, without ports, nodes or waiting.

    Raises InputError for an unknown mission and a scene that does not fit it.
    """
    from nanorover.slam.mapper import Mapper
    from nanorover.slam.params import SlamParams

    mission = mission_of(name)
    simulation = Simulation(scene, seed)
    pilot = pilot_of(name, scene, seed)
    rover = Rover(simulation, pilot)
    mapper = Mapper(load(SlamParams, "slam"))
    mapper.warm_up()
    true_poses: list[TruePose] = []
    started = time.monotonic()
    for record in rover.run(duration_s or mission.duration_s):
        if isinstance(record, LaserScan):
            mapper.add_scan(record)
            progress(simulation.now_s)
        elif isinstance(record, Odometry):
            mapper.add_odometry(record)
        elif isinstance(record, TruePose):
            true_poses.append(record)
    elapsed_s = time.monotonic() - started
    mapper.finish()
    true_map: TrueMap = rover.true_map()
    compared = errors_of(truth_of(true_poses, true_map), *mapper.trajectory())
    agreement = map_agreement(mapper.grid(), true_map, compared[1]) if compared else None
    score = simulation.score
    why = verdict(name, score, arrived=pilot.done, coverage=agreement.coverage if agreement else None)
    return Result(
        mission=name, world=scene.name, seed=seed, success=not why, why=why, collisions=score.collisions,
        distance_m=round(score.distance_m, 3), time_s=round(simulation.now_s, 3),
        min_clearance_m=round(score.clearance_m, 4), pose_error=compared[0] if compared else None,
        map=agreement, real_time_factor=round(simulation.now_s / max(elapsed_s, 1e-9), 2),
    )  # fmt: skip
