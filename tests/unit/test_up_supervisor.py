"""The supervisor with real processes: started again with a growing pause, killed when silent, stopped in time."""

import json
import threading
import time
from pathlib import Path

import pytest

from nanorover import params
from nanorover.bringup.security import MANAGER
from nanorover.bringup.supervisor import Program, Supervisor, SupervisorParams
from nanorover.files import replacing
from nanorover.processes import Processes

SETTINGS = {
    "first_pause_s": 0.1,
    "longest_pause_s": 0.4,
    "heartbeat_timeout_s": 1.5,
    "start_timeout_s": 1.5,
    "interrupt_patience_s": 0.5,
    "terminate_patience_s": 0.3,
}
LIVES = "import time\nprint('alive', flush=True)\ntime.sleep(60)"
DEAF = """
import signal
for sign in (signal.SIGINT, signal.SIGTERM):
    signal.signal(sign, signal.SIG_IGN)
print('deaf', flush=True)
signal.pause()
"""
DIES = "import sys\nsys.exit('the cable is out')"


class Run:
    """A supervisor in a thread, with what it said."""

    def __init__(
        self, tmp_path: Path, programs: dict[str, str], heartbeat: bool = False, respawn: bool = True
    ) -> None:
        self.health_file = tmp_path / "health.json"
        self.said: list[str] = []
        self.states: list[dict] = []
        settings = params.load(SupervisorParams, "supervisor", **SETTINGS)
        self.processes = Processes(tmp_path / "log", settings.stop_patience_s)
        self.supervisor = Supervisor(
            [Program(name, ["-c", code], has_heartbeat=heartbeat) for name, code in programs.items()],
            self.processes,
            settings,
            respawn=respawn,
            health_file=self.health_file,
            say=self.said.append,
            write_state=self.states.append,
        )
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.code = self.supervisor.run()

    def __enter__(self) -> "Run":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stopping = True
        self.thread.join()
        self.processes.stop()

    def hear(self, health: dict) -> None:
        """What the lifecycle manager writes."""
        with replacing(self.health_file) as temporary:
            temporary.write_text(json.dumps(health))

    def wait_until(self, condition, meanwhile=lambda: None, timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, (self.said, self.states[-1:])
            meanwhile()
            time.sleep(0.01)


def test_a_program_that_ends_is_started_again_after_pauses_that_double(tmp_path):
    with Run(tmp_path, {"base": DIES}) as run:
        run.wait_until(lambda: len(run.said) >= 4)
    pauses = [text.split("again in ")[1].split(" s")[0] for text in run.said[:4]]
    assert pauses == ["0.1", "0.2", "0.4", "0.4"], "doubled up to the longest"
    assert all("ended with exit code 1" in text and "the cable is out" in text for text in run.said[:4])
    assert (tmp_path / "log" / "base.log").read_text().count("the cable is out") >= 4, "no log is lost"


def test_without_respawn_the_run_ends_with_the_programs_exit_code(tmp_path):
    with Run(tmp_path, {"base": DIES, "slam": LIVES}, respawn=False) as run:
        run.thread.join(timeout=10.0)
    assert run.code == 1
    assert run.states[-1]["nodes"]["base"] | {"log": ""} == {
        "pid": run.states[-1]["nodes"]["base"]["pid"],
        "state": "ended",
        "level": "",
        "message": "ended with exit code 1",
        "restarts": 0,
        "exit_code": 1,
        "up_s": 0.0,
        "log": "",
    }


def beat(state: str = "active", heard_s: float | None = None) -> dict:
    heard_s = time.monotonic() if heard_s is None else heard_s
    return {"state": state, "level": "OK", "message": "well", "heard_s": heard_s}


def test_a_program_whose_heart_stops_is_killed_and_started_again(tmp_path):
    with Run(tmp_path, {"slam": DEAF, MANAGER: LIVES}, heartbeat=True) as run:
        log = run.processes.log_path("slam")
        run.wait_until(lambda: log.exists() and log.read_text() == "deaf\n")
        first, last = run.processes.pid("slam"), beat()

        def manager_goes_on() -> None:
            run.hear({"slam": last, MANAGER: beat()})

        run.wait_until(lambda: len(run.said) > 1, meanwhile=manager_goes_on)
        assert time.monotonic() - last["heard_s"] > SETTINGS["heartbeat_timeout_s"]
        run.wait_until(lambda: run.processes.pid("slam") != first, meanwhile=manager_goes_on)
    assert run.said[0] == "all 2 nodes are active"
    assert "slam said nothing for 1.5 s; starting it again" in run.said[1]


def test_a_manager_that_stalls_is_started_again_and_the_nodes_are_left_alone(tmp_path):
    with Run(tmp_path, {"slam": LIVES, MANAGER: LIVES}, heartbeat=True) as run:
        run.hear({"slam": beat(), MANAGER: beat()})
        run.wait_until(lambda: run.supervisor.programs[1].restarts == 1)
        # The new one has heard nobody yet, and the nodes have lived longer than the patience for a start.
        nobody = beat("starting", heard_s=0.0)
        seen = len(run.states)
        run.wait_until(
            lambda: len(run.states) > seen + 2, meanwhile=lambda: run.hear({"slam": nobody, MANAGER: beat()})
        )
        assert run.supervisor.programs[0].silence == "" and run.supervisor.programs[0].restarts == 0
    assert any("lifecycle_manager said nothing for 1.5 s; starting it again" in said for said in run.said)


def test_what_waits_in_the_queue_of_a_manager_that_wakes_up_is_no_silence(tmp_path):
    with Run(tmp_path, {"slam": LIVES, MANAGER: LIVES}, heartbeat=True) as run:
        last = beat()
        run.hear({"slam": last, MANAGER: last})
        run.wait_until(lambda: run.supervisor.programs[1].silence)
        run.hear({"slam": last, MANAGER: beat()})  # its first word after the stall
        seen = len(run.states)
        run.wait_until(lambda: len(run.states) > seen + 1)
        assert run.supervisor.programs[0].silence == "" and run.supervisor.programs[0].restarts == 0


def test_why_a_node_cannot_begin_is_said_once_and_again_after_it_had_begun(tmp_path):
    with Run(tmp_path, {"slam": LIVES, MANAGER: LIVES}, heartbeat=True) as run:

        def hear_for_some_states(state: str, level: str, message: str) -> None:
            def hear() -> None:
                run.hear({"slam": beat(state) | {"level": level, "message": message}, MANAGER: beat()})

            seen = len(run.states)
            run.wait_until(lambda: len(run.states) > seen + 2, meanwhile=hear)

        hear_for_some_states("unconfigured", "STALE", "not active")
        hear_for_some_states("configuring", "ERROR", "no map")
        assert run.said == []
        hear_for_some_states("unconfigured", "ERROR", "no map")
        hear_for_some_states("inactive", "ERROR", "no map")
        assert run.said == ["node slam cannot begin: no map"]
        hear_for_some_states("active", "ERROR", "no scan")
        hear_for_some_states("unconfigured", "ERROR", "no map")
    assert run.said[1:] == ["all 2 nodes are active", "node slam cannot begin: no map"]


@pytest.mark.parametrize("code", [LIVES, DEAF])
def test_everything_is_stopped_within_three_seconds(tmp_path, code):
    processes = Processes(tmp_path, params.load(SupervisorParams, "supervisor").stop_patience_s)
    processes.start("slam", ["-c", code])
    deadline = time.monotonic() + 10.0
    while not processes.log_path("slam").read_text():
        assert time.monotonic() < deadline
    pid = processes.pid("slam")
    started = time.monotonic()
    processes.stop()
    assert time.monotonic() - started < 3.0
    assert not Path(f"/proc/{pid}").exists()


def test_children_do_not_outlive_a_parent_that_is_killed(tmp_path):
    grandchild = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = (
        "import time; from pathlib import Path; from nanorover.processes import Processes\n"
        f"Processes(Path({str(tmp_path / 'inner')!r})).start('child', ['-c', {grandchild!r}])\ntime.sleep(60)"
    )
    with Processes(tmp_path / "outer", (0.0, 0.0, 2.0)) as processes:
        processes.start("parent", ["-c", parent])
        log = tmp_path / "inner" / "child.log"
        wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    child = Path("/proc") / log.read_text().strip()
    wait_for(lambda: not child.exists())


def wait_for(condition, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
