"""How much faster than real time recordings are replayed, read and written.

Reports, asserts nothing on speed: ``pytest tests/bench/test_replay_bench.py -s``.
"""

import datetime
import json
import os
import platform
import time

import typer
from bag_samples import room_drive, write_mcap
from typer.testing import CliRunner

from nanorover.cli.bench.replay import register
from nanorover.replay.logs import open_log
from nanorover.sim.recordings import RECORDINGS


def report(sentence: str) -> None:
    print(f"\n{datetime.datetime.now():%Y-%m-%d} {platform.machine()}, {os.cpu_count()} cores: {sentence}")


def test_replay_of_the_shipped_recordings():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    result = json.loads(CliRunner().invoke(app, ["replay", "--json"]).stdout)
    for row in result["recordings"]:
        report(
            f"{row['recording']}: {row['all_x']} ×, without the detector {row['without_detector_x']} × real time"
        )
    assert [row["recording"] for row in result["recordings"]] == [shipped.name for shipped in RECORDINGS]


def test_writing_and_reading(tmp_path):
    records = list(room_drive(60.0))
    started_s = time.process_time()
    path = write_mcap(tmp_path / "bag", iter(records), chunk_bytes=256 * 1024)
    written_s = time.process_time()
    count = sum(1 for _ in open_log(path))
    read_s = time.process_time()
    megabytes = path.stat().st_size / 1e6
    report(
        f"{count} records of 60 s in {megabytes:.2f} MB: written in {written_s - started_s:.2f} s, "
        f"read in {read_s - written_s:.2f} s CPU"
    )
    assert count == len(records)
