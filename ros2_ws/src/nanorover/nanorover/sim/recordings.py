"""The recordings that come with the project: each is made anew by its row, to the byte."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[5] / "tests" / "recordings"


@dataclass(frozen=True)
class Shipped:
    """One recording: its world and drive are drawn from ``seed``."""

    name: str
    style: str
    seed: int
    mission: str
    duration_s: float
    camera_hz: float
    shows: str

    @property
    def path(self) -> Path:
        """Where it lies in a checkout of the project."""
        return FOLDER / f"{self.name}.mcap"


RECORDINGS = (
    Shipped("apartment", "apartment", 1, "tour", 75.0, 2.0, "a loop through four rooms, nobody at home"),
)
