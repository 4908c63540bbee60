"""The workspace builds with stock colcon and lands where `ros2 run` and `ros2 launch` look."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data import REPOSITORY
from nanorover.ros_environment import ros_environment
from nanorover.tables import NODES

# The first test to come builds everything.
pytestmark = [pytest.mark.slow, pytest.mark.nodes, pytest.mark.timeout(900)]

PACKAGES = {
    "nanorover", "nanorover_nodes", "nanorover_bringup", "nanorover_interfaces", "tf2_msgs", "vision_msgs",
}  # fmt: skip


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The install folder of a `colcon build` of a copy of the workspace, with one launch file more."""
    root = tmp_path_factory.mktemp("colcon")
    unwanted = shutil.ignore_patterns("*.egg-info", "__pycache__", "build", "install", "log")
    shutil.copytree(REPOSITORY / "ros2_ws", root / "ros2_ws", symlinks=True, ignore=unwanted)
    for linked in ("launch", "models"):
        shutil.copytree(REPOSITORY / linked, root / linked, ignore=unwanted)
    (root / "launch" / "probe.launch.py").write_text("PROBE = True\n")
    # Python's own folder leads the path: ament's CMake code calls `python3`.
    environment = {
        **os.environ,
        **ros_environment(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    built = subprocess.run(
        [Path(sys.executable).with_name("colcon"), "build", "--executor", "sequential", "--event-handlers",
         "console_direct+", "--cmake-args", "-G", "Ninja", "-DBUILD_TESTING=OFF",
         f"-DPython3_EXECUTABLE={sys.executable}"],
        cwd=root / "ros2_ws", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    return root / "ros2_ws" / "install"


def test_every_package_is_built_and_marked(install: Path):
    built = {folder.name for folder in install.iterdir() if (folder / "share" / folder.name).is_dir()}
    assert built >= PACKAGES
    for name in built:
        assert (install / name / "share" / "ament_index" / "resource_index" / "packages" / name).is_file()
        assert (install / name / "share" / name / "package.xml").is_file()


def test_every_node_is_where_ros2_run_looks(install: Path):
    for node in NODES.values():
        program = install / node.package / "lib" / node.package / node.executable
        assert os.access(program, os.X_OK), f"{node.name}: no executable {program}"


def test_launch_files_parameters_and_models_are_installed(install: Path):
    share = install / "nanorover_bringup" / "share" / "nanorover_bringup" / "launch"
    assert (share / "probe.launch.py").read_text() == "PROBE = True\n"
    for file in (REPOSITORY / "launch").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert (share / file.relative_to(REPOSITORY / "launch")).is_file()
    models = install / "nanorover" / "share" / "nanorover" / "models"
    assert (models / "weights" / "rover" / "rover.onnx").is_file() and any((models / "public").glob("*.yaml"))
    library = next(install.glob("nanorover/lib/python*/site-packages/nanorover"))
    for pattern in ("params/*.yaml", "*.xml"):
        wanted = {p.name for p in (REPOSITORY / "ros2_ws/src/nanorover/nanorover").glob(pattern)}
        assert wanted and wanted <= {p.name for p in library.glob(pattern)}


def test_what_was_built_runs(install: Path):
    """In a shell that sourced the workspace, its own messages and nodes are the ones found."""
    question = "import nanorover, nanorover_nodes, vision_msgs.msg as v; print(nanorover.__file__, v.__file__)"
    setup = install / "setup.bash"
    asked = subprocess.run(
        ["bash", "-c", f'source "$1" && "$2" -c "{question}"', "bash", setup, sys.executable],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = asked.stdout.split()
    assert len(files) == 2 and all(file.startswith(str(install)) for file in files)
