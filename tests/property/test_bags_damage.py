"""Recordings that were cut off or damaged anywhere: read as far as they go, said, and never a hang."""

import functools
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bag_samples import drive, write_mcap, write_ros1, write_rosbag2
from hypothesis import given, settings
from hypothesis import strategies as st

from nanorover.errors import InputError
from nanorover.replay.logs import open_log
from nanorover.replay.records import StaticTransform

WHOLE = [r.stamp_ns for r in drive()]


@functools.cache
def sample(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "mcap":
            return write_mcap(Path(folder) / "bag", drive()).read_bytes()
        if kind == "db3":
            return next(write_rosbag2(Path(folder) / "bag", drive()).glob("*.db3")).read_bytes()
        return write_ros1(Path(folder) / "bag.bag", drive()).read_bytes()


@contextmanager
def file_with(data: bytes, suffix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"damaged{suffix}"
        path.write_bytes(data)
        yield path


def read(path: Path) -> tuple[list[int], dict[str, int]]:
    log = open_log(path)
    stamps = [r.stamp_ns for r in log if not isinstance(r, StaticTransform)]
    return stamps, dict(log.problems.counts)


@settings(deadline=None, max_examples=150)
@given(st.floats(0.0, 1.0))
def test_an_mcap_cut_off_anywhere_keeps_all_that_came_before(share):
    data = sample("mcap")
    cut = int(share * (len(data) - 1))
    with file_with(data[:cut], ".mcap") as path:
        try:
            stamps, problems = read(path)
        except InputError:
            assert cut < 2000, "only what ends before the first chunk is refused"
            return
    assert stamps == WHOLE[: len(stamps)]
    # at most the chunk that was under way is lost (about ten records), and the summary at the end
    messages_end = data.rfind(b"/odom")
    assert len(stamps) >= len(WHOLE) * min(1.0, cut / messages_end) - 15
    if len(stamps) < len(WHOLE):
        assert problems.get("recording cut off; read up to there") == 1


@settings(deadline=None, max_examples=200)
@given(st.data())
@pytest.mark.parametrize("kind", ["mcap", "db3", "bag"])
def test_flipped_bytes_anywhere_never_hang_or_crash(kind, data):
    raw = bytearray(sample(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with file_with(bytes(raw), f".{kind}") as path:
        try:
            stamps, _ = read(path)
        except InputError as error:
            assert "damaged" in str(error)
            return
    assert len(stamps) <= len(WHOLE)


def test_a_definition_without_a_field_costs_the_messages_and_no_more():
    raw = sample("mcap")
    assert b"string frame_id" in raw
    with file_with(raw.replace(b"string frame_id", b"string frame_ix"), ".mcap") as path:
        _, problems = read(path)
    assert problems["message that cannot be decoded skipped"] > 0


@settings(deadline=None, max_examples=60)
@given(st.floats(0.0, 1.0))
@pytest.mark.parametrize("kind", ["db3", "bag"])
def test_other_formats_cut_off_anywhere(kind, share):
    data = sample(kind)
    with file_with(data[: int(share * len(data))], f".{kind}") as path:
        try:
            stamps, _ = read(path)
        except InputError as error:
            assert path.name in str(error)
            return
    assert set(stamps) <= set(WHOLE)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.sampled_from([".mcap", ".db3", ".bag", ".xyz", ""]))
def test_what_is_no_recording_is_refused(data, suffix):
    with file_with(data, suffix) as path, pytest.raises(InputError, match="damaged"):
        read(path)


def test_one_damaged_chunk_costs_that_chunk_only():
    data = bytearray(sample("mcap"))
    middle = len(data) // 3
    data[middle : middle + 4] = b"\x00\x00\x00\x00"
    with file_with(bytes(data), ".mcap") as path:
        stamps, problems = read(path)
    assert problems == {"damaged mcap chunk skipped": 1}
    assert len(WHOLE) - 15 <= len(stamps) < len(WHOLE)
    assert set(stamps) < set(WHOLE) and stamps == sorted(stamps)


def lost_in(kind: str) -> tuple[list[int], dict[str, int]]:
    """What is read of a ROS 1 bag of many chunks whose middle is overwritten."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_ros1(Path(folder) / "bag.bag", drive(), kind, 5000)
        data = bytearray(path.read_bytes())
        chunks = [found.start() for found in re.finditer(b"compression=", data)]
        middle = chunks[len(chunks) // 2] + 60
        data[middle : middle + 40] = bytes(40)
        path.write_bytes(data)
        return read(path)


@pytest.mark.parametrize("kind", ["", "bz2", "lz4"])
def test_a_ros1_bag_is_read_on_behind_a_damaged_chunk(kind):
    stamps, problems = lost_in(kind)
    assert problems.pop("damaged chunk, read as far as it goes") == 1
    assert problems["message lost in a damaged chunk"] == len(WHOLE) - len(stamps)
    assert len(WHOLE) - 15 <= len(stamps) < len(WHOLE)
    assert stamps[-1] == WHOLE[-1] and set(stamps) < set(WHOLE)


def test_a_ros1_bag_without_its_index_is_walked_through():
    data = sample("bag")
    with file_with(data[: int(0.6 * len(data))], ".bag") as path:
        stamps, problems = read(path)
    assert stamps == WHOLE[: len(stamps)] and len(stamps) > 0.4 * len(WHOLE)
    assert problems["recording without a whole index; read up to there"] == 1


def test_a_database_is_read_around_a_damaged_page():
    data = bytearray(sample("db3"))
    page = len(data) // 4096 // 2 * 4096
    data[page : page + 4096] = bytes(4096)
    with file_with(bytes(data), ".db3") as path:
        stamps, problems = read(path)
    assert 0.7 * len(WHOLE) < len(stamps) < len(WHOLE) and set(stamps) <= set(WHOLE)
    assert "damaged database; what can be reached is read" in problems


def test_a_damaged_record_of_an_mcap_costs_only_itself():
    data = bytearray(sample("mcap"))
    second = data.index(b"\x06", data.index(b"zstd") + 200)
    while data[second + 1 + 8 + 8 + 8 + 8 + 4 : second + 41] != b"\x04\x00\x00\x00":
        second = data.index(b"\x06", second + 1)
    data[second + 5 : second + 9] = b"\xff" * 4  # the length of the second chunk
    with file_with(bytes(data), ".mcap") as path:
        stamps, problems = read(path)
    assert stamps == WHOLE, "the index knows where that chunk is, and how long"
    assert problems == {"damaged mcap record; what follows is read by the index": 1}


def test_an_mcap_cut_off_so_that_a_record_ends_where_the_footer_would_begin():
    data, end = sample("mcap"), 8
    for _ in range(20):
        end += 9 + int.from_bytes(data[end + 1 : end + 9], "little")
    with file_with(data[: end + 9 + 20 + 8], ".mcap") as path:
        stamps, problems = read(path)
    assert stamps == WHOLE[: len(stamps)] and len(stamps) > 5
    assert problems == {"recording cut off; read up to there": 1}
