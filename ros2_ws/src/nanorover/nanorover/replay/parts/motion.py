"""How fast the robot goes, by its odometry."""

from nanorover.base.gate import STILL, velocity_between
from nanorover.geometry.scan import Odometry


class Motion:
    """The velocity between the last two readings of the wheels; standing where there are none."""

    def __init__(self) -> None:
        self.velocity = STILL
        self._last: Odometry | None = None

    def take(self, odometry: Odometry) -> None:
        """A further reading."""
        if self._last is not None and odometry.stamp_ns > self._last.stamp_ns:
            elapsed_s = (odometry.stamp_ns - self._last.stamp_ns) / 1e9
            self.velocity = velocity_between(self._last.T_odom_base, odometry.T_odom_base, elapsed_s)
        self._last = odometry
