"""The images and what starts them: linted, without root, with the devices and sockets of the boards.

No image is built here. What can be checked without a Docker daemon is: what an image copies exists, its packages
are those that set-up asks for, its commands are understood.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data import REPOSITORY
from nanorover.bringup import arguments
from nanorover.bringup.plan import PortAbsent
from nanorover.bringup.supervisor import REFUSED_EXIT_CODE
from nanorover.errors import InputError
from nanorover.params import load
from nanorover.perception.params import DetectorParams

DOCKER = REPOSITORY / "docker"
IMAGES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE = [path for path in sorted(DOCKER.glob("compose.*.yaml")) if "common" not in path.name]


def services(path: Path) -> dict[str, dict]:
    """The services with what they extend, as Compose merges them: lists grow, mappings merge."""
    common = yaml.safe_load((DOCKER / "compose.common.yaml").read_text())["services"]["robot"]
    merged = {}
    for name, own in yaml.safe_load(path.read_text())["services"].items():
        assert own.pop("extends") == {"file": "compose.common.yaml", "service": "robot"}, name
        service = dict(common)
        for key, value in own.items():
            if isinstance(value, list) and key not in ("command",):
                service[key] = [*common.get(key, []), *value]
            elif isinstance(value, dict):
                service[key] = {**common.get(key, {}), **value}
            else:
                service[key] = value
        merged[name] = service
    return merged


def test_the_service_tries_again_for_a_port_that_comes_late_and_only_for_what_can_mend_itself():
    unit = configparser.ConfigParser()
    unit.read(DOCKER / "systemd" / "nanorover.service")
    assert unit["Service"]["Restart"] == "on-failure"
    never = {int(code) for code in unit["Service"]["RestartPreventExitStatus"].split()}
    assert never == {InputError.exit_code, REFUSED_EXIT_CODE} and PortAbsent.exit_code not in never
    assert int(unit["Unit"]["StartLimitIntervalSec"]) == 0, "no limit of starts"


@pytest.mark.parametrize("image", IMAGES, ids=lambda p: p.name)
def test_an_image_passes_the_linter(image):
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed: ./scripts/setup docs")
    checked = subprocess.run([linter, str(image)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("image", IMAGES, ids=lambda p: p.name)
def test_an_image_runs_without_root_says_how_it_is_and_copies_what_exists(image):
    text = image.read_text()
    assert set(re.findall(r"[\w.]+\.Dockerfile", text)) <= {path.name for path in IMAGES}
    last_stage = text[text.rindex("\nFROM") :]
    user = re.findall(r"^USER (\S+)", last_stage, re.M)[-1]
    assert user.isdigit() and int(user) > 0
    assert f"useradd --uid {user}" in last_stage
    assert "HEALTHCHECK" in last_stage
    for source in re.findall(r"^COPY (?!--from)(\S+) ", text, re.M):
        assert (REPOSITORY / source).exists(), source
    for line in text.splitlines():
        assert "latest" not in line


def test_the_robots_image_leaves_its_tools_behind():
    text = (DOCKER / "robot.Dockerfile").read_text()
    build, final = text.split("\nFROM")[1:]
    assert "build-essential" in build and "build-essential" not in final
    for name in ("cmake", "ninja-build", "python3-venv", "python3-dev"):
        assert name in build, "./scripts/setup asks for it"
    assert not {".venv", ".git", "tests"} - set((REPOSITORY / ".dockerignore").read_text().split())


def installed_by(image: Path) -> set[str]:
    """Packages that an image's steps take from apt."""
    steps = re.findall(r"apt-get install --yes --no-install-recommends \\\n(.*?)\n  &&", image.read_text(), re.S)
    return {word.strip('"') for step in steps for word in step.replace("\\", " ").split()}


def test_what_a_plain_debian_can_install_of_the_desk_image_it_can(tmp_path):
    """The archive of ROS brings the packages named ros-… and colcon; the others come from the distribution."""
    packages = installed_by(DOCKER / "robot.Dockerfile")
    plain = sorted(name for name in packages if not name.startswith("ros-") and "colcon" not in name)
    assert {"build-essential", "cmake", "ninja-build", "python3-dev", "python3-venv"} <= set(plain)
    if shutil.which("apt-get") is None or not any(Path("/var/lib/apt/lists").glob("*Packages*")):
        pytest.skip("no list of packages: apt-get update")
    command = ["apt-get", "install", "--simulate", "--yes", "--no-install-recommends", *plain]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr


def test_what_the_desk_image_copies_is_enough_to_build_and_run(tmp_path):
    """Without what .dockerignore leaves out, the set-up script starts and the library finds all of its files."""
    ignored = {line.removeprefix("**/") for line in (REPOSITORY / ".dockerignore").read_text().split()}
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    context = tmp_path / "nanorover"
    for name in tracked.stdout.splitlines():
        if not any(name == i or name.startswith(f"{i}/") for i in ignored) and (REPOSITORY / name).exists():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, context / name, follow_symlinks=False)
    setup = subprocess.run([context / "scripts/setup", "--help"], capture_output=True, text=True, check=False)
    assert setup.returncode == 0, setup.stderr
    question = (
        "import nanorover; from nanorover.perception.description import models_folder as m\n"
        "from nanorover.bringup.robot_model import XACRO\nprint(nanorover.__file__, m(), XACRO.exists())"
    )
    source = str(context / "ros2_ws/src/nanorover")
    asked = subprocess.run(
        [sys.executable, "-c", question],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((source, os.environ.get("PYTHONPATH", "")))},
    )
    assert asked.stdout.split() == [f"{source}/nanorover/__init__.py", f"{source}/models", "True"]
    assert (context / "ros2_ws/src/nanorover_bringup/launch/robot.launch.py").exists()
    assert os.access(context / "docker/run", os.X_OK)


@pytest.mark.parametrize("path", COMPOSE, ids=lambda p: p.name)
def test_containers_share_network_and_memory_and_have_no_privileges(path):
    for name, service in services(path).items():
        assert service["network_mode"] == "host" and service["ipc"] == "host", name
        assert service["cap_drop"] == ["ALL"] and "privileged" not in service and "user" not in service, name
        assert service["stop_signal"] == "SIGINT" and service["restart"] == "unless-stopped"
        assert service["environment"]["ROS_AUTOMATIC_DISCOVERY_RANGE"].endswith(":-LOCALHOST}")
        image = DOCKER.parent / service["build"]["dockerfile"]
        assert image.exists() and (path.parent / service["build"]["context"]).resolve() == REPOSITORY


@pytest.mark.parametrize("path", COMPOSE, ids=lambda p: p.name)
def test_the_robot_that_a_container_starts_is_understood(path):
    command = services(path)["robot"]["command"]
    assert command[:3] == ["nanorover", "up", "robot"]
    words = [word.replace("/opt/nanorover", str(REPOSITORY)) for word in command[3:] if word != "--view"]
    values = arguments.check("robot", arguments.split(words))
    if values["params_file"]:
        load(DetectorParams, "detector", values["params_file"])


def test_a_jetson_serves_its_engine_where_the_detector_looks_for_it():
    jetson = services(DOCKER / "compose.jetson.yaml")
    image = (REPOSITORY / jetson["engine"]["build"]["dockerfile"]).read_text()
    socket = load(DetectorParams, "detector").engine_socket
    assert f'"nanorover.perception.serve", "--model", "rover", "--socket", "{socket}"' in image
    folder = str(Path(socket).parent)
    for name, service in jetson.items():
        assert f"engine:{folder}" in service["volumes"] and service["runtime"] == "nvidia", name
    assert load(DetectorParams, "detector", DOCKER / "remote_engine.yaml").engine == "remote"
    assert "/tmp/argus_socket:/tmp/argus_socket" in jetson["robot"]["volumes"]
    for device in ("/dev/ydlidar", "/dev/ttyACM0", "/dev/video0"):
        assert any(device in given for given in jetson["robot"]["devices"])


def test_the_command_runner_finds_the_environment(tmp_path):
    ran = subprocess.run(
        [DOCKER / "run", "printenv", "AMENT_PREFIX_PATH"], capture_output=True, text=True, check=False
    )
    if not (REPOSITORY / ".venv" / "nanorover.env.sh").exists():
        pytest.skip("./scripts/setup has not run here")
    assert ran.returncode == 0 and str(REPOSITORY / ".venv") in ran.stdout


def test_the_service_starts_at_boot_and_stops_in_order(tmp_path):
    unit = DOCKER / "systemd" / "nanorover.service"
    text = unit.read_text()
    for line in ("User=rover", "KillSignal=SIGINT", "WantedBy=multi-user.target", "RestartPreventExitStatus=2"):
        assert line in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    here = tmp_path / unit.name
    here.write_text(text.replace("/opt/nanorover", str(REPOSITORY)))
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=False, env=environment
    )
    complaints = [line for line in checked.stderr.splitlines() if unit.name in line]
    assert not complaints
