"""A mission through real processes: simulator, lidar, base and SLAM nodes over pseudo terminals."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from nanorover.ros_environment import ros_environment
from nanorover.sim.floorplan import scene_of
from nanorover.sim.scene import save_scene

pytestmark = [pytest.mark.nodes, pytest.mark.slow]


def run_mission(*words):
    command = [sys.executable, "-m", "nanorover_nodes.mission", *words]
    environment = {**os.environ, **ros_environment()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_the_flat_is_driven_through_the_real_nodes(domain):
    done = run_mission("--mission", "tour", "--world", "flat", "--seed", "1", "--duration", "60")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["success"], (result, done.stderr)
    assert result["collisions"] == 0 and 9.0 < result["distance_m"] < 12.0
    assert result["pose_error"]["trans_rmse_m"] < 0.05 and result["pose_error"]["poses"] > 100
    assert 12.0 < result["time_s"] < 60.0
    assert result["real_time_factor"] > 0.3


def test_a_mission_ends_when_its_time_is_over(domain):
    done = run_mission("--mission", "wander", "--world", "flat", "--seed", "1", "--duration", "5")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 5.0 <= result["time_s"] < 6.0 and result["distance_m"] > 0.3


def test_a_robot_inside_a_wall_is_named(domain, tmp_path):
    scene = scene_of("flat")
    save_scene(replace(scene, robot=replace(scene.robot, at_m=(0.0, 0.0))), tmp_path / "wall.yaml")
    done = run_mission("--mission", "wander", "--world", str(tmp_path / "wall.yaml"), "--seed", "1")
    assert done.returncode == 2 and "the robot at (0.0, 0.0) stands inside something" in done.stderr, done.stderr


def test_bad_input_is_a_sentence_and_exit_code_2(domain):
    for words, said in (
        (("--mission", "fly", "--world", "flat", "--seed", "1"), "no mission is called 'fly'"),
        (("--mission", "tour", "--world", "castle:1", "--seed", "1"), "castle"),
    ):
        done = run_mission(*words)
        assert done.returncode == 2 and said in done.stderr, done.stderr
