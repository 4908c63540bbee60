"""How much faster than real time the simulation is: reported, not asserted (``pytest tests/bench -s``)."""

import json

from typer.testing import CliRunner

from nanorover.cli.bench.sim import register


def test_simulation_speed():
    import typer

    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    done = CliRunner().invoke(app, ["sim", "--seconds", "3", "--world", "flat", "--no-camera", "--json"])
    result = json.loads(done.stdout)
    print(result)
    assert result["without_camera_x"] > 0
