"""`nanorover replay` on a drive through a room that is known exactly."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from bag_samples import drive, room_drive, write_mcap, write_rosbag2
from typer.testing import CliRunner

from nanorover.checkout import REPLAY_REFERENCES
from nanorover.cli import app
from nanorover.cli import replay as command
from nanorover.errors import InputError
from nanorover.replay.cases import NEW, Case, Reading, replay
from nanorover.replay.many import on_cores, on_ray
from nanorover.slam.tracker import Tracker

if not app.registered_commands:
    command.register(app)
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_mcap(tmp_path_factory.mktemp("recordings") / "room", room_drive()).parent


@pytest.fixture(scope="module")
def references(tmp_path_factory, recording):
    folder = tmp_path_factory.mktemp("references")
    assert replay(Case(recording, folder, update=True)).status == "reference updated"
    return folder


def call(*arguments) -> tuple[int, dict]:
    done = RUNNER.invoke(app, ["replay", "--json", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def test_pose_and_map_agree_with_the_truth(recording, tmp_path):
    result = replay(Case(recording, tmp_path))
    assert result.status == NEW and not result.problems
    assert result.scans == 200 and result.truth["poses"] >= 198
    assert result.truth["trans_rmse_m"] < 0.02 and result.truth["rot_rmse_deg"] < 0.5
    assert result.truth["iou_occupied"] > 0.8 and result.truth["iou_free"] > 0.95
    assert result.truth["coverage"] > 0.95
    assert result.truth["clearance_m"] == pytest.approx(0.5, abs=0.3)
    assert result.duration_s == pytest.approx(19.9, abs=0.05)


def test_it_is_deterministic_to_the_bit_in_this_and_in_other_processes(recording, tmp_path):
    case = Case(recording, tmp_path)
    here = [replay(case).digest for _ in range(2)]
    elsewhere = [result.digest for result in on_cores([case, case], workers=2)]
    assert len(set(here + elsewhere)) == 1


def test_other_formats_give_the_same_to_the_bit(recording, tmp_path):
    sqlite = write_rosbag2(tmp_path / "room", room_drive())
    assert replay(Case(recording, tmp_path)).digest == replay(Case(sqlite, tmp_path)).digest


def test_an_unchanged_run_passes_with_every_field_equal(recording, references, tmp_path):
    code, result = call(recording, "--references", references, "--out", tmp_path)
    case = result["cases"][0]
    assert (code, case["status"]) == (0, "passed")
    assert {d["status"] for d in case["differences"]} == {"equal"} and len(case["differences"]) > 8
    assert case["reference"]["truth"] == case["truth"] and case["reference"]["digest"] == case["digest"]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3, "before, after and the change"
    assert "fields equal to the bit" in (tmp_path / "report.txt").read_text()


def test_a_matcher_that_is_off_by_two_millimetres_is_red_and_names_the_field(
    recording, references, tmp_path, monkeypatch
):
    plain = Tracker.again  # which has the last word on every scan

    def broken(self, *arguments):
        match = plain(self, *arguments)
        return dataclasses.replace(match, T_map_base=match.T_map_base + np.array([0.002, 0.0, 0.0]))

    monkeypatch.setattr(Tracker, "again", broken)
    code, result = call(recording, "--references", references, "--out", tmp_path)
    case = result["cases"][0]
    assert (code, case["status"]) == (1, "changed")
    changed = {d["field"]: d for d in case["differences"] if d["status"] == "changed"}
    assert "slam/T_map_base" in changed and changed["slam/T_map_base"]["first_ns"] is not None
    assert changed["slam/T_map_base"]["largest"] > 0.001
    text = (tmp_path / "report.txt").read_text()
    assert "CHANGED" in text and "slam/T_map_base: changed:" in text


def test_a_component_that_breaks_is_a_failed_case_with_its_traceback(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(Tracker, "match", lambda self, *arguments: 1 / 0)
    result = replay(Case(recording, tmp_path))
    assert result.status == "failed" and "ZeroDivisionError" in result.message


def test_references_change_only_when_told(recording, tmp_path):
    arguments = (recording, "--references", tmp_path / "references", "--out", tmp_path / "out")
    assert replay(Case(recording, tmp_path / "references")).status == "no reference"
    assert not (tmp_path / "references").exists()
    assert call(*arguments, "--update-references")[1]["cases"][0]["status"] == "reference updated"
    written = (tmp_path / "references" / "room.npz").read_bytes()
    assert call(*arguments)[1]["cases"][0]["status"] == "passed"
    assert (tmp_path / "references" / "room.npz").read_bytes() == written
    assert len(written) < 100_000


def refused(*arguments) -> str:
    error = RUNNER.invoke(app, ["replay", *map(str, arguments)]).exception
    assert isinstance(error, InputError), error
    return str(error)


def test_a_mistyped_folder_of_references_is_named(recording, tmp_path):
    (tmp_path / "file").touch()
    assert "references" in refused(recording, "--references", tmp_path / "nowhere")
    assert "are no folder" in refused(recording, "--references", tmp_path / "file")
    assert "are no folder" in refused(recording, "--references", tmp_path / "file", "--update-references")


def test_recordings_of_one_name_do_not_share_a_reference(recording, references, tmp_path):
    other = write_mcap(tmp_path / "room.d", room_drive(2.0)).rename(tmp_path / "room.mcap")
    assert "have the same reference" in refused(recording, other, "--references", references)
    before = (references / "room.npz").read_bytes()
    for update in (False, True):
        result = replay(Case(other, references, update))
        assert result.status == "failed" and "is the reference of room, not of room.mcap" in result.message
    assert (references / "room.npz").read_bytes() == before


def test_options_that_do_not_hold_are_refused(recording, tmp_path):
    words = refused(recording, "--ros", "--workers", 2, "--references", tmp_path, "--out", tmp_path)
    assert "--references" in words and "--workers" in words and "--out" not in words
    assert "--speed: not without --ros" in refused(recording, "--speed", 2)


def test_one_bad_recording_does_not_stop_the_others(recording, references, tmp_path):
    (tmp_path / "cut.mcap").write_bytes(b"nothing")
    arguments = (tmp_path / "cut.mcap", recording, "--references", references, "--out", tmp_path)
    for workers in (1, 2):
        code, result = call(*arguments, "--workers", workers)
        assert code == 2
        assert [case["status"] for case in result["cases"]] == ["failed", "passed"]
        assert "cut.mcap is not an mcap file" in result["cases"][0]["message"]


def test_a_recording_without_scans_fails_in_words(tmp_path):
    from nanorover.geometry.scan import LaserScan

    odometry = (r for r in drive(5) if not isinstance(r, LaserScan))
    result = replay(Case(write_mcap(tmp_path / "bag", odometry), tmp_path))
    assert result.status == "failed" and "holds no usable LaserScan" in result.message


def test_topics_can_be_named(recording, tmp_path):
    named = Case(recording, tmp_path, reading=Reading({"scan": "/nowhere"}))
    assert "has no topic /nowhere" in replay(named).message


def test_the_command_line_writes_only_the_result_to_stdout(recording, tmp_path):
    words = ["replay", str(recording), "--json", "--out", str(tmp_path), "--references", str(tmp_path)]
    run = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"][0]["scans"] == 200


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_gives_the_same(recording, references, tmp_path):
    utils = pytest.importorskip("ray.cluster_utils", reason="Ray is an extra: scripts/requirements/ray.txt")
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        (tmp_path / "bad.mcap").write_bytes(b"nothing")
        cases = [Case(path, references) for path in (recording, tmp_path / "bad.mcap", recording)]
        results = list(on_ray(cases, cluster.address))
    finally:
        cluster.shutdown()
    assert [r.status for r in results] == ["passed", "failed", "passed"]
    assert {results[0].digest, results[2].digest} == {replay(cases[0]).digest}
    assert [r.recording for r in results] == [str(case.recording) for case in cases]


def test_without_a_cluster_the_error_says_so(recording, tmp_path):
    pytest.importorskip("ray", reason="Ray is an extra: scripts/requirements/ray.txt")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"):
        with pytest.raises(InputError, match=f"no Ray cluster at {address}"):
            list(on_ray([Case(recording, tmp_path)], address))


def test_the_references_are_found_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(REPLAY_REFERENCES.glob("apartment*"))
