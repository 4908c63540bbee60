"""Every component of the replay over a short simulated drive past a person, against its truth and a reference."""

import json

import cv2
import numpy as np
import pytest
from bag_samples import NS, START_NS, scan
from typer.testing import CliRunner

from nanorover.cli import app
from nanorover.cli import replay as command
from nanorover.errors import InputError
from nanorover.perception.detector import Detector
from nanorover.planning.navigator import Navigator
from nanorover.replay.cases import Case, replay
from nanorover.replay.components import ROWS
from nanorover.replay.many import on_cores
from nanorover.replay.records import Picture
from nanorover.replay.writer import BagWriter
from nanorover.sim.record import Drive, record

if not app.registered_commands:
    command.register(app)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record(
        Drive("apartment:16", 16, "tour", 8.0, 2.0), tmp_path_factory.mktemp("drive") / "family.mcap"
    ).path


@pytest.fixture(scope="module")
def references(tmp_path_factory, recording):
    folder = tmp_path_factory.mktemp("references")
    assert replay(Case(recording, folder, update=True)).status == "reference updated"
    return folder


def changed_by(recording, references, out) -> tuple[int, dict[str, dict], str]:
    words = ["replay", str(recording), "--references", str(references), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, words)
    (case,) = json.loads(done.stdout)["cases"]
    changed = {d["field"]: d for d in case["differences"] if d["status"] == "changed"}
    return done.exit_code, changed, (out / "report.txt").read_text()


def test_every_component_runs_equal_to_the_bit_and_is_judged_by_the_truth(recording, references):
    case = Case(recording, references)
    here, there = replay(case), next(iter(on_cores([case, case], workers=2)))
    assert (here.status, there.status) == ("passed", "passed") and here.digest == there.digest
    ran = {name.split("/")[0] for name in here.now}
    assert ran == {row.name for row in ROWS} - {"lidar"}, "all but the driver, whose bytes were not recorded"
    assert here.now["detector/end/pictures"] >= 16
    assert here.now["planner/end/plans"] == len(here.now["planner/stamp_ns"]) >= 4
    assert here.truth["trans_rmse_m"] < 0.05
    assert {"detections_found", "detections_right", "tracks_of_nothing", "way_clearance_m"} <= set(here.truth)
    assert here.truth["walkers_tracked"] > 0.5


def test_without_a_component_the_others_still_pass(recording, references):
    left = replay(Case(recording, references, without=("detector", "planner")))
    assert not any(name.startswith(("detector", "planner")) for name in left.now)
    changed = {d.field.split("/")[0] for d in left.differences if d.status == "changed"}
    assert changed <= {"fusion"}, "which misses the detections"
    with pytest.raises(InputError, match="no component 'wheels'"):
        Case(recording, references, without=("wheels",)).rows()
    with pytest.raises(InputError, match="a reference is of all components"):
        Case(recording, references, update=True, without=("planner",)).rows()


def test_a_detector_that_is_off_by_three_pixels_is_red_and_names_the_field(
    recording, references, tmp_path, monkeypatch
):
    plain = Detector.__call__

    def broken(self, image):
        found = plain(self, image)
        return found._replace(boxes_xyxy=found.boxes_xyxy + np.float32(3.0))

    monkeypatch.setattr(Detector, "__call__", broken)
    code, changed, text = changed_by(recording, references, tmp_path)
    assert code == 1 and changed["detector/box_px"]["largest"] == pytest.approx(3.0, abs=0.01)
    assert "detector/box_px: changed:" in text
    assert not any(name.startswith("slam") for name in changed)


def test_a_planner_that_aims_beside_the_goal_is_red_and_names_the_field(
    recording, references, tmp_path, monkeypatch
):
    plain = Navigator.plan

    def broken(self, pose, goal):
        return plain(self, pose, goal + np.array([0.5, 0.0, 0.0]))

    monkeypatch.setattr(Navigator, "plan", broken)
    code, changed, text = changed_by(recording, references, tmp_path)
    assert code == 1 and {name.split("/")[0] for name in changed} == {"planner"}
    assert "planner/length_m" in changed and "planner/length_m: changed:" in text


def test_a_picture_that_cannot_be_decoded_is_counted_and_the_others_are_seen(tmp_path):
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    files = [jpeg, jpeg[:40], b"", jpeg]
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        for i, file in enumerate(files):
            writer.write(scan(START_NS + i * NS))
            writer.write(Picture(START_NS + i * NS, file, "jpeg"))
    result = replay(Case(path, tmp_path, without=("planner", "fusion")))
    assert result.status == "no reference", result.message
    assert result.now["detector/end/pictures"] == 2
    assert result.problems["picture that cannot be decoded skipped"]["count"] == 2
    assert str(START_NS + NS) in result.problems["picture that cannot be decoded skipped"]["first"]
