"""The simulated world as a node: ports for the drivers, pictures in place of the camera, and the truth."""

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header

from nanorover import params
from nanorover.errors import InputError
from nanorover.geometry.se2 import Pose
from nanorover.mapping.grid import OccupancyGrid
from nanorover.params import param
from nanorover.perception.images import encode_jpeg
from nanorover.robot import RobotParams
from nanorover.sim import SCREEN
from nanorover.sim.camera import Image
from nanorover.sim.floorplan import scene_of
from nanorover.sim.live import Live
from nanorover.sim.people_gap import PeopleGap
from nanorover.sim.simulation import Simulation
from nanorover_nodes import convert
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.process import run

MAP_FRAME = "map"
JPEG_QUALITY = 80
# Slower than this is said aloud.
REAL_TIME = 0.95
WINDOW_ELEVATION_DEG = -70.0


@dataclass(frozen=True)
class SimulatorParams:
    """Which world, and where its robot's ports appear."""

    world: str = param("seed (7), style and seed (office:7), shipped scene or scene file")
    seed: int = param("everything else that is random follows from it", minimum=0, maximum=2**31 - 1)
    ports: str = param("folder in which the ports of lidar and base appear")
    window: bool = param("show MuJoCo's own window")


class SimulatorNode(Component):
    """Simulates from configuration on, so that the drivers find their ports."""

    PARAMS = {"simulator": SimulatorParams}

    def __init__(self) -> None:
        super().__init__("simulator")
        self.live: Live | None = None
        self.window: Any = None

    def configure(self) -> None:
        settings: SimulatorParams = self.params["simulator"]
        if settings.window and not SCREEN:
            raise InputError("there is no screen for MuJoCo's window", "leave window out, or set DISPLAY")
        scene = scene_of(settings.world)
        topics = (
            "truth/pose",
            "truth/map",
            "camera/image_raw",
            "camera/image_raw/compressed",
            "camera/camera_info",
        )
        self.outputs = {topic: self.offer(topic) for topic in topics}
        self.simulation = Simulation(scene, settings.seed)
        self.simulation.warm_up()
        if settings.window:
            self._open_window()
        self.live = Live(
            self.simulation, Path(settings.ports), on_pose=self.on_pose, on_picture=self.on_picture
        ).__enter__()
        self.given_up_s = 0.0
        self.people_gap = PeopleGap(params.load(RobotParams, "robot"))
        self.get_logger().info(f"world {scene.name}")

    def activate(self) -> None:
        grid = self.simulation.map
        truth = OccupancyGrid(grid.cells, grid.resolution_m, np.array([*grid.origin_m, 0.0]))
        stamp_ns = self.get_clock().now().nanoseconds
        self.outputs["truth/map"].publish(convert.grid_msg(truth, stamp_ns, MAP_FRAME))

    def _open_window(self) -> None:
        """Look down on the whole world."""
        from mujoco import viewer

        shown = (self.simulation.world.model, self.simulation.data)
        self.window = viewer.launch_passive(*shown, show_left_ui=False, show_right_ui=False)
        across_m, along_m = self.simulation.scene.size_m
        with self.window.lock():
            self.window.cam.lookat[:] = (across_m / 2, along_m / 2, 0.0)
            self.window.cam.distance, self.window.cam.elevation = (
                1.3 * max(across_m, along_m),
                WINDOW_ELEVATION_DEG,
            )

    def cleanup(self) -> None:
        if self.live is not None:
            self.live.__exit__()
            self.live = None
        if self.window is not None:
            self.window.close()
            self.window = None

    def on_pose(self, stamp_ns: int, T_map_base: Pose) -> None:
        """Called in the simulation's thread."""
        if self.active:
            message = PoseStamped(pose=convert.pose_msg(T_map_base))
            message.header.frame_id, message.header.stamp = MAP_FRAME, convert.time_of(stamp_ns)
            self.outputs["truth/pose"].publish(message)
            self.people_gap.look(stamp_ns * 1e-9, T_map_base, self.simulation.moving_objects())
        if self.window is not None:  # between two steps of the physics, for MuJoCo copies its data
            self.window.sync()

    def on_picture(self, stamp_ns: int, picture: Image) -> None:
        """Called in the camera's thread; the picture is RGB."""
        if not self.active:
            return
        params = self.simulation.params
        header = Header(stamp=convert.time_of(stamp_ns), frame_id=self.simulation.frames.camera_optical_frame)
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        info = CameraInfo(header=header, width=params.camera_width_px, height=params.camera_height_px)
        info.distortion_model, info.d = "plumb_bob", [0.0] * 5
        info.k = [float(v) for v in params.K.ravel()]
        self.outputs["camera/camera_info"].publish(info)
        if self.outputs["camera/image_raw"].get_subscription_count() > 0:
            self.outputs["camera/image_raw"].publish(convert.image_msg(header, bgr))
        if self.outputs["camera/image_raw/compressed"].get_subscription_count() == 0:
            return
        jpeg = array("B", encode_jpeg(bgr, JPEG_QUALITY))
        compressed = CompressedImage(header=header, format="jpeg", data=jpeg)
        self.outputs["camera/image_raw/compressed"].publish(compressed)

    def diagnose(self) -> Health:
        assert self.live is not None
        score = self.simulation.score
        values = {
            "collisions": score.collisions,
            "touched": ", ".join(score.touched),
            "distance_m": score.distance_m,
            "min_clearance_m": score.clearance_m,
            "people_clearance_m": self.people_gap.least_m,
            "simulated_s": self.simulation.now_s,
            "real_time_factor": self.live.real_time_factor,
        }
        if self.live.failed is not None:
            return Health(ERROR, f"the simulation ended: {self.live.failed}", values)
        if self.live.camera is not None and self.live.camera.failed is not None:
            return Health(WARN, f"no pictures: {self.live.camera.failed}", values)
        lost_s, self.given_up_s = self.live.given_up_s - self.given_up_s, self.live.given_up_s
        if lost_s > 1.0 - REAL_TIME:
            return Health(WARN, f"this machine is too slow: {lost_s:.1f} s lost in the last second", values)
        return Health(OK, "simulating in real time", values)


def main() -> None:
    """Run the node."""
    run(SimulatorNode)


if __name__ == "__main__":
    main()
