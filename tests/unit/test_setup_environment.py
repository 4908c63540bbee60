"""Set-up notices what is missing, and does again what was interrupted."""

import subprocess
import sys
import threading
import venv
from pathlib import Path

import pytest

from data import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "scripts"))
from environment import PYTHONS, Environment, SetupError, digest, link, missing_files
from set_up import SetUp, wait_for_turn

THIS = sys.version_info[:2]


def dist_info(folder: Path, *recorded: str) -> Path:
    """A package as pip leaves it, with ``recorded`` as its files."""
    made = folder / "thing-1.0.dist-info"
    made.mkdir(parents=True)
    names = [*recorded, "thing-1.0.dist-info/INSTALLER", "thing-1.0.dist-info/RECORD"]
    (made / "RECORD").write_text("".join(f"{name},sha256=x,1\n" for name in names))
    (made / "INSTALLER").write_text("pip\n")
    return made


def test_a_package_is_whole_only_with_its_list_and_every_file_on_it(tmp_path: Path):
    made = dist_info(tmp_path, "thing/a.py", '"thing/b,c.py"', "thing/__pycache__/a.cpython-311.pyc")
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "a.py").touch()
    assert missing_files(made) == [tmp_path / "thing" / "b,c.py"]
    (tmp_path / "thing" / "b,c.py").touch()
    assert missing_files(made) == []  # compiled files may be swept away
    (made / "INSTALLER").unlink()  # pip writes it after the files
    assert missing_files(made) == [made / "RECORD"]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with space") / ".venv"
    venv.create(folder, with_pip=True)
    return folder


def test_an_environment_is_usable_where_it_was_made_and_nowhere_else(real: Path, tmp_path: Path):
    other = next(version for version in PYTHONS if version != THIS)
    assert Environment(real).version() == THIS
    assert Environment(real).usable(None) and Environment(real).usable(THIS)
    assert not Environment(real).usable(other)
    moved = tmp_path / "moved"
    moved.symlink_to(real)
    assert not Environment(moved).usable(None)
    assert not Environment(tmp_path / "absent").usable(None)


def test_a_half_made_environment_is_not_usable(tmp_path: Path):
    folder = tmp_path / ".venv"
    venv.create(folder, with_pip=True)
    inside_pip = Environment(folder).site_packages() / "pip" / "_internal" / "cli" / "main.py"
    inside_pip.unlink()
    assert not Environment(folder).usable(None)
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to("/nowhere/python3.11")  # the system's Python was removed
    assert Environment(folder).version() == ()
    assert not Environment(folder).usable(None)


def test_make_environment_replaces_what_is_broken_and_keeps_what_works(tmp_path: Path):
    folder = tmp_path / ".venv"
    folder.mkdir()
    (folder / "rubbish").touch()
    SetUp([], venv=folder).make_environment()
    assert not (folder / "rubbish").exists()
    assert Environment(folder).usable(None)
    (folder / "treasure").touch()
    SetUp([], venv=folder).make_environment()
    assert (folder / "treasure").exists()


def test_a_step_is_done_once_and_again_when_it_must(tmp_path: Path):
    done = []
    steps = SetUp([], venv=tmp_path)
    steps.step("paint", "red", True, lambda: done.append("red"))
    steps.step("paint", "red", True, lambda: done.append("again"))
    assert done == ["red"]
    steps.step("paint", "blue", True, lambda: done.append("blue"))  # made from something else now
    steps.step("paint", "blue", False, lambda: done.append("lost"))  # what it made is gone
    assert done == ["red", "blue", "lost"]


def test_an_interrupted_step_leaves_no_key(tmp_path: Path):
    def interrupted() -> None:
        raise KeyboardInterrupt

    steps = SetUp([], venv=tmp_path)
    steps.step("paint", "red", True, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        steps.step("paint", "blue", True, interrupted)
    assert '"paint"' not in (tmp_path / "nanorover" / "state.json").read_text()


def test_a_failing_program_is_named_with_its_last_words_and_the_way_out(tmp_path: Path):
    environment = Environment(tmp_path)
    environment.notes.mkdir()
    with pytest.raises(SetupError, match=r"(?s)no such wheel.*log\.txt.*rm -rf"):
        environment.run(sys.executable, "-c", "import sys; sys.exit('no such wheel')")


def test_foreign_header_paths_are_replaced_by_those_of_this_machine(real: Path):
    file = real / "share" / "x_msgs" / "cmake" / "export_x_msgs__rosidl_generator_pyExport.cmake"
    file.parent.mkdir(parents=True, exist_ok=True)
    old = "/opt/python/cp311-cp311"
    file.write_text(
        f'INCLUDES "{old}/include/python3.11;{old}/lib/python3.11/site-packages/numpy/_core/include"\n'
    )
    SetUp([], venv=real).repair_cmake_paths()
    site_packages = Environment(real).site_packages()
    include = subprocess.check_output(
        [real / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('include'))"], text=True
    ).strip()
    assert file.read_text() == f'INCLUDES "{include};{site_packages}/numpy/_core/include"\n'


def test_digest_sees_contents_and_names(tmp_path: Path):
    folder = tmp_path / "msg"
    folder.mkdir()
    (folder / "A.msg").write_text("int32 a")
    first = digest(folder)
    (folder / "A.msg").write_text("int64 a")
    second = digest(folder)
    (folder / "A.msg").rename(folder / "B.msg")
    assert len({first, second, digest(folder)}) == 3
    assert digest(folder) == digest(folder)


def test_link_replaces_whatever_is_there(tmp_path: Path):
    target = tmp_path / "target"
    target.mkdir()
    for kind in ("nothing", "file", "folder", "link"):
        at = tmp_path / "sub" / kind
        at.parent.mkdir(exist_ok=True)
        if kind == "file":
            at.write_text("x")
        elif kind == "folder":
            (at / "deep").mkdir(parents=True)
        elif kind == "link":
            at.symlink_to(tmp_path / "elsewhere")
        link(at, target)
        assert at.readlink() == target


def test_the_installed_ros_overrides_the_pins_that_must_fit_it(tmp_path: Path):
    steps = SetUp([], ros=Path("/opt/ros/jazzy"), venv=tmp_path)
    steps.environment.notes.mkdir()
    lines = steps.with_overrides(REPOSITORY / "scripts" / "requirements" / "robot.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("numpy")] == ["numpy==1.26.4"]
    assert any(line.startswith("rosbags==") for line in lines)


def without_programs(tmp_path: Path, *programs: str) -> dict[str, str]:
    """An environment in which only these programs are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in programs:
        found = subprocess.check_output(["bash", "-c", f"command -v {program}"], text=True).strip()
        (folder / program).symlink_to(found)
    return {"PATH": str(folder)}


def test_missing_programs_are_named_with_the_packages_that_bring_them(tmp_path: Path):
    environment = without_programs(tmp_path, "bash", "dirname")
    (tmp_path / "bin" / "python3.11").symlink_to(sys.executable)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "setup").symlink_to(REPOSITORY / "scripts" / "setup")
    done = subprocess.run(
        ["bash", scripts / "setup"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    for package in ("cmake", "g++", "ninja-build"):
        assert package in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_python_that_does_not_do_is_refused(tmp_path: Path):
    done = subprocess.run(
        ["bash", REPOSITORY / "scripts" / "setup", "--python", "/bin/false"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "/bin/false does not do" in done.stderr and "python3-venv" in done.stderr


def test_an_unknown_group_is_refused_with_those_that_exist():
    done = subprocess.run([REPOSITORY / "scripts" / "setup", "vieww"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown group vieww" in done.stderr and "robot, ros, sim, test, train" in done.stderr


def test_a_second_set_up_says_that_it_waits(tmp_path: Path, capfd):
    file = tmp_path / "lock"
    file.touch()
    with file.open() as first, file.open() as second:
        wait_for_turn(first)
        assert capfd.readouterr().err == ""
        waiting = threading.Thread(target=wait_for_turn, args=(second,))
        waiting.start()
        said = ""
        while "another set-up runs here" not in said and waiting.is_alive():
            said += capfd.readouterr().err
        assert waiting.is_alive()
        first.close()
        waiting.join(10.0)
        assert not waiting.is_alive()
