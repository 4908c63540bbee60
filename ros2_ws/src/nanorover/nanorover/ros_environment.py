"""The environment variables with which ROS 2 nodes find their packages and each other, declared once.

``ros_environment()`` gives them to child processes; ``python ros_environment.py PREFIX`` prints them for a
shell (``source .venv/nanorover.env.sh``). What a person has set is never overruled. Only the standard library
is used, because set-up runs this before anything is installed.
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# The ROS wheels restart Python with a library path, once; this variable keeps them from doing so for ever.
WHEELS_GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
FASTDDS_PROFILE = Path(__file__).resolve().with_name("fastdds.xml")


def ros_environment(
    prefix: Path = Path(sys.prefix), present: Mapping[str, str] = os.environ, profile: Path = FASTDDS_PROFILE
) -> dict[str, str]:
    """What to add to the environment ``present`` for nodes that run from the Python environment ``prefix``.

    A variable to be unset comes as an empty string.
    """
    added: dict[str, str] = {}
    ament_prefixes = present.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    if str(prefix) not in ament_prefixes:
        added["AMENT_PREFIX_PATH"] = os.pathsep.join([str(prefix), *filter(None, ament_prefixes)])
    if "FASTRTPS_DEFAULT_PROFILES_FILE" not in present:
        added["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(profile)
    if not {"ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"} & present.keys():
        added.update(_localhost_only(present.get("ROS_DISTRO", "jazzy")))
    if not {"ROS_LOG_DIR", "ROS_HOME"} & present.keys() and not _writable(present.get("HOME")):
        # rclpy refuses to start where it cannot write its log.
        added["ROS_LOG_DIR"] = str(Path(tempfile.gettempdir()) / f"nanorover-{os.getuid()}" / "log")
    added.update(_without_other_wheels(prefix, present))
    return added


def _localhost_only(distribution: str) -> dict[str, str]:
    if distribution == "humble":  # the discovery range came with Iron, which deprecates the older variable
        return {"ROS_LOCALHOST_ONLY": "1"}
    return {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def _writable(home: str | None) -> bool:
    return bool(home) and os.access(str(home), os.W_OK)


def _without_other_wheels(prefix: Path, present: Mapping[str, str]) -> dict[str, str]:
    """Undo what the ROS wheels of another Python environment have left behind; their libraries do not mix."""
    libraries = [part for part in present.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part]
    if not present.get(WHEELS_GUARD) or str(prefix / "lib") in libraries:
        return {}
    kept = [part for part in libraries if not _in_python_environment(Path(part))]
    return {WHEELS_GUARD: "", "LD_LIBRARY_PATH": os.pathsep.join(kept)}


def _in_python_environment(folder: Path) -> bool:
    return any((parent / "pyvenv.cfg").exists() for parent in folder.parents)


if __name__ == "__main__":
    for name, value in ros_environment(Path(sys.argv[1])).items():
        print(f"export {name}={shlex.quote(value)}" if value else f"unset {name}")
