"""Keeps the robot's processes alive: starts them, watches their heartbeats, starts them again, stops them.

A program that ends or falls silent is started again after a pause that doubles with every failure and is short
again once the program has been stable. What a program says of itself reaches the supervisor through the health
file of the lifecycle manager; while that manager is silent nothing is known of the others, they are left alone.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanorover.bringup.security import MANAGER
from nanorover.params import param
from nanorover.processes import Processes

# The lifecycle manager ends with this where another robot has the same names already.
REFUSED_EXIT_CODE = 4

CYCLE_S = 0.1
STATE_PERIOD_S = 0.5
# What a node's own word on its state is while it is not at work, and not on the way there.
IDLE = ("unconfigured", "inactive")


@dataclass(frozen=True)
class SupervisorParams:
    """How patient the supervisor is."""

    start_timeout_s: float = param(
        "a node that is not active after this long is started again", "s", minimum=1.0, maximum=3600.0
    )
    heartbeat_timeout_s: float = param(
        "an active node that says nothing for this long is started again", "s", minimum=1.5, maximum=600.0
    )
    first_pause_s: float = param("pause before a node is started again", "s", minimum=0.0, maximum=60.0)
    longest_pause_s: float = param("the pause doubles up to this", "s", minimum=0.1, maximum=3600.0)
    stable_after_s: float = param(
        "after this long alive the pause is short again", "s", minimum=1.0, maximum=3600.0
    )
    interrupt_patience_s: float = param("wait after SIGINT, before SIGTERM", "s", minimum=0.1, maximum=60.0)
    terminate_patience_s: float = param("wait after SIGTERM, before SIGKILL", "s", minimum=0.1, maximum=60.0)
    kill_patience_s: float = param("wait after SIGKILL", "s", minimum=0.1, maximum=60.0)
    kept_logs: int = param("log folders of past starts that are kept", minimum=1, maximum=10_000)

    @property
    def stop_patience_s(self) -> tuple[float, float, float]:
        """Waits after SIGINT, SIGTERM and SIGKILL."""
        return self.interrupt_patience_s, self.terminate_patience_s, self.kill_patience_s


@dataclass
class Program:
    """One supervised process."""

    name: str
    command: list[str]
    has_heartbeat: bool
    started_s: float = 0.0
    start_again_s: float | None = None
    pause_s: float = 0.0
    restarts: int = 0
    exit_code: int | None = None
    silence: str = ""
    last_fault: str = ""
    # Why it could not begin, as far as it was said, since it was active last.
    refusals: set[str] = field(default_factory=set)


class Supervisor:
    """Supervises programs until it is told to stop, or, without respawn, until one of them ends."""

    def __init__(
        self,
        programs: Sequence[Program],
        processes: Processes,
        params: SupervisorParams,
        *,
        respawn: bool,
        health_file: Path,
        say: Callable[[str], None],
        write_state: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.programs = list(programs)
        self.processes = processes
        self.params = params
        self.respawn = respawn
        self.health_file = health_file
        self.say = say
        self.write_state = write_state
        self.clock = clock
        self.health: dict[str, dict[str, Any]] = {}
        self.stopping = False
        self._state_due_s = 0.0
        self._was_up = False
        # When the manager wrote last, and since when it has been hearing the nodes without a gap.
        self._reported_s = self._hearing_since_s = 0.0

    def run(self) -> int:
        """Supervise until ``stopping``; returns the exit code for the whole run."""
        for program in self.programs:
            self._start(program)
        while not self.stopping:
            self._read_health()
            for program in self.programs:
                self._look_after(program)
                if program.exit_code == REFUSED_EXIT_CODE or (program.exit_code is not None and not self.respawn):
                    self._write_state()
                    return program.exit_code if program.exit_code > 0 else 1
            if self.clock() >= self._state_due_s:
                self._write_state()
            time.sleep(CYCLE_S)
        return 0

    def _start(self, program: Program) -> None:
        program.started_s, program.start_again_s = self.clock(), None
        program.exit_code, program.silence = None, ""
        if program.name == MANAGER:
            self._hearing_since_s = program.started_s
        self.processes.start(program.name, program.command, append=program.restarts > 0)

    def _look_after(self, program: Program) -> None:
        now = self.clock()
        if program.start_again_s is not None:
            if self.respawn and now >= program.start_again_s:
                program.restarts += 1
                self._start(program)
            return
        code = self.processes.exit_code(program.name)
        if code is not None:
            ended = f"ended with exit code {code}" if code >= 0 else f"ended by signal {-code}"
            self._failed(program, code, program.silence or ended)
        elif not program.silence and (silence := self._silence(program, now)):
            program.silence = silence
            # Beside this loop: a process that does not hear takes its time to die, the others need watching.
            threading.Thread(target=self.processes.kill, args=(program.name,), daemon=True).start()

    def _silence(self, program: Program, now: float) -> str:
        """Why the living process counts as dead; empty while it does not."""
        if not program.has_heartbeat:
            return ""
        health = self.health.get(program.name, {})
        if program.name == MANAGER:
            heard_s, known_s = max(self._reported_s, program.started_s), now
        else:
            heard_s = max(health.get("heard_s", 0.0), program.started_s, self._hearing_since_s)
            known_s = self._reported_s
        active = health.get("state") == "active" and health.get("heard_s", 0.0) > program.started_s
        patience_s = self.params.heartbeat_timeout_s if active else self.params.start_timeout_s
        return f"said nothing for {patience_s:g} s" if known_s - heard_s > patience_s else ""

    def _failed(self, program: Program, code: int, reason: str) -> None:
        now = self.clock()
        stable = now - program.started_s >= self.params.stable_after_s
        first = self.params.first_pause_s
        program.pause_s = first if stable or not program.pause_s else program.pause_s * 2
        program.pause_s = min(program.pause_s, self.params.longest_pause_s)
        program.exit_code, program.last_fault = code, reason
        program.start_again_s = now + program.pause_s
        again = f"; starting it again in {program.pause_s:g} s" if self.respawn else ""
        self.say(f"node {program.name} {reason}{again}\n{self.processes.last_words(program.name)}")

    def _read_health(self) -> None:
        try:
            self.health = json.loads(self.health_file.read_text())
        except FileNotFoundError:
            return  # the manager has not said anything yet
        reported_s = self.health.get(MANAGER, {}).get("heard_s", 0.0)
        # What was said during a gap still waits in the manager's queue.
        if reported_s - self._reported_s > self.params.heartbeat_timeout_s / 2:
            self._hearing_since_s = max(self._hearing_since_s, reported_s)
        self._reported_s = reported_s

    def _write_state(self) -> None:
        self._state_due_s = self.clock() + STATE_PERIOD_S
        nodes = {program.name: self._of(program) for program in self.programs}
        self.write_state({"nodes": nodes})
        for program in self.programs:
            self._say_refusal(program, nodes[program.name])
        watched = [n for n, p in zip(nodes.values(), self.programs, strict=True) if p.has_heartbeat]
        if not self._was_up and watched and all(n["state"] == "active" for n in watched):
            self._was_up = True
            self.say(f"all {len(watched)} nodes are active")

    def _say_refusal(self, program: Program, node: dict[str, Any]) -> None:
        """Why a node that lives cannot begin: it says so as often as it is asked, here it is said once."""
        if node["state"] == "active":
            program.refusals.clear()
        elif node["state"] in IDLE and node["level"] == "ERROR" and node["message"] not in program.refusals:
            program.refusals.add(node["message"])
            self.say(f"node {program.name} cannot begin: {node['message']}")

    def _of(self, program: Program) -> dict[str, Any]:
        health = self.health.get(program.name, {})
        alive = program.start_again_s is None and program.exit_code is None
        current = health.get("heard_s", 0.0) >= program.started_s
        state = health.get("state", "starting") if current else "starting"
        if not program.has_heartbeat:
            state = "running"
        return {
            "pid": self.processes.pid(program.name),
            "state": state if alive else "ended",
            "level": health.get("level", "") if alive and current else "",
            "message": (health.get("message", "") if current else "") if alive else program.last_fault,
            "restarts": program.restarts,
            "exit_code": program.exit_code,
            "up_s": round(self.clock() - program.started_s, 1) if alive else 0.0,
            "log": str(self.processes.log_path(program.name)),
        }
