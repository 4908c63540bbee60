"""Driving the library in the flat world: scans at 10 Hz, control at the navigator's rate, safety behind it."""

from collections.abc import Callable

import numpy as np
from flat_world import BASE, ROBOT, FlatWorld
from py_trees.behaviour import Behaviour
from py_trees.common import Status

from nanorover import params
from nanorover.base.gate import Velocity
from nanorover.fusion.objects import TrackedObject
from nanorover.planning.missions import Mission
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.pilot import BehavioursParams, Moment, Pilot
from nanorover.planning.safety import AUTONOMY, Safety
from nanorover.planning.safety_params import SafetyParams, check_against_base

CERTAIN = np.diag([1e-4, 1e-4, 1e-4])


class Driven:
    """A navigator and a safety layer in a world; poses are the true ones, people are seen as they are."""

    def __init__(self, world: FlatWorld, controller: str = "mppi", known_without: int = 0, seed: int = 0) -> None:
        self.world = world
        self.navigator = Navigator(load_settings(controller=controller), seed)
        settings = params.load(SafetyParams, "safety")
        check_against_base(settings, BASE)
        self.safety = Safety(settings, ROBOT, 0.0)
        self.navigator.on_map(world.map(without=known_without), world.t)
        self.poses: list[np.ndarray] = []
        self.reasons: list[str] = []
        self.sense()

    def objects(self) -> list[TrackedObject]:
        w, found = self.world, []
        for number, walker in enumerate(w.walkers):
            before, now = walker.at(w.t - 0.1), walker.at(w.t)
            state = np.array([*now, *((now - before) / 0.1)])
            found.append(
                TrackedObject(number, "person", 1.0, w.stamp_ns, state, np.eye(4) * 0.01, walker.radius_m, True)
            )
        return found

    def sense(self) -> None:
        w = self.world
        scan = w.scan()
        self.navigator.on_objects(self.objects())
        self.navigator.on_scan(scan, w.pose, w.velocity, w.t)
        self.safety.on_scan(scan, w.t)
        self.safety.on_pose(w.stamp_ns, CERTAIN, w.t)
        self.safety.on_measured(w.velocity, w.t)
        self.safety.on_people(self.people(), w.t)

    def people(self) -> np.ndarray:
        c, s = np.cos(self.world.pose[2]), np.sin(self.world.pose[2])
        R = np.array([[c, s], [-s, c]])
        rows = [
            [*(R @ (o.state[:2] - self.world.pose[:2])), *(R @ o.state[2:]), o.radius_m] for o in self.objects()
        ]
        return np.array(rows).reshape(-1, 5)

    def moment(self) -> Moment:
        w = self.world
        return Moment(w.pose.copy(), w.velocity, w.t, w.stamp_ns, w.told)

    def run(
        self, tree: Callable[[Pilot], Behaviour], within_s: float, each: Callable[[Mission], None] = lambda _: None
    ) -> tuple[Mission, Status]:
        """Tick a tree until it ends or the time is over."""
        mission = Mission(self.navigator, params.load(BehavioursParams, "behaviours"), self.moment())
        mission.start(tree(mission.pilot))
        end_s = self.world.t + within_s
        status = mission.tick(self.moment())
        while status == Status.RUNNING and self.world.t < end_s:
            self.obey(mission.pilot.command, mission.pilot.reason)
            each(mission)
            status = mission.tick(self.moment())
        return mission, status

    def cycle(self) -> None:
        """One control cycle along the navigator's path."""
        control = self.navigator.drive(self.world.pose, self.world.velocity, self.world.stamp_ns)
        self.obey(control.velocity, control.reason)

    def obey(self, velocity: Velocity, reason: str) -> None:
        """A twentieth of a second, with a scan at every second one."""
        w = self.world
        for node in self.safety.params.watched_nodes:
            self.safety.on_heartbeat(node, "", w.t)
        self.safety.on_velocity(AUTONOMY, velocity, w.t)
        decision = self.safety.decide(w.t)
        w.command(decision.velocity)
        for _ in range(2):
            w.step(0.025)
        self.poses.append(w.pose.copy())
        self.reasons.append(reason or decision.reason)
        if len(self.poses) % 2 == 0:
            self.sense()

    def go(self, goal: tuple[float, float, float], within_s: float) -> bool:
        """Drive to a goal, replanning once a second or when the way is blocked; whether it arrived."""
        goal_pose = np.array(goal)
        end_s, planned_s = self.world.t + within_s, -np.inf
        while self.world.t < end_s:
            if self.world.t - planned_s > 1.0 or self.navigator.blocked():
                found = self.navigator.plan(self.world.pose, goal_pose)
                planned_s = self.world.t
                if not found.error:
                    self.navigator.follow(found.path)
            if len(self.navigator.path) == 0:
                return False
            if self.navigator.arrived(self.world.pose):
                return True
            self.cycle()
        return False
