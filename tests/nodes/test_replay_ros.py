"""`nanorover replay --ros`: real node processes, faster than real time, give what the library gives."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from bag_samples import room_drive, write_mcap

from nanorover.geometry.se2 import between

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


def test_a_map_that_begins_at_a_later_scan_is_no_other_map_but_a_bent_one_is():
    from nanorover_nodes.replay import _verdict

    stamps_ns, t = np.arange(100), np.linspace(0.0, 3.0, 100)
    T_map_base = np.column_stack([np.cos(t), np.sin(t), t + np.pi / 2.0])
    heard = {int(s): between(T_map_base[5], T_map_base[s]) for s in stamps_ns[5:]}
    verdict = _verdict(heard, stamps_ns, T_map_base)
    assert verdict["status"] == "passed" and verdict["rmse_to_library_m"] < 1e-5
    bent = {s: T * [1.0, 1.2, 1.0] for s, T in heard.items()}
    assert _verdict(bent, stamps_ns, T_map_base)["status"] == "changed"


def test_a_recording_that_is_missing_is_named(domain, tmp_path):
    words = ["replay", str(tmp_path / "gone.mcap"), "--ros", "--out", str(tmp_path)]
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60, check=False)
    assert done.returncode == 2 and "gone.mcap does not exist" in done.stderr.replace("\n", "")
