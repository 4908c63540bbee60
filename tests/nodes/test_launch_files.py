"""The launch files under the real `ros2 launch`, started by path."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nanorover.bringup.arguments import of_mode
from nanorover.tables import MODES, NODES

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
LEFT_OUT = "without:=" + ",".join(name for name in NODES if name != "static_frames")

pytestmark = [
    pytest.mark.nodes,
    pytest.mark.skipif(
        importlib.util.find_spec("launch_ros") is None or shutil.which("ros2") is None,
        reason="`ros2 launch` is not installed; it comes with ROS 2 and is on no package index",
    ),
]


def launch(mode: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["ros2", "launch", str(LAUNCH / f"{mode}.launch.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60.0)


def test_there_is_a_launch_file_for_every_mode():
    assert {path.name.removesuffix(".launch.py") for path in LAUNCH.glob("*.launch.py")} == set(MODES)


@pytest.mark.parametrize("mode", ["robot", "replay"])
def test_every_argument_is_described(mode):
    shown = " ".join(launch(mode, "--show-args").stdout.split())
    for argument in of_mode(mode).values():
        assert f"'{argument.name}': {argument.described} (default: '{argument.default}')" in shown


@pytest.mark.parametrize(
    ("mode", "word", "named"),
    [
        ("robot", "mapp:=x", "robot.launch.py has no argument 'mapp'"),
        ("slam", "map:=/nowhere.yaml", "there is no file '/nowhere.yaml'"),
        ("localization", "namespace:=a", "localization needs a map"),
        ("navigation", "use_respawn:=perhaps", "use_respawn is 'perhaps'"),
    ],
)
def test_bad_arguments_end_the_launch_with_the_reason(domain, mode, word, named):
    refused = launch(mode, word)
    assert refused.returncode != 0
    assert named in refused.stdout + refused.stderr
    assert "process started" not in refused.stdout + refused.stderr


def test_nodes_become_active_come_back_and_stop_in_time(domain, tmp_path):
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            ["ros2", "launch", "--noninteractive", str(LAUNCH / "robot.launch.py"), LEFT_OUT, "namespace:=alpha"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(said, "node static_frames is active", 1, process)
        first = started(said)[0]
        os.kill(first, signal.SIGKILL)
        wait_for(said, "node static_frames is active", 2, process)
        assert len(started(said)) == 2
    finally:
        os.killpg(process.pid, signal.SIGINT)
        asked = time.monotonic()
        process.wait(timeout=10.0)
    assert time.monotonic() - asked < 3.0
    assert "Traceback" not in said.read_text()
    assert not any(Path(f"/proc/{pid}").exists() for pid in started(said))


def started(said: Path) -> list[int]:
    lines = [
        line for line in said.read_text().splitlines() if "[static_frames-" in line and "started with pid" in line
    ]
    return [int(line.split("pid [")[1].split("]")[0]) for line in lines]


def wait_for(said: Path, text: str, times: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 40.0
    while said.read_text().count(text) < times:
        assert process.poll() is None and time.monotonic() < deadline, said.read_text()
        time.sleep(0.05)
