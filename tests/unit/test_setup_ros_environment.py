"""The environment of ROS processes: complete, and never against what a person has set."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nanorover import ros_environment
from nanorover.ros_environment import WHEELS_GUARD

PREFIX = Path("/somewhere/.venv")


def added(**present: str) -> dict[str, str]:
    return ros_environment.ros_environment(PREFIX, {"HOME": os.getcwd(), **present})


def test_everything_is_set_where_nothing_is():
    assert added() == {
        "AMENT_PREFIX_PATH": str(PREFIX),
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(ros_environment.FASTDDS_PROFILE),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


def test_what_a_person_has_set_stays():
    chosen = {
        "FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "AMENT_PREFIX_PATH": f"/overlay:{PREFIX}",
    }
    assert added(**chosen) == {}
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in added(ROS_LOCALHOST_ONLY="0")


def test_the_prefix_comes_before_an_installed_ros_and_humble_gets_its_own_variable():
    environment = added(AMENT_PREFIX_PATH="/opt/ros/humble", ROS_DISTRO="humble")
    assert environment["AMENT_PREFIX_PATH"] == f"{PREFIX}:/opt/ros/humble"
    assert environment["ROS_LOCALHOST_ONLY"] == "1"
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in environment


@pytest.mark.parametrize("home", ["", "/nowhere/at/all"])
def test_logs_have_a_place_where_home_has_none(home: str):
    assert added(HOME=home)["ROS_LOG_DIR"].endswith("/log")
    assert "ROS_LOG_DIR" not in added(HOME=home, ROS_HOME="/data/ros")


def test_the_wheels_of_another_environment_are_left_behind(tmp_path: Path):
    other = tmp_path / "other"
    (other / "lib").mkdir(parents=True)
    (other / "pyvenv.cfg").touch()
    libraries = f"{other / 'lib'}:/usr/local/cuda/lib64"
    environment = added(**{WHEELS_GUARD: "1", "LD_LIBRARY_PATH": libraries})
    assert environment[WHEELS_GUARD] == ""
    assert environment["LD_LIBRARY_PATH"] == "/usr/local/cuda/lib64"
    own = added(**{WHEELS_GUARD: "1", "LD_LIBRARY_PATH": f"{PREFIX / 'lib'}:{libraries}"})
    assert WHEELS_GUARD not in own and "LD_LIBRARY_PATH" not in own


def test_a_shell_takes_it_over_even_with_a_space_in_the_path(tmp_path: Path):
    prefix = tmp_path / "with space"
    shell = (
        'eval "$("$1" -I -S "$2" "$3")"; '
        'printf "%s|%s" "$AMENT_PREFIX_PATH" "${_ROS_WHEELS_BOOTSTRAP_COMPLETE-unset}"'
    )
    done = subprocess.run(
        ["bash", "-c", shell, "bash", sys.executable, ros_environment.__file__, prefix],
        env={"PATH": os.environ["PATH"], WHEELS_GUARD: "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{prefix}|unset"


def test_the_profile_announces_often_and_has_room_for_pictures():
    profile = ElementTree.parse(ros_environment.FASTDDS_PROFILE)
    space = {"dds": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    announcement = profile.find(".//dds:leaseAnnouncement/dds:nanosec", space)
    segment = profile.find(".//dds:segment_size", space)
    assert announcement is not None and int(announcement.text or 0) == 300_000_000
    assert segment is not None and int(segment.text or 0) == 16 * 1024 * 1024
