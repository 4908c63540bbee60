"""What commands print, as a person reads it."""

import subprocess
import sys

import pytest

from nanorover import __version__
from nanorover.cli.sim import _show

COMMAND = [sys.executable, "-c", "from nanorover.cli import main; main()"]


def test_the_version():
    said = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"{__version__}\n"


@pytest.mark.parametrize(("command", "said"), [("slam", "error: none.log does not exist"), ("replay", "report: ")])
def test_what_is_said_stands_alone(command, said, tmp_path):
    words = [*COMMAND, command, "none.log"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stderr.startswith(said)


def test_figures_have_the_digits_that_a_person_reads(capsys):
    _show({"size_m": [14.59, 9.1], "pose_error": [{"trans_rmse_m": 0.008050238778714885, "poses": 3}]}, False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["size m  14.59 × 9.1", "pose error  trans_rmse_m 0.00805, poses 3"]
