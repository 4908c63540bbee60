"""What a person asks for in the browser, checked; drive commands lapse by themselves.

Only one browser drives at a time. Whoever closes the page, loses the connection or lets go stops driving;
everybody may stop the robot at any time.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nanorover.errors import InputError
from nanorover.planning.zones import Zone, checked
from nanorover.view.params import WebParams

# Poses further away than any map are a mistake.
FARTHEST_M = 1e4


@dataclass(frozen=True)
class Wish:
    """One command: ``goal``, ``pose`` (with x, y, yaw in the map frame), ``cancel``, ``stop``, ``release``,
    ``add_zone`` (with the zone) or ``remove_zone`` (with its number)."""

    kind: str
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    zone: Zone | None = None
    number: int = 0


# What a stop leaves as it is: it moves nothing.
UNMOVING = ("pose", "add_zone", "remove_zone")


class Commands:
    """Takes commands in the server's thread, hands them out in the node's."""

    def __init__(self, params: WebParams, clock: Callable[[], float] = time.monotonic) -> None:
        self._params = params
        self._clock = clock
        self._lock = threading.Lock()
        self._wishes: list[Wish] = []
        self._driver: int | None = None
        self._velocity = (0.0, 0.0)
        self._valid_until_s = 0.0
        self.stopped = False

    def take(self, client: int, command: dict[str, Any]) -> str:
        """Accept a command of a browser; returns a sentence for it where it is refused."""
        with self._lock:
            match command.get("type"):
                case "drive":
                    return self._drive(client, command)
                case "stop" | "release" as kind:
                    return self._stop(kind)
                case "cancel":
                    return self._cancel()
                case "goal" | "pose" as kind:
                    return self._place(kind, command)
                case "add_zone":
                    return self._add_zone(command)
                case "remove_zone":
                    return self._remove_zone(command.get("number"))
                case _:
                    return "the robot does not know this command"

    def _drive(self, client: int, command: dict[str, Any]) -> str:
        linear, angular = _number(command.get("linear")), _number(command.get("angular"))
        if linear is None or angular is None:
            return "a drive command needs two numbers"
        now = self._clock()
        if self._driver not in (None, client) and now < self._valid_until_s:
            return "somebody else is driving"
        if self.stopped:
            return "stopped: release first"
        self._driver, self._valid_until_s = client, now + self._params.command_lapse_s
        self._velocity = (
            max(-1.0, min(1.0, linear)) * self._params.max_linear_m_s,
            max(-1.0, min(1.0, angular)) * self._params.max_angular_rad_s,
        )
        return ""

    def _stop(self, kind: str) -> str:
        self.stopped = kind == "stop"
        self._driver, self._valid_until_s = None, 0.0
        self._wishes = [wish for wish in self._wishes if wish.kind in UNMOVING]
        self._wishes.append(Wish(kind))
        return ""

    def _cancel(self) -> str:
        self._wishes = [wish for wish in self._wishes if wish.kind != "goal"]
        self._wishes.append(Wish("cancel"))
        return ""

    def _place(self, kind: str, command: dict[str, Any]) -> str:
        x, y, yaw = (_number(command.get(name)) for name in ("x", "y", "yaw"))
        if x is None or y is None or yaw is None or max(abs(x), abs(y)) > FARTHEST_M:
            return f"a {kind} needs x, y and yaw"
        if kind == "goal" and self.stopped:
            return "stopped: release first"
        self._wishes.append(Wish(kind, (x, y, yaw)))
        return ""

    def _add_zone(self, command: dict[str, Any]) -> str:
        try:
            zone = checked(command.get("name"), command.get("corners"))
        except InputError as error:
            return " ".join(str(error).split())
        self._wishes.append(Wish("add_zone", zone=zone))
        return ""

    def _remove_zone(self, number: Any) -> str:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
            return "a zone is deleted by its number"
        self._wishes.append(Wish("remove_zone", number=number))
        return ""

    def leave(self, client: int) -> None:
        """A browser is gone; so is what it asked to drive."""
        with self._lock:
            if self._driver == client:
                self._driver, self._valid_until_s = None, 0.0

    def wishes(self) -> list[Wish]:
        """What was asked for since the last call."""
        with self._lock:
            wishes, self._wishes = self._wishes, []
            return wishes

    def velocity(self) -> tuple[float, float] | None:
        """Linear (m/s) and angular (rad/s) speed that is asked for now; None where nobody drives."""
        with self._lock:
            return self._velocity if self._clock() < self._valid_until_s else None


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
