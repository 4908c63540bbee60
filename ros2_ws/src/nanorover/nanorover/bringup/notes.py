"""What must outlive a node that ends and is started again: notes in the folder of this start of the robot.

Every start has a folder of its own, so a fresh start knows of nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from nanorover.errors import InputError
from nanorover.params import param

# The emergency stop is pressed.
STOPPED_NOTE = "stopped"
# A map was made.
MAPPED_NOTE = "mapped"


@dataclass(frozen=True)
class RunParams:
    """Where this start of the robot keeps its files."""

    run_folder: str = param(
        "folder of this start, where a node notes what must outlive it; empty: nothing outlives it. "
        "`nanorover up` and the launch files give it"
    )


class Note:
    """One fact that holds or does not, as a file that exists or does not. Several nodes may set the same one."""

    def __init__(self, params: RunParams, name: str) -> None:
        """Raises InputError where the folder does not exist."""
        if params.run_folder and not Path(params.run_folder).is_dir():
            raise InputError(f"run_folder '{params.run_folder}' is no folder", "leave it empty, or make it")
        self._file = Path(params.run_folder) / name if params.run_folder else None

    def set(self, holds: bool) -> None:
        """Keep it, or take it back."""
        if self._file is None:
            return
        if holds:
            self._file.touch()
        else:
            self._file.unlink(missing_ok=True)

    def holds(self) -> bool:
        """Whether it was kept and not taken back in this start."""
        return self._file is not None and self._file.exists()
