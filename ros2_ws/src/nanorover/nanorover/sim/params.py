"""Parameters of the simulated robot and its sensors; their values stand in ``params/sim.yaml``."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.params import param


@dataclass(frozen=True)
class SimParams:
    """The robot's body and motors, its lidar and its camera."""

    timestep_s: float = param("step of the physics", "s", minimum=0.0005, maximum=0.005)

    chassis_mass_kg: float = param("mass without the wheels", "kg", minimum=0.2, maximum=50.0)
    wheel_mass_kg: float = param("mass of one wheel", "kg", minimum=0.01, maximum=5.0)
    wheel_friction: float = param("friction between wheel and floor; less lets it slip", minimum=0.05, maximum=2.0)
    stall_torque_nm: float = param("torque of one stalled motor at full duty", "N·m", minimum=0.02, maximum=20.0)
    free_speed_rad_s: float = param("speed of an unloaded wheel at full duty", "rad/s", minimum=1.0, maximum=200.0)
    motor_latency_s: float = param("delay from duty to torque", "s", minimum=0.0, maximum=0.2)
    motor_friction_nm: float = param("friction in the gears of one motor", "N·m", minimum=0.0, maximum=2.0)
    motor_mismatch: float = param("standard deviation of a motor's strength", minimum=0.0, maximum=0.3)
    wheel_radius_error: float = param(
        "standard deviation of a wheel's radius against its nominal one", minimum=0.0, maximum=0.1
    )
    wheel_separation_error: float = param(
        "standard deviation of the wheels' separation against the nominal one", minimum=0.0, maximum=0.1
    )

    range_min_m: float = param("nearer things return nothing", "m", minimum=0.0, maximum=1.0)
    range_noise_near_m: float = param("standard deviation of a range up to 2 m", "m", minimum=0.0, maximum=0.2)
    range_noise_far_ratio: float = param(
        "standard deviation of a range beyond 2 m, as a part of it", minimum=0.0, maximum=0.1
    )
    dropout: float = param("part of the rays that return nothing", minimum=0.0, maximum=1.0)
    black_range_m: float = param("a black surface returns half the rays at this range", "m", minimum=0.1)
    glass_return: float = param("part of the rays that a pane of glass returns", minimum=0.0, maximum=1.0)

    camera_width_px: int = param("width of a picture", "px", minimum=32, maximum=1920)
    camera_height_px: int = param("height of a picture", "px", minimum=24, maximum=1080)
    camera_fov_deg: float = param("horizontal field of view", "deg", minimum=20.0, maximum=150.0)
    camera_rate_hz: float = param("pictures per second; 0 for none", "Hz", minimum=0.0, maximum=60.0)
    camera_exposure_s: float = param("time that a picture is exposed, in which it blurs", "s", minimum=0.0)
    camera_noise: float = param("standard deviation of a mid-grey pixel", "of 255", minimum=0.0, maximum=50.0)

    @property
    def K(self) -> NDArray[np.float64]:
        """The camera's ``(3, 3)`` intrinsics: square pixels, the axis through the middle."""
        f = self.camera_width_px / 2.0 / math.tan(math.radians(self.camera_fov_deg) / 2.0)
        return np.array(
            [[f, 0.0, (self.camera_width_px - 1) / 2.0], [0.0, f, (self.camera_height_px - 1) / 2.0], [0, 0, 1.0]]
        )

    @property
    def camera_fovy_deg(self) -> float:
        """Vertical field of view."""
        f = self.K[1, 1]
        return math.degrees(2.0 * math.atan(self.camera_height_px / 2.0 / f))
