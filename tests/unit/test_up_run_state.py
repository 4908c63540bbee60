"""One robot per user, domain and namespace; the lock is gone with the process that held it."""

import os
import subprocess
import sys

import pytest
import typer

from nanorover.bringup import run
from nanorover.bringup.run_state import RunState
from nanorover.cli.status import status
from nanorover.errors import InputError


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)


def test_a_second_instance_is_refused_with_the_process_that_runs():
    with RunState("") as first:
        first.write({"pid": 4711})
        with pytest.raises(InputError, match="runs already .process 4711"), RunState(""):
            pass
        assert RunState("").running()
        with RunState("other"), RunState("", "view"):
            pass  # another robot, and the page beside this one
    assert not RunState("").running()
    assert RunState("").read() == {}


def test_whose_lock_it_is_stands_there_from_the_beginning():
    with RunState(""), pytest.raises(InputError, match=f"runs already .process {os.getpid()}"), RunState(""):
        pass


def test_a_page_is_not_served_twice(tmp_path):
    with RunState("") as robot:
        robot.write({"page": ["127.0.0.1", 8766]})
        with pytest.raises(InputError, match="there already: http://127.0.0.1:8766/"):
            run.run("view", {}, tmp_path, lambda _: None)
    with RunState("", "view") as view:
        view.write({"page": ["127.0.0.1", 8767]})
        with pytest.raises(InputError, match="there already: http://127.0.0.1:8767/"):
            run.run("sim", {"view": "true"}, tmp_path, lambda _: None)


def test_another_domain_is_another_robot(monkeypatch):
    with RunState(""):
        monkeypatch.setenv("ROS_DOMAIN_ID", "7")
        with RunState(""):
            pass


def test_the_lock_of_a_killed_process_is_free():
    program = (
        "import os, signal; from nanorover.bringup.run_state import RunState\n"
        "with RunState(''): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with RunState(""):
        pass


@pytest.mark.parametrize(("level", "code"), [("OK", 0), ("WARN", 0), ("STALE", 1), ("ERROR", 1)])
def test_a_node_that_warns_is_well(level, code):
    with RunState("") as robot, pytest.raises(typer.Exit) as ended:
        robot.write({"nodes": {"slam": {"state": "active", "level": level}}})
        status("", as_json=True)
    assert ended.value.exit_code == code
