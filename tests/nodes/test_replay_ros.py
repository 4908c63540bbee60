"""`nanorover replay --ros`: real node processes, faster than real time, give what the library gives."""

import json
import os
import subprocess
import sys

import pytest
from bag_samples import room_drive, write_mcap

pytestmark = pytest.mark.nodes


def test_the_nodes_agree_with_the_library_and_the_truth(domain, tmp_path):
    bag = write_mcap(tmp_path / "room", room_drive(10.0)).parent
    words = ["replay", str(bag), "--ros", "--speed", "5", "--json", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (case,) = json.loads(done.stdout)["cases"]
    assert case["status"] == "passed" and case["scans"] == 100 and case["answered"] > 0.9
    assert case["rmse_to_library_m"] < 0.02
    assert case["x_realtime"] < 5.1, "the recording is played against the clock"
    assert case["truth"]["trans_rmse_m"] < 0.03
    assert json.loads((tmp_path / "out" / "ros.json").read_text())["cases"] == [case]


def test_a_recording_that_is_missing_is_named(domain, tmp_path):
    words = ["replay", str(tmp_path / "gone.mcap"), "--ros", "--out", str(tmp_path)]
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60, check=False)
    assert done.returncode == 2 and "gone.mcap does not exist" in done.stderr.replace("\n", "")
