"""One whole start of the robot: arguments in, supervised processes, exit code out."""

import datetime
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nanorover import params
from nanorover.bringup.arguments import check
from nanorover.bringup.plan import PlannedNode, enclave_arguments, managed_nodes, plan
from nanorover.bringup.run_state import RunState
from nanorover.bringup.security import MANAGER
from nanorover.bringup.supervisor import Program, Supervisor, SupervisorParams
from nanorover.processes import Processes
from nanorover.ros_environment import ros_environment
from nanorover.view.access import address_of, refuse_second_page

# Modes that run beside the robot, each under its own lock.
BESIDE = ("view", "record")


def default_log_base() -> Path:
    """Where the logs of all starts go."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "nanorover" / "log"


def run(mode: str, given: Mapping[str, str], log_base: Path, say: Callable[[str], None]) -> int:
    """Start a mode and supervise it until SIGINT or SIGTERM; returns the exit code.

    Raises InputError for arguments, parameters, files or ports that are refused, and for a second instance.
    """
    values = check(mode, given)
    settings = params.load(SupervisorParams, "supervisor", values["params_file"] or None)
    beside = mode if mode in BESIDE else ""
    with RunState(values["namespace"], beside) as state:
        planned = plan(mode, values)
        page = _page(planned)
        if page:
            refuse_second_page(RunState(values["namespace"], "" if beside else "view"))
        folder = _log_folder(log_base, settings.kept_logs)
        about = {"pid": os.getpid(), "mode": mode, "log": str(folder), "page": page, "arguments": dict(given)}
        state.write({**about, "nodes": {}})
        health_file = folder / "health.json"
        programs = [Program(p.node.name, p.command(values, folder), p.node.lifecycle) for p in planned]
        programs.append(
            Program(
                MANAGER,
                _manager_command(managed_nodes(mode, values), values, health_file, beside),
                has_heartbeat=True,
            )
        )
        os.environ.update(ros_environment())
        if page:
            say(f"the page will be at {address_of(*page)}")
        say(f"starting {', '.join(p.node.name for p in planned)}; logs in {folder}")
        with Processes(folder, settings.stop_patience_s) as processes:
            supervisor = Supervisor(
                programs,
                processes,
                settings,
                respawn=values["use_respawn"],
                health_file=health_file,
                say=say,
                write_state=lambda nodes: state.write({**about, **nodes}),
            )
            for sign in (signal.SIGINT, signal.SIGTERM):
                signal.signal(sign, lambda *_: setattr(supervisor, "stopping", True))
            code = supervisor.run()
            say("stopping")
    return code


def _manager_command(managed: list[str], values: dict[str, Any], health_file: Path, beside: str) -> list[str]:
    words = ["-m", "nanorover_nodes.manager", *managed]
    words += ["--health-file", str(health_file)]
    if not values["autostart"]:
        words.append("--no-autostart")
    words += ["--ros-args", "-r", f"__node:={'_'.join(filter(None, (MANAGER, beside)))}"]
    if values["namespace"]:
        words += ["-r", f"__ns:=/{values['namespace'].strip('/')}"]
    return words + enclave_arguments(MANAGER)


def _page(planned: list[PlannedNode]) -> tuple[str, int] | None:
    """Host and port of the page, where one is served."""
    for node in planned:
        if node.node.group == "view":
            return node.parameters["host"], node.parameters["port"]
    return None


def _log_folder(base: Path, kept: int) -> Path:
    """A new folder for the logs of this start; the oldest of more than ``kept`` are removed."""
    folder = base / datetime.datetime.now().strftime("%Y-%m-%dT%H-%M-%S.%f")
    folder.mkdir(parents=True)
    for old in sorted(p for p in base.iterdir() if p.is_dir())[:-kept]:
        shutil.rmtree(old)
    return folder
