"""What `nanorover bench` says goes to stdout, as a page for people or as one JSON object."""

import json

import pytest
import typer
from typer.testing import CliRunner

from nanorover.cli.bench import register


@pytest.fixture(scope="module")
def app():
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    return app


def test_the_table_of_the_planner_goes_to_stdout(app):
    done = CliRunner().invoke(app, ["bench", "planning", "--rounds", "20"])
    assert done.exit_code == 0, done.output
    assert "MPPI 2000" in done.stdout and "global plan, rooms" in done.stdout


def test_slam_gives_its_figures_as_json(app, tmp_path):
    done = CliRunner().invoke(app, ["bench", "slam", "--no-simulated", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads((tmp_path / "slam.json").read_text())
