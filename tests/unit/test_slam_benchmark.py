"""The bench over a folder of logs: which it takes, and what it says of those that it cannot measure."""

import json

import pytest
import typer
from typer.testing import CliRunner

from nanorover.cli.bench import register
from nanorover.errors import InputError
from nanorover.slam.benchmark import log_cases


def test_every_log_with_relations_is_taken_and_what_is_left_out_is_named(tmp_path):
    for name in ("a.clf.bz2", "a.relations", "b.v2.log", "b.v2.relations", "c.carmen.gz", "c.relations"):
        (tmp_path / name).touch()
    for name in ("alone.clf", "far.relations", "notes.txt"):
        (tmp_path / name).touch()
    cases, left_out = log_cases(tmp_path)
    assert [case.name for case in cases] == ["a", "a", "b.v2", "b.v2", "c", "c"]
    assert [case.odometry for case in cases] == ["log", "none"] * 3
    assert left_out == ["alone.clf: no alone.relations beside it", "far.relations: no log beside it"]


def test_a_folder_without_a_pair_is_refused(tmp_path):
    (tmp_path / "alone.clf").touch()
    with pytest.raises(InputError, match="holds no log with relations"):
        log_cases(tmp_path)


def test_a_bad_log_is_named_and_the_others_are_measured(tmp_path):
    ranges = " ".join(f"{2 + 0.01 * i:.2f}" for i in range(180))
    scans = [f"FLASER 180 {ranges} 0 0 0 0 0 0 {i}.0 host {i}.0\n" for i in range(1, 4)]
    (tmp_path / "good.clf").write_text("".join(scans))
    (tmp_path / "good.relations").write_text("1.0 3.0 0 0 0 0 0 0\n1.0 9.0 0 0 0 0 0 0\n")
    (tmp_path / "bad.clf").write_text("ODOM 0 0 0 0 0 0 1.0 host 1.0\n")
    (tmp_path / "bad.relations").write_text("1.0 2.0 0 0 0 0 0 0\n")
    words = ["bench", "slam", "--logs", tmp_path, "--no-simulated", "--out", tmp_path / "out", "--json"]
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 1, done.exception
    figures = json.loads(done.stdout)
    assert [(r["name"], r["n"], r["given"], r["trans_m_mean"]) for r in figures["results"]] == [
        ("good", 1, 2, pytest.approx(0, abs=1e-4))
    ] * 2
    assert [line[:24] for line in figures["not_measured"]] == [
        "bad.clf, odometry log: /",
        "bad.clf, odometry none: ",
    ]
    page = (tmp_path / "out" / "slam.md").read_text()
    assert "- good: over 1 of 2 relations" in page
    assert "- Not measured: bad.clf, odometry log" in page
    assert "--no-simulated`" in page
