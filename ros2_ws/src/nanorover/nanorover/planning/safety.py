"""The last word before the wheels: how much of a wanted velocity is safe now, and why no more.

One formula makes the stopping zone: at the share ``s`` of the wanted velocity, contact is ``T / s`` away and the
robot needs ``reaction + s * brake`` to stand, so ``s * reaction + s² * brake / 2 ≤ T``. The zone thus follows the
arc really driven and shrinks with speed. Every time is the monotonic clock's, given by the caller.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from nanorover.base.gate import STILL, Velocity
from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose, compose, inverse, transform_points
from nanorover.planning.contact import (
    WALKING_M_S,
    arc_pose,
    people_contact_time,
    points_contact_time,
    rectangle_distance,
)
from nanorover.planning.motion import stands
from nanorover.planning.safety_params import SafetyParams
from nanorover.planning.scan_points import RETURN, Beams, beams_of
from nanorover.robot import RobotParams

TELEOP, AUTONOMY, NOBODY = "teleop", "autonomy", ""
NO_PEOPLE = np.zeros((0, 5))
MOST_REMEMBERED = 500
TURNED_UNNOTICED_RAD = 0.2
# A velocity of which less than this is safe is held; a part of it is free from this share on.
HELD_SHARE, FREE_SHARE = 0.1, 0.3
# What was seen so much driving or turning ago is somewhere else by the wheels' errors.
REMEMBERED_WAY_M, REMEMBERED_TURN_RAD = 0.35, 2.5


@dataclass(frozen=True)
class Decision:
    """The permitted velocity, whose command it is, and why it is less than wanted (empty if it is not)."""

    velocity: Velocity
    source: str
    reason: str
    share: float = 0.0


@dataclass
class Aged:
    """Something that arrived, and when."""

    at_s: float = -math.inf
    stamp_ns: int | None = None

    def arrived(self, now_s: float, stamp_ns: int) -> None:
        """A message; one that repeats its stamp tells nothing new, so it does not count as fresh."""
        if stamp_ns != self.stamp_ns:
            self.at_s, self.stamp_ns = now_s, stamp_ns

    def within(self, timeout_s: float, now_s: float) -> bool:
        """Whether it is fresh."""
        return now_s - self.at_s <= timeout_s


class Safety:
    """Commands, scans, people, poses and heartbeats in; at any time a decision out. Never raises."""

    def __init__(self, params: SafetyParams, robot: RobotParams, now_s: float) -> None:
        self.params = params
        self.outline = np.array([robot.footprint_front_m, robot.footprint_rear_m, robot.half_width_m])
        self.reserved = self.outline + np.array([params.end_margin_m, params.end_margin_m, params.side_margin_m])
        self.stopped = False
        self.refused = 0
        self._commands = {TELEOP: (STILL, Aged()), AUTONOMY: (STILL, Aged())}
        self._scan, self._pose = Aged(), Aged()
        self._points, self._worn = np.zeros((0, 2)), np.zeros(0)
        self._moved = np.zeros(3)
        self._moved_at_s = now_s
        self._scan_fault = ""
        self._refused, self._refused_age = "", Aged()
        self._deviation_m = math.inf
        self._people, self._people_age = NO_PEOPLE, Aged()
        self._walked_by_s = now_s
        self._heartbeats = dict.fromkeys(params.watched_nodes, now_s)
        self._faults: dict[str, str] = {}
        self._measured, self._measured_age = STILL, Aged()

    # -- what arrives ---------------------------------------------------------------------------------

    def on_velocity(self, source: str, velocity: Velocity, now_s: float) -> None:
        """A command of ``TELEOP`` or ``AUTONOMY``; one that is not finite is refused and counted."""
        if math.isfinite(velocity.linear_m_s) and math.isfinite(velocity.angular_rad_s):
            self._commands[source] = (velocity, Aged(now_s))
        else:
            self.refused += 1

    def on_measured(self, velocity: Velocity, now_s: float) -> None:
        """What the wheels really do."""
        if math.isfinite(velocity.linear_m_s) and math.isfinite(velocity.angular_rad_s):
            elapsed_s = min(max(0.0, now_s - self._moved_at_s), self.params.command_timeout_s)
            way = arc_pose(velocity.linear_m_s, velocity.angular_rad_s, elapsed_s)
            self._moved, self._moved_at_s = compose(self._moved, np.array(way)), now_s
            self._measured, self._measured_age = velocity, Aged(now_s)

    def on_scan(self, scan: LaserScan, now_s: float) -> None:
        """A revolution of the lidar."""
        beams = beams_of(scan, self._measured)
        points = beams.returns_m
        depth = np.min(
            [self.outline[0] - points[:, 0], points[:, 0] + self.outline[1], self.outline[2] - abs(points[:, 1])],
            axis=0,
        )
        seen = points[depth <= self.params.self_depth_m]
        remembered, worn = self._remembered(scan, beams)
        self._points, self._worn = np.vstack([seen, remembered]), np.append(np.zeros(len(seen)), worn)
        self._scan_fault = ""
        least = math.ceil(self.params.least_usable_share * max(1, len(scan.ranges_m)))
        if beams.usable < least:
            self._scan_fault = (
                f"scan unusable: {beams.usable} of {len(scan.ranges_m)} beams say anything, "
                f"{least} are wanted (least_usable_share)"
            )
        elif len(points) < self.params.least_returns:
            self._scan_fault = f"scan unusable: {len(points)} returns"
        self._scan.arrived(now_s, scan.stamp_ns)

    def on_refused_scan(self, why: str, now_s: float) -> None:
        """A revolution that cannot be used; the robot stands once the last good one is old, and says why."""
        self._refused, self._refused_age = why, Aged(now_s)

    def _remembered(self, scan: LaserScan, beams: Beams) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What was seen before and is now nearer to the lidar than it can see, and how worn the memory is: from 0
        to 1, by way and turning since it was seen. It stands there until all beams about it pass through."""
        points = transform_points(inverse(self._moved), self._points)
        way_m, turned_rad = math.hypot(self._moved[0], self._moved[1]), abs(self._moved[2])
        worn = self._worn + way_m / REMEMBERED_WAY_M + turned_rad / REMEMBERED_TURN_RAD
        self._moved = np.zeros(3)
        if len(scan.ranges_m) == 0 or scan.angle_increment_rad == 0.0:
            return np.zeros((0, 2)), np.zeros(0)
        from_laser = points - beams.origin_m
        bearings = np.arctan2(from_laser[:, 1], from_laser[:, 0]) - scan.T_base_laser[2] - scan.angle_min_rad
        beam = np.round(bearings / scan.angle_increment_rad).astype(int) % len(scan.ranges_m)
        # the robot may have turned by some degrees more or less than the wheels say
        about = math.ceil(TURNED_UNNOTICED_RAD / abs(scan.angle_increment_rad))
        held_up = (beams.kinds != RETURN) | (scan.ranges_m <= beams.blind_m)
        passed = ~maximum_filter1d(held_up, 2 * about + 1, mode="wrap")[beam]
        outside = (points[:, 0] > self.outline[0]) | (points[:, 0] < -self.outline[1])
        outside |= abs(points[:, 1]) > self.outline[2]
        near = np.hypot(from_laser[:, 0], from_laser[:, 1]) < beams.blind_m
        kept = near & outside & ~passed & (worn < 1.0)
        return points[kept][:MOST_REMEMBERED], worn[kept][:MOST_REMEMBERED]

    def on_pose(self, stamp_ns: int, covariance: NDArray[np.float64], now_s: float) -> None:
        """Where localization says the robot is: ``covariance`` is ``(3, 3)`` of x, y, yaw."""
        self._deviation_m = deviation_m(covariance)
        self._pose.arrived(now_s, stamp_ns)

    def on_people(self, people: NDArray[np.float64], now_s: float) -> None:
        """Who walks about: ``(M, 5)`` x, y, vx, vy, radius in the base frame. Not finite ones are left out."""
        self._people = np.ascontiguousarray(people[np.isfinite(people).all(axis=1)])
        self._people_age = Aged(now_s)
        near_m = self.params.people_clearance_m + self.params.people_turn_s
        for x, y, vx, vy, radius_m in self._people:
            near = rectangle_distance(x, y, self.outline) - radius_m < near_m
            if near and math.hypot(vx, vy) > WALKING_M_S:
                self._walked_by_s = now_s

    def on_heartbeat(self, node: str, fault: str, now_s: float) -> None:
        """A node's diagnostics; ``fault`` is its error, empty while it has none."""
        if node in self._heartbeats:
            self._heartbeats[node] = now_s
            self._faults[node] = fault

    def stop(self, stopped: bool) -> None:
        """The emergency stop; its release does not bring an old command back."""
        self.stopped = stopped
        if stopped:
            self._commands = {source: (STILL, Aged()) for source in self._commands}

    # -- what is decided ------------------------------------------------------------------------------

    def decide(self, now_s: float) -> Decision:
        """The velocity that is safe at ``now_s``."""
        source = self._source(now_s)
        reason = self._must_stand(source, now_s)
        if reason:
            return Decision(STILL, source, reason)
        wanted = self._commands[source][0]
        share, reason = self._share(wanted, source, now_s)
        if share < HELD_SHARE and source == AUTONOMY:
            wanted, share = self._freer_part(wanted, share, now_s)
        if self._measured_age.within(self.params.command_timeout_s, now_s) and not stands(self._measured):
            # The base may still be driving another arc than the wanted one; that must end well too. The rounding
            # of wheels that stand is no arc: it would hold whoever wants to leave what is before him.
            moving_share, moving_reason = self._share(self._measured, source, now_s)
            if moving_share < share:
                share, reason = moving_share, moving_reason
        permitted = Velocity(share * wanted.linear_m_s, share * wanted.angular_rad_s)
        return Decision(permitted, source, reason, share)

    def _freer_part(self, wanted: Velocity, share: float, now_s: float) -> tuple[Velocity, float]:
        """Turning alone or driving straight alone, where that is free and both at once are not, as between walls
        that stand at an angle to the robot; else what was wanted. With its share."""
        if wanted.linear_m_s == 0.0 or wanted.angular_rad_s == 0.0:
            return wanted, share
        parts = Velocity(0.0, wanted.angular_rad_s), Velocity(wanted.linear_m_s, 0.0)
        shares = [self._share(part, AUTONOMY, now_s)[0] for part in parts]
        freest = int(np.argmax(shares))
        return (parts[freest], shares[freest]) if shares[freest] > FREE_SHARE else (wanted, share)

    def _source(self, now_s: float) -> str:
        """Who drives: a person before autonomy, also for a while after the last word."""
        if self._commands[TELEOP][1].within(self.params.teleop_hold_s, now_s):
            return TELEOP
        return AUTONOMY if self._commands[AUTONOMY][1].within(self.params.command_timeout_s, now_s) else NOBODY

    def _must_stand(self, source: str, now_s: float) -> str:
        p = self.params
        if self.stopped:
            return "emergency stop"
        if source == NOBODY or not self._commands[source][1].within(p.command_timeout_s, now_s):
            return "no fresh command"
        if not self._scan.within(p.scan_timeout_s, now_s):
            refused = self._refused_age.within(p.scan_timeout_s, now_s)
            return f"no scan that can be used: {self._refused}" if refused else "no fresh scan"
        if self._scan_fault:
            return self._scan_fault
        return self._must_not_drive_alone(now_s) if source == AUTONOMY else ""

    def _must_not_drive_alone(self, now_s: float) -> str:
        p = self.params
        if p.localized_autonomy and not self._pose.within(p.pose_timeout_s, now_s):
            return "no fresh pose"
        if p.localized_autonomy and self._deviation_m > p.lost_deviation_m:
            return f"lost: the pose is uncertain by {self._deviation_m:.2f} m"
        for node, at_s in self._heartbeats.items():
            if now_s - at_s > p.heartbeat_timeout_s:
                return f"node {node} is silent"
            if self._faults.get(node):
                return f"node {node}: {self._faults[node]}"
        return ""

    def _share(self, velocity: Velocity, source: str, now_s: float) -> tuple[float, str]:
        """The largest safe share of a velocity, and what limits it."""
        p, v, w = self.params, velocity.linear_m_s, velocity.angular_rad_s
        brake_s = max(abs(v) / p.deceleration_m_s2, abs(w) / p.angular_deceleration_rad_s2)
        if brake_s == 0.0:
            return 1.0, ""
        reaction_s = p.reaction_s + now_s - self._scan.at_s
        contact_s = points_contact_time(self._points, v, w, self.outline, self.reserved, p.returns_to_stop)
        share = min(1.0, contact_s / max(p.slow_down_s, 1e-9), _stopping_share(contact_s, reaction_s, brake_s))
        reason = _words("obstacle", contact_s, share)
        if source == AUTONOMY and self._people_age.within(p.people_timeout_s, now_s):
            age_s = now_s - self._people_age.at_s
            rooms = (p.people_clearance_m, p.people_least_m, p.people_turn_s)
            person_s = people_contact_time(
                self._people, age_s, v, w, self.outline, rooms, p.people_horizon_s,
                now_s - self._walked_by_s > p.people_wait_s,
            )  # fmt: skip
            # A walking person comes nearer however slow the robot is: it must stand by then.
            stand = max(0.0, person_s - p.reaction_s) / brake_s
            person_share = min(1.0, stand, person_s / max(p.people_slow_down_s, 1e-9))
            if person_share < share:
                share, reason = person_share, _words("person", person_s, person_share)
        return share, reason


def people_about(objects: Iterable[TrackedObject], T_map_base: Pose) -> NDArray[np.float64]:
    """Objects of the map as ``Safety.on_people`` wants them."""
    T_base_map = inverse(T_map_base)
    turn = np.array([0.0, 0.0, T_base_map[2]])
    rows = [
        [*transform_points(T_base_map, o.state[None, :2].copy())[0],
         *transform_points(turn, o.state[None, 2:].copy())[0], o.radius_m]
        for o in objects
    ]  # fmt: skip
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def deviation_m(covariance: NDArray[np.float64]) -> float:
    """The largest standard deviation of a place by the covariance ``(3, 3)`` of x, y, yaw; inf for nonsense."""
    position = covariance[:2, :2]
    variance = float(np.linalg.eigvalsh(position)[-1]) if np.isfinite(position).all() else math.inf
    return math.sqrt(max(0.0, variance))


def _stopping_share(contact_s: float, reaction_s: float, brake_s: float) -> float:
    """The largest ``s`` with ``s * reaction + s² * brake / 2 ≤ contact``."""
    if math.isinf(contact_s):
        return 1.0
    return (math.sqrt(reaction_s**2 + 2.0 * brake_s * contact_s) - reaction_s) / brake_s


def _words(what: str, contact_s: float, share: float) -> str:
    if share >= 1.0:
        return ""
    return f"{what} in the way" if share <= 0.0 else f"{what} in {contact_s:.1f} s"
