"""At most so many pictures a second: which of those that come are taken, and how long to wait for the next."""

# Share of a period by which a picture may be early, so that none of a camera at exactly the rate is refused for
# its jitter; below a half, so that of a camera at twice the rate every second picture is taken.
SLACK = 0.4


class Pace:
    """Times are those of one steady clock, in seconds; ``rate_hz`` 0 is no limit. The mean rate stays below it."""

    def __init__(self, rate_hz: float) -> None:
        self.limit(rate_hz)

    def limit(self, rate_hz: float) -> None:
        """Change the rate; the next picture is due at once."""
        self.period_s = 1.0 / rate_hz if rate_hz > 0 else 0.0
        self._next_s = float("-inf")

    def rest_s(self, now_s: float) -> float:
        """How long the next picture is to wait; 0 when it is due."""
        return max(0.0, self._next_s - now_s)

    def take(self, now_s: float) -> None:
        """A picture is taken now."""
        self._next_s = max(now_s, self._next_s) + self.period_s

    def admits(self, now_s: float) -> bool:
        """Take a picture that comes now, unless it comes too early."""
        if self.rest_s(now_s) > SLACK * self.period_s:
            return False
        self.take(now_s)
        return True
