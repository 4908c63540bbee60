"""The recorder on a disk that runs full, after a power loss, and over many files."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_samples import NS, START_NS, drive, write_mcap, write_ros1
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader

from nanorover import params
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.replay.logs import open_log
from nanorover.replay.messages import Encoder
from nanorover.replay.recorder import Recorder, RecorderParams, recover
from nanorover.replay.records import LidarBytes

PARAMS = dataclasses.replace(
    params.load(RecorderParams, "recorder"), chunk_kb=16, min_free_mb=0.0, flush_period_s=0.1
)
ENCODER = Encoder()


def noise(i: int, size: int = 10_000) -> tuple[str, str, bytes, int]:
    """A message that does not compress."""
    data = np.random.default_rng(i).bytes(size)
    return (*ENCODER.encode(LidarBytes(START_NS + i * NS // 10, data)), START_NS + i * NS // 10)


def whole(path: Path) -> bool:
    """Whether every file of a bag has its index, by the judgement of the mcap package."""
    for file in path.glob("*.mcap"):
        with file.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            assert reader.get_summary() is not None
            assert sum(1 for _ in reader.iter_messages()) == reader.get_summary().statistics.message_count
    return True


def test_a_full_disk_ends_the_recording_with_all_that_fitted(small_disk):
    recorder = Recorder(small_disk / "bag", PARAMS)
    sent = 0
    while not recorder.stopped_because and sent < 1000:
        recorder.add(*noise(sent))
        sent += 1
    assert recorder.stopped_because == "the disk is full"
    assert whole(recorder.path)
    assert list(recorder.path.glob("*.reserve")) == []
    kept = [r.data for r in open_log(recorder.path)]
    assert 100 < len(kept) < 300
    assert kept == [noise(i)[2][-10_000:] for i in range(len(kept))]
    assert len(kept) >= sent - 1, "all but the message that did not fit any more"
    with Reader(recorder.path) as bag:
        assert bag.message_count == len(kept)
    recorder.add(*noise(sent))  # ignored, not raised
    recorder.tend()
    recorder.close()


def test_it_ends_before_the_disk_is_full_when_told_so(small_disk):
    recorder = Recorder(small_disk / "bag", dataclasses.replace(PARAMS, min_free_mb=1.0))
    for i in range(1000):
        recorder.add(*noise(i))
        recorder.tend()
        if recorder.stopped_because:
            break
    assert "MB left, less than min_free_mb 1" in recorder.stopped_because
    assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize > 0.8e6
    assert whole(recorder.path)


def test_a_disk_that_is_full_from_the_start_is_named(small_disk):
    (small_disk / "filler").write_bytes(bytes(2_900_000))
    with pytest.raises(InputError, match="No space left on device"):
        Recorder(small_disk / "bag", PARAMS)


def test_a_chunk_that_is_not_full_is_written_in_time(tmp_path):
    now_s = [0.0]
    recorder = Recorder(tmp_path / "bag", PARAMS, clock=lambda: now_s[0])
    for i in range(3):
        recorder.add(*noise(i, 100))
    recorder.tend()
    with pytest.raises(InputError, match="holds no messages"):
        open_log(recorder.path / "bag_0.mcap")
    now_s[0] = PARAMS.flush_period_s
    recorder.tend()
    on_the_disk = [r.stamp_ns for r in open_log(recorder.path / "bag_0.mcap")]
    recorder.close()
    assert on_the_disk == [noise(i, 1)[3] for i in range(3)]


POWER_LOSS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_record_disk import PARAMS, noise
from nanorover.replay.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), PARAMS)
for i in range(100000):
    recorder.add(*noise(i, 1000))
    recorder.tend()
    print(i, flush=True)
    time.sleep(0.001)
"""


@pytest.fixture
def cut_off(tmp_path):
    """A bag whose recorder was killed without warning, and how many messages it had taken."""
    path = tmp_path / "bag"
    arguments = [sys.executable, "-c", POWER_LOSS, str(path), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        taken = 0
        for line in process.stdout:
            taken = int(line) + 1
            if taken == 400:
                process.send_signal(signal.SIGKILL)
    return path, taken


def test_a_recording_cut_off_by_a_power_loss_is_read_up_to_the_last_chunk(cut_off):
    path, taken = cut_off
    assert not (path / "metadata.yaml").exists()
    log = open_log(path)
    kept = [r.stamp_ns for r in log]
    assert taken - 40 <= len(kept) <= taken + 1, "at most a chunk of 16 kB or the last tenth of a second is lost"
    assert kept == [noise(i, 1)[3] for i in range(len(kept))]
    assert "recording cut off; read up to there" in log.problems.counts


def test_recover_makes_it_whole_for_others(cut_off, tmp_path):
    path, _ = cut_off
    count, problems = recover(path, tmp_path / "mended")
    assert problems.counts["recording cut off; read up to there"] == 1
    assert whole(tmp_path / "mended")
    with Reader(tmp_path / "mended") as bag:
        assert bag.message_count == count > 300
    mended = open_log(tmp_path / "mended")
    assert [r.stamp_ns for r in mended] == [r.stamp_ns for r in open_log(path)]
    assert not mended.problems


def test_recover_keeps_definitions_that_are_not_installed(tmp_path):
    from nanorover.replay.writer import BagWriter

    with BagWriter(tmp_path / "bag", definitions={"my_msgs/msg/Thing": "int32 a"}) as writer:
        writer.write_raw("/thing", "my_msgs/msg/Thing", b"\x00\x01\x00\x00\x05\x00\x00\x00", START_NS)
    assert recover(tmp_path / "bag", tmp_path / "copy")[0] == 1
    assert whole(tmp_path / "copy")


def test_files_are_rotated_by_size_and_the_oldest_go(tmp_path):
    recorder = Recorder(tmp_path / "bag", dataclasses.replace(PARAMS, max_file_mb=0.2, keep_files=3))
    for i in range(200):
        recorder.add(*noise(i))
        recorder.tend()
    recorder.close()
    sizes = {file.name: file.stat().st_size for file in recorder.path.glob("*.mcap")}
    assert len(sizes) == 3 and max(sizes.values()) < 260_000
    assert len(recorder.dropped_files) >= 5 and "bag_0.mcap" not in sizes
    kept = [r.stamp_ns for r in open_log(recorder.path)]
    assert kept == [noise(i, 1)[3] for i in range(200 - len(kept), 200)] and 40 <= len(kept) < 80
    information = yaml.safe_load((recorder.path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["relative_file_paths"] == sorted(sizes, key=lambda n: int(n.split("_")[1].split(".")[0]))


def test_files_are_rotated_by_time_on_the_clock_that_is_given(tmp_path):
    now_s = [0.0]
    recorder = Recorder(tmp_path / "bag", dataclasses.replace(PARAMS, max_file_s=10.0), clock=lambda: now_s[0])
    for i in range(25):
        now_s[0] = float(i)
        recorder.tend()
        recorder.add(*noise(i))
    recorder.close()
    counts = [sum(file.counts.values()) for file in recorder.writer.files]
    assert counts == [11, 11, 3]


def test_a_type_that_nobody_defines_is_named(tmp_path):
    recorder = Recorder(tmp_path / "bag", PARAMS)
    with pytest.raises(InputError, match="definition of no_msgs/msg/Nothing is not known"):
        recorder.add("/nothing", "no_msgs/msg/Nothing", b"", START_NS)
    recorder.close()


def test_the_definition_of_a_package_is_found(tmp_path, monkeypatch):
    folder = tmp_path / "prefix" / "share" / "my_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Outer.msg").write_text("Inner[] things\nstd_msgs/Header header\n")
    (folder / "Inner.msg").write_text("float64 value\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    from nanorover.replay.definitions import definition_of

    text = definition_of("my_msgs/msg/Outer")
    assert "MSG: my_msgs/Inner" in text and "float64 value" in text and "MSG: std_msgs/Header" in text


def test_the_command_recovers(tmp_path):
    data = write_mcap(tmp_path / "bag", drive()).read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: len(data) // 2])
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", "record", "--recover"]

    def call(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, check=False, cwd=tmp_path / "bag"
        )

    done = call(str(tmp_path / "cut.mcap"))
    assert done.returncode == 0, done.stderr
    assert "recording cut off" in done.stderr
    scans = sum(1 for r in open_log(tmp_path / "cut_recovered") if isinstance(r, LaserScan))
    assert 10 < scans < 50
    again = call(str(tmp_path / "cut.mcap"))
    assert again.returncode == 2 and "exists already" in again.stderr
    done = call(".", "--out", str(tmp_path / "mended"))
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "mended" / "bag_recovered"
    assert whole(copy) and str(copy) in done.stderr


def test_a_ros1_bag_is_not_recovered_into_garbage(tmp_path):
    path = write_ros1(tmp_path / "old.bag", drive())
    with pytest.raises(InputError, match=r"old\.bag is a ROS 1 bag(.|\n)*rosbags-convert"):
        recover(path, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
