"""What the lidar driver costs and how late its scans are: reported, not asserted (``pytest tests/bench -s``)."""

import json

import typer
from typer.testing import CliRunner

from nanorover.cli.bench.lidar import register


def test_cost_and_latency():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    done = CliRunner().invoke(app, ["lidar", "--seconds", "2", "--modes", "1", "--json"])
    result = json.loads(done.stdout)
    print(result)
    (mode,) = result["modes"]
    assert (mode["rate_khz"], mode["frequency_hz"]) == (9, 10.0)
    assert all(mode[name] > 0 for name in result["budgets"])
