"""What a lidar on the moving robot sees: rays cast at the very time and place of each sample."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.bringup.robot_model import FramesParams
from nanorover.geometry.se2 import Pose, wrap_angle
from nanorover.sim.model import World
from nanorover.sim.params import SimParams
from nanorover.sim.rays import BLACK, BOUNCES, Cuts, cast

Floats = NDArray[np.float64]

HISTORY_S = 0.5  # of the robot's motion: more than a lidar asks back for
NOISE_KNEE_M = 2.0  # the data sheet gives the accuracy in two parts
# A surface met more flatly than this returns less and less.
GRAZING_COSINE = 0.1
GRAZING_LOSS = 0.8


class LidarView:
    """The emulated lidar's ``World``: call ``moved`` after every step of the physics, and ``refresh``
    when walkers were shown at a new place."""

    def __init__(
        self, world: World, data: mujoco.MjData, sim: SimParams, frames: FramesParams, rng: np.random.Generator
    ) -> None:
        self._sim, self._rng = sim, rng
        self._mount_x, self._mount_y = frames.laser_x_m, frames.laser_y_m
        self._yaw_rad = frames.laser_yaw_rad
        self._cuts = Cuts(world, data, frames.laser_z_m)
        # Time, x, y and unwrapped yaw per step; twice as long as needed, so that the newest rows lie in one piece.
        self._kept = round(HISTORY_S / sim.timestep_s)
        self._history = np.zeros((2 * self._kept, 4))
        self._filled = 0

    def moved(self, now_s: float, T_map_base: Pose) -> None:
        """The robot is here now."""
        if self._filled == len(self._history):
            self._history[: self._kept] = self._history[self._kept :]
            self._filled = self._kept
        x, y, yaw = T_map_base.tolist()
        before = self._history[self._filled - 1, 3] if self._filled else yaw
        self._history[self._filled] = now_s, x, y, before + wrap_angle(yaw - before)
        self._filled += 1

    def refresh(self) -> None:
        """Those who walk have moved."""
        self._cuts.refresh()

    def ranges(self, stamp_s: Floats, bearing_clockwise_rad: Floats) -> Floats:
        """Metres ``(N,)``, +inf without return, with the noise and drop-outs of the device."""
        times_s, *columns = self._history[max(0, self._filled - self._kept) : self._filled].T
        x, y, yaw = (np.interp(stamp_s, times_s, column) for column in columns)
        c, s = np.cos(yaw), np.sin(yaw)
        places = np.column_stack(
            [x + c * self._mount_x - s * self._mount_y, y + s * self._mount_x + c * self._mount_y]
        )
        headings = yaw + self._yaw_rad - bearing_clockwise_rad
        chance = self._rng.random((len(stamp_s), BOUNCES + 1))
        range_m, cosine, surface = cast(self._cuts.all, places, headings, self._sim.glass_return, chance[:, 1:])
        range_m[chance[:, 0] < self._loss(range_m, cosine, surface == BLACK)] = np.inf
        return self._measured(range_m)

    def _loss(self, range_m: Floats, cosine: Floats, black: NDArray[np.bool_]) -> Floats:
        """Probability that a ray returns nothing."""
        flat = GRAZING_LOSS * np.clip(1.0 - cosine / GRAZING_COSINE, 0.0, 1.0)
        absorbed = np.where(black, 1.0 - 0.5 ** ((range_m / self._sim.black_range_m) ** 2), 0.0)
        return np.maximum(np.maximum(self._sim.dropout, flat), absorbed)

    def _measured(self, range_m: Floats) -> Floats:
        """With the noise of the data sheet."""
        sim = self._sim
        reached = np.isfinite(range_m)
        near = np.where(reached, range_m, 0.0)
        spread = np.where(near > NOISE_KNEE_M, sim.range_noise_far_ratio * near, sim.range_noise_near_m)
        noisy = near + spread * self._rng.standard_normal(len(near))
        return np.where(reached & (noisy >= sim.range_min_m), noisy, np.inf)
