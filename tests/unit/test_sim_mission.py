"""Missions in one process, recordings of drives, and the command line of both."""

import json

import numpy as np
import pytest
from rich.table import Table
from typer.testing import CliRunner

from nanorover.cli import app, results
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.logs import open_log
from nanorover.replay.records import StaticTransform, TrueMap, TruePose
from nanorover.sim import SCREEN
from nanorover.sim.floorplan import scene_of
from nanorover.sim.mission import run_in_process, verdict
from nanorover.sim.record import Drive, record
from nanorover.sim.recordings import RECORDINGS, shipped
from nanorover.sim.simulation import Score


def command_line(*words):
    import pkgutil
    from importlib import import_module

    from nanorover import cli

    if not app.registered_groups:
        for module in pkgutil.iter_modules(cli.__path__):
            import_module(f"{cli.__name__}.{module.name}").register(app)
    return CliRunner().invoke(app, list(words))


def test_a_scripted_drive_through_the_flat_succeeds_and_slam_knows_where_it_is():
    result = run_in_process("tour", scene_of("flat"), 1)
    assert result.success, result.why
    assert result.collisions == 0 and 9.0 < result.distance_m < 12.0 and 15.0 < result.time_s < 40.0
    assert 0.02 < result.min_clearance_m < 0.5
    assert result.pose_error is not None and result.pose_error.trans_rmse_m < 0.02
    assert result.map is not None and result.map.iou_free > 0.85
    assert result == pytest.approx(result) and result.as_dict()["pose_error"]["poses"] > 100


def test_a_mission_that_runs_out_of_time_says_so_and_unknown_ones_are_refused():
    result = run_in_process("tour", scene_of("flat"), 1, duration_s=4.0)
    assert not result.success and result.why == "the tour was not driven to its end"
    with pytest.raises(InputError, match="wander, tour"):
        run_in_process("fly", scene_of("flat"), 1)


def test_the_verdict_in_words():
    assert verdict("tour", Score(), arrived=True, coverage=None) == ""
    assert "box 3, plant 1" in verdict("tour", Score(["box 3", "plant 1"]), arrived=True, coverage=None)
    assert "12%" in verdict("wander", Score(), arrived=False, coverage=0.12)
    assert verdict("wander", Score(), arrived=False, coverage=0.6) == ""


def test_a_wanderer_explores_by_scans_alone():
    result = run_in_process("wander", scene_of("flat"), 2, duration_s=40.0)
    assert result.collisions == 0, result.why
    assert result.distance_m > 4.0 and result.map is not None and result.map.coverage > 0.4


def test_a_recording_is_made_anew_to_the_byte_and_holds_its_truth(tmp_path):
    drive = Drive("flat", 3, "tour", 4.0, 0.0)
    made = [record(drive, tmp_path / name) for name in ("a.mcap", "b.mcap")]
    first, second = (recorded.path.read_bytes() for recorded in made)
    assert first == second and made[0].bytes == len(first)
    records = list(open_log(made[0].path))
    scans = [r for r in records if isinstance(r, LaserScan)]
    poses = [r for r in records if isinstance(r, TruePose)]
    assert 25 <= len(scans) <= 40 and len({len(scan.ranges_m) for scan in scans}) == 1
    assert sum(isinstance(r, Odometry) for r in records) > 100
    assert any(isinstance(r, TrueMap) and (r.cells == 100).any() for r in records)
    assert {r.child for r in records if isinstance(r, StaticTransform)} >= {"laser", "camera_link"}
    assert poses[0].T_map_base == pytest.approx([1.2, 1.0, 0.0], abs=0.01)
    assert np.hypot(*(poses[-1].T_map_base - poses[0].T_map_base)[:2]) > 0.8
    with pytest.raises(InputError, match="exists already"):
        record(drive, tmp_path / "a.mcap")


def test_a_table_in_a_file_is_not_cut(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table(*(f"heading number {i}" for i in range(8)))
    results().print(table)
    assert "heading number 7" in capsys.readouterr().out


def test_the_shipped_recordings_are_there_small_and_with_truth():
    assert 3 <= len(RECORDINGS) <= 5
    assert sum(row.path.stat().st_size for row in RECORDINGS) < 10_000_000
    for row in RECORDINGS:
        log = open_log(row.path)
        kinds = {type(r).__name__ for r in log}
        assert kinds >= {
            "LaserScan",
            "Odometry",
            "TruePose",
            "TrueMap",
            "Picture",
            "CameraInfo",
            "StaticTransform",
        }
        assert 20.0 <= log.summary.duration_s <= 90.0
    with pytest.raises(InputError, match="apartment"):
        shipped("castle")


def test_what_a_shipped_recording_would_ignore_is_refused(tmp_path):
    words = ("sim", "record", "--shipped", "office", "--out", str(tmp_path / "x.mcap"), "--camera-hz", "5")
    result = command_line(*words)
    assert isinstance(result.exception, InputError) and "--camera-hz does not go" in str(result.exception)
    assert not (tmp_path / "x.mcap").exists()


def test_the_beginning_of_a_shipped_recording_comes_out_of_its_row_again(tmp_path):
    """The same world, robot and lidar bytes: the first scans are equal to the bit (pictures differ by machine)."""
    row = shipped("office")
    made = record(Drive(row.drive.world, row.drive.seed, row.drive.mission, 2.5, 0.0), tmp_path / "office.mcap")
    new = [r for r in open_log(made.path) if isinstance(r, LaserScan)]
    old = [r for r in open_log(row.path) if isinstance(r, LaserScan)][: len(new)]
    assert len(new) > 10
    for a, b in zip(new, old, strict=True):
        assert a.stamp_ns == b.stamp_ns and np.array_equal(a.ranges_m, b.ranges_m)


@pytest.mark.parametrize("words", [("--seeds", "3"), ("--picture", "p.png")])
def test_what_holds_for_scenarios_only_is_refused(words):
    error = command_line("sim", "--mission", "tour", *words).exception
    assert isinstance(error, InputError) and "are for scenarios" in str(error)


def test_command_line_prints_one_json_object_and_exits_by_success(tmp_path):
    done = command_line("sim", "--mission", "tour", "--world", "flat", "--duration", "3", "--in-process", "--json")
    result = json.loads(done.stdout)
    assert done.exit_code == 1 and not result["success"]
    assert {
        "collisions",
        "distance_m",
        "time_s",
        "min_clearance_m",
        "pose_error",
        "real_time_factor",
    } <= result.keys()
    out = tmp_path / "many"
    words = ("--count", "2", "--world", "flat", "--duration", "2", "--camera-hz", "0", "--json")
    made = json.loads(command_line("sim", "record", "--out", str(out), *words).stdout)["recordings"]
    assert [path["path"] for path in made] == [str(out / "world_0"), str(out / "world_1")]
    assert (out / "world_1" / "metadata.yaml").exists()
    scene = tmp_path / "s.yaml"
    written = json.loads(command_line("sim", "world", "--out", str(scene), "--seed", "4", "--json").stdout)
    assert written["walls"] > 4 and scene_of(str(scene)) == scene_of("4")
    assert isinstance(command_line("sim", "record").exception, InputError)
    assert isinstance(command_line("sim").exception, InputError)
    if not SCREEN:
        assert "no screen" in str(command_line("sim", "--mission", "tour", "--window").exception)
