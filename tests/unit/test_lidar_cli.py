"""The commands `nanorover lidar` and `nanorover emulate` as a person starts them."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from lidar_rig import ROOM, wait_until

from data import recording
from nanorover.lidar.emulator import G4
from nanorover.lidar.pty_server import PtyServer

NANOROVER = [sys.executable, "-c", "from nanorover.cli import main; main()"]


def nanorover(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NANOROVER, *arguments], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def result_of(*arguments: str) -> dict:
    run = nanorover(*arguments, "--json")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_decodes_a_capture(tmp_path):
    out = tmp_path / "points.npz"
    capture = recording("lidar/x4_scan1.data")
    result = result_of("lidar", "--decode", str(capture), "--out", str(out))
    expected = {"packets": 455, "bad_checksums": 0, "revolutions": 27, "points": 16721}
    assert {name: result[name] for name in expected} == expected
    with np.load(out) as points:
        assert {len(points[name]) for name in ("angle_deg", "range_m", "revolution")} == {16721}
        assert ((points["angle_deg"] >= 0) & (points["angle_deg"] < 360)).all()
        assert points["range_m"].max() < 16.4


def test_decodes_what_is_left_of_a_damaged_capture(tmp_path):
    data = bytearray(recording("lidar/x4_scan1.data").read_bytes())
    data[20000] ^= 4
    (tmp_path / "damaged").write_bytes(data)
    result = result_of("lidar", "--decode", str(tmp_path / "damaged"))
    assert (result["packets"], result["bad_checksums"]) == (454, 1)


def test_a_file_that_is_no_capture(tmp_path):
    (tmp_path / "text").write_text("no lidar at all\n" * 100)
    run = nanorover("lidar", "--decode", str(tmp_path / "text"), "--json")
    assert run.returncode == 2 and not run.stdout
    assert "no lidar packet" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lidar", "--decode", "/nowhere/capture"], "cannot read capture"),
        (["lidar", "--port", "/nowhere/tty"], "there is no port /nowhere/tty"),
        (["lidar", "--port", "/nowhere/tty", "--frequency", "20"], "frequency_hz"),
        (["lidar", "--port", "/nowhere/tty", "--out", "scans.csv"], "no .npz file"),
        (["lidar", "--decode", "x", "--view"], "--decode"),
        (["emulate", "g4", "--rate", "5"], "--rate 5"),
        (["emulate", "g4", "--fault", "fire@3"], "unknown fault 'fire'"),
        (["emulate", "g4", "--world", "/nowhere/room.yaml"], "there is no world"),
        (["emulate", "g4", "--link", "/proc/g4"], "cannot make the link"),
    ],
)
def test_bad_input_is_one_sentence(arguments, words):
    run = nanorover(*arguments)
    assert run.returncode == 2 and words in run.stderr and "Traceback" not in run.stderr


def test_live_scans_go_to_a_file_and_can_be_a_world(tmp_path):
    out = tmp_path / "scans.npz"
    with PtyServer(G4(ROOM)) as server:
        result = result_of("lidar", "--port", server.path, "--frames", "4", "--out", str(out), "--rate", "4")
        assert not server.g4.scanning
    assert (result["frames"], result["beams"], result["bad_checksums"]) == (4, 400, 0)
    assert result["frequency_hz"] == pytest.approx(10.0, abs=0.5)
    with np.load(out) as scans:
        assert scans["ranges_m"].shape == scans["ray_time_s"].shape == (4, 400)
        truth = ROOM.ranges(
            np.zeros(400), -(scans["angle_min_rad"] + np.arange(400) * scans["angle_increment_rad"])
        )
        assert np.median(np.abs(scans["ranges_m"][-1] - truth)) < 0.02
        assert (np.diff(scans["stamp_ns"]) > 5e7).all()
    # played back, the recording looks like the room did
    played = tmp_path / "played.npz"
    emulator = subprocess.Popen(
        [*NANOROVER, "emulate", "g4", "--world", str(out), "--link", str(tmp_path / "g4")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert emulator.stdout.readline().strip() == str(tmp_path / "g4")
        view = nanorover("lidar", "--port", str(tmp_path / "g4"), "--frames", "3", "--out", str(played), "--view")
    finally:
        emulator.send_signal(signal.SIGTERM)
        said = emulator.communicate(timeout=10)[1]
    assert emulator.returncode == 0 and "packets sent" in said and not (tmp_path / "g4").is_symlink()
    assert "m across" in view.stderr and "⣀" in view.stderr
    with np.load(played) as scans:
        truth = ROOM.ranges(
            np.zeros(900), -(scans["angle_min_rad"] + np.arange(900) * scans["angle_increment_rad"])
        )
        assert np.median(np.abs(scans["ranges_m"][-1] - truth)) < 0.03


def test_scans_are_kept_where_the_lidar_is_unplugged_for_good(tmp_path):
    impatient = "from nanorover.cli import lidar, main; lidar.PATIENCE_S = 1.0; main()"
    out = tmp_path / "scans.npz"
    with PtyServer(G4(ROOM)) as server:
        command = subprocess.Popen(
            [sys.executable, "-c", impatient, "lidar", "--port", server.path, "--out", str(out)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: server.g4.packets_sent > 400, "some revolutions")
    said = command.communicate(timeout=20)[1]
    assert command.returncode == 2 and "no scan for 1 s" in said
    with np.load(out) as scans:
        assert len(scans["ranges_m"]) >= 2


def test_a_terminated_command_stops_the_motor(tmp_path):
    with PtyServer(G4(ROOM)) as server:
        command = subprocess.Popen([*NANOROVER, "lidar", "--port", server.path, "--json"], stdout=subprocess.PIPE)
        wait_until(lambda: server.g4.motor_hz > 9.5, "the motor turns")
        command.send_signal(signal.SIGTERM)
        assert json.loads(command.communicate(timeout=20)[0])["device"].startswith("G4")
        assert not server.g4.scanning
