"""A robot as other nodes see it: map, scan, transforms, picture, objects and health of a known room."""

import math

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import BatteryState, CompressedImage
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from nanorover.geometry.scan import LaserScan
from nanorover_interfaces.msg import TrackedObject, TrackedObjects
from nanorover_nodes import convert

RESOLUTION_M = 0.05
WIDTH, HEIGHT = 160, 120
ORIGIN = np.array([-4.0, -3.0, 0.0])
T_MAP_BASE = np.array([-1.0, 0.5, math.radians(30)])
BEAMS = 720


def room_cells() -> np.ndarray:
    """An office of 8 × 6 m: unknown outside, walls, a dividing wall with a door, a table."""
    cells = np.full((HEIGHT, WIDTH), -1, np.int8)
    cells[8:112, 8:152] = 0
    cells[8:10, 8:152] = cells[110:112, 8:152] = 100
    cells[8:112, 8:10] = cells[8:112, 150:152] = 100
    cells[8:50, 96:98] = cells[70:112, 96:98] = 100
    cells[30:44, 30:50] = 100
    return cells


def scan_of_room(stamp_ns: int) -> LaserScan:
    """The scan from T_MAP_BASE, found by walking along each beam."""
    occupied = room_cells() == 100
    bearings = np.linspace(-math.pi, math.pi, BEAMS, endpoint=False) + T_MAP_BASE[2]
    steps_m = np.arange(0.1, 12.0, 0.01)
    x = T_MAP_BASE[0] + np.outer(np.cos(bearings), steps_m) - ORIGIN[0]
    y = T_MAP_BASE[1] + np.outer(np.sin(bearings), steps_m) - ORIGIN[1]
    column = np.clip((x / RESOLUTION_M).astype(int), 0, WIDTH - 1)
    row = np.clip((y / RESOLUTION_M).astype(int), 0, HEIGHT - 1)
    hit = occupied[row, column]
    ranges_m = np.where(hit.any(axis=1), steps_m[hit.argmax(axis=1)], np.inf).astype(np.float32)
    return LaserScan(stamp_ns, ranges_m, -math.pi, 2 * math.pi / BEAMS, 0.1, 16.0)


def picture_jpeg() -> bytes:
    """A drawn picture of a corridor with a person."""
    picture = np.full((240, 320, 3), (70, 62, 55), np.uint8)
    cv2.fillPoly(picture, [np.array([[0, 240], [110, 130], [210, 130], [320, 240]])], (105, 112, 118))
    cv2.rectangle(picture, (110, 60), (210, 130), (140, 134, 128), -1)
    cv2.ellipse(picture, (150, 95), (9, 11), 0, 0, 360, (140, 170, 205), -1)
    cv2.rectangle(picture, (137, 106), (163, 175), (160, 90, 50), -1)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def detection(
    label: str, score: float, middle_px: tuple[float, float], size_px: tuple[float, float]
) -> Detection2D:
    """One box as a detector publishes it."""
    seen = Detection2D(id="7")
    seen.bbox.center.position.x, seen.bbox.center.position.y = middle_px
    seen.bbox.size_x, seen.bbox.size_y = size_px
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = label, score
    seen.results.append(result)
    return seen


class ShownRobot:
    """Publishes all of it through a test's graph."""

    TOPICS = (
        "map", "scan", "/tf", "/tf_static", "path", "plan",
        "camera/image_raw/compressed", "detections", "objects", "battery", "/diagnostics",
    )  # fmt: skip

    def __init__(self, graph) -> None:
        self.graph = graph
        self.stopped = False  # as its safety says
        self.boxes = [("person", 0.91, (150.0, 130.0), (40.0, 96.0))]  # label, score, middle and size in pixels
        self.T_map_base = T_MAP_BASE
        self.out = {topic: graph.offer(topic) for topic in self.TOPICS}

    def wait_for_listener(self) -> None:
        for topic, publisher in self.out.items():
            self.graph.wait_until(lambda p=publisher: p.get_subscription_count() > 0, f"somebody hears {topic}")

    def publish_still(self) -> None:
        """What does not change: mountings, map, lines."""
        mounting = convert.transform_msg(0, "base_link", "laser", np.zeros(3))
        self.out["/tf_static"].publish(TFMessage(transforms=[mounting]))
        grid = convert.OccupancyGridMsg()
        grid.header.frame_id = "map"
        grid.info.resolution, grid.info.width, grid.info.height = RESOLUTION_M, WIDTH, HEIGHT
        grid.info.origin = convert.pose_msg(ORIGIN)
        grid.data = convert.array("b", room_cells().tobytes())
        self.out["map"].publish(grid)
        way = np.linspace(0.0, 1.0, 60)
        driven = np.column_stack((-3.2 + 2.2 * way, -1.8 + 2.3 * way**2))
        planned = np.column_stack((-1.0 + 3.6 * way, 0.5 - 0.5 * np.sin(way * math.pi) + way * 0.9))
        for topic, line in (("path", driven), ("plan", planned)):
            poses = [PoseStamped(pose=convert.pose_msg(np.array([x, y, 0.0]))) for x, y in line]
            self.out[topic].publish(Path(poses=poses))

    def publish_moment(self, stamp_ns: int = 0) -> None:
        """What comes ten times a second."""
        moving = [("map", "odom", np.zeros(3)), ("odom", "base_link", self.T_map_base)]
        self.out["/tf"].publish(TFMessage(transforms=[convert.transform_msg(stamp_ns, *edge) for edge in moving]))
        self.out["scan"].publish(convert.scan_msg(scan_of_room(stamp_ns)))
        picture = CompressedImage(format="jpeg")
        picture.data = convert.array("B", picture_jpeg())
        self.out["camera/image_raw/compressed"].publish(picture)
        self.out["detections"].publish(Detection2DArray(detections=[detection(*box) for box in self.boxes]))
        walker = TrackedObject(id=7, class_id="person", score=0.9, radius_m=0.25)
        walker.pose.pose = convert.pose_msg(np.array([0.6, 1.3, 0.0]))
        walker.velocity.twist.linear.x, walker.velocity.twist.linear.y = 0.2, -0.7
        self.out["objects"].publish(TrackedObjects(objects=[walker]))

    def publish_battery(self) -> None:
        """A battery whose charge nobody measures."""
        self.out["battery"].publish(BatteryState(voltage=11.9, percentage=float("nan")))

    def publish_health(self) -> None:
        """A healthy lidar, a camera that lags, a base without a cable."""
        said = (
            ("/lidar", DiagnosticStatus.OK, "720 beams at 10.0 Hz"),
            ("/slam", DiagnosticStatus.OK, "mapping"),
            ("/camera", DiagnosticStatus.WARN, "3 pictures dropped in the last second"),
            ("/base", DiagnosticStatus.ERROR, "/dev/ttyACM0: no such device"),
            ("/safety", DiagnosticStatus.WARN, "obstacle in 0.3 s"),
        )
        values = [KeyValue(key="rate_hz", value="10.0"), KeyValue(key="emergency stop", value=str(self.stopped))]
        statuses = [DiagnosticStatus(name=n, level=level, message=m, values=values) for n, level, m in said]
        self.out["/diagnostics"].publish(DiagnosticArray(status=statuses))
