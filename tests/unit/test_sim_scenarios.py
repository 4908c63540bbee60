"""Scenarios can be driven, follow from their seeds, and are summed up rightly."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from nanorover.bringup.robot_model import FramesParams
from nanorover.cli import with_commands
from nanorover.geometry.scan import LaserScan
from nanorover.mapping.grid import OccupancyGrid
from nanorover.params import load
from nanorover.perception.images import read_image
from nanorover.planning.navigator import load_settings
from nanorover.robot import RobotParams
from nanorover.sim.outcome import Outcome, ideal_s, known_map
from nanorover.sim.people_gap import PeopleGap
from nanorover.sim.scenarios import SCENARIOS, pose_of, scenario_of
from nanorover.sim.slow_down import SlowDown
from nanorover.sim.trials import Trial, _draw_way, summary, write_picture
from nanorover.sim.truth import TrueObject

SETTINGS = load_settings()
HEIGHT_M = load(FramesParams, "frames").laser_z_m


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_a_way_and_its_seed_makes_it(name):
    for seed in range(3):
        s = scenario_of(name, seed)
        start = pose_of(s.scene.robot.at_m, s.scene.robot.yaw_deg)
        ideal = ideal_s(known_map(s.scene, HEIGHT_M), SETTINGS, start, s.goal)
        beeline_s = np.hypot(*(s.goal - start)[:2]) / SETTINGS.motion.max_linear_m_s
        assert beeline_s < ideal < 3.0 * beeline_s
        again = scenario_of(name, seed)
        assert again.scene == s.scene and again.mapped == s.mapped and np.array_equal(again.goal, s.goal)
    assert scenario_of(name, 0).scene != scenario_of(name, 1).scene


def outcome(**changes) -> Outcome:
    usual = {
        "scenario": "pet", "seed": 0, "success": True, "reason": "", "collisions": 0, "touched": "",
        "time_s": 10.0, "ideal_s": 10.0, "clearance_m": 0.3, "people_clearance_m": 0.6, "recoveries": 0,
    }  # fmt: skip
    return Outcome(**{**usual, **changes})


def test_a_way_is_drawn_in_metres_of_its_world(tmp_path):
    trial = Trial(outcome(), np.column_stack((np.linspace(1.0, 7.0, 41), np.full(41, 2.0), np.zeros(41))))
    axis = Figure().subplots()
    _draw_way(axis, trial)
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == ("x (m)", "y (m)", "pet: 10 s")
    width, height = scenario_of("pet", 0).scene.size_m
    left, right, bottom, top = axis.images[0].get_extent()
    assert -0.6 < left < 0.0 < width < right < width + 0.6 and -0.6 < bottom < 0.0 < height < top < height + 0.6
    assert axis.get_aspect() == 1.0
    assert {*np.diff(axis.get_xticks()), *np.diff(axis.get_yticks())} == {1.0}
    assert axis.collections[0].get_offsets()[[0, -1]].tolist() == [[1.0, 2.0], [7.0, 2.0]]
    write_picture([trial, trial], tmp_path / "ways.png")
    picture = read_image(tmp_path / "ways.png")
    assert picture.shape[1] > 2 * 300


def test_the_sum_of_outcomes():
    way = np.zeros((1, 3))
    outcomes = [
        outcome(time_s=12.0),
        outcome(seed=1, time_s=20.0, people_clearance_m=0.45),
        outcome(scenario="narrow", people_clearance_m=None, clearance_m=0.05),
        outcome(scenario="narrow", seed=1, success=False, reason="no way", people_clearance_m=None, collisions=2),
    ]
    latencies = [
        {"people_near": 2, "never_slower": 1, "person_to_slower_p50_ms": 200.0, "person_to_slower_p99_ms": 210.0},
        {"people_near": 1, "never_slower": 0, "person_to_slower_p50_ms": 100.0, "person_to_slower_p99_ms": 100.0},
        {}, {},
    ]  # fmt: skip
    result = summary([Trial(o, way, latency) for o, latency in zip(outcomes, latencies, strict=True)])
    assert (result["runs"], result["success"], result["collisions"]) == (4, 0.75, 2)
    assert result["median_time_ratio"] == 1.2 and result["least_people_clearance_m"] == 0.45
    assert result["latency"] == {
        "people_near": 3, "never_slower": 1, "person_to_slower_p50_ms": 150.0, "person_to_slower_p99_ms": 210.0,
    }  # fmt: skip
    pet, narrow = result["scenarios"]
    assert (pet["slower_ms"], pet["never_slower"], narrow["never_slower"]) == (150.0, 1, None)
    assert (pet["arrived"], pet["time_ratio"], pet["clearance_m"]) == ("2 / 2", 1.6, 0.3)
    assert (narrow["arrived"], narrow["people_clearance_m"], narrow["reasons"]) == (
        "1 / 2",
        None,
        "seed 1: no way",
    )


def test_only_a_moving_robot_is_too_near_to_people():
    gap = PeopleGap(load(RobotParams, "robot"))
    person = [TrueObject("person w0", "person", np.array([1.0, 0.0, 0.0]), (0.5, 0.5, 1.7))]
    chair = [TrueObject("chair 0", "chair", np.array([0.3, 0.0, 0.0]), (0.4, 0.4, 0.9))]
    for k in range(3):
        gap.look(0.05 * k, np.array([0.4, 0.0, 0.0]), person + chair)
    assert np.isinf(gap.least_m)
    gap.look(0.15, np.array([0.2, 0.0, 0.0]), person + chair)
    assert gap.least_m == pytest.approx(1.0 - 0.2 - 0.15 - 0.2)
    settling = PeopleGap(load(RobotParams, "robot"))
    for k, x in enumerate((0.2, 0.2, 0.2, 0.198, 0.198)):
        settling.look(0.05 * k, np.array([x, 0.0, 0.0]), person)
    assert np.isinf(settling.least_m)


def test_the_time_from_somebody_near_to_a_slower_robot():
    cells = np.zeros((100, 100), np.int8)
    slow_down = SlowDown(OccupancyGrid(cells, 0.1, np.array([-5.0, -5.0, 0.0])))
    nobody = np.full(360, np.inf, np.float32)
    for now_s, range_m, speed_m_s in (
        (0.0, np.inf, 0.5), (0.1, 3.0, 0.5), (0.2, 1.2, 0.5), (0.3, 1.1, 0.48), (0.45, 1.0, 0.3), (0.5, 1.0, 0.1),
        (0.6, 1.0, 0.5), (3.0, 1.0, 0.5), (7.0, np.inf, 0.5),
    ):  # fmt: skip
        ranges_m = nobody.copy()
        ranges_m[178:183] = range_m
        scan = LaserScan(round(now_s * 1e9), ranges_m, -np.pi, 2 * np.pi / 360, 0.1, 12.0)
        slow_down.on_scan(scan, np.zeros(3), now_s)
        slow_down.on_velocity(speed_m_s, now_s)
    assert slow_down.times_s == [pytest.approx(0.25)] and slow_down.missed == 1
    figures = slow_down.figures()
    assert figures["person_to_slower_p50_ms"] == pytest.approx(250.0)
    assert (figures["people_near"], figures["never_slower"]) == (2, 1)


def test_a_scenario_from_the_command_line():
    command = ["sim", "--mission", "narrow", "--in-process", "--json"]
    done = CliRunner().invoke(with_commands(), command)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    (row,) = result["outcomes"]
    assert row["success"] and row["collisions"] == 0 and row["clearance_m"] > 0.0
    assert row["time_s"] < 1.6 * row["ideal_s"]
    assert CliRunner().invoke(with_commands(), [*command, "--world", "flat"]).exit_code != 0
