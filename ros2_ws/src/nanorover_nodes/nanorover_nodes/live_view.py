"""A view of the running graph by rerun (an extra dependency), live in the browser or as a file.

``python -m nanorover_nodes.live_view NAMESPACE [FILE]``
"""

import sys
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid as OccupancyGridMsg
from nav_msgs.msg import Path as PathMsg
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rich.console import Console
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import LaserScan as LaserScanMsg

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.view.rerun_export import layout, seen_points
from nanorover_nodes.convert import pose_of
from nanorover_nodes.declared_topics import hear_declared
from nanorover_nodes.frames import FrameListener

PORT = 9090
GREY_OF_UNKNOWN = 205


class LiveView:
    """Subscribes to what there is to see and hands it to rerun's web viewer, or into ``file``."""

    def __init__(self, node: Node, console: Console, file: Path | None = None) -> None:
        try:
            import rerun
        except ImportError as error:
            raise InputError(
                "the live view needs the package rerun-sdk", "./scripts/setup view installs it"
            ) from error
        self._rerun = rerun
        self._pose = np.zeros(3)
        rerun.init("nanorover")
        if file is None:
            data = rerun.serve_grpc(default_blueprint=layout(rerun, "map"))
            rerun.serve_web_viewer(web_port=PORT, connect_to=data, open_browser=True)
            address = f"http://localhost:{PORT}/?url={quote(data, safe='')}"
            console.print(f"live view: {address} (open it by hand where no browser opens)", soft_wrap=True)
        else:
            rerun.save(file, default_blueprint=layout(rerun, "map"))
        self._frames = FrameListener(partial(hear_declared, node), node.get_logger())
        for topic, callback in (
            ("pose", self._on_pose),
            ("scan", self._on_scan),
            ("map", self._on_map),
            ("path", self._on_path),
            ("camera/image_raw/compressed", self._on_picture),
        ):
            hear_declared(node, topic, callback)

    def close(self) -> None:
        """Hand over what is still on its way."""
        self._rerun.disconnect()

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self._pose = pose_of(message.pose.pose)
        x, y, yaw = self._pose
        arrow = self._rerun.Arrows2D(
            origins=[[x, -y]], vectors=[[0.5 * np.cos(yaw), -0.5 * np.sin(yaw)]], colors=[[220, 60, 40]]
        )
        self._rerun.log("map/robot", arrow)

    def _on_scan(self, message: LaserScanMsg) -> None:
        scan = self._frames.scan("base_link", message)
        if isinstance(scan, str):
            return
        seen = seen_points(scan, self._pose)
        self._rerun.log("map/scan", self._rerun.Points2D(seen, radii=0.02, colors=[[40, 120, 220]]))

    def _on_map(self, message: OccupancyGridMsg) -> None:
        cells = np.asarray(message.data, dtype=np.int16).reshape(message.info.height, message.info.width)
        picture = np.where(cells < 0, GREY_OF_UNKNOWN, 255 - cells * 255 // 100).astype(np.uint8)[::-1]
        origin, resolution_m = message.info.origin.position, message.info.resolution
        top_m = -(origin.y + resolution_m * message.info.height)
        self._rerun.log("map/grid", self._rerun.Image(picture, draw_order=-10.0))
        placing = self._rerun.Transform3D(translation=[origin.x, top_m, 0.0], scale=resolution_m)
        self._rerun.log("map/grid", placing)

    def _on_path(self, message: PathMsg) -> None:
        line = [[p.pose.position.x, -p.pose.position.y] for p in message.poses]
        self._rerun.log("map/path", self._rerun.LineStrips2D([line], colors=[[240, 150, 30]]))

    def _on_picture(self, message: CompressedImage) -> None:
        self._rerun.log("camera", self._rerun.EncodedImage(contents=bytes(message.data), media_type="image/jpeg"))


def main() -> None:
    """Show the running robot until Ctrl-C."""
    console = Console(stderr=True, highlight=False)
    namespace, *files = sys.argv[1:]
    rclpy.init()
    try:
        node = Node("live_view", namespace=namespace or None)
        with replacing(files[0]) if files else nullcontext() as file:
            view = LiveView(node, console, file)
            if files:
                console.print(f"{files[0]} is written until Ctrl-C")
            with suppress(KeyboardInterrupt, ExternalShutdownException):
                rclpy.spin(node)
            view.close()
        console.print(f"open it with: rerun {files[0]}" if files else "view closed")
    except InputError as error:
        console.print(f"[bold red]error:[/] {error}", soft_wrap=True)
        sys.exit(2)
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
