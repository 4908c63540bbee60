"""The demonstration as a person starts it: one command, real nodes, files to look at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import recording
from nanorover.bringup.run_state import RunState
from nanorover.mapping.map_files import load_map
from nanorover.programs import run_program
from nanorover.slam.offline import map_recording
from nanorover.slam.params import slam_params

pytestmark = pytest.mark.nodes


def demo(*arguments: str | Path, timeout_s: float = 200.0) -> subprocess.CompletedProcess[str]:
    """Run ``nanorover demo`` in the test's ROS domain."""
    return subprocess.run(
        [Path(sys.executable).with_name("nanorover"), "demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def check_outcome(out: Path) -> dict:
    """What every demonstration leaves behind; returns its figures."""
    result = json.loads((out / "result.json").read_text())
    assert result["run"]["scans without an answer"] == 0
    picture = cv2.imread(str(out / "map.png"))
    assert picture is not None
    assert picture.std() > 5, "the picture shows something"
    grid = load_map(out / "map.yaml")
    assert (grid.cells == 100).any()
    assert (grid.cells == 0).any()
    path = np.loadtxt(out / "trajectory.tum")
    assert path.shape[1] == 8
    assert len(path) > 10
    assert "<img" in (out / "report.html").read_text()
    return result


def test_the_shipped_recording_becomes_a_map(domain, tmp_path):
    finished = demo("--out", tmp_path / "demo")
    assert finished.returncode == 0, finished.stderr
    check_outcome(tmp_path / "demo")
    assert "report.html" in finished.stderr


def test_a_real_recording_becomes_the_map_that_the_library_makes_of_it(domain, tmp_path):
    bag = recording("bags/ozmehak_diffdrive_scan_wheels")
    finished = demo(bag, "--out", tmp_path / "demo")
    assert finished.returncode == 0, finished.stderr
    result = check_outcome(tmp_path / "demo")
    assert result["run"]["scans"] > 200
    map_recording(bag, slam_params(), out=tmp_path / "alone")
    through_nodes, alone = (np.loadtxt(tmp_path / name / "trajectory.tum") for name in ("demo", "alone"))
    assert np.array_equal(through_nodes[:, 0], alone[:, 0])
    assert np.abs(through_nodes[:, 1:3] - alone[:, 1:3]).max() < 0.05


def test_a_missing_recording_is_one_sentence_and_exit_code_2(domain, tmp_path):
    finished = demo(tmp_path / "absent.mcap", "--out", tmp_path / "demo")
    assert finished.returncode == 2
    assert "absent.mcap does not exist" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    "words",
    [("demo", "--out", "demo"), ("mission", "--mission", "tour", "--world", "flat", "--seed", "1")],
    ids=lambda words: words[0],
)
def test_beside_a_running_robot_nothing_is_started(domain, tmp_path, words):
    with RunState(""):
        finished = run_program(*words, cwd=tmp_path, capture_output=True)
    assert finished.returncode == 2, finished.stderr
    assert f"this robot runs already (process {os.getpid()})" in finished.stderr
    assert list(tmp_path.iterdir()) == []
