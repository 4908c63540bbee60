"""What the tests of the base share: an emulated motor controller on a pseudo terminal, in real time."""

import os
import pty
import select
import threading
import time
import tty
from contextlib import suppress
from dataclasses import dataclass

from nanorover.base.emulator import Firmware

POLL_S = 0.005
STEP_S = 0.002


class ControllerPort:
    """The far end of a pseudo terminal with a ``Firmware`` behind it; ``path`` is what the driver opens."""

    def __init__(self, firmware: Firmware) -> None:
        self.firmware = firmware
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        # Our own handle on the near end stays open, so that a driver that goes away does not hang us up.
        self._slave = slave
        os.set_blocking(self._master, False)

    def poll(self, now_s: float) -> int:
        """Answer what has come in; returns the number of bytes taken. Never blocks."""
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return 0
        answers = self.firmware.receive(data, now_s)
        with suppress(BlockingIOError):  # nobody reads: a UART would drop the bytes too
            os.write(self._master, answers)
        return len(data)

    def wait(self, timeout_s: float) -> None:
        """Wait until bytes have come in, or for that long."""
        select.select([self._master], [], [], timeout_s)

    def close(self) -> None:
        """Unplug it: the driver sees the port vanish."""
        os.close(self._master)
        os.close(self._slave)


@dataclass
class SimpleWheels:
    """Two motors with a time constant and nothing else, for a controller without a simulated world."""

    full_speed_rad_s: float = 20.0
    time_constant_s: float = 0.05
    left_rad: float = 0.0
    right_rad: float = 0.0
    left_rad_s: float = 0.0
    right_rad_s: float = 0.0

    @property
    def at_rest(self) -> bool:
        """Whether they stand, but for less than a tick of any encoder."""
        return max(abs(self.left_rad_s), abs(self.right_rad_s)) * self.time_constant_s < 1e-6

    def step(self, elapsed_s: float, left_duty: float, right_duty: float) -> None:
        """Move on with these duties."""
        share = min(1.0, elapsed_s / self.time_constant_s)
        self.left_rad_s += share * (left_duty * self.full_speed_rad_s - self.left_rad_s)
        self.right_rad_s += share * (right_duty * self.full_speed_rad_s - self.right_rad_s)
        self.left_rad += elapsed_s * self.left_rad_s
        self.right_rad += elapsed_s * self.right_rad_s


class RunningController:
    """A controller that runs in real time in a thread of its own; use it as a context manager."""

    def __init__(self, firmware: Firmware, wheels: SimpleWheels | None = None) -> None:
        self.port = ControllerPort(firmware)
        self.wheels = wheels or SimpleWheels()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "RunningController":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.port.close()

    def _run(self) -> None:
        reached_s = time.monotonic()
        while not self._ended.is_set():
            self.port.wait(POLL_S)
            now_s = time.monotonic()
            # Small steps of equal length, so that a busy machine does not change how the motors behave.
            while reached_s + STEP_S <= now_s:
                reached_s += STEP_S
                duties = self.port.firmware.step(reached_s, self.wheels.left_rad, self.wheels.right_rad)
                self.wheels.step(STEP_S, *duties)
            # Answered last, so that the encoders are read as they are now however late this thread is.
            self.port.poll(now_s)
