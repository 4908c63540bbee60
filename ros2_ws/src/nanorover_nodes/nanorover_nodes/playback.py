"""A recording in place of the robot: plays it into the running nodes against the clock, with /clock."""

import threading
from dataclasses import dataclass
from pathlib import Path

from nanorover.errors import InputError
from nanorover.params import param
from nanorover.replay.logs import open_log
from nanorover.replay.records import STANDING
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.player import Player
from nanorover_nodes.process import run


@dataclass(frozen=True)
class PlaybackParams:
    """What is played, and how fast."""

    bag: str = param("recording: a rosbag2 folder, .mcap, .db3, .bag, or a CARMEN log")
    rate: float = param("multiple of real time", minimum=0.01, maximum=100.0)


class PlaybackNode(Component):
    """Plays while active, once from start to end."""

    PARAMS = {"playback": PlaybackParams}

    def __init__(self) -> None:
        super().__init__("playback")
        self.thread: threading.Thread | None = None
        self.ended = threading.Event()

    def configure(self) -> None:
        self.settings: PlaybackParams = self.params["playback"]
        if not self.settings.bag:
            raise InputError("no recording is given", "start with bag:=FILE")
        self.log = open_log(Path(self.settings.bag))
        self.player = Player(self, self.settings.rate)
        self.played, self.fault, self.done = 0, "", False

    def activate(self) -> None:
        self.ended.clear()
        self.thread = threading.Thread(target=self._play, name="playback", daemon=True)
        self.thread.start()

    def deactivate(self) -> None:
        self.ended.set()
        if self.thread is not None:
            self.thread.join()

    def _play(self) -> None:
        first_ns: int | None = None
        start_ns = self.steady_clock.now().nanoseconds
        try:
            for record in self.log:
                if isinstance(record, STANDING):
                    continue
                first_ns = record.stamp_ns if first_ns is None else first_ns
                due_ns = start_ns + int((record.stamp_ns - first_ns) / self.settings.rate)
                if self.ended.wait(max(0.0, (due_ns - self.steady_clock.now().nanoseconds) / 1e9)):
                    return
                self.player.publish(record)
                self.played += 1
        except InputError as error:
            self.fault = str(error).replace("\n", " ")
            self.get_logger().error(self.fault)
        self.done = True

    def diagnose(self) -> Health:
        values = {"records": self.played}
        if self.fault:
            return Health(ERROR, self.fault, values)
        if self.done and not self.played:
            return Health(WARN, "the recording holds nothing to play", values)
        return Health(OK, "played to the end" if self.done else "playing", values)


def main() -> None:
    """Run the node."""
    run(PlaybackNode)


if __name__ == "__main__":
    main()
