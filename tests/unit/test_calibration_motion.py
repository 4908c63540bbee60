"""Wheels and lidar calibrated from drives of robots whose true build is known."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from drives import Build, drive
from hypothesis import given, settings
from hypothesis import strategies as st

from data import REPOSITORY
from nanorover import params
from nanorover.base.params import BaseParams
from nanorover.calibration.draw import draw_motion
from nanorover.calibration.motion import Steps, fit_motion, steps_of, unlike_wheels
from nanorover.cli import calibrate
from nanorover.errors import InputError
from nanorover.geometry.se2 import compose, inverse


@settings(max_examples=15, deadline=None)
@given(
    st.floats(0.8, 1.25),
    st.floats(0.8, 1.25) | st.floats(-1.2, -0.8),
    st.floats(-0.2, 0.2),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(-3.1, 3.1)),
)
def test_exact_motions_give_exact_values(way_scale, turn_scale, drift_rad_m, mount):
    random = np.random.default_rng(1)
    read = np.column_stack(
        (random.uniform(-0.3, 0.3, 80), random.normal(0, 0.02, 80), random.uniform(-0.5, 0.5, 80))
    )
    X = np.array(mount)
    drifts = drift_rad_m * read[:, 0]
    true = [
        compose(
            np.array([0.0, 0.0, drift / 2]),
            np.array([way_scale * x, way_scale * y, turn_scale * turn + drift / 2]),
        )
        for (x, y, turn), drift in zip(read, drifts, strict=True)
    ]
    laser = np.array([compose(compose(inverse(X), A), X) for A in true])
    fit = fit_motion(Steps(np.arange(80), read, laser), np.zeros(3))
    assert fit.way_scale == pytest.approx(way_scale, abs=1e-4)
    assert fit.turn_scale == pytest.approx(turn_scale, abs=1e-4)
    assert fit.drift_rad_m == pytest.approx(drift_rad_m, abs=1e-4)
    assert fit.T_base_laser[:2] == pytest.approx(X[:2], abs=1e-4)
    assert math.cos(fit.T_base_laser[2] - X[2]) == pytest.approx(1.0, abs=1e-6)
    assert fit.rms_m < 1e-4


@pytest.fixture(scope="module")
def fit():
    build = Build(
        T_base_laser=np.array([0.06, -0.02, math.radians(8.0)]), way_read=1.05, turn_read=0.93, drift_rad_m=0.06
    )
    return fit_motion(steps_of(*drive(build)), np.zeros(3))


def test_a_simulated_drive_shows_wheels_and_mounting(fit, tmp_path):
    assert fit.way_scale == pytest.approx(1 / 1.05, abs=0.008)
    assert fit.turn_scale == pytest.approx(1 / 0.93, abs=0.008)
    assert fit.drift_rad_m == pytest.approx(0.06, abs=0.008)
    assert fit.T_base_laser[2] == pytest.approx(math.radians(8.0), abs=math.radians(0.7))
    assert fit.T_base_laser[:2] == pytest.approx([0.06, -0.02], abs=0.012)
    assert fit.rms_m < 0.02
    draw_motion(tmp_path / "motion.png", fit)
    assert (tmp_path / "motion.png").stat().st_size > 20_000


def test_the_stated_deviation_covers_the_error(fit):
    errors = [
        fit.way_scale - 1 / 1.05,
        fit.turn_scale - 1 / 0.93,
        *(fit.T_base_laser - [0.06, -0.02, math.radians(8)]),
        fit.drift_rad_m - 0.06,
    ]
    assert (np.abs(errors) < 6 * fit.sigma).all()
    assert (fit.sigma < 0.02).all()


def test_wheels_that_are_not_alike_are_named_where_it_is_sure(fit):
    said = unlike_wheels(fit, 0.16)  # 0.06 rad/m over 0.16 m × 0.93
    assert re.fullmatch(
        r"the right wheel is 0\.[89]% larger: straight by .* is 3\.[3-6]° per metre to the left", said
    )
    mirrored = replace(fit, drift_rad_m=-fit.drift_rad_m)
    assert unlike_wheels(mirrored, 0.16) == said.replace("left", "?").replace("right", "left").replace(
        "?", "right"
    )
    assert unlike_wheels(replace(fit, drift_rad_m=2.5 * fit.sigma[5]), 0.16) == ""


def test_a_circle_does_not_show_whether_the_wheels_are_alike():
    circle = np.tile([0.3, 0.0, 0.3], (40, 1))
    fit = fit_motion(Steps(np.arange(40), circle, circle * [1.0, 1.0, 1.1]), np.zeros(3))
    assert fit.turn_scale == pytest.approx(1.1, abs=1e-4)
    assert math.isnan(fit.drift_rad_m) and unlike_wheels(fit, 0.16) == ""


def test_a_drive_that_only_goes_ahead_leaves_the_turn_open():
    straight = np.tile([0.3, 0.0, 0.0], (20, 1))
    laser = np.tile([0.3 * math.cos(0.1), -0.3 * math.sin(0.1), 0.0], (20, 1))
    fit = fit_motion(Steps(np.arange(20), straight, laser), np.array([0.1, 0.0, 0.0]))
    assert fit.T_base_laser[2] == pytest.approx(0.1, abs=1e-4)
    assert fit.way_scale == pytest.approx(1.0, abs=1e-4)
    assert math.isnan(fit.turn_scale) and math.isnan(fit.T_base_laser[0])


def test_a_robot_that_stands_is_refused():
    scans, odometry = drive(Build(), seconds=1.0)
    with pytest.raises(InputError, match="too little"):
        fit_motion(steps_of(scans, odometry), np.zeros(3))
    with pytest.raises(InputError, match="no odometry"):
        steps_of(scans, [])


def test_the_command_on_the_shipped_recording_agrees_with_its_simulated_robot(tmp_path):
    from typer.testing import CliRunner

    bag = REPOSITORY / "tests" / "recordings" / "apartment.mcap"
    ran = CliRunner().invoke(calibrate.commands, ["wheels", str(bag), "--out", str(tmp_path), "--json"])
    assert ran.exit_code == 0, ran.output
    result = json.loads(ran.stdout)
    # What sim.robot.Build draws for seed 36: 32.43 mm left and 32.78 mm right, 158.9 mm apart.
    assert result["wheel_radius_m"] == pytest.approx(0.032605, rel=0.003)
    assert result["wheel_separation_m"] == pytest.approx(0.15893, rel=0.003)
    assert "the right wheel is 1.1% larger" in ran.stderr
    assert (tmp_path / "wheels.png").exists()
    written = tmp_path / "wheels.yaml"
    assert (
        yaml.safe_load(written.read_text())["base"]["ros__parameters"]["wheel_radius_m"]
        == result["wheel_radius_m"]
    )
    assert params.load(BaseParams, "base", written).wheel_radius_m == result["wheel_radius_m"]


def test_what_a_drive_does_not_show_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    """A drive straight ahead: the radius stands there, with how sure it is, and nothing that is not a number."""
    straight = np.tile([0.3, 0.0, 0.0], (20, 1))
    ahead = fit_motion(Steps(np.arange(20), straight, straight * 1.1), np.zeros(3))
    monkeypatch.setattr(calibrate, "_motion", lambda *_: ahead)
    calibrate.wheels(tmp_path / "a.mcap", tmp_path, as_json=True)
    said = capsys.readouterr()
    result = json.loads(said.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert result["not_shown"] == ["wheel_separation_m"] and 0 <= result["sigma_wheel_radius_m"] < 1e-4
    assert "not shown by this drive: wheel_separation_m; drive at least 1 m and turn at least 115°" in said.err
    written = yaml.safe_load((tmp_path / "wheels.yaml").read_text())["base"]["ros__parameters"]
    assert list(written) == ["wheel_radius_m"]
    turning = np.tile([0.0, 0.0, 0.4], (20, 1))
    on_the_spot = fit_motion(Steps(np.arange(20), turning, turning), np.zeros(3))
    monkeypatch.setattr(calibrate, "_motion", lambda *_: on_the_spot)
    with pytest.raises(InputError, match="shows none of wheel_radius_m, wheel_separation_m"):
        calibrate.wheels(tmp_path / "a.mcap", tmp_path / "none")
    assert not (tmp_path / "none").exists()
