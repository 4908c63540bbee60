"""Where something was at a time between the moments at which its pose is known."""

from collections import deque

from nanorover.geometry.se2 import Pose, between, compose, interpolate


class PoseHistory:
    """The last poses with their stamps; one whose stamp runs backwards starts the history anew.

    Farther than ``gap_ns`` from either end nothing is known, nor between two poses that are more than that apart,
    but for a fifth of it after the one and before the other.
    """

    def __init__(self, kept: int, gap_ns: int, goes_on: bool = False) -> None:
        """``kept`` poses at most. After the newest, poses that move smoothly (``goes_on``) keep its last velocity;
        others stay."""
        self.gap_ns, self.goes_on = gap_ns, goes_on
        self._poses: deque[tuple[int, Pose]] = deque(maxlen=kept)

    def add(self, stamp_ns: int, pose: Pose) -> bool:
        """Append a pose; False where its stamp is older than the last and all before were forgotten."""
        backwards = bool(self._poses) and stamp_ns < self._poses[-1][0]
        if backwards:
            self._poses.clear()
        self._poses.append((stamp_ns, pose))
        return not backwards

    def newest(self) -> Pose | None:
        """The last pose, of whatever time."""
        return self._poses[-1][1] if self._poses else None

    def at(self, stamp_ns: int) -> Pose | None:
        """The pose at a time; None where nothing is known."""
        later: tuple[int, Pose] | None = None
        for known_ns, pose in reversed(self._poses):
            if known_ns <= stamp_ns:
                if later is None:
                    return self._after_newest(stamp_ns)
                span_ns, after_ns = later[0] - known_ns, stamp_ns - known_ns
                if span_ns > self.gap_ns and after_ns > 0:
                    return self._at_an_end(after_ns, pose, span_ns - after_ns, later[1])
                return interpolate(pose, later[1], after_ns / span_ns)
            later = (known_ns, pose)
        if later is None or later[0] - stamp_ns > self.gap_ns:
            return None
        return later[1]

    def _at_an_end(self, after_ns: int, before: Pose, until_ns: int, later: Pose) -> Pose | None:
        """Within a gap: the pose at its nearer end, if that is near enough."""
        near_ns, near = min((after_ns, before), (until_ns, later), key=lambda end: end[0])
        return near if 5 * near_ns <= self.gap_ns else None

    def _after_newest(self, stamp_ns: int) -> Pose | None:
        newest_ns, newest = self._poses[-1]
        after_ns = stamp_ns - newest_ns
        if after_ns > self.gap_ns:
            return None
        if not self.goes_on or after_ns == 0 or len(self._poses) < 2:
            return newest
        before_ns, before = self._poses[-2]
        span_ns = newest_ns - before_ns
        if not 0 < span_ns <= self.gap_ns:
            return newest
        return compose(newest, between(before, newest) * (after_ns / span_ns))
