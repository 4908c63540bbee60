"""The navigator driven in the simulated world: drivers, fusion, planner and safety as a library, in one process.

The pose is the true one with an error that wanders like SLAM's, but where localization is what is tried; there it
is the localizer's. People are known by the scan alone.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray
from py_trees.common import Status

from nanorover import params
from nanorover.base.gate import STILL, Velocity, velocity_between
from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.fusion.objects import STANDING
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, compose, inverse
from nanorover.planning import missions
from nanorover.planning.missions import Mission
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.pilot import BehavioursParams, Moment
from nanorover.planning.safety import AUTONOMY, Safety, people_about
from nanorover.planning.safety_params import SafetyParams
from nanorover.planning.scan_points import last_ray_ns
from nanorover.planning.sense import sense
from nanorover.replay.records import Record
from nanorover.sim.outcome import LONGEST_S, Outcome, ideal_s, known_map
from nanorover.sim.people_gap import PeopleGap
from nanorover.sim.rover import EPOCH_NS, Rover
from nanorover.sim.scenarios import Scenario, scenario_of
from nanorover.sim.simulation import Simulation
from nanorover.sim.slow_down import SlowDown
from nanorover.slam.front_end import ScanResult
from nanorover.slam.localizer import Localizer
from nanorover.slam.params import slam_params

VELOCITY_OVER_S = 0.1
CERTAIN = np.diag([4e-4, 4e-4, 1e-4])
# SLAM's error: standard deviation of x, y, yaw, and how fast it wanders.
POSE_ERROR = np.array([0.015, 0.015, 0.006])
ERROR_MEMORY_S = 2.0
SCAN_S = 0.1


class WanderingPose:
    """Answers as a localizer does, with the true pose and a plausible error."""

    localized, last_reason = True, ""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._simulation = simulation
        self._rng = np.random.default_rng((seed, 7))
        self._error = np.zeros(3)
        self._T_odom_base = np.zeros(3)
        self._T_map_odom = simulation.pose

    def add_odometry(self, odometry: Odometry) -> None:
        """A reading of the wheels."""
        self._T_odom_base = odometry.T_odom_base

    def add_scan(self, scan: LaserScan) -> ScanResult:
        """Where the robot is, more or less."""
        keep = math.exp(-SCAN_S / ERROR_MEMORY_S)
        self._error = keep * self._error + math.sqrt(1.0 - keep**2) * POSE_ERROR * self._rng.standard_normal(3)
        T_map_base = compose(self._simulation.pose, self._error)
        self._T_map_odom = compose(T_map_base, inverse(self._T_odom_base))
        return ScanResult(scan.stamp_ns, T_map_base, CERTAIN, 1.0, "", False)

    def T_map_odom(self) -> Pose:
        """What turns odometry into the map."""
        return self._T_map_odom


class NavigatorPilot:
    """A pilot of the simulated rover that is the whole navigation stack."""

    def __init__(self, simulation: Simulation, scenario: Scenario, seed: int) -> None:
        self.simulation = simulation
        self.navigator = Navigator(load_settings(), seed)
        self.fusion = Fusion(params.load(FusionParams, "fusion"))
        self.safety = Safety(params.load(SafetyParams, "safety"), self.navigator.settings.robot, simulation.now_s)
        known = known_map(scenario.mapped, simulation.frames.laser_z_m)
        self.navigator.on_map(known, simulation.now_s)
        self.localizer: Localizer | WanderingPose = WanderingPose(simulation, seed)
        if scenario.believed is not None:
            self.localizer = Localizer(slam_params(), known)
            self.localizer.set_pose(scenario.believed)
        self.goal = scenario.goal
        self.mission: Mission | None = None
        self.status = Status.RUNNING
        self.start_s = 0.0
        self.way: list[Pose] = []
        self.people_gap = PeopleGap(self.navigator.settings.robot)
        self.slow_down = SlowDown(known)
        self._odometry: deque[Odometry] = deque(maxlen=round(VELOCITY_OVER_S * simulation.base.rate_hz) + 1)
        self._seen = False

    @property
    def done(self) -> bool:
        """Whether the mission has ended."""
        return self.status != Status.RUNNING

    def hear(self, record: Record) -> None:
        """Take what the drivers publish."""
        if isinstance(record, Odometry):
            self.localizer.add_odometry(record)
            self._odometry.append(record)
            self.fusion.on_pose(record.stamp_ns, self._pose())
            self.safety.on_measured(self._velocity(), self.simulation.now_s)
        elif isinstance(record, LaserScan) and self._odometry:
            self.slow_down.on_scan(record, self.simulation.pose, self.simulation.now_s)
            self._see(record, self.simulation.now_s)

    def command(self, scan: LaserScan | None, T_map_base: Pose) -> tuple[float, float]:
        """See ``pilots.Pilot``; the scan has been heard already, the true pose is only noted."""
        now_s = self.simulation.now_s
        self.way.append(T_map_base.copy())
        self.people_gap.look(now_s, T_map_base, self.simulation.objects())
        if not self._seen:
            return 0.0, 0.0
        moment = Moment(self._pose(), self._velocity(), now_s, EPOCH_NS + self.simulation.now_ns)
        if self.mission is None:
            self.start_s = now_s
            self.mission = Mission(self.navigator, params.load(BehavioursParams, "behaviours"), moment)
            self.mission.start(missions.through_poses(self.mission.pilot, [self.goal]))
        for node in self.safety.params.watched_nodes:
            self.safety.on_heartbeat(node, "", now_s)
        wanted = STILL
        if self.localizer.localized:
            self.status = self.mission.tick(moment)
            wanted = self.mission.pilot.command
        else:
            self.mission.pilot.hold(self.localizer.last_reason)
        self.safety.on_velocity(AUTONOMY, wanted, now_s)
        permitted = self.safety.decide(now_s).velocity
        self.slow_down.on_velocity(permitted.linear_m_s, now_s)
        return permitted.linear_m_s, permitted.angular_rad_s

    def _see(self, scan: LaserScan, now_s: float) -> None:
        placed = self.localizer.add_scan(scan)
        T_map_first, T_map_last = self.fusion.pose_at(scan.stamp_ns), self.fusion.pose_at(last_ray_ns(scan))
        if T_map_first is None or T_map_last is None:
            return
        self._seen = True
        self.safety.on_scan(scan, now_s)
        self.safety.on_pose(scan.stamp_ns, placed.covariance, now_s)
        sense(self.navigator, self.fusion, scan, T_map_first, T_map_last, now_s)
        animate = self.navigator.semantics.animate(self.navigator.objects)
        people = (o for o in animate if o.class_id != STANDING)  # as the safety node's animate_classes has it
        self.safety.on_people(people_about(people, T_map_first), now_s)

    def _pose(self) -> Pose:
        return compose(self.localizer.T_map_odom(), self._odometry[-1].T_odom_base)

    def _velocity(self) -> Velocity:
        first, last = self._odometry[0], self._odometry[-1]
        elapsed_s = (last.stamp_ns - first.stamp_ns) * 1e-9
        return STILL if elapsed_s <= 0.0 else velocity_between(first.T_odom_base, last.T_odom_base, elapsed_s)


def drive(name: str, seed: int) -> tuple[Outcome, NDArray[np.float64], dict[str, float]]:
    """Run one scenario: how it went, the way ``(N, 3)`` really driven, and how soon it slowed down for people."""
    scenario = scenario_of(name, seed)
    simulation = Simulation(scenario.scene, seed)
    pilot = NavigatorPilot(simulation, scenario, seed)
    world = known_map(scenario.scene, simulation.frames.laser_z_m)
    ideal = ideal_s(world, pilot.navigator.settings, simulation.pose, scenario.goal)
    for record in Rover(simulation, pilot).run(LONGEST_S):
        pilot.hear(record)
    reason = pilot.mission.pilot.reason if pilot.mission else "nothing was seen"
    success = pilot.status == Status.SUCCESS and simulation.score.collisions == 0
    if pilot.status == Status.RUNNING:
        reason = f"not there after {LONGEST_S:.0f} s: {reason or 'still driving'}"
    gap_m = pilot.people_gap.least_m
    outcome = Outcome(
        name, seed, success, reason, simulation.score.collisions, ", ".join(simulation.score.touched),
        round(simulation.now_s - pilot.start_s, 2), round(ideal, 2), round(simulation.score.clearance_m, 3),
        round(gap_m, 3) if math.isfinite(gap_m) else None,
        pilot.mission.pilot.recoveries if pilot.mission else 0,
    )  # fmt: skip
    return outcome, np.array(pilot.way), pilot.slow_down.figures() if scenario.scene.walkers else {}
