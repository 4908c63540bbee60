"""The classic logs through the command line: figures, files, and what happens to bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest

from data import recording
from nanorover.mapping.map_files import load_map


def nanorover(*arguments, **options):
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "odometry", "trans_m", "rot_deg"),
    [
        ("fr079", True, 0.031, 0.46),
        ("fr079", False, 0.031, 0.46),
        ("intel", True, 0.015, 0.25),
        ("intel", False, 0.015, 0.25),
    ],
)
def test_a_log_becomes_a_map(tmp_path, log, odometry, trans_m, rot_deg):
    done = nanorover(
        "slam",
        recording(f"slam/{log}.clf.bz2"),
        "--relations",
        recording(f"slam/{log}.relations"),
        "--out",
        tmp_path,
        "--json",
        *([] if odometry else ["--no-odometry"]),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["relations"]["trans_m_mean"] < trans_m
    assert result["relations"]["rot_deg_mean"] < rot_deg
    assert set(result["scan_ms"]) >= {"p50", "p99", "max"}
    grid = load_map(tmp_path / "map.yaml")
    assert (grid.cells == 100).sum() > 2000
    assert (tmp_path / "map.png").stat().st_size > 10_000
    lines = (tmp_path / "trajectory.tum").read_text().splitlines()
    assert len(lines) == result["scans"]
    assert np.isfinite(np.array([line.split() for line in lines], dtype=float)).all()
    assert json.loads((tmp_path / "result.json").read_text())["scans"] == result["scans"]


@pytest.mark.parametrize(
    ("content", "named"), [(b"", "is empty"), (b"nothing of use\n", "holds no usable LaserScan")]
)
def test_bad_input_ends_with_code_2_and_a_sentence(tmp_path, content, named):
    (tmp_path / "a.clf").write_bytes(content)
    done = nanorover("slam", tmp_path / "a.clf", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
