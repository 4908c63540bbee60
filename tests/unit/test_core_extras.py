"""Commands whose package is not installed say how to get it."""

import os
import subprocess
import sys

import pytest

from nanorover import extras


@pytest.fixture
def without_mujoco(tmp_path, monkeypatch):
    """Python as it is where `./scripts/setup sim` has not run."""
    (tmp_path / "mujoco.py").write_text("raise ModuleNotFoundError('No module named mujoco', name='mujoco')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.parametrize("words", [("sim", "--mission", "tour"), ("up", "sim")])
def test_without_the_simulator_its_commands_say_how_to_get_it(without_mujoco, words, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "93")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert said.returncode == 2, said.stderr
    assert "error: this needs mujoco, which is not installed\n  → ./scripts/setup sim\n" in said.stderr


def test_a_package_that_is_no_extra_is_no_input_error():
    with pytest.raises(ModuleNotFoundError):
        extras.lacking(ModuleNotFoundError("gone", name="numpy"))
