"""What commands print, as a person reads it."""

import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from nanorover import __version__
from nanorover.bringup.run_state import RunState
from nanorover.cli import doctor, results, status, with_commands
from nanorover.cli.sim import _show
from nanorover.doctor.findings import Finding
from nanorover.errors import InputError

COMMAND = [sys.executable, "-c", "from nanorover.cli import main; main()"]


def test_the_version():
    said = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("typed", "completed"), [("nanorover li", "lidar"), ("nanorover slam --rel", "--relations")]
)
def test_the_shell_completes_commands_and_options(typed, completed):
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_NANOROVER_COMPLETE": "complete_bash"}
    program = "import sys; sys.argv[0] = 'nanorover'; from nanorover.cli import main; main()"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    assert said.stdout.split() == [completed]


@pytest.mark.parametrize(("command", "said"), [("slam", "error: none.log does not exist"), ("replay", "report: ")])
def test_what_is_said_stands_alone(command, said, tmp_path):
    words = [*COMMAND, command, "none.log"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stderr.startswith(said)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("slam none.log --out taken", "cannot write into taken"),
        ("replay none.log --out taken", "cannot write into taken"),
        ("detect none.jpg --out taken", "cannot write into taken"),
        ("calibrate wheels none.bag --out taken", "cannot write into taken"),
        ("calibrate lidar none.bag --out taken", "cannot write into taken"),
        ("calibrate camera none --out taken", "cannot write into taken"),
        ("calibrate extrinsics none.bag --out taken", "cannot write into taken"),
        ("lidar --port /nowhere --out taken/scans.npz", "cannot write into taken"),
        ("lidar --port /nowhere --out folder.npz", "no .npz file"),
        ("sim --mission corridor --in-process --picture taken/ways.png", "cannot write into taken"),
        ("sim --mission corridor --in-process --picture ways.txt", "no .png file"),
        ("sim world --out room.yaml --picture room.xyz", "no .png file"),
        ("up sim --log-dir taken", "cannot write into taken"),
        ("view --rerun drive.mcap --out taken/drive.rrd", "cannot write into taken"),
        ("view --rerun --out drive.txt", "no .rrd file"),
        ("view --out drive.rrd", "add --rerun"),
        ("map save folder.npz", "name the map in it: folder.npz/flat"),
        ("map save .", "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(command, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    (tmp_path / "folder.npz").mkdir()
    refused = CliRunner().invoke(with_commands(), command.split()).exception
    assert isinstance(refused, InputError) and said in str(refused)
    assert not (tmp_path / "room.yaml").exists()


@pytest.mark.parametrize("command", ["emulate g4 --seed -1", "model render --seed -1", "sim --seed -1"])
def test_a_negative_seed_is_refused(command):
    ended = CliRunner().invoke(with_commands(), command.split())
    assert ended.exit_code == 2 and "--seed" in ended.output


@pytest.mark.parametrize("separation", ["-0.3", "0", "nan", "inf"])
@pytest.mark.parametrize("command", ["slam", "replay"])
def test_wheels_that_cannot_be_are_refused(command, separation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [command, "none.bag", "--wheels", "/left", "/right", "0.1", "0.1", separation]
    refused = CliRunner().invoke(with_commands(), words).exception
    assert isinstance(refused, InputError) and "are no wheels" in str(refused)


def test_names_in_brackets_stay_whole(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    node = {"state": "active", "level": "OK", "restarts": 0, "up_s": 1.0, "message": "reads drive[/old][red].yaml"}
    with RunState("") as state:
        state.write({"mode": "robot", "pid": 1, "log": "logs[/a]", "nodes": {"slam": node}})
        with pytest.raises(typer.Exit):
            status.status()
    said = capsys.readouterr().out
    assert "reads drive[/old][red].yaml" in said and "logs in logs[/a]" in said
    doctor._print(results(), [("drive[/a].mcap", "scans", Finding("error", "no scan in [/b]"))])
    said = capsys.readouterr().out
    assert "drive[/a].mcap" in said and "no scan in [/b]" in said


def test_figures_have_the_digits_that_a_person_reads(capsys):
    _show({"size_m": [14.59, 9.1], "pose_error": [{"trans_rmse_m": 0.008050238778714885, "poses": 3}]}, False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["size m  14.59 × 9.1", "pose error  trans_rmse_m 0.00805, poses 3"]
