"""The simulated world as a node: ports for the drivers, pictures in place of the camera, and the truth."""

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo

from nanorover.mapping.grid import OccupancyGrid
from nanorover.sim.floorplan import scene_of
from nanorover.sim.ports import LiveSimulation, SimulatorParams
from nanorover.sim.simulation import Simulation
from nanorover_nodes import convert
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health, run

TRUTH_PERIOD_S = 0.05
MAP_FRAME = "map"


class SimulatorNode(Component):
    """Simulates from configuration on, so that the drivers find their ports."""

    PARAMS = {"simulator": SimulatorParams}

    def __init__(self) -> None:
        super().__init__("simulator")
        self.live: LiveSimulation | None = None

    def configure(self) -> None:
        self.settings: SimulatorParams = self.params["simulator"]
        scene = scene_of(self.settings.world)
        self.outputs = {
            topic: self.offer(topic)
            for topic in ("truth/pose", "truth/map", "camera/image_raw", "camera/camera_info")
        }
        self.truth_due_s = self.picture_due_s = 0.0
        self.last_step_s = 0.0
        self.live = LiveSimulation(Simulation(scene), self.settings, self.look)
        self.live.__enter__()
        self.get_logger().info(f"world {scene.name}")

    def activate(self) -> None:
        assert self.live is not None
        grid = self.live.simulation.map
        truth = OccupancyGrid(grid.cells, grid.resolution_m, np.array([*grid.origin_m, 0.0]))
        self.outputs["truth/map"].publish(convert.grid_msg(truth, self._now_ns(), MAP_FRAME))

    def cleanup(self) -> None:
        if self.live is not None:
            self.live.__exit__()
            self.live = None

    def look(self, simulation: Simulation) -> None:
        """Publish what is due; called in the simulation's thread."""
        if not self.active:
            return
        if simulation.now_s >= self.truth_due_s:
            self.truth_due_s = simulation.now_s + TRUTH_PERIOD_S
            message = PoseStamped(pose=convert.pose_msg(simulation.pose))
            message.header.frame_id, message.header.stamp = MAP_FRAME, convert.time_of(self._now_ns())
            self.outputs["truth/pose"].publish(message)
        if self.settings.camera_rate_hz > 0 and simulation.now_s >= self.picture_due_s:
            self.picture_due_s = simulation.now_s + 1.0 / self.settings.camera_rate_hz
            self._photograph(simulation)

    def _photograph(self, simulation: Simulation) -> None:
        info = CameraInfo(width=simulation.params.camera_width_px, height=simulation.params.camera_height_px)
        info.header.stamp = convert.time_of(self._now_ns())
        info.header.frame_id = simulation.frames.camera_optical_frame
        info.distortion_model, info.d = "plumb_bob", [0.0] * 5
        info.k = [float(v) for v in simulation.params.K.ravel()]
        picture = simulation.picture()[:, :, ::-1]
        self.outputs["camera/image_raw"].publish(convert.image_msg(info.header, np.ascontiguousarray(picture)))
        self.outputs["camera/camera_info"].publish(info)

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def diagnose(self) -> Health:
        assert self.live is not None
        score = self.live.simulation.score
        values = {"collisions": score.collisions, "distance_m": score.distance_m, "lost_s": self.live.lost_s}
        if self.live.fault is not None:
            return Health(ERROR, f"the simulation ended: {self.live.fault}", values)
        lost_s, self.last_step_s = self.live.lost_s - self.last_step_s, self.live.lost_s
        if lost_s > 0.1:
            return Health(WARN, f"this machine is too slow: {lost_s:.1f} s lost in the last second", values)
        return Health(OK, "simulating in real time", values)


def main() -> None:
    """Run the node."""
    run(SimulatorNode)


if __name__ == "__main__":
    main()
