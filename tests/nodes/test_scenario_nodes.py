"""A scenario through real processes, from the simulated lidar's bytes to the planner's action."""

import json
import os
import subprocess
import sys

import pytest

from nanorover.ros_environment import ros_environment

pytestmark = [pytest.mark.nodes, pytest.mark.slow]


def test_a_robot_that_was_carried_away_finds_itself_and_its_way(domain):
    command = [sys.executable, "-m", "nanorover_nodes.scenario", "--scenario", "kidnapped", "--seed", "1"]
    environment = {**os.environ, **ros_environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    outcome, way = result["outcome"], result["way"]
    assert outcome["success"], outcome
    assert outcome["collisions"] == 0 and outcome["clearance_m"] > 0.02
    assert way[0][0] < 1.5 and 4.0 < way[-1][0] < 4.8
    assert outcome["time_s"] < 4.0 * outcome["ideal_s"]
