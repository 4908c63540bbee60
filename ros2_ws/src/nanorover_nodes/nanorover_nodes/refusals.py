"""What a node could not use of what arrived, counted by reason."""

import time
from collections import Counter

# A reason is no news any more after so long.
RECENT_S = 3.0


class Refusals:
    """Counts for the diagnostics, and the newest reason while it is one."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._newest, self._at_s = "", 0.0

    def note(self, reason: str) -> None:
        """Something was refused."""
        self._counts[reason] += 1
        self._newest, self._at_s = reason, time.monotonic()

    def recent(self) -> str:
        """The newest reason; empty where nothing was refused of late."""
        return self._newest if time.monotonic() - self._at_s <= RECENT_S else ""

    def values(self) -> dict[str, int]:
        """How often, by reason."""
        return {f"refused: {reason}": times for reason, times in self._counts.items()}
