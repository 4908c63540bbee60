"""The recordings that come with the project: each is made anew by its row, to the byte."""

from dataclasses import dataclass
from pathlib import Path

from nanorover.checkout import RECORDINGS_FOLDER
from nanorover.errors import InputError
from nanorover.sim.record import Drive


@dataclass(frozen=True)
class Shipped:
    """One recording: its drive, and what it is there for."""

    name: str
    drive: Drive
    shows: str

    @property
    def path(self) -> Path:
        """Where it lies in a checkout of the project."""
        return RECORDINGS_FOLDER / f"{self.name}.mcap"


RECORDINGS = (
    Shipped("apartment", Drive("apartment:36", 36, "tour", 75.0, 2.0), "a loop through the rooms of an apartment"),
    Shipped(
        "office", Drive("office:3", 3, "tour", 45.0, 2.0), "corridor and rooms with panes of glass and a walker"
    ),
    Shipped("family", Drive("apartment:16", 16, "tour", 40.0, 2.0), "people and a pet cross the way"),
    Shipped("wander", Drive("apartment:7", 7, "wander", 40.0, 2.0), "exploring by scans alone, much turning"),
)


def shipped(name: str) -> Shipped:
    """A row by its name; raises InputError for an unknown one."""
    for recording in RECORDINGS:
        if recording.name == name:
            return recording
    known = ", ".join(recording.name for recording in RECORDINGS)
    raise InputError(f"no recording '{name}' comes with the project", f"known: {known}")
