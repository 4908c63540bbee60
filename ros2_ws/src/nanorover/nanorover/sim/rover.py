"""The simulated robot with its real drivers in one process: bytes in between, no port, no clock, no sleep."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from nanorover.base.driver import BaseDriver, BaseState
from nanorover.base.emulator import Firmware
from nanorover.bringup.robot_model import fixed_frames, robot_urdf
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.lidar.params import LidarParams
from nanorover.lidar.protocol import Command
from nanorover.lidar.stream import LidarStream
from nanorover.params import load
from nanorover.perception.images import encode_jpeg
from nanorover.replay.records import (
    CameraInfo,
    Picture,
    Record,
    StaticTransform,
    TrueBoxes,
    TrueMap,
    TrueObjects,
    TruePose,
    VelocityCommand,
)
from nanorover.sim.pilots import Pilot
from nanorover.sim.simulation import Simulation

# The simulated clock starts at the beginning of 2026.
EPOCH_NS = 1_767_225_600 * 10**9
PILOT_HZ = 20.0
WALKERS_HZ = 5.0
JPEG_QUALITY = 70


class DirectLink:
    """The base driver's line to the simulated controller: answered within the call."""

    def __init__(self, controller: Firmware, clock: Callable[[], float]) -> None:
        self._controller, self._clock = controller, clock

    def ask(self, command: bytes) -> str:
        """See ``base.link.Link``."""
        return self._controller.receive(command, self._clock()).decode("ascii").strip()

    def close(self) -> None:
        """Nothing to close."""


class Rover:
    """Drives a simulation by a pilot through the lidar's and the base's drivers; gives records as they come."""

    def __init__(self, simulation: Simulation, pilot: Pilot, *, camera_hz: float = 0.0) -> None:
        self.simulation, self.pilot = simulation, pilot
        self.scan: LaserScan | None = None
        self.base = BaseDriver(
            simulation.base,
            clock=lambda: simulation.now_s,
            stamp_clock=self._stamp_ns,
            open_link=lambda *_: DirectLink(simulation.controller, lambda: simulation.now_s),
        )
        self.stream = LidarStream(load(LidarParams, "lidar"))
        simulation.lidar.receive(Command.SCAN.encode(), simulation.now_s)
        frames = simulation.frames
        self._T_base_laser = np.array([frames.laser_x_m, frames.laser_y_m, frames.laser_yaw_rad])
        self._tasks = [
            _Task(1.0 / simulation.base.rate_hz, self._drive),
            _Task(1.0 / PILOT_HZ, self._steer),
            _Task(1.0 / WALKERS_HZ, self._watch),
        ]
        self._said = False
        if camera_hz > 0.0:
            self._tasks.append(_Task(1.0 / camera_hz, self._look))

    def _stamp_ns(self) -> int:
        return EPOCH_NS + self.simulation.now_ns

    def mountings(self) -> list[StaticTransform]:
        """The robot's fixed frames."""
        urdf = robot_urdf(self.simulation.frames, self.simulation.base)
        return [StaticTransform(EPOCH_NS, f.parent, f.child, f.T_parent_child) for f in fixed_frames(urdf)]

    def true_map(self) -> TrueMap:
        """The world from above at the lidar's height."""
        grid = self.simulation.map
        return TrueMap(EPOCH_NS, grid.cells, grid.resolution_m, np.array([*grid.origin_m, 0.0]))

    def run(self, until_s: float) -> Iterator[Record]:
        """Drive until then or until the pilot is done, yielding what the robot would publish."""
        simulation = self.simulation
        while simulation.now_s < until_s and not self.pilot.done:
            simulation.step()
            yield from self._listen()
            for task in self._tasks:
                if simulation.now_s >= task.due_s:
                    task.due_s += task.period_s
                    yield from task.action()

    def _listen(self) -> Iterator[Record]:
        """Take the lidar's bytes at the moment when they have arrived."""
        lidar, now_s = self.simulation.lidar, self.simulation.now_s
        while lidar.due_s <= now_s:
            arrival_s = lidar.due_s
            data = lidar.transmit(arrival_s)
            for revolution in self.stream.feed(data, EPOCH_NS + round(arrival_s * 1e9)):
                scan = replace(revolution.scan, T_base_laser=self._T_base_laser)
                self.scan = scan
                yield scan

    def _drive(self) -> Iterator[Record]:
        state: BaseState | None = self.base.cycle()
        if state is not None:
            yield Odometry(state.stamp_ns, state.T_odom_base)

    def _steer(self) -> Iterator[Record]:
        pose = self.simulation.pose
        linear, angular = self.pilot.command(self.scan, pose)
        self.base.want(linear, angular)
        yield TruePose(self._stamp_ns(), pose)
        yield VelocityCommand(self._stamp_ns(), linear, angular)

    def _watch(self) -> Iterator[Record]:
        """Say where everything is, and from then on where those are that walk."""
        things = self.simulation.moving_objects() if self._said else self.simulation.objects()
        self._said = True
        if things:
            yield TrueObjects(
                self._stamp_ns(),
                tuple(thing.name for thing in things),
                tuple(thing.kind for thing in things),
                np.array([thing.pose for thing in things]),
                np.array([thing.size_m for thing in things]),
            )

    def _look(self) -> Iterator[Record]:
        sim, stamp_ns = self.simulation.params, self._stamp_ns()
        picture = self.simulation.picture()
        jpeg = encode_jpeg(picture[:, :, ::-1], JPEG_QUALITY)
        frame = self.simulation.frames.camera_optical_frame
        yield CameraInfo(stamp_ns, sim.camera_width_px, sim.camera_height_px, sim.K, np.zeros(5), frame_id=frame)
        yield Picture(stamp_ns, jpeg, "jpeg", frame_id=frame)
        kinds, boxes_px, fair = self.simulation.boxes()
        # A box counts from the picture's edge, the intrinsics from the middle of the first pixel.
        boxes_m = (boxes_px - 0.5 - np.tile(sim.K[:2, 2], 2)) / np.tile(np.diag(sim.K)[:2], 2)
        yield TrueBoxes(stamp_ns, tuple(kinds), boxes_m, fair, frame)


class _Task:
    """Something that is due again and again."""

    def __init__(self, period_s: float, action: Callable[[], Iterator[Record]]) -> None:
        self.period_s, self.action, self.due_s = period_s, action, 0.0
