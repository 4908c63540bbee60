"""The page in the browser as a node: what there is to see goes out, what a person asks for comes in."""

import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point32, Polygon, PoseStamped
from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Path as PathMsg
from rclpy.client import Client
from sensor_msgs.msg import BatteryState, CompressedImage
from sensor_msgs.msg import LaserScan as LaserScanMsg
from std_msgs.msg import Bool, Empty
from vision_msgs.msg import Detection2DArray
from visualization_msgs.msg import MarkerArray

from nanorover.base.gate import STILL, STOPPED, Velocity
from nanorover.fusion.detections import detections_of
from nanorover.geometry.se2 import compose
from nanorover.planning.zones import Zone
from nanorover.view.access import is_loopback, network_token, page_address
from nanorover.view.commands import Commands, Wish
from nanorover.view.params import WebParams
from nanorover.view.scene import map_frame, scan_frame, thinned, zones_frame
from nanorover.view.server import WebServer
from nanorover_interfaces.msg import TrackedObjects
from nanorover_interfaces.srv import AddZone, RemoveZone
from nanorover_nodes import convert
from nanorover_nodes.component import OK, Health
from nanorover_nodes.frames import FrameListener
from nanorover_nodes.patient import PatientComponent
from nanorover_nodes.planner_tasks import TASK_FAILED
from nanorover_nodes.process import run
from nanorover_nodes.zones import zones_of

# Commands are carried to the robot, and what is new to the browsers, this often.
BEAT_S = 0.05
HEALTH_RATE_HZ = 1.0
# Paths are read this often: one has thousands of poses, and taking it costs more than everything else together.
LINES_RATE_HZ = 1.0

# How sure a person is who points at a map: standard deviations of x, y (m) and yaw (rad).
POINTED_DEVIATION = np.array([0.3, 0.3, 0.3])

NO_PLANNER = "no planner runs that would keep out of them"


def one_line(sentence: str) -> str:
    """A sentence and its hint, which stands on a line of its own, for a notice."""
    return " ".join(sentence.split())


class Pace:
    """Says when it is time again for what should happen at some rate; beats are never exactly that far apart."""

    def __init__(self, rate_hz: float) -> None:
        self._pause_s = 0.8 / rate_hz
        self._due_s = 0.0

    def due(self, now_s: float) -> bool:
        """Whether it is time; if so, the next time is a period away."""
        if now_s < self._due_s:
            return False
        self._due_s = now_s + self._pause_s
        return True


class WebNode(PatientComponent):
    """Serves while active."""

    PARAMS = {"web": WebParams}

    def __init__(self) -> None:
        super().__init__("web")

    def configure(self) -> None:
        self.settings: WebParams = self.params["web"]
        self.commands = Commands(self.settings)
        self.frames = FrameListener(self.listen, self.get_logger())
        self.map: OccupancyGrid | None = None
        self.health: dict[str, tuple[float, dict[str, Any]]] = {}
        self.battery: dict[str, float] = {}
        self.lines: dict[str, list[list[float]]] = {}
        self.state_pace, self.health_pace = Pace(self.settings.rate_hz), Pace(HEALTH_RATE_HZ)
        self.picture_pace, self.lines_pace = Pace(self.settings.picture_rate_hz), Pace(LINES_RATE_HZ)
        self.driving = self.stop_heard = False
        asked_for = ("cmd_vel_teleop", "goal_pose", "cancel", "initialpose", "e_stop")
        self.outputs = {topic: self.offer(topic) for topic in asked_for}
        self.shut: tuple[dict[int, Zone], list[list[tuple[float, float]]]] = ({}, [])
        self.zones_sent: dict[str, Any] = {}
        self.zone_adder = self.create_client(AddZone, "keep_out_zones/add")
        self.zone_remover = self.create_client(RemoveZone, "keep_out_zones/remove")
        self.listen("map", self.on_map)
        self.listen("keep_out_zones", self.on_zones)
        self.listen("scan", self.on_scan)
        self.line_topics = [
            self.listen("path", lambda message: self.on_line("path", message)),
            self.listen("plan", lambda message: self.on_line("plan", message)),
        ]
        self.listen("camera/image_raw/compressed", self.on_picture)
        self.listen("detections", self.on_detections)
        self.listen("objects", self.on_objects)
        self.listen("battery", self.on_battery)
        self.listen("e_stop", self.on_stop)
        self.listen("/diagnostics", self.on_health)
        self.every(BEAT_S, self.beat)
        host = self.settings.host
        token = "" if is_loopback(host) else network_token()
        self.server = WebServer(host, self.settings.port, token, self.take, self.commands.leave)
        self.server.start()

    def take(self, client: int, command: dict[str, Any]) -> str:
        """A browser's command, in the server's thread. One that comes too early must not move the robot later."""
        if not self.active and command.get("type") != "stop":
            return "the robot is not ready yet"
        return self.commands.take(client, command)

    def activate(self) -> None:
        address = page_address(self.settings.host, self.server.port, self.server.token)
        self.get_logger().info(f"the page: {address}")

    def cleanup(self) -> None:
        if hasattr(self, "server"):
            self.server.stop()
            del self.server
        if hasattr(self, "zone_adder"):
            self.destroy_client(self.zone_adder)
            self.destroy_client(self.zone_remover)
            del self.zone_adder

    def beat(self) -> None:
        """Take what came, carry what was asked for, and send what there is to see."""
        now_s = time.monotonic()
        self.hear(but=() if self.lines_pace.due(now_s) else self.line_topics)
        if not self.active:
            return
        self.carry()
        if self.server.watched and self.state_pace.due(now_s):
            self.send_state()
        if self.server.watched and self.health_pace.due(now_s):
            self.send_health(now_s)
            self.send_zones(now_s)
        self.server.flush()

    # -- what there is to see ---------------------------------------------------------------------------

    def on_map(self, message: OccupancyGrid) -> None:
        self.map = message

    def on_zones(self, message: MarkerArray) -> None:
        self.shut = zones_of(message)
        self.send_zones(time.monotonic())

    def on_scan(self, message: LaserScanMsg) -> None:
        if not self.server.watched:
            return
        scan = self.frames.scan(self.settings.base_frame, message)
        if not isinstance(scan, str):
            self.server.put("scan", *scan_frame(scan, compose(self.pose(), scan.T_base_laser)))

    def pose(self) -> np.ndarray:
        """``T_map_base``; the origin while nothing locates the robot."""
        found = self.frames.planar(self.settings.map_frame, self.settings.base_frame)
        return np.zeros(3) if found is None else found[0]

    def on_line(self, name: str, message: PathMsg) -> None:
        line = np.array([[p.pose.position.x, p.pose.position.y] for p in message.poses]).reshape(-1, 2)
        self.lines[name] = thinned(line)
        self.server.put("lines", self.lines, keep=True)

    def on_picture(self, message: CompressedImage) -> None:
        if self.server.watched and self.picture_pace.due(time.monotonic()):
            self.server.put("picture", {"format": message.format}, bytes(message.data))

    def on_detections(self, message: Detection2DArray) -> None:
        if not self.server.watched:
            return
        boxes = [[*seen.box_px, seen.class_id, round(seen.score, 2)] for seen in detections_of(message)]
        self.server.put("boxes", {"boxes": boxes})

    def on_objects(self, message: TrackedObjects) -> None:
        if not self.server.watched:
            return
        shown = [
            {
                "x": round(o.pose.pose.position.x, 2),
                "y": round(o.pose.pose.position.y, 2),
                "vx": round(o.velocity.twist.linear.x, 2),
                "vy": round(o.velocity.twist.linear.y, 2),
                "radius": round(o.radius_m, 2),
                "label": f"{o.class_id} {o.id}",
            }
            for o in message.objects
        ]
        self.server.put("objects", {"objects": shown})

    def on_battery(self, message: BatteryState) -> None:
        self.battery = {"voltage": round(message.voltage, 2), "percentage": round(message.percentage, 3)}

    def on_stop(self, message: Bool) -> None:
        self.commands.stopped, self.stop_heard = message.data, True

    def on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            said = {
                "level": convert.level_of(status).lower(),
                "message": status.message,
                "values": {v.key: v.value for v in status.values},
            }
            name = status.name.lstrip("/")
            _, before = self.health.get(name, (0.0, {"message": ""}))
            if TASK_FAILED in said["message"] != before["message"]:  # else it stands in the list of nodes alone
                self.server.put("notice", {"text": said["message"]})
            self.health[name] = (time.monotonic(), said)
            if STOPPED in said["values"] and not self.stop_heard:
                self.commands.stopped = said["values"][STOPPED] == "True"

    def send_state(self) -> None:
        if self.map is not None:
            grid, self.map = self.map, None
            cells = np.asarray(grid.data, dtype=np.int8).reshape(grid.info.height, grid.info.width)
            frame = map_frame(cells, grid.info.resolution, convert.pose_of(grid.info.origin))
            self.server.put("map", *frame, keep=True)
        located = self.frames.planar(self.settings.map_frame, self.settings.base_frame)
        state = {
            "pose": None if located is None else [round(float(v), 4) for v in located[0]],
            "stopped": self.commands.stopped,
            "driving": self.driving,
            "battery": self.battery,
        }
        self.server.put("state", state)

    def send_zones(self, now_s: float) -> None:
        """What is shut, and why no more can be, when that is another than before."""
        zones = zones_frame(*self.shut, self.undrawable(now_s))
        if zones != self.zones_sent:
            self.zones_sent = zones
            self.server.put("zones", zones, keep=True)

    def undrawable(self, now_s: float) -> str:
        """Why nobody would keep out of a zone; empty where somebody does."""
        heard_s, said = self.health.get("planner", (now_s, {"level": "ok", "message": ""}))
        if now_s - heard_s > self.settings.heartbeat_timeout_s:
            return NO_PLANNER
        if self.zone_adder.service_is_ready() and self.zone_remover.service_is_ready():
            return ""
        return f"the planner does not work: {said['message']}" if said["level"] == "error" else NO_PLANNER

    def send_health(self, now_s: float) -> None:
        shown = {}
        for name, (heard_s, said) in sorted(self.health.items()):
            silent_s = now_s - heard_s
            stale = {"level": "stale", "message": f"not heard for {silent_s:.0f} s"}
            shown[name] = said | stale if silent_s > self.settings.heartbeat_timeout_s else said
        self.server.put("health", shown)

    # -- what a person asks for -------------------------------------------------------------------------

    def carry(self) -> None:
        for wish in self.commands.wishes():
            self.obey(wish)
        velocity = self.commands.velocity()
        if velocity is not None or self.driving:
            twist = convert.twist_msg(Velocity(*velocity) if velocity is not None else STILL)
            self.outputs["cmd_vel_teleop"].publish(twist)
        self.driving = velocity is not None

    def obey(self, wish: Wish) -> None:
        self.get_logger().info(f"asked in the browser: {wish}")
        if wish.kind in ("stop", "release"):
            self.outputs["e_stop"].publish(Bool(data=wish.kind == "stop"))
            return
        if wish.kind == "cancel":
            self.outputs["cancel"].publish(Empty())
            return
        if wish.zone is not None:
            corners = [Point32(x=x, y=y) for x, y in wish.zone.corners_m]
            self.ask(self.zone_adder, AddZone.Request(name=wish.zone.name, polygon=Polygon(points=corners)))
            return
        if wish.kind == "remove_zone":
            self.ask(self.zone_remover, RemoveZone.Request(id=wish.number))
            return
        pose = np.array(wish.pose)
        stamp_ns = self.get_clock().now().nanoseconds
        if wish.kind == "pose":
            covariance = np.diag(POINTED_DEVIATION**2)
            message = convert.pose_with_covariance_msg(stamp_ns, self.settings.map_frame, pose, covariance)
            self.outputs["initialpose"].publish(message)
            return
        goal = PoseStamped(pose=convert.pose_msg(pose))
        goal.header.frame_id, goal.header.stamp = self.settings.map_frame, convert.time_of(stamp_ns)
        self.outputs["goal_pose"].publish(goal)

    def ask(self, client: Client, request: Any) -> None:
        """Ask the planner; everybody reads what it answers, for it concerns everybody."""
        if reason := self.undrawable(time.monotonic()):
            self.server.put("notice", {"text": reason})
            return
        answer = client.call_async(request)
        answer.add_done_callback(lambda _: self.server.put("notice", {"text": one_line(answer.result().message)}))

    def diagnose(self) -> Health:
        watched = "watched" if self.server.watched else "nobody watches"
        return Health(OK, f"serving port {self.server.port}, {watched}", {"port": self.server.port})


def main() -> None:
    """Run the node."""
    run(WebNode)


if __name__ == "__main__":
    main()
