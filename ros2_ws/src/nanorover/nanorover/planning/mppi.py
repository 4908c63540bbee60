"""Model predictive path integral control of a differential drive.

Thousands of drives are imagined around the last plan, each is judged by the critics, and the new plan is their
mean, weighted by the exponent of minus their cost (Williams et al., "Information Theoretic MPC for Model-Based
Reinforcement Learning", ICRA 2017). The noise is drawn at knots and is linear between them, which explores
manoeuvres instead of jitter.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.base.gate import STILL, Velocity
from nanorover.geometry.se2 import Pose
from nanorover.params import param
from nanorover.planning import critics
from nanorover.planning.costmap import Costmap
from nanorover.planning.critics import Weights
from nanorover.planning.motion import FAR_M, Control, MotionParams, footprint_circles, footprint_gap, pose_after
from nanorover.robot import RobotParams

COLLISION = 1e5  # more than any sum of critics
# A start in contact is believed only if it is deeper than the errors of marked cells.
DRAW_IN_M, DRAW_IN_STEPS = 0.01, 4
NO_OBJECTS = np.zeros((0, 8), np.float32)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MppiParams:
    """Values in ``params/mppi.yaml``."""

    samples: int = param("imagined drives per cycle", minimum=50, maximum=20_000)
    steps: int = param("steps of each", minimum=5, maximum=200)
    step_s: float = param("time of a step", "s", minimum=0.01, maximum=0.5)
    knot_steps: int = param("steps between two knots of the noise", minimum=1, maximum=50)
    temperature: float = param("how much worse a drive may be and still count", minimum=0.01, maximum=100.0)
    linear_noise_m_s: float = param("standard deviation of the speeds tried", "m/s", minimum=0.01, maximum=5.0)
    angular_noise_rad_s: float = param(
        "standard deviation of the turning speeds tried", "rad/s", minimum=0.01, maximum=20.0
    )
    linear_noise_share_reverse: float = param("share of drives that try to reverse", minimum=0.0, maximum=0.5)
    progress_weight: float = param("per metre of path that is left at the end", minimum=0.0, maximum=1000.0)
    haste_weight: float = param(
        "per metre of path that is left, on the drive's average: arrive early, then stand",
        minimum=0.0,
        maximum=1000.0,
    )
    path_weight: float = param("off the path", minimum=0.0, maximum=1000.0)
    heading_weight: float = param("looking elsewhere than the path leads", minimum=0.0, maximum=1000.0)
    obstacle_weight: float = param("near obstacles", minimum=0.0, maximum=1000.0)
    obstacle_reach_m: float = param("how far an obstacle counts as near", "m", minimum=0.01, maximum=3.0)
    close_weight: float = param("so near that the safety layer holds the robot", minimum=0.0, maximum=1000.0)
    close_reach_m: float = param("what that is", "m", minimum=0.001, maximum=1.0)
    people_weight: float = param("near what moves", minimum=0.0, maximum=1000.0)
    reverse_weight: float = param("per speed backward", minimum=0.0, maximum=1000.0)
    turn_weight: float = param("per squared turning speed", minimum=0.0, maximum=1000.0)
    goal_weight: float = param("per metre from the goal, where it is near", minimum=0.0, maximum=1000.0)
    goal_heading_weight: float = param("looking elsewhere than the goal", minimum=0.0, maximum=1000.0)
    goal_range_m: float = param("from here on the goal counts instead of the path", "m", minimum=0.0, maximum=5.0)

    def weights(self) -> Weights:
        """For the critics. Those of a moment are spread over the steps, so that the horizon does not weigh."""
        return Weights(
            self.progress_weight,
            self.haste_weight / self.steps,
            self.path_weight / self.steps,
            self.heading_weight / self.steps,
            self.obstacle_weight / self.steps,
            self.obstacle_reach_m,
            self.close_weight / self.steps,
            self.close_reach_m,
            self.people_weight / self.steps,
            self.reverse_weight * self.step_s,
            self.turn_weight / self.steps,
            self.goal_weight,
            self.goal_heading_weight,
            self.goal_range_m,
        )


@njit(cache=True, fastmath=True, inline="always")
def _towards(now: float, wanted: float, up: float, down: float) -> float:
    """A velocity moved towards the wanted one by at most ``up`` away from zero and ``down`` towards it."""
    rise = up if now >= 0.0 else down
    fall = down if now > 0.0 else up
    return min(max(wanted, now - fall), now + rise)


@njit(cache=True, fastmath=True)
def _imagine(controls, knots, start, limits, path, remaining_m, goal, distance_m, corner, circles, reach, objects,
             w, times, drives, costs):  # fmt: skip
    """Roll out every sample: ``drives`` ``(K, T, 2)`` takes the velocities driven, ``costs`` ``(K,)`` theirs."""
    samples, steps = drives.shape[0], drives.shape[1]
    v_max, v_min, w_max, up, down, w_change = limits
    step_s, knot_steps, lead_s = times
    inscribed, circumscribed = reach
    near_goal = remaining_m[0] < w.goal_range_m
    for k in range(samples):
        x, y, c, s, v, turning = start[0], start[1], math.cos(start[2]), math.sin(start[2]), start[3], start[4]
        at, cost, t, gap, at_goal, blocked = 0, 0.0, lead_s, FAR_M, 0.0, False
        for i in range(steps):
            t += step_s
            if not blocked:
                knot, share = i // knot_steps, (i % knot_steps) / knot_steps
                noise_v = knots[k, knot, 0] + share * (knots[k, knot + 1, 0] - knots[k, knot, 0])
                noise_w = knots[k, knot, 1] + share * (knots[k, knot + 1, 1] - knots[k, knot, 1])
                v = _towards(v, min(max(controls[i, 0] + noise_v, v_min), v_max), up, down)
                turning = _towards(turning, min(max(controls[i, 1] + noise_w, -w_max), w_max), w_change, w_change)
                # the angle of a step is small: its sine and cosine by their series, exact to 1e-7
                half = 0.5 * turning * step_s
                half_2 = half * half
                sin_half, cos_half = half * (1.0 - half_2 / 6.0), 1.0 - half_2 * (0.5 - half_2 / 24.0)
                mid_c, mid_s = c * cos_half - s * sin_half, s * cos_half + c * sin_half
                new_x, new_y = x + v * step_s * mid_c, y + v * step_s * mid_s
                new_c, new_s = mid_c * cos_half - mid_s * sin_half, mid_s * cos_half + mid_c * sin_half
                new_gap = footprint_gap(new_x, new_y, new_c, new_s, distance_m, corner, circles, circumscribed)
                hit = new_gap < 0.0
                if hit and (abs(v) > down * i or abs(turning) > w_change * i):
                    cost += COLLISION * (2.0 - i / steps)
                    break
                if hit:  # there is time to stop before: judge it as a drive that ends here
                    blocked, v, turning = True, 0.0, 0.0
                else:
                    x, y, c, s, gap = new_x, new_y, new_c, new_s, new_gap
            drives[k, i, 0], drives[k, i, 1] = v, turning
            met, touched = critics.people_cost(w, objects, t, x, y, inscribed)
            if touched and abs(v) > down:
                cost += COLLISION * (2.0 - i / steps)
                break
            at, squared = critics.follow(path, at, x, y)
            cost += (
                met
                + w.haste * remaining_m[at]
                + critics.path_cost(w, squared)
                + critics.heading_cost(w, path, at, c, s)
                + critics.obstacle_cost(w, gap)
                + critics.reverse_cost(w, v)
                + critics.turn_cost(w, turning)
            )
            at_goal = critics.goal_cost(w, goal, near_goal, x, y, c, s)
            cost += at_goal / steps
        costs[k] = cost + w.progress * remaining_m[at] + at_goal


@njit(cache=True, fastmath=True)
def _blend(drives: Floats, costs: Floats, temperature: float, controls: Floats) -> None:
    """The weighted mean of the drives."""
    least = costs.min()
    total = 0.0
    controls[:] = 0.0
    for k in range(len(costs)):
        weight = math.exp((least - costs[k]) / temperature)
        if weight > 1e-6:
            total += weight
            for i in range(drives.shape[1]):
                controls[i, 0] += weight * drives[k, i, 0]
                controls[i, 1] += weight * drives[k, i, 1]
    controls /= total


class Mppi:
    """The controller; keeps its last plan between the cycles."""

    def __init__(self, params: MppiParams, motion: MotionParams, robot: RobotParams, seed: int) -> None:
        self.params, self.motion = params, motion
        self.generator = np.random.default_rng(seed)
        self.circles = footprint_circles(robot, motion.footprint_margin_m)
        self.inscribed_m = robot.inscribed_radius_m
        self.reach_m = float((np.hypot(self.circles[:, 0], self.circles[:, 1]) + self.circles[:, 2]).max())
        self.weights = params.weights()
        self.controls = np.zeros((params.steps, 2), np.float32)
        knots = (params.steps - 1) // params.knot_steps + 2
        self._noise = np.empty((params.samples, knots, 2), np.float32)
        self._drives = np.empty((params.samples, params.steps, 2), np.float32)
        self._costs = np.empty(params.samples, np.float32)

    def reset(self) -> None:
        """Forget the last plan, as before a new goal."""
        self.controls[:] = 0.0

    def control(
        self,
        T_map_base: Pose,
        velocity: Velocity,
        path: NDArray[np.float64],
        costmap: Costmap,
        objects: Floats = NO_OBJECTS,
        max_linear_m_s: float = math.inf,
    ) -> Control:
        """One cycle: the velocity to command now.

        ``path`` ``(N, 3)`` begins near the robot and ends at the goal; ``objects`` are as in
        ``critics.people_cost``, now; ``max_linear_m_s`` is the limit of the place.
        """
        p, m = self.params, self.motion
        start = pose_after(T_map_base, velocity, m.delay_s)
        circles = self._circles(start, costmap)
        if circles is None:
            self.reset()
            return Control(STILL, start[None], "in contact with an obstacle")
        near = int(np.argmin(np.hypot(path[:, 0] - start[0], path[:, 1] - start[1])))
        path = path[near:]
        line = np.column_stack([path[:, :2], np.cos(path[:, 2]), np.sin(path[:, 2])]).astype(np.float32)
        if len(line) > 1:
            line[-1, 2:] = line[-2, 2:]  # the goal's own yaw is the goal critic's affair
        steps_m = np.hypot(*np.diff(path[:, :2], axis=0).T) if len(path) > 1 else np.zeros(0)
        remaining_m = np.append(np.cumsum(steps_m[::-1])[::-1], 0.0).astype(np.float32)
        goal = np.array([*path[-1, :2], math.cos(path[-1, 2]), math.sin(path[-1, 2])], np.float32)
        self._draw()
        v_max = min(m.max_linear_m_s, max_linear_m_s)
        limits = (
            v_max, -m.max_reverse_m_s * v_max / m.max_linear_m_s, m.max_angular_rad_s,
            m.acceleration_m_s2 * p.step_s, m.deceleration_m_s2 * p.step_s,
            m.angular_acceleration_rad_s2 * p.step_s,
        )  # fmt: skip
        r = costmap.raster
        state = (*start, velocity.linear_m_s, velocity.angular_rad_s)
        _imagine(
            self.controls, self._noise, np.array(state, np.float32), limits, line, remaining_m, goal,
            costmap.distance_m, (r.x_m, r.y_m, r.resolution_m), circles, (self.inscribed_m, self.reach_m),
            self._not_in_contact(objects, start), self.weights, (p.step_s, p.knot_steps, m.delay_s), self._drives,
            self._costs,
        )  # fmt: skip
        if self._costs.min() >= COLLISION:
            self.reset()
            return Control(STILL, start[None], "every way on ends in contact")
        _blend(self._drives, self._costs, p.temperature, self.controls)
        command = Velocity(float(self.controls[0, 0]), float(self.controls[0, 1]))
        trajectory = self._trajectory(start)
        self.controls[:-1] = self.controls[1:]
        return Control(command, trajectory)

    def _circles(self, start: Pose, costmap: Costmap) -> Floats | None:
        """The footprint, drawn in a little where the robot stands so near to something that it seems to touch;
        None where it does touch."""
        r, circles = costmap.raster, self.circles.copy()
        corner, turned = (r.x_m, r.y_m, r.resolution_m), (math.cos(start[2]), math.sin(start[2]))
        for _ in range(DRAW_IN_STEPS + 1):
            if footprint_gap(start[0], start[1], *turned, costmap.distance_m, corner, circles, self.reach_m) >= 0:
                return circles
            circles[:, 2] -= DRAW_IN_M
        return None

    def _not_in_contact(self, objects: Floats, start: Pose) -> Floats:
        """The objects; one that stands so near that it seems to be touched is drawn in: the robot may leave it."""
        drawn, stand = objects.copy(), (objects[:, 2:4] == 0.0).all(axis=1)
        away_m = np.hypot(objects[:, 0] - start[0], objects[:, 1] - start[1]) - self.inscribed_m
        drawn[stand, 4] = np.minimum(objects[:, 4], away_m - critics.TOUCHES_M - DRAW_IN_M)[stand]
        return drawn

    def _draw(self) -> None:
        """New noise. A few samples are none: the last plan itself, to brake, to reverse, to turn either way."""
        p, m = self.params, self.motion
        self.generator.standard_normal(out=self._noise, dtype=np.float32)
        self._noise *= np.array([p.linear_noise_m_s, p.angular_noise_rad_s], np.float32)
        self._noise[0] = 0.0
        self._noise[: p.samples // 3, :, 0] = 0.0  # else their mean is always below the greatest speed
        backward = int(p.linear_noise_share_reverse * p.samples)
        self._noise[-backward or p.samples :, :, 0] -= m.max_linear_m_s
        at_knots = self.controls[np.minimum(np.arange(self._noise.shape[1]) * p.knot_steps, p.steps - 1)]
        turn = 0.9 * m.max_angular_rad_s
        for k, (v, w) in enumerate(((0.0, 0.0), (-m.max_reverse_m_s, 0.0), (0.0, turn), (0.0, -turn)), start=1):
            self._noise[k] = np.array([v, w], np.float32) - at_knots

    def _trajectory(self, start: Pose) -> NDArray[np.float64]:
        poses = [start]
        for v, w in self.controls:
            poses.append(pose_after(poses[-1], Velocity(float(v), float(w)), self.params.step_s))
        return np.array(poses)
