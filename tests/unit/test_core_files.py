"""Files appear whole or not at all."""

import pytest

from nanorover.errors import InputError
from nanorover.files import replacing


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
