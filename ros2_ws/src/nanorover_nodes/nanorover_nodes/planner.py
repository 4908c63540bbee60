"""The planner node: map, pose, scans and detections in; objects, plans and velocities out.

The library decides everything; this file carries messages to it and back.
"""

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TwistStamped
from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
from nav_msgs.msg import Odometry as OdometryMsg
from sensor_msgs.msg import CameraInfo as CameraInfoMsg
from sensor_msgs.msg import LaserScan as LaserScanMsg
from std_msgs.msg import Bool, Empty
from vision_msgs.msg import Detection2DArray

from nanorover import params
from nanorover.base.gate import STILL, STOPPED, Velocity
from nanorover.base.params import BaseParams
from nanorover.bringup.notes import STOPPED_NOTE, Note, RunParams
from nanorover.errors import InputError
from nanorover.fusion.detections import detections_of
from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.fusion.measurements import Camera
from nanorover.mapping.grid import OccupancyGrid
from nanorover.params import param
from nanorover.planning import caution, motion
from nanorover.planning.navigator import PARTS, Navigator, Settings
from nanorover.planning.pilot import BehavioursParams, Moment
from nanorover.planning.safety import deviation_m
from nanorover.planning.scan_points import last_ray_ns
from nanorover.planning.sense import sense
from nanorover.planning.warm_up import warm_up
from nanorover.replay.records import CameraInfo
from nanorover_nodes import convert
from nanorover_nodes.component import OK, WARN, Component, Health
from nanorover_nodes.frames import FrameListener
from nanorover_nodes.goals import GoalReader
from nanorover_nodes.planner_actions import Actions
from nanorover_nodes.planner_tasks import IDLE, NO_POSE, Tasks
from nanorover_nodes.planner_views import Views
from nanorover_nodes.planner_zones import PlannerZones
from nanorover_nodes.pose_source import PoseSource, velocity_of
from nanorover_nodes.process import run
from nanorover_nodes.refusals import Refusals

TIMES_KEPT = 400
TOLD_FOR_S = 0.2  # a base that was not told anew for so long may stand
LATE = 1.5  # a cycle that comes later than so many periods was missed
# A scan is answered at once, and the timer goes on from there: this many periods later, for it must not come just
# before the next scan does.
BETWEEN_SCANS = 1.1


@dataclass(frozen=True)
class PlannerNodeParams:
    """What only the node needs."""

    map: str = param("map file of this start, beside which drawn keep-out zones lie; empty: none")
    map_frame: str = param("frame of the map")
    odom_frame: str = param("frame of the odometry")
    base_frame: str = param("frame of the robot's base")
    scan_timeout_s: float = param("without a scan for this long the robot stands", "s", minimum=0.05, maximum=10.0)
    pose_timeout_s: float = param("without a pose for this long the robot stands", "s", minimum=0.05, maximum=10.0)
    lost_deviation_m: float = param(
        "with a pose of a larger standard deviation the robot stands", "m", minimum=0.01, maximum=10.0
    )
    blind_patience_s: float = param("and after this long the task has failed", "s", minimum=0.5, maximum=600.0)
    goal_max_age_s: float = param("an older goal is refused", "s", minimum=0.1, maximum=86_400.0)
    global_costmap_period_s: float = param(
        "time between published global costmaps", "s", minimum=0.1, maximum=60.0
    )
    local_costmap_period_s: float = param("time between published local costmaps", "s", minimum=0.05, maximum=60.0)
    random_seed: int = param("seed of the controller's noise", minimum=0, maximum=2**31 - 1)


class PlannerNode(Component):
    """Drives while it has a task."""

    PARAMS = {
        **PARTS,
        "behaviours": BehavioursParams,
        "fusion": FusionParams,
        "planner_node": PlannerNodeParams,
        "run": RunParams,
    }

    def __init__(self) -> None:
        super().__init__("planner")

    def configure(self) -> None:
        self.settings: PlannerNodeParams = self.params["planner_node"]
        s = self.settings
        parts = self.parts = Settings(**{name: self.params[name] for name in PARTS})
        base = params.load(BaseParams, "base")
        motion.check_against_base(parts.motion, base)
        caution.check_against_base(parts.caution, base)
        warm_up(parts)
        self.navigator = Navigator(parts, s.random_seed)
        self.fusion = Fusion(self.params["fusion"])
        self.map_began_ns: int | None = None
        self.frames = FrameListener(self.listen, self.get_logger())
        self.poses = PoseSource(self.frames, s.map_frame, s.odom_frame, s.base_frame)
        self.goals = GoalReader(self.frames.tree, s.map_frame, s.goal_max_age_s, self._now_ns)
        self.refused = Refusals()
        self.cycle_s: deque[float] = deque(maxlen=TIMES_KEPT)
        self.misses, self.last_cycle_s = 0, 0.0
        self.scan_at_s = self.pose_at_s = self.blind_since_s = 0.0
        self.deviation_m = 0.0
        self.told, self.told_at_s = STILL, 0.0
        self.last_word = IDLE
        self.commands = self.offer("cmd_vel_nav")
        self.views = Views(self.offer, self._now_ns, s.map_frame)
        self.listen("map", self.on_map)
        self.listen("odom", self.on_odometry)
        self.listen("cmd_vel_sent", self.on_sent)
        self.listen("pose", self.on_pose)
        self.listen("scan", self.on_scan)
        self.listen("camera/camera_info", self.on_camera)
        self.listen("detections", self.on_detections)
        self.listen("goal_pose", self.on_goal)
        self.listen("cancel", self.on_cancel)
        self.stopped = False
        self.stop_note = Note(self.params["run"], STOPPED_NOTE)
        self.listen("e_stop", self.on_stop)
        self.zones = PlannerZones(self)
        self.tasks = Tasks(self)
        self.actions = Actions(self, self.tasks)
        self.control_timer = self.every(BETWEEN_SCANS / parts.navigator.control_rate_hz, self.cycle)
        self.every(s.global_costmap_period_s, self.publish_global)
        self.every(s.local_costmap_period_s, self.publish_local)

    def activate(self) -> None:
        self.stopped = self.stopped or self.stop_note.holds()

    def deactivate(self) -> None:
        self.tasks.end_all("the planner is deactivated")
        self._command(STILL)

    def cleanup(self) -> None:
        if hasattr(self, "actions"):
            self.actions.destroy()

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    # -- what arrives ---------------------------------------------------------------------------------

    def on_map(self, message: OccupancyGridMsg) -> None:
        cells = np.asarray(message.data, dtype=np.int8)
        shape = (message.info.height, message.info.width)
        frame = message.header.frame_id.lstrip("/")
        if cells.size != shape[0] * shape[1]:
            self.refused.note(f"map of {cells.size} cells that says {shape[0]} × {shape[1]}")
            return
        if frame != self.settings.map_frame:
            self.refused.note(f"map in frame '{frame}'")
            return
        origin = convert.pose_of(message.info.origin)
        grid = OccupancyGrid(cells.reshape(shape), float(message.info.resolution), origin)
        try:
            self._heed_session(convert.stamp_ns_of(message.info.map_load_time))
            self.navigator.on_map(grid, time.monotonic())
        except InputError as error:
            self.refused.note(str(error))

    def _heed_session(self, began_ns: int) -> None:
        """Where the map's frame began anew, what was known in the old one means other places.

        Raises InputError where its zones cannot be read: the robot stands then, for it might drive into one."""
        if self.map_began_ns not in (None, began_ns):
            why = "the map began anew: places in the old one mean nothing in it"
            if not self.tasks.end_all(why):  # the end of a task says why itself
                self.get_logger().warning(why)
            camera = self.fusion.camera
            self.navigator = Navigator(self.parts, self.settings.random_seed)
            self.fusion = Fusion(self.params["fusion"])
            self.fusion.camera = camera
        if self.map_began_ns != began_ns:
            self.map_began_ns = None
            self.zones.begin(began_ns)
        self.map_began_ns = began_ns

    def on_odometry(self, message: OdometryMsg) -> None:
        self.poses.on_odometry(message)

    def on_sent(self, message: TwistStamped) -> None:
        """What the wheels were told."""
        self.told, self.told_at_s = velocity_of(message.twist), time.monotonic()

    def on_pose(self, message: PoseWithCovarianceStamped) -> None:
        """SLAM lives, and is sure or not; the pose itself comes through the transforms, at every moment."""
        self.pose_at_s = time.monotonic()
        self.deviation_m = deviation_m(convert.planar_covariance_of(message))

    def on_scan(self, message: LaserScanMsg) -> None:
        if not self.active:
            return
        scan = self.frames.scan(self.settings.base_frame, message)
        if isinstance(scan, str):
            self.refused.note(scan)
            return
        T_map_base, T_map_last = self.poses.at(scan.stamp_ns), self.poses.at(last_ray_ns(scan))
        if T_map_base is None or T_map_last is None:
            self.refused.note("scan of a time without a pose")
            return
        self.scan_at_s = time.monotonic()
        self.fusion.on_pose(scan.stamp_ns, T_map_base)
        sense(self.navigator, self.fusion, scan, T_map_base, T_map_last, self.scan_at_s)
        self.views.show_objects(self.navigator.objects, scan.stamp_ns)
        if time.monotonic() - self.last_cycle_s > self.navigator.step_s / 2.0:
            self.control_timer.reset()
            self.cycle()

    def on_camera(self, message: CameraInfoMsg) -> None:
        T = self.frames.tree.lookup(self.settings.base_frame, message.header.frame_id.lstrip("/"))
        if T is None:
            self.refused.note(f"no transform {self.settings.base_frame} → {message.header.frame_id}")
            return
        K = np.asarray(message.k, dtype=np.float64).reshape(3, 3)
        if K[0, 0] <= 0.0 or not np.isfinite(K).all():
            self.refused.note("camera without a calibration")
            return
        stamp_ns = convert.stamp_ns_of(message.header.stamp)
        distortion = np.asarray(message.d, dtype=np.float64)
        info = CameraInfo(stamp_ns, message.width, message.height, K, distortion, message.distortion_model)
        self.fusion.camera = Camera(info, T)

    def on_detections(self, message: Detection2DArray) -> None:
        if not self.active:
            return
        found = detections_of(message)
        stamp_ns = convert.stamp_ns_of(message.header.stamp)
        self.navigator.on_objects(self.fusion.on_detections(found, stamp_ns), self.fusion.tracker.unsure())
        self.views.show_objects(self.navigator.objects, stamp_ns)

    def on_goal(self, message: PoseStamped) -> None:
        if not self.active:
            return
        try:
            self.tasks.drive_to(self.goals.read(message))
        except InputError as error:
            self.last_word = f"goal refused: {error}"
            self.refused.note("goal")
            self.get_logger().warning(self.last_word)

    def on_cancel(self, _: Empty) -> None:
        """Whatever the robot does, however it was asked for, is over."""
        self.tasks.end_all("cancelled")

    def on_stop(self, message: Bool) -> None:
        """The emergency stop ends what the robot does: its release must not set it going again."""
        self.stopped = message.data
        if self.stopped:
            self.tasks.end_all(STOPPED)
        elif self.last_word == STOPPED:
            self.last_word = IDLE
        self.stop_note.set(self.stopped)

    # -- the drive ------------------------------------------------------------------------------------

    def moment(self) -> Moment | None:
        """What a behaviour needs to know now; None while the robot is blind or nowhere."""
        T_map_base = self.poses.latest()
        if T_map_base is None:
            return None
        now_s = time.monotonic()
        told = self.told if now_s - self.told_at_s < TOLD_FOR_S else STILL
        return Moment(T_map_base, self.poses.velocity, now_s, self._now_ns(), told)

    def blind(self) -> str:
        """Why the robot must not be driven now; empty if it may."""
        now_s = time.monotonic()
        if now_s - self.scan_at_s > self.settings.scan_timeout_s:
            return "no fresh scan"
        if now_s - self.pose_at_s > self.settings.pose_timeout_s:
            return "no fresh pose"
        if self.deviation_m > self.settings.lost_deviation_m:
            return f"lost: the pose is uncertain by {self.deviation_m:.2f} m"
        return "there is no map yet" if self.navigator.world is None else ""

    def cycle(self) -> None:
        """One control cycle: the running task's command, or nothing while there is none."""
        if not self.active:
            return
        start_s = time.monotonic()
        period_s = self.navigator.step_s
        if self.tasks.running and self.last_cycle_s and start_s - self.last_cycle_s > LATE * period_s:
            self.misses += 1
        self.last_cycle_s = start_s
        moment = self.moment()
        if not self.tasks.running:
            return
        blind = self.blind()
        if blind or moment is None:
            self._stand_blind(blind or "no pose in the map")
            return
        self.blind_since_s = 0.0
        command, self.last_word = self.tasks.tick(moment)
        self._command(command)
        self.views.show_ways(self.navigator.path, self.tasks.trajectory)
        self.cycle_s.append(time.monotonic() - start_s)

    def _stand_blind(self, why: str) -> None:
        now_s = time.monotonic()
        self.blind_since_s = self.blind_since_s or now_s
        self.last_word = why
        self._command(STILL)
        if now_s - self.blind_since_s > self.settings.blind_patience_s:
            self.tasks.end_all(f"{why}, for {now_s - self.blind_since_s:.0f} s", NO_POSE)
            self.blind_since_s = 0.0

    def _command(self, velocity: Velocity) -> None:
        self.commands.publish(convert.twist_msg(velocity))

    # -- what is shown --------------------------------------------------------------------------------

    def publish_global(self) -> None:
        pose, world, topic = self.poses.latest(), self.navigator.world, "global_costmap/costmap"
        if self.active and world is not None and pose is not None and self.views.wanted(topic):
            self.views.show_costs(topic, world, self.navigator.planning_cost(pose))

    def publish_local(self) -> None:
        topic = "local_costmap/costmap"
        if self.active and self.views.wanted(topic):
            self.views.show_costs(topic, self.navigator.local, self.navigator.local.cost)

    def diagnose(self) -> Health:
        times_ms = np.array(self.cycle_s) * 1e3
        values: dict[str, object] = {
            "task": self.tasks.name,
            "says": self.last_word,
            "objects": len(self.navigator.objects),
            "pose jumps": self.navigator.jumps,
            "bumps": self.navigator.bumps,
            "missed cycles": self.misses,
            **self.refused.values(),
        }
        if len(times_ms):
            values |= {
                "cycle p50 ms": float(np.percentile(times_ms, 50)),
                "cycle p99 ms": float(np.percentile(times_ms, 99)),
            }
        if self.navigator.world is not None:
            values["map cells"] = self.navigator.world.cost.size
        blind = self.blind()
        if self.tasks.running and blind:
            return Health(WARN, blind, values)
        if self.navigator.world is None and (refused := self.refused.recent()):
            return Health(WARN, refused, values)
        return Health(OK, f"{self.tasks.name}: {self.last_word}" if self.tasks.running else self.last_word, values)


def main() -> None:
    """Run the node."""
    run(PlannerNode)


if __name__ == "__main__":
    main()
