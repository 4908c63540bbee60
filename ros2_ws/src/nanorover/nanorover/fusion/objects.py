"""What fusion knows of the world: tracked objects in the map frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The classes of what no camera has named: what moves, and what has come and stands since.
MOVING, STANDING = "moving", "standing"


@dataclass(frozen=True, eq=False)
class TrackedObject:
    """One object, followed over time.

    ``state`` is ``(4,)``: x, y, vx, vy in the map frame at ``stamp_ns``, ``covariance`` ``(4, 4)`` its. ``score``
    is the share of the votes for ``class_id``; ``by_camera`` says whether a camera ever named it.
    """

    id: int
    class_id: str
    score: float
    stamp_ns: int
    state: NDArray[np.float64]
    covariance: NDArray[np.float64]
    radius_m: float
    by_camera: bool

    @property
    def speed_m_s(self) -> float:
        """How fast it moves."""
        return float(np.hypot(self.state[2], self.state[3]))
