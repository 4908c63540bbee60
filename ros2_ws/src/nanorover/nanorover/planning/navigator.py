"""All that lies between a pose and a velocity: the maps, the way, the drive. Without ROS, without a clock.

The behaviours decide where to go; the navigator knows how.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover import params
from nanorover.base.gate import Velocity
from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose, transform_points, wrap_angle
from nanorover.mapping.grid import OccupancyGrid
from nanorover.params import param
from nanorover.planning import blockage, global_planner
from nanorover.planning.bump import Bump, BumpParams, touched_by
from nanorover.planning.caution import Caution, CautionParams
from nanorover.planning.costmap import INSCRIBED, LETHAL, NO_CIRCLES, Costmap, LocalCostmap, Window
from nanorover.planning.costmap_params import CostmapParams
from nanorover.planning.distances import distance_to
from nanorover.planning.global_planner import GlobalPlannerParams, Plan
from nanorover.planning.motion import Control, MotionParams, footprint_gap, pose_after, turn_towards
from nanorover.planning.mppi import Mppi, MppiParams
from nanorover.planning.pure_pursuit import PurePursuit, PurePursuitParams
from nanorover.planning.scan_points import beams_of
from nanorover.planning.semantics import Semantics, SemanticsParams
from nanorover.planning.world import Zones, world_of
from nanorover.planning.zones import Zone
from nanorover.robot import RobotParams

OBJECTS_REACH_M = 4.0
PERSON_NEAR_M = 1.5
ADVANCE_M = 0.8
KEPT_WITHIN_M = 0.3  # of the robot: farther off its path it needs a new one
KEPT_UP_TO = 1.15  # times the weighted length of the best path
OBJECT_MARGIN_M = 0.15
IN_ZONE_M = 0.09  # of its middle from a zone: nearer the controller takes the robot to be in contact
FORGET_PERIOD_S = 1.0
# A path of at least so much that leads back by so much is turned to on the spot, until it leads aside by no more
# than that; so much room is kept about the robot.
TURNED_FOR_M, TURNED_FROM_RAD, TURNED_TO_RAD, TURNED_WITHIN_M = 1.0, 2.0, 0.8, 0.05
LOOK_AHEAD = 8  # points of the path
NEARER_M = 0.02
SETTLE_NS = 3 * 10**9  # what comes no nearer for so long takes a place near the goal for it
CONTACT_SLACK_M = 0.005  # of a gap read from cells


@dataclass(frozen=True)
class NavigatorParams:
    """Values in ``params/navigator.yaml``."""

    controller: str = param("who drives along the path", choices=("mppi", "pure_pursuit"))
    control_rate_hz: float = param("velocity commands per second", "Hz", minimum=2.0, maximum=100.0)
    section_m: float = param("length of path that the controller looks at", "m", minimum=0.5, maximum=20.0)
    jump_m: float = param(
        "a pose that jumps by more makes the marked obstacles void", "m", minimum=0.05, maximum=10.0
    )
    jump_rad: float = param("or turns by more", "rad", minimum=0.05, maximum=3.15)


@dataclass(frozen=True)
class Settings:
    """The parameters of every part."""

    robot: RobotParams
    navigator: NavigatorParams
    costmap: CostmapParams
    global_planner: GlobalPlannerParams
    motion: MotionParams
    mppi: MppiParams
    pure_pursuit: PurePursuitParams
    semantics: SemanticsParams
    caution: CautionParams
    bump: BumpParams


PARTS: dict[str, Any] = get_type_hints(Settings)  # name, also of the file of values, → class


class Navigator:
    """Maps, plans and drives. One robot, one map frame."""

    def __init__(self, settings: Settings, seed: int = 0) -> None:
        self.settings = settings
        self.zones = Zones(settings.costmap)
        self.semantics = Semantics(settings.semantics)
        self.caution = Caution(settings.caution, settings.robot)
        self.local = LocalCostmap(settings.costmap, settings.robot)
        self.bump = Bump(settings.bump)
        self.touched = np.zeros((0, 3))  # x, y in the map frame, and until when it is remembered
        self.world: Costmap | None = None
        step_s = 1.0 / settings.navigator.control_rate_hz
        self.controller: Mppi | PurePursuit
        if settings.navigator.controller == "mppi":
            self.controller = Mppi(settings.mppi, settings.motion, settings.robot, seed)
        else:
            self.controller = PurePursuit(settings.pure_pursuit, settings.motion, settings.robot, step_s)
        self.step_s = step_s
        self.objects: list[TrackedObject] = []
        self.unsure: list[TrackedObject] = []
        self.path = np.zeros((0, 3))
        self.jumps = self.bumps = 0
        self._to_walls_m = np.zeros((0, 0), np.float32)
        self.known_cost = np.zeros((0, 0), np.uint8)  # of the map alone, without what is seen now
        self._at = 0
        self._turning = False
        self._turns_back = False
        self._least_away_m = math.inf  # from the end of the path, so far
        self._nearest_ns = 0
        self._commanded: Velocity | None = None
        self._last_pose: Pose | None = None
        self._blind_m = 0.0
        self.open_zone: NDArray[np.bool_] | None = None  # in which the robot stands, of the world's shape
        self._forgot_s = -math.inf

    # -- what is seen ---------------------------------------------------------------------------------

    def on_map(self, grid: OccupancyGrid, now_s: float) -> None:
        """A new map, of any size; obstacles that were marked are carried over. InputError for a useless one."""
        s = self.settings
        world = world_of(grid, s.costmap, s.robot, self.zones)
        if self.world is not None:
            _carry_marks(self.world, world)
        self.world, self.open_zone = world, None
        self._to_walls_m = distance_to(world.static_lethal, world.raster.resolution_m)
        self._take_known(world, now_s)

    def draw_zones(self, zones: Sequence[Zone], now_s: float) -> None:
        """Keep out of these from now on, and no longer of those that were drawn before."""
        self.zones.drawn = zones
        if self.world is not None:
            self.open_zone = None
            self.zones.apply(self.world)
            self._take_known(self.world, now_s)

    def _take_known(self, world: Costmap, now_s: float) -> None:
        """Bring all costs up to date with what is known of the map: without marks, with them, the local ones."""
        seen_s, world.seen_s = world.seen_s, np.full_like(world.seen_s, -np.inf)
        world.refresh(world.whole, now_s)
        self.known_cost, world.seen_s = world.cost.copy(), seen_s
        world.refresh(world.whole, now_s)
        self.local.sample(world)

    def on_scan(self, scan: LaserScan, T_map_base: Pose, velocity: Velocity, now_s: float) -> None:
        """Mark and clear, seen from the pose at the scan's stamp."""
        if self._jumped(T_map_base):
            self.jumps += 1
            self.touched = self.touched[:0]
            self.local.clear()
            if self.world is not None:
                self.world.clear()
                self.world.refresh(self.world.whole, now_s)
        self._last_pose = T_map_base.copy()
        self.bump.on_scan(scan, now_s)
        self._remember_touched(T_map_base, now_s)
        beams = beams_of(scan, velocity)
        self._blind_m = beams.blind_m + math.hypot(*beams.origin_m)
        moving = self.semantics.moving(self.objects)
        circles = (
            np.array([(*o.state[:2], o.radius_m + OBJECT_MARGIN_M) for o in moving]) if moving else NO_CIRCLES
        )
        if self.world is not None and self.zones.shut:
            self._open_zone(self.world, T_map_base, now_s)
        self.local.follow(T_map_base, self.world)
        self.local.observe(beams, T_map_base, now_s, circles)
        self.local.remind(self.touched[:, :2], self.touched[:, 2])
        self.local.refresh(self.local.whole, now_s)
        self.caution.look(beams, T_map_base, self.local)
        if self.world is not None:
            seen = self.world.observe(beams, T_map_base, now_s, circles)
            self.world.remind(self.touched[:, :2], self.touched[:, 2])
            self.world.refresh(seen, now_s)
            if now_s - self._forgot_s > FORGET_PERIOD_S:
                self._forgot_s = now_s
                self.world.refresh(self.world.forget(now_s), now_s)

    def held(self, wanted: Velocity, T_map_base: Pose, now_s: float) -> bool:
        """Whether something holds the robot that the lidar does not see, against the velocity that is wanted. What
        was touched is an obstacle then, from the next scan on; asked again, it is another bump."""
        motion = self.bump.held
        if motion is None or wanted.linear_m_s * motion[0] + wanted.angular_rad_s * motion[2] <= 0.0:
            return False
        self.bumps += 1
        self.bump.begin_anew()
        points = transform_points(T_map_base, touched_by(self.settings.robot, motion))
        until_s = np.full(len(points), now_s + self.settings.bump.bump_memory_s)
        self.touched = np.vstack([self.touched, np.column_stack([points, until_s])])
        return True

    def _remember_touched(self, T_map_base: Pose, now_s: float) -> None:
        """Leave out what was touched long ago, and where the robot stands now."""
        away_m = np.hypot(*(self.touched[:, :2] - T_map_base[:2]).T)
        kept = (self.touched[:, 2] > now_s) & (away_m > self.settings.robot.inscribed_radius_m)
        self.touched = self.touched[kept]

    def _open_zone(self, world: Costmap, T_map_base: Pose, now_s: float) -> None:
        """Let a robot that stands in a keep-out zone drive out of it; once it is out, the zone is shut again."""
        row, column = world.raster.cell(T_map_base[0], T_map_base[1])
        about = Window(row, row + 1, column, column + 1)
        if self.open_zone is None:
            inside = about.grown(int(IN_ZONE_M / world.raster.resolution_m), world.raster.shape)
            if not world.keep_out[inside.of].any():
                return
            parts = cv2.connectedComponents(world.keep_out.astype(np.uint8))[1]
            self.open_zone = parts == parts[inside.of].max()
            world.keep_out = world.keep_out & ~self.open_zone
        else:
            touched = about.grown(
                math.ceil(self.controller.reach_m / world.raster.resolution_m), world.raster.shape
            )
            if self.open_zone[touched.of].any():
                return
            world.keep_out, self.open_zone = world.keep_out | self.open_zone, None
        self._take_known(world, now_s)

    def on_objects(self, objects: list[TrackedObject], unsure: Sequence[TrackedObject] = ()) -> None:
        """What fusion tracks now. Near to what is ``unsure`` the robot is slow until it is known better."""
        self.objects, self.unsure = objects, list(unsure)

    def wall_distance_m(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of points ``(N, 2)`` from what the map itself knows; inf beyond its edge or without a map."""
        away = np.full(len(points_m), np.inf)
        if self.world is None:
            return away
        within, at = self.world.raster.cells_within(points_m)
        away[within] = self._to_walls_m[at]
        return away

    def clear_costmaps(self, now_s: float, *, touched: bool = False) -> None:
        """Forget every marked obstacle but what is nearer to the robot than the lidar can see, and what it cannot
        see at all: that would not be marked again. What was ``touched`` only if that is said."""
        kept = None if self._last_pose is None else (*self._last_pose[:2].tolist(), self._blind_m)
        if touched:
            self.touched = self.touched[:0]
        self.local.clear(kept)
        self.local.refresh(self.local.whole, now_s)
        if self.world is not None:
            self.world.clear(kept)
            self.world.refresh(self.world.whole, now_s)

    def _jumped(self, T_map_base: Pose) -> bool:
        last, n = self._last_pose, self.settings.navigator
        return last is not None and (
            math.dist(last[:2], T_map_base[:2]) > n.jump_m or abs(wrap_angle(last[2] - T_map_base[2])) > n.jump_rad
        )

    # -- the way --------------------------------------------------------------------------------------

    def plan(self, T_map_base: Pose, goal: Pose, *, by_map_alone: bool = False) -> Plan:
        """The way to a goal over the whole map, or why there is none.

        ``by_map_alone`` leaves out what the lidar has marked and who walks about: it will be gone again, or stands
        elsewhere than it seems, for a robot that is not where it believes to be.
        """
        if self.world is None:
            return Plan(np.zeros((0, 3)), global_planner.NO_WAY, "there is no map yet")
        cost = self.known_cost.copy() if by_map_alone else self.planning_cost(T_map_base)
        weights, zones = self.settings.global_planner, self.world.keep_out
        if self.open_zone is not None:
            zones = zones | self.open_zone
            weights = blockage.make_dear(cost, self.open_zone & (cost < INSCRIBED), weights)
        return global_planner.plan(cost, self.world.raster, T_map_base, goal, weights, zones)

    def plan_to_blockage(self, T_map_base: Pose, goal: Pose) -> Plan | None:
        """The way to just before what shuts it and is not on the map; None where nothing does."""
        if self.world is None:
            return None
        costs = self.planning_cost(T_map_base), self.known_cost
        people = self.semantics.animate(self.objects)
        return blockage.plan_to_blockage(self.world, costs, T_map_base, goal, people, self.settings.global_planner)

    def squeezes(self, path: NDArray[np.float64], place_m: tuple[float, float]) -> bool:
        """Whether a path ``(N, 3)`` leads through a gap near a place that what is seen makes too narrow."""
        assert self.world is not None
        radius_m = self.settings.robot.inscribed_radius_m
        return blockage.squeezes(self.world, self._to_walls_m, path, place_m, radius_m)

    def planning_cost(self, T_map_base: Pose) -> NDArray[np.uint8]:
        """The world's costs with objects and their ways in them."""
        assert self.world is not None
        cost = self.world.cost.copy()
        self.semantics.stamp(cost, self.world.raster, self.objects, self.settings.robot.inscribed_radius_m)
        return cost

    def follow(self, path: NDArray[np.float64]) -> None:
        """Take a path ``(N, 3)``; ``drive`` follows it. The controller's plan is kept, for paths change often."""
        within_m = self.settings.motion.goal_distance_m
        if len(self.path) == 0 or math.dist(self.path[-1, :2], path[-1, :2]) > within_m:
            self._least_away_m = math.inf
        self.path, self._at = path, 0

    def worth_keeping(self, T_map_base: Pose, path: NDArray[np.float64]) -> bool:
        """Whether the path that is being followed is about as good as a new one ``(N, 3)`` to the same goal.

        A robot between two ways of about the same length would else turn round at every plan, as each way shows
        something new of the obstacles about it.
        """
        rest = self.path[self._at :]
        if self.world is None or len(rest) < 2 or math.dist(rest[0, :2], T_map_base[:2]) > KEPT_WITHIN_M:
            return False
        if math.dist(rest[-1, :2], path[-1, :2]) > self.settings.motion.goal_distance_m:
            return False
        cost, raster, planner = self.planning_cost(T_map_base), self.world.raster, self.settings.global_planner
        old_m, new_m = (global_planner.weighted_length_m(way, cost, raster, planner) for way in (rest, path))
        return old_m < KEPT_UP_TO * new_m

    def stop(self) -> None:
        """Follow nothing."""
        self.path, self._at, self._turning = np.zeros((0, 3)), 0, False
        self._commanded = None
        self.controller.reset()

    def blocked(self) -> bool:
        """Whether the path's next section leads through an obstacle."""
        if self.world is None or len(self.path) == 0:
            return False
        return any(self.world.cost_at(x, y) in (INSCRIBED, LETHAL) for x, y, _ in self._section()[1:])

    def left_m(self) -> float:
        """The length of path that is left."""
        rest = self.path[self._at :]
        return float(np.hypot(*np.diff(rest[:, :2], axis=0).T).sum()) if len(rest) > 1 else 0.0

    def person_near(self, T_map_base: Pose) -> bool:
        """Whether a person or pet is so near that it may be why the robot does not get on."""
        return any(
            math.dist(o.state[:2], T_map_base[:2]) < PERSON_NEAR_M for o in self.semantics.animate(self.objects)
        )

    # -- the drive ------------------------------------------------------------------------------------

    def arrived(self, T_map_base: Pose, *, any_yaw: bool = False) -> bool:
        """Whether the robot stands at the end of the path, looking as wanted."""
        if len(self.path) == 0:
            return False
        m, goal = self.settings.motion, self.path[-1]
        near = math.dist(goal[:2], T_map_base[:2]) <= m.goal_distance_m * (2.0 if self._turning else 1.0)
        return near and (any_yaw or abs(wrap_angle(goal[2] - T_map_base[2])) <= m.goal_yaw_rad)

    def drive(self, T_map_base: Pose, measured: Velocity, now_ns: int) -> Control:
        """One control cycle along the path."""
        m, goal = self.settings.motion, self.path[-1]
        velocity = self._velocity(measured)
        away_m = math.dist(goal[:2], T_map_base[:2])
        if away_m < self._least_away_m - NEARER_M:
            self._least_away_m, self._nearest_ns = away_m, now_ns
        settles = self._turning or now_ns - self._nearest_ns > SETTLE_NS
        self._turning = away_m <= m.goal_distance_m * (2.0 if settles else 1.0)
        self._advance(T_map_base)
        if self._turning:
            error_rad = wrap_angle(goal[2] - T_map_base[2])
            turning = turn_towards(error_rad, velocity.angular_rad_s, m, self.step_s)
            control = Control(Velocity(0.0, turning), T_map_base[None])
        elif behind_rad := self._behind_rad(T_map_base, velocity):
            self.controller.reset()
            control = Control(self._turned(behind_rad, velocity), T_map_base[None])
        else:
            objects = self.semantics.for_controller(self.objects, T_map_base, now_ns, OBJECTS_REACH_M)
            # The controller plans beyond a blind corner at full speed: slower, a narrow way there would not pay.
            control = self.controller.control(
                T_map_base, velocity, self._section(), self.local, objects, self._limit_of_place_m_s(T_map_base)
            )
            control = _held_to(self.speed_limit_m_s(T_map_base), control)
        self._commanded = control.velocity
        return control

    def _behind_rad(self, T_map_base: Pose, velocity: Velocity) -> float:
        """By how much to turn before driving along a path that leads back, else 0: where there is room, nobody
        walks about and the way is worth it, the robot does not drive backwards, slow and looking elsewhere."""
        m, r = self.settings.motion, self.local.raster
        self._turns_back, began = False, self._turns_back
        walking = self.semantics.moving(self.objects, PERSON_NEAR_M, T_map_base)
        if self.left_m() < TURNED_FOR_M or walking or not r.contains(*T_map_base[:2]):
            return 0.0
        room_m = float(self.local.distance_m[r.cell(*T_map_base[:2])]) - self.controller.reach_m - TURNED_WITHIN_M
        if velocity.linear_m_s**2 / (2.0 * m.deceleration_m_s2) > room_m:
            return 0.0
        ahead = self.path[min(self._at + LOOK_AHEAD, len(self.path) - 1)]
        away = math.atan2(ahead[1] - T_map_base[1], ahead[0] - T_map_base[0])
        behind_rad = wrap_angle(away - T_map_base[2])
        self._turns_back = abs(behind_rad) > (TURNED_TO_RAD if began else TURNED_FROM_RAD)
        return behind_rad if self._turns_back else 0.0

    def _turned(self, by_rad: float, velocity: Velocity) -> Velocity:
        """Brake, and turn by an angle."""
        m, v = self.settings.motion, velocity.linear_m_s
        slower = math.copysign(max(0.0, abs(v) - m.deceleration_m_s2 * self.step_s), v)
        return Velocity(slower, turn_towards(by_rad, velocity.angular_rad_s, m, self.step_s))

    def runs_into(self, T_map_base: Pose, velocity: Velocity, within_s: float) -> bool:
        """Whether driving on like this ends in contact with what the local map knows, nearer than the robot is
        already: leaving is always allowed."""
        gaps = [self._gap_m(pose_after(T_map_base, velocity, t)) for t in (0.0, within_s / 2.0, within_s)]
        return min(gaps[1:]) < min(0.0, gaps[0] - CONTACT_SLACK_M)

    def _gap_m(self, pose: Pose) -> float:
        r, c = self.local.raster, self.controller
        corner, turned = (r.x_m, r.y_m, r.resolution_m), (math.cos(pose[2]), math.sin(pose[2]))
        return footprint_gap(pose[0], pose[1], *turned, self.local.distance_m, corner, c.circles, c.reach_m)

    def speed_limit_m_s(self, T_map_base: Pose) -> float:
        """What zones, objects and what cannot be seen allow here."""
        of_place_m_s = self._limit_of_place_m_s(T_map_base)
        return min(of_place_m_s, self.caution.speed_limit_m_s(self.unsure, T_map_base))

    def _limit_of_place_m_s(self, T_map_base: Pose) -> float:
        limit = self.semantics.speed_limit_m_s(self.objects, T_map_base)
        raster = self.local.raster
        if raster.contains(T_map_base[0], T_map_base[1]):
            share = self.local.speed_share[raster.cell(T_map_base[0], T_map_base[1])]
            limit = min(limit, float(share) * self.settings.motion.max_linear_m_s)
        return limit

    def _velocity(self, measured: Velocity) -> Velocity:
        """The velocity to plan from: the last command, where the wheels follow it at all.

        Measurements lag; planning from them alone would accelerate in steps of one cycle only.
        """
        m = self.settings.motion
        lag_s = m.delay_s + 2.0 * self.step_s
        slack_v = max(m.acceleration_m_s2, m.deceleration_m_s2) * lag_s
        slack_w = m.angular_acceleration_rad_s2 * lag_s
        if self._commanded is None:  # what was followed before has ended, perhaps while driving
            return measured
        v, w = self._commanded.linear_m_s, self._commanded.angular_rad_s
        return Velocity(
            min(max(v, measured.linear_m_s - slack_v), measured.linear_m_s + slack_v),
            min(max(w, measured.angular_rad_s - slack_w), measured.angular_rad_s + slack_w),
        )

    def _advance(self, T_map_base: Pose) -> None:
        """Move the mark on the path to the point nearest to the robot; not far ahead, for paths may come back."""
        section = self._section()[: max(2, int(ADVANCE_M / self.settings.global_planner.point_spacing_m))]
        self._at += int(np.argmin(np.hypot(section[:, 0] - T_map_base[0], section[:, 1] - T_map_base[1])))

    def _section(self) -> NDArray[np.float64]:
        n, spacing_m = self.settings.navigator, self.settings.global_planner.point_spacing_m
        return self.path[self._at : self._at + max(2, int(n.section_m / spacing_m))]


def _held_to(limit_m_s: float, control: Control) -> Control:
    """The control on the same arc within the limit at once: a controller brakes gently, and whoever steps out does
    not wait for that."""
    v, w = control.velocity.linear_m_s, control.velocity.angular_rad_s
    if abs(v) <= limit_m_s:
        return control
    share = limit_m_s / abs(v)
    return replace(control, velocity=Velocity(share * v, share * w))


def _carry_marks(old: Costmap, new: Costmap) -> None:
    """Copy marked obstacles from a map to its successor, whose origin may lie elsewhere."""
    rows, columns = np.nonzero(np.isfinite(old.seen_s))
    new.start_s = old.start_s
    if len(rows) == 0:
        return
    x = old.raster.x_m + (columns + 0.5) * old.raster.resolution_m
    y = old.raster.y_m + (rows + 0.5) * old.raster.resolution_m
    r = new.raster
    to_row = np.floor((y - r.y_m) / r.resolution_m).astype(int)
    to_column = np.floor((x - r.x_m) / r.resolution_m).astype(int)
    inside = (to_row >= 0) & (to_row < r.shape[0]) & (to_column >= 0) & (to_column < r.shape[1])
    new.seen_s[to_row[inside], to_column[inside]] = old.seen_s[rows[inside], columns[inside]]


def load_settings(**overrides: str) -> Settings:
    """The shipped parameters of every part; ``overrides`` go to the navigator's own."""
    own = {"navigator": overrides}
    return Settings(**{name: params.load(cls, name, None, **own.get(name, {})) for name, cls in PARTS.items()})
