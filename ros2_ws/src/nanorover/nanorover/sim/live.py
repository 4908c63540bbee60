"""The simulated robot in real time: its devices on pseudo terminals, its camera in a thread of its own."""

import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np

from nanorover.geometry.se2 import Pose
from nanorover.sim.camera import Camera, Image
from nanorover.sim.ports import BASE_LINK, LIDAR_LINK, PseudoTerminal
from nanorover.sim.simulation import Simulation

POSE_S = 0.05
LONGEST_WAIT_S = 0.004
# A simulation that falls back farther than this gives the time up: it runs slower than real time then.
MOST_BEHIND_S = 0.1


class Live:
    """Runs a simulation behind two ports in a thread of its own; use it as a context manager.

    ``folder`` holds the links ``lidar`` and ``base``. ``on_pose`` is called with stamp (ns, this machine's clock)
    and ``T_map_base``, ``on_picture`` with stamp and picture, each from a thread of this object.
    """

    def __init__(
        self,
        simulation: Simulation,
        folder: Path,
        *,
        on_pose: Callable[[int, Pose], None] = lambda stamp_ns, pose: None,
        on_picture: Callable[[int, Image], None] = lambda stamp_ns, picture: None,
    ) -> None:
        self.simulation = simulation
        self.given_up_s = 0.0
        self._on_pose = on_pose
        self._lidar, self._base = PseudoTerminal(folder / LIDAR_LINK), PseudoTerminal(folder / BASE_LINK)
        rate_hz = simulation.params.camera_rate_hz
        self._picture_s = 1.0 / rate_hz if rate_hz > 0.0 else np.inf
        self.camera = LiveCamera(simulation, on_picture) if rate_hz > 0.0 else None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)
        self.failed: Exception | None = None

    def __enter__(self) -> "Live":
        self._start_s = time.monotonic()
        self._wall_ns = time.time_ns()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.camera is not None:
            self.camera.close()
        self._lidar.close()
        self._base.close()

    @property
    def real_time_factor(self) -> float:
        """Simulated by real time since the start."""
        return self.simulation.now_s / max(time.monotonic() - self._start_s, 1e-9)

    def _run(self) -> None:
        try:
            pose_s = picture_s = 0.0
            while not self._ended.is_set():
                self._catch_up()
                now_s = self.simulation.now_s
                if now_s >= pose_s:
                    pose_s = now_s + POSE_S
                    self._on_pose(self._stamp_ns(), self.simulation.pose)
                if self.camera is not None and now_s >= picture_s:
                    picture_s += self._picture_s
                    self.camera.take(self._stamp_ns())
                select.select([self._base, self._lidar], [], [], LONGEST_WAIT_S)
        except Exception as error:  # the owner asks for it: a thread must not die unheard
            self.failed = error
            raise

    def _stamp_ns(self) -> int:
        return self._wall_ns + round((self.given_up_s + self.simulation.now_s) * 1e9)

    def _catch_up(self) -> None:
        """Answer the ports, and step until the simulated time is the real one."""
        simulation = self.simulation
        real_s = time.monotonic() - self._start_s - self.given_up_s
        if real_s - simulation.now_s > MOST_BEHIND_S:
            lost_s = real_s - simulation.now_s - MOST_BEHIND_S
            self.given_up_s += lost_s
            real_s -= lost_s
        self._answer()
        while simulation.now_s + simulation.params.timestep_s <= real_s:
            simulation.step()
            self._answer()
        self._lidar.write(simulation.lidar.transmit(simulation.now_s))

    def _answer(self) -> None:
        simulation = self.simulation
        if asked := self._base.read():
            self._base.write(simulation.controller.receive(asked, simulation.now_s))
        if told := self._lidar.read():
            simulation.lidar.receive(told, simulation.now_s)


class LiveCamera:
    """Draws in a thread of its own what the simulation looked like when ``take`` was called."""

    def __init__(self, simulation: Simulation, on_picture: Callable[[int, Image], None]) -> None:
        self.dropped = 0
        self.failed: Exception | None = None
        self._simulation, self._on_picture = simulation, on_picture
        self._data = mujoco.MjData(simulation.world.model)
        self._wanted = threading.Condition()
        self._stamp_ns: int | None = None
        self._turn_rate_rad_s = 0.0
        self._busy = self._ended = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def take(self, stamp_ns: int) -> None:
        """Ask for a picture of now; dropped and counted while the one before is still being drawn."""
        with self._wanted:
            if self._busy:
                self.dropped += 1
                return
            live = self._simulation.data
            self._data.qpos[:], self._data.mocap_pos[:] = live.qpos, live.mocap_pos
            self._data.mocap_quat[:] = live.mocap_quat
            self._turn_rate_rad_s = self._simulation.turn_rate_rad_s
            self._stamp_ns, self._busy = stamp_ns, True
            self._wanted.notify()

    def close(self) -> None:
        """End the thread."""
        with self._wanted:
            self._ended = True
            self._wanted.notify()
        self._thread.join()

    def _run(self) -> None:
        model = self._simulation.world.model
        try:  # a drawing context belongs to the thread that made it
            camera = Camera(model, self._simulation.params, np.random.default_rng(0))
        except Exception as error:
            self.failed = error
            return
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._busy or self._ended)
                if self._ended:
                    break
                stamp_ns = self._stamp_ns
            mujoco.mj_kinematics(model, self._data)
            mujoco.mj_camlight(model, self._data)
            assert stamp_ns is not None
            self._on_picture(stamp_ns, camera.picture(self._data, self._turn_rate_rad_s))
            with self._wanted:
                self._busy = False
        camera.close()
