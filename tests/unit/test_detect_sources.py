"""What ``nanorover detect`` reads: folders, videos and bags, whole and damaged; what it prints when it ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_samples import NS, START_NS, write_mcap
from typer.testing import CliRunner, Result

from nanorover.cli import with_commands
from nanorover.errors import InputError
from nanorover.perception.pictures import pictures
from nanorover.replay.records import Picture

WHITE = np.full((64, 96, 3), 255, np.uint8)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (64, 96, 3), dtype=np.uint8)


def write_bag(folder: Path, count: int = 20) -> Path:
    """A bag of JPEG pictures; returns its file."""

    def records() -> Iterator[Picture]:
        for i in range(count):
            jpeg = cv2.imencode(".jpg", noise(i))[1].tobytes()
            yield Picture(START_NS + i * NS // 10, jpeg, "jpeg")

    return write_mcap(folder, records(), chunk_bytes=20_000)


def write_video(path: Path, count: int = 10) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for i in range(count):
        writer.write(noise(i))
    writer.release()
    return path


def read(source: Path) -> tuple[list[str], list[str]]:
    """Names of the pictures that were read, and what was said."""
    said: list[str] = []
    return [p.source for p in pictures([source], said.append) if p.image_bgr is not None], said


def test_a_damaged_bag_is_not_silently_short(tmp_path: Path) -> None:
    file = write_bag(tmp_path / "bag")
    names, said = read(tmp_path / "bag")
    assert (len(names), said) == (20, [])
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes(b ^ 0x55 for b in whole[middle : middle + 50]) + whole[middle + 50 :])
    names, said = read(tmp_path / "bag")
    assert 0 < len(names) < 20
    assert "damaged" in said[0]
    file.write_bytes(whole[:middle])
    names, said = read(tmp_path / "bag")
    assert 0 < len(names) < 20
    assert any("cut off" in sentence for sentence in said)
    file.write_bytes(whole[:2000])
    with pytest.raises(InputError, match="(?s)holds no camera pictures.*cut off"):
        read(tmp_path / "bag")


def test_a_bag_s_folder_is_the_bag(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", count=3)
    cv2.imwrite(str(tmp_path / "bag" / "preview.jpg"), WHITE)
    names, said = read(tmp_path / "bag")
    assert len(names) == 3
    assert "preview.jpg" in said[0]


def test_videos_in_a_folder_are_read_too_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), WHITE)
    write_video(tmp_path / "b.avi", count=2)
    (tmp_path / "c.mp4").write_bytes(b"no video")
    found = list(pictures([tmp_path], pytest.fail))
    assert [Path(p.source).name for p in found if p.refused is None] == ["a.png", "b.avi#0", "b.avi#1"]
    assert "cannot be opened" in str(found[-1].refused)


def test_a_cut_video_is_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi")
    assert (len(read(path)[0]), read(path)[1]) == (10, [])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    names, said = read(path)
    assert 0 < len(names) < 10
    assert f"gave {len(names)} of the 10 pictures" in said[0]


def test_what_was_found_is_printed_also_when_it_is_interrupted(tmp_path: Path, tiny_onnx: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), WHITE)
    sources = [str(tmp_path / "a.png")] * 3_000
    arguments = ["detect", *sources, "--model", str(tiny_onnx), "--out", str(tmp_path / "out"), "--json"]
    # A suite that runs in the background has been told to ignore SIGINT, and its children inherit that.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from nanorover.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        end_s = time.monotonic() + 60
        while not (tmp_path / "out" / "a-3.jpg").exists():
            assert process.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        found = json.loads(process.communicate(timeout=30)[0])
    finally:
        process.kill()
    assert process.returncode not in (0, -signal.SIGKILL)
    assert len(found) >= 3
    assert {entry["label"] for entry in found} == {"label0"}


def test_pictures_are_not_written_over_and_results_are_not_read_again(tmp_path: Path, tiny_onnx: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), WHITE)
    content = (tmp_path / "a.jpg").read_bytes()

    def run(source: Path, out: Path) -> Result:
        return CliRunner().invoke(
            with_commands(), ["detect", str(source), "--model", str(tiny_onnx), "--out", str(out), "--json"]
        )

    for source in (tmp_path, tmp_path / "a.jpg"):
        assert "would write over pictures" in str(run(source, tmp_path).exception)
    assert (tmp_path / "a.jpg").read_bytes() == content
    for _ in range(2):
        done = run(tmp_path, tmp_path / "out")
        assert {entry["image"] for entry in json.loads(done.stdout)} == {str(tmp_path / "a.jpg")}
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jpg"]


def test_explain_refuses_what_it_would_ignore() -> None:
    done = CliRunner().invoke(
        with_commands(), ["detect", "a.png", "--explain", "m.pt", "--model", "rover", "--json"]
    )
    assert isinstance(done.exception, InputError)
    assert "without --model, --json" in str(done.exception)
