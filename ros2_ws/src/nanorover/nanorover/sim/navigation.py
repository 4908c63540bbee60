"""The navigator driven in the simulated world: drivers, fusion, planner and safety as a library, in one process.

The pose is the true one with an error that wanders like SLAM's; people are known by the scan alone.
"""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from py_trees.common import Status

from nanorover import params
from nanorover.base.gate import Velocity
from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose, between, compose, inverse, transform_points
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning import missions
from nanorover.planning.contact import rectangle_distance
from nanorover.planning.missions import Mission
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.pilot import BehavioursParams, Moment
from nanorover.planning.safety import AUTONOMY, Safety
from nanorover.planning.safety_params import SafetyParams
from nanorover.planning.scan_points import last_ray_ns, velocity_over
from nanorover.sim.rover import EPOCH_NS, Rover
from nanorover.sim.scenarios import scenario_of
from nanorover.sim.simulation import Simulation
from nanorover.sim.truth import true_map

CERTAIN = np.diag([4e-4, 4e-4, 1e-4])
# SLAM's error: standard deviation of x, y, yaw, and how fast it wanders.
POSE_ERROR = np.array([0.015, 0.015, 0.006])
ERROR_MEMORY_S = 2.0
VELOCITY_OVER_S = 0.1
WALKER_RADIUS_M = 0.2
MOVING_M_S = 0.03
LONGEST_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """How one drive went. ``ideal_s`` is the time of an ideal drive along the first plan."""

    scenario: str
    seed: int
    success: bool
    reason: str
    collisions: int
    touched: str
    time_s: float
    ideal_s: float
    clearance_m: float
    people_clearance_m: float
    recoveries: int
    cpu_s: float

    def as_dict(self) -> dict[str, Any]:
        """For a JSON object."""
        return asdict(self)


class NavigatorPilot:
    """A pilot of the simulated rover that is the whole navigation stack."""

    def __init__(self, simulation: Simulation, known: OccupancyGrid, goal: Pose, seed: int) -> None:
        self.simulation = simulation
        self.rng = np.random.default_rng((seed, 7))
        self.navigator = Navigator(load_settings(), seed)
        self.fusion = Fusion(params.load(FusionParams, "fusion"))
        self.safety = Safety(params.load(SafetyParams, "safety"), self.navigator.settings.robot, simulation.now_s)
        self.navigator.on_map(known, simulation.now_s)
        self.goal = goal
        self.error = np.zeros(3)
        self.mission: Mission | None = None
        self.status = Status.RUNNING
        self.way: list[Pose] = []
        self.ideal_s = 0.0
        self.people_clearance_m = math.inf
        self._poses: list[tuple[float, Pose]] = []
        self._scan_ns = 0

    @property
    def done(self) -> bool:
        """Whether the mission has ended."""
        return self.status != Status.RUNNING

    def command(self, scan: LaserScan | None, T_map_base: Pose) -> tuple[float, float]:
        """See ``pilots.Pilot``."""
        now_s = self.simulation.now_s
        self._measure(T_map_base)
        pose = self._estimate(T_map_base)
        velocity = self._velocity(pose, now_s)
        self.fusion.on_pose(EPOCH_NS + self.simulation.now_ns, pose)
        self.safety.on_measured(velocity, now_s)
        if scan is not None and scan.stamp_ns != self._scan_ns:
            self._scan_ns = scan.stamp_ns
            self._see(scan, now_s)
        if self._scan_ns == 0:
            return 0.0, 0.0
        moment = Moment(pose, velocity, now_s, EPOCH_NS + self.simulation.now_ns)
        if self.mission is None:
            self.mission = self._begin(moment)
        self.status = self.mission.tick(moment)
        for node in self.safety.params.watched_nodes:
            self.safety.on_heartbeat(node, "", now_s)
        self.safety.on_velocity(AUTONOMY, self.mission.pilot.command, now_s)
        permitted = self.safety.decide(now_s).velocity
        return permitted.linear_m_s, permitted.angular_rad_s

    def _begin(self, moment: Moment) -> Mission:
        mission = Mission(self.navigator, params.load(BehavioursParams, "behaviours"), moment)
        mission.start(missions.through_poses(mission.pilot, [self.goal]))
        self.ideal_s = self._ideal_s(moment.T_map_base)
        return mission

    def _ideal_s(self, pose: Pose) -> float:
        """Turn to the path, drive it at full speed with ramps, turn to the goal's yaw."""
        m = self.navigator.settings.motion
        path = self.navigator.plan(pose, self.goal).path
        if len(path) < 2:
            return 0.0
        length_m = float(np.hypot(*np.diff(path[:, :2], axis=0).T).sum())
        ahead = path[min(10, len(path) - 2), 2] - pose[2], path[-1, 2] - path[-2, 2]
        turned_rad = sum(abs((a + math.pi) % (2 * math.pi) - math.pi) for a in ahead)
        ramps_s = 0.5 * m.max_linear_m_s * (1.0 / m.acceleration_m_s2 + 1.0 / m.deceleration_m_s2)
        return length_m / m.max_linear_m_s + ramps_s + turned_rad / m.max_angular_rad_s

    def _see(self, scan: LaserScan, now_s: float) -> None:
        T_map_base, T_map_last = (self.fusion.pose_at(t) for t in (scan.stamp_ns, last_ray_ns(scan)))
        if T_map_base is None or T_map_last is None:
            return
        velocity = velocity_over(scan, T_map_base, T_map_last)
        self.navigator.on_objects(self.fusion.on_scan(scan, T_map_base, velocity, self.navigator.wall_distance_m))
        self.navigator.on_scan(scan, T_map_base, velocity, now_s)
        self.safety.on_scan(scan, now_s)
        self.safety.on_pose(scan.stamp_ns, CERTAIN, now_s)
        T_base_map = inverse(T_map_base)
        turn = np.array([0.0, 0.0, T_base_map[2]])
        rows = [
            [*transform_points(T_base_map, o.state[None, :2].copy())[0],
             *transform_points(turn, o.state[None, 2:].copy())[0], o.radius_m]
            for o in self.navigator.semantics.animate(self.navigator.objects)
        ]  # fmt: skip
        self.safety.on_people(np.array(rows, dtype=np.float64).reshape(-1, 5), now_s)

    def _estimate(self, T_map_base: Pose) -> Pose:
        """The pose with SLAM's error."""
        keep = math.exp(-0.05 / ERROR_MEMORY_S)
        self.error = keep * self.error + math.sqrt(1.0 - keep**2) * POSE_ERROR * self.rng.standard_normal(3)
        return compose(T_map_base, self.error)

    def _velocity(self, pose: Pose, now_s: float) -> Velocity:
        self._poses = [(t, p) for t, p in self._poses if now_s - t <= VELOCITY_OVER_S + 1e-9][-8:]
        self._poses.append((now_s, compose(pose, -self.error)))
        before_s, before = self._poses[0]
        elapsed_s = now_s - before_s
        if elapsed_s <= 0.0:
            return Velocity(0.0, 0.0)
        motion = between(before, self._poses[-1][1])
        return Velocity(float(motion[0]) / elapsed_s, float(motion[2]) / elapsed_s)

    def _measure(self, T_map_base: Pose) -> None:
        """The true gap to people and pets while the robot moves by itself."""
        speed = 0.0
        if self.way:
            speed = math.dist(self.way[-1][:2], T_map_base[:2]) / 0.05
        self.way.append(T_map_base.copy())
        if speed < MOVING_M_S:
            return
        for thing in self.simulation.objects():
            if thing.kind in ("person", "cat", "dog"):
                x, y, _ = between(T_map_base, thing.pose)
                gap_m = float(rectangle_distance(float(x), float(y), self.safety.outline))
                radius_m = min(WALKER_RADIUS_M, min(thing.size_m[:2]) / 2.0)
                self.people_clearance_m = min(self.people_clearance_m, gap_m - radius_m)


def known_map(scene: Any, height_m: float) -> OccupancyGrid:
    """The map of a scene as a mapper would have made it."""
    grid = true_map(scene, height_m)
    return OccupancyGrid(grid.cells, grid.resolution_m, np.array([*grid.origin_m, 0.0]))


def drive(name: str, seed: int) -> tuple[Outcome, NDArray[np.float64]]:
    """Run one scenario; how it went, and the way ``(N, 3)`` really driven."""
    scenario = scenario_of(name, seed)
    simulation = Simulation(scenario.scene, seed)
    goal = np.array([*scenario.goal[:2], math.radians(scenario.goal[2])])
    pilot = NavigatorPilot(simulation, known_map(scenario.mapped, simulation.frames.laser_z_m), goal, seed)
    rover = Rover(simulation, pilot)
    start_s = time.process_time()
    for _ in rover.run(LONGEST_S):
        pass
    reason = pilot.mission.pilot.reason if pilot.mission else "nothing was seen"
    success = pilot.status == Status.SUCCESS and simulation.score.collisions == 0
    if pilot.status == Status.RUNNING:
        reason = f"not there after {LONGEST_S:.0f} s: {reason or 'still driving'}"
    outcome = Outcome(
        name, seed, success, reason, simulation.score.collisions, ", ".join(simulation.score.touched),
        round(simulation.now_s, 2), round(pilot.ideal_s, 2), round(simulation.score.clearance_m, 3),
        round(pilot.people_clearance_m, 3) if math.isfinite(pilot.people_clearance_m) else -1.0,
        pilot.mission.pilot.recoveries if pilot.mission else 0, round(time.process_time() - start_s, 2),
    )  # fmt: skip
    return outcome, np.array(pilot.way)
