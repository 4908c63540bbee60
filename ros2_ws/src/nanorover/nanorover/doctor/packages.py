"""Checks of the Python packages: each is imported, in a process that may die of it.

A package that is found need not work: one built against another numpy raises, one built for another processor
ends the process (numpy on a Jetson Nano without ``OPENBLAS_CORETYPE``), a wrong ``RMW_IMPLEMENTATION`` exits.
This file needs nothing but Python, so that it can say what all others lack.
"""

import signal
import subprocess
import sys

from nanorover.doctor.findings import ERROR, NOTE, Check, Finding, ok
from nanorover.extras import GROUPS

# What the robot cannot do without, and what comes with ROS 2.
LIBRARY = (
    "numpy",
    "numba",
    "scipy",
    "cv2",
    "serial",
    "yaml",
    "rosbags",
    "mcap",
    "xacro",
    "websockets",
    "onnxruntime",
)
ROS = ("rclpy", "sensor_msgs", "nav_msgs", "tf2_msgs", "vision_msgs", "nanorover_interfaces", "nanorover_nodes")

NOT_FOUND = "not found"
# Says every name, then its import's error; what packages print themselves goes elsewhere.
PROBE = f"""
import importlib, os, sys
said = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for name in sys.argv[1:]:
    print(name, end="\\t", file=said, flush=True)
    error = ""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as lacking:
        error = "{NOT_FOUND}" if lacking.name == name else str(lacking)
    except Exception as refusal:
        error = str(refusal) or type(refusal).__name__
    print(" ".join(error.split()), file=said, flush=True)
"""
IMPORT_TIMEOUT_S = 120.0  # from a slow memory card


def faults(names: tuple[str, ...]) -> dict[str, str]:
    """Package → why it cannot be imported; ``NOT_FOUND`` for one that is not there."""
    found: dict[str, str] = {}
    left = names
    while left:
        tried, end = _tried(left)
        found |= {name: error for name, error in tried.items() if error}
        if not end:
            break
        last = list(tried)[-1] if tried else left[0]
        found[last] = end
        left = left[left.index(last) + 1 :]
    return found


def _tried(names: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Package → error, as far as the process came, and what it died of."""
    command = [sys.executable, "-c", PROBE, *names]
    try:
        probe = subprocess.run(command, capture_output=True, check=False, timeout=IMPORT_TIMEOUT_S)
        said, end = probe.stdout, _death(probe.returncode, probe.stderr)
    except subprocess.TimeoutExpired as late:
        said, end = late.stdout or b"", f"takes longer than {IMPORT_TIMEOUT_S:g} s"
    lines = said.decode(errors="replace").splitlines()
    return {name: error for name, _, error in (line.partition("\t") for line in lines)}, end


def _death(exit_code: int, stderr: bytes) -> str:
    """What the process died of; empty if it ended by itself."""
    if exit_code == 0:
        return ""
    if exit_code < 0:
        return f"ends Python with {signal.Signals(-exit_code).name}"
    last_words = stderr.decode(errors="replace").strip().splitlines()[-1:]
    return " ".join([f"ends Python with exit code {exit_code}:", *last_words])


def library(names: tuple[str, ...] = LIBRARY) -> list[Finding]:
    """Every package of the library can be imported."""
    wrong = faults(names)
    found = []
    if missing := [name for name, error in wrong.items() if error == NOT_FOUND]:
        found.append(Finding(ERROR, f"Python packages are missing: {', '.join(missing)}", "./scripts/setup"))
    for name in (name for name in wrong if name not in missing):
        mend = "./scripts/setup installs the versions that fit each other"
        if "SIGILL" in wrong[name]:
            mend = "it is built for another processor; on a Jetson Nano: export OPENBLAS_CORETYPE=ARMV8"
        found.append(Finding(ERROR, f"{name} cannot be imported: {wrong[name]}", mend))
    return found or ok(f"all {len(names)} Python packages can be imported")


def ros(names: tuple[str, ...] = ROS) -> list[Finding]:
    """ROS 2 and the message packages can be imported."""
    wrong = faults(names)
    if wrong.get("rclpy") == NOT_FOUND:
        mend = "source /opt/ros/*/setup.bash, or ./scripts/setup where ROS is not installed"
        return [Finding(ERROR, "ROS 2 (rclpy) is not in this Python's reach", mend)]
    if "rclpy" in wrong:
        mend = "unset RMW_IMPLEMENTATION, or install what it names; source only one ROS in a shell"
        return [Finding(ERROR, f"rclpy cannot be imported: {wrong['rclpy']}", mend)]
    if wrong:
        mend = "source the workspace's install/setup.bash, or ./scripts/setup"
        named = [name if error == NOT_FOUND else f"{name} ({error})" for name, error in wrong.items()]
        return [Finding(ERROR, f"ROS packages are missing: {', '.join(named)}", mend)]
    return ok("ROS 2 and its message packages can be imported")


def simulation(name: str = "mujoco") -> list[Finding]:
    """What only the simulated world needs can be imported."""
    error = faults((name,)).get(name)
    mend = f"./scripts/setup {GROUPS['mujoco']}"
    if error == NOT_FOUND:
        return [Finding(NOTE, f"{name} is not installed; `nanorover sim` and `nanorover up sim` need it", mend)]
    if error:
        return [Finding(ERROR, f"{name} cannot be imported: {error}", mend)]
    return ok(f"{name} can be imported")


PACKAGES = (Check("library", library), Check("ros", ros), Check("simulation", simulation))
