"""The lidar node: a G4 on its serial port in; ``scan``, on wish ``points`` and the bytes themselves out."""

import dataclasses
import time
from array import array

from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from nanorover.errors import InputError
from nanorover.lidar.assemble import Revolution
from nanorover.lidar.device import Lidar
from nanorover.lidar.params import LidarParams
from nanorover_nodes import convert
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.process import run

LEVELS = (OK, WARN, ERROR)  # as the driver counts them


class LidarNode(Component):
    """Scans while active, unless a person has stopped it by the service."""

    PARAMS = {"lidar": LidarParams}

    def __init__(self) -> None:
        super().__init__("lidar")

    def configure(self) -> None:
        self.settings: LidarParams = self.params["lidar"]
        self.latency_s = 0.0
        self.stopped = False
        self.scan_publisher = self.offer("scan")
        self.points_publisher = self.offer("points") if self.settings.publish_points else None
        self.raw_publisher = self.offer("lidar/raw") if self.settings.publish_raw else None
        self.serve("start_scan", self.on_start)
        self.serve("stop_scan", self.on_stop)
        on_bytes = self.on_bytes if self.raw_publisher is not None else None
        self.lidar = Lidar(self.settings, self.on_revolution, on_bytes)
        self.lidar.open()
        self.get_logger().info(f"{self.lidar.info} on {self.settings.port}")

    def activate(self) -> None:
        self.stopped = False
        self.lidar.start()

    def deactivate(self) -> None:
        self.lidar.close()

    def cleanup(self) -> None:
        if hasattr(self, "lidar"):
            self.lidar.close()

    def on_start(self, _: Trigger.Request) -> str:
        if not self.active:
            raise InputError("the lidar node is not active", "activate it first")
        self.lidar.start()
        self.stopped = False
        return "the lidar scans"

    def on_stop(self, _: Trigger.Request) -> str:
        self.lidar.close()
        self.stopped = True
        return "the lidar is stopped, its motor idles"

    def on_revolution(self, revolution: Revolution) -> None:
        """In the driver's thread, so that no other callback delays the scan."""
        if not self.context.ok():  # ROS shuts down; the driver is closed in a moment
            return
        self.scan_publisher.publish(convert.scan_msg(revolution.scan))
        self.latency_s = (time.time_ns() - revolution.arrival_ns) / 1e9
        if self.points_publisher is not None:
            self.points_publisher.publish(convert.points_msg(revolution))

    def on_bytes(self, data: bytes, _: int) -> None:
        if self.context.ok():
            self.raw_publisher.publish(UInt8MultiArray(data=array("B", data)))

    def diagnose(self) -> Health:
        status = self.lidar.status()
        values = dataclasses.asdict(status) | {"latency_ms": 1e3 * self.latency_s, "port": self.settings.port}
        level, sentence = LEVELS[values.pop("level")], values.pop("sentence")
        if self.stopped:
            level, sentence = WARN, "stopped by stop_scan"
        return Health(level, sentence, values)


def main() -> None:
    """Entry point."""
    run(LidarNode)


if __name__ == "__main__":
    main()
