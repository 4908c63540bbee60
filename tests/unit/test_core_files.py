"""Files appear whole or not at all."""

import pytest

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.processes import Processes


def test_a_file_appears_whole_and_keeps_its_suffix(tmp_path):
    with replacing(tmp_path / "new" / "map.png") as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".png"
        assert not (tmp_path / "new" / "map.png").exists()
    assert (tmp_path / "new" / "map.png").read_text() == "whole"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["map.png"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "map.yaml"
    target.write_text("old")

    def interrupted():
        with replacing(target) as temporary:
            temporary.write_text("hal")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["map.yaml"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), replacing(tmp_path / "file" / "map.png"):
        pass
    with pytest.raises(InputError, match="it is a folder"), replacing(tmp_path):
        pytest.fail("nothing may be written")


def test_a_disk_that_runs_full_is_a_sentence_and_leaves_no_half_file(small_disk):
    told = pytest.raises(InputError, match=r"map\.png: No space left on device\n  → make room")
    with told, replacing(small_disk / "map.png") as temporary:
        temporary.write_bytes(bytes(4_000_000))
    assert list(small_disk.iterdir()) == []


def test_what_else_goes_wrong_while_a_file_is_written_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "map.png"):
        (tmp_path / "no such picture").read_bytes()


def test_the_logs_of_nodes_in_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    told = pytest.raises(InputError, match="cannot write into .*file/log")
    with Processes(tmp_path / "file" / "log") as processes, told:
        processes.start("node", ["-c", ""])
