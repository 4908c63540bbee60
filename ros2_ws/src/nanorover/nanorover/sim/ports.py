"""A simulation in real time behind two pseudo terminals: drivers open them as they open the real ports."""

import contextlib
import os
import pty
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nanorover.base.emulator import ControllerPort
from nanorover.errors import InputError
from nanorover.lidar.emulator import G4
from nanorover.params import param
from nanorover.sim.simulation import Simulation

CYCLE_S = 0.004
# A machine that cannot keep up lets the simulated time fall back instead of running after it for ever.
FARTHEST_BEHIND_S = 0.2
READ_BYTES = 4096


@dataclass(frozen=True)
class SimulatorParams:
    """Which world, and where its robot's ports appear."""

    world: str = param("seed (7), style and seed (office:7), shipped scene or scene file")
    lidar_link: str = param("path at which the lidar's port appears")
    base_link: str = param("path at which the motor controller's port appears")
    camera_rate_hz: float = param(
        "pictures per second; 0 for none: drawing takes time", "Hz", minimum=0.0, maximum=30.0
    )


class LidarPort:
    """The far end of a pseudo terminal with an emulated lidar behind it."""

    def __init__(self, lidar: G4) -> None:
        self.lidar = lidar
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        os.set_blocking(self._master, False)

    def poll(self, now_s: float) -> None:
        """Carry bytes both ways; what nobody reads is lost, as on a real line."""
        with contextlib.suppress(BlockingIOError):
            self.lidar.receive(os.read(self._master, READ_BYTES), now_s)
        data = self.lidar.transmit(now_s)
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, data)

    def close(self) -> None:
        """Unplug it."""
        os.close(self._master)
        os.close(self._slave)


class LiveSimulation:
    """Runs a simulation against the clock in a thread; use it as a context manager.

    ``look`` is called in that thread about every ``CYCLE_S``, for pictures and truth. Raises InputError where a
    link cannot be made.
    """

    def __init__(
        self, simulation: Simulation, params: SimulatorParams, look: Callable[[Simulation], None]
    ) -> None:
        self.simulation = simulation
        self._look = look
        self._lidar, self._base = LidarPort(simulation.lidar), ControllerPort(simulation.controller)
        self._links = {Path(params.lidar_link): self._lidar.path, Path(params.base_link): self._base.path}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)
        self.lost_s = 0.0  # simulated time that this machine was too slow for
        self.fault: Exception | None = None

    def __enter__(self) -> "LiveSimulation":
        for link, port in self._links.items():
            try:
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(port)
            except OSError as error:
                raise InputError(
                    f"cannot make the link {link}: {error.strerror}", "choose another path"
                ) from error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for link in self._links:
            link.unlink(missing_ok=True)
        self._lidar.close()
        self._base.close()

    def _run(self) -> None:
        try:
            self._live()
        except Exception as error:  # told to who asks for `fault`
            self.fault = error

    def _live(self) -> None:
        start_s = time.monotonic() - self.simulation.now_s
        while not self._ended.is_set():
            behind_s = time.monotonic() - start_s - self.simulation.now_s
            if behind_s > FARTHEST_BEHIND_S:
                start_s += behind_s
                self.lost_s += behind_s
            while self.simulation.now_s < time.monotonic() - start_s:
                self._base.poll(self.simulation.now_s)
                self.simulation.step()
            self._lidar.poll(self.simulation.now_s)
            self._look(self.simulation)
            self._ended.wait(CYCLE_S)
