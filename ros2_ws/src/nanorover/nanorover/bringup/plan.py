"""What a start consists of: which nodes run, with which parameters and command lines."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nanorover.bringup.arguments import ARGUMENTS, SerialPort
from nanorover.bringup.run_state import robot_folder
from nanorover.bringup.security import enclave_of
from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.params import EMPTY_LIST
from nanorover.programs import run_program
from nanorover.sim.ports import BASE_LINK, LIDAR_LINK
from nanorover.tables import MODES, NODES, Node


class PortAbsent(InputError):
    """A serial port is not there yet: whoever starts the robot with the machine may try again."""

    exit_code = 5


def enclave_arguments(node: str) -> list[str]:
    """Where SROS2 is switched on, the enclave whose keys the node takes."""
    return ["--enclave", enclave_of(node)] if os.environ.get("ROS_SECURITY_ENABLE", "").lower() == "true" else []


@dataclass(frozen=True)
class PlannedNode:
    """A node of the table with all its parameters."""

    node: Node
    parameters: dict[str, Any]

    def parameters_in(self, folder: Path) -> dict[str, Any]:
        """Its parameters for a start whose files lie in ``folder``."""
        unsaid = self.parameters.get("run_folder") == ""
        return self.parameters | ({"run_folder": str(folder)} if unsaid else {})

    def ros_arguments(self, values: dict[str, Any], params_file: Path) -> list[str]:
        """What follows ``--ros-args`` on its command line."""
        words = ["--log-level", f"{self.node.name}:={values['log_level']}", "--params-file", str(params_file)]
        words += ["-r", f"__node:={self.node.name}"]
        if values["namespace"]:
            words += ["-r", f"__ns:=/{values['namespace'].strip('/')}"]
        return words + enclave_arguments(self.node.name)

    def command(self, values: dict[str, Any], folder: Path) -> list[str]:
        """Arguments for the Python interpreter; writes the parameter file that they name into ``folder``."""
        path, parameters = folder / f"{self.node.name}.yaml", self.parameters_in(folder)
        with replacing(path) as temporary:
            temporary.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}, sort_keys=False))
        return ["-m", self.node.module, "--ros-args", *self.ros_arguments(values, path)]


def chosen_nodes(mode: str, values: dict[str, Any]) -> list[Node]:
    """The nodes of a mode, wherever they run, in the order in which they start."""
    groups = set(MODES[mode])
    if values["view"]:
        groups.add("view")
    left_out = values["without"]
    chosen = [n for n in NODES.values() if n.group in groups and not {n.group, n.name} & set(left_out)]
    replaced = {name for node in chosen for name in node.replaces}
    return [node for node in chosen if node.name not in replaced]


def managed_nodes(mode: str, values: dict[str, Any]) -> list[str]:
    """Names of the nodes that have to be configured and activated, in that order."""
    return [node.name for node in chosen_nodes(mode, values) if node.lifecycle]


def plan(mode: str, values: dict[str, Any]) -> list[PlannedNode]:
    """The nodes to start here with their effective parameters, checked as the nodes will check them.

    Raises InputError for a parameter that is unknown or out of range, for what a parameter names and its node
    could not use, and for a serial port that is not there.
    """
    if mode == "sim":
        values = _simulated_ports(values)
    elsewhere = values["elsewhere"]
    nodes = [n for n in chosen_nodes(mode, values) if not {n.group, n.name} & set(elsewhere)]
    if not nodes:
        raise InputError(f"mode {mode} without {', '.join(values['without'])} leaves no node to start")
    overrides = {node.name: _overrides(node, values) for node in nodes}
    parameters = effective_parameters(overrides, values["params_file"] or None)
    for node in nodes:
        for argument, name in node.arguments.items():
            if ARGUMENTS[argument].kind is SerialPort and mode != "sim":
                _check_port(parameters[node.name][name], node.name, argument)
    sim_time = {"use_sim_time": values["use_sim_time"] or mode == "replay"}
    return [PlannedNode(node, _sayable(parameters[node.name] | sim_time)) for node in nodes]


def _sayable(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: EMPTY_LIST if value == [] else value for name, value in parameters.items()}


def _simulated_ports(values: dict[str, Any]) -> dict[str, Any]:
    """Where the simulated world has this robot's lidar and wheels, unless other ports were given."""
    folder = robot_folder(values["namespace"], "ports")
    own = {"ports": str(folder), "port": str(folder / LIDAR_LINK), "base_port": str(folder / BASE_LINK)}
    return values | {name: values[name] or path for name, path in own.items()}


def _overrides(node: Node, values: dict[str, Any]) -> dict[str, Any]:
    """Only what was given: an empty argument leaves the parameter as it is."""
    return {
        parameter: str(values[argument]) if isinstance(values[argument], Path) else values[argument]
        for argument, parameter in node.arguments.items()
        if values.get(argument) not in (None, "")
    }


def _check_port(port: str, node: str, argument: str) -> None:
    if not Path(port).exists():
        present = sorted(
            str(p) for pattern in ("ttyUSB*", "ttyACM*", "ydlidar*") for p in Path("/dev").glob(pattern)
        )
        raise PortAbsent(
            f"the serial port '{port}' of node {node} does not exist",
            f"give {argument}:=PORT; present here: {', '.join(present) or 'none, is the cable plugged in?'}",
        )


def effective_parameters(
    overrides: dict[str, dict[str, Any]], params_file: Path | None
) -> dict[str, dict[str, Any]]:
    """All parameters of the nodes that ``overrides`` names; asked of the nodes' own code in a child process.

    Raises InputError with the child's sentence.
    """
    request = {"nodes": overrides, "params_file": str(params_file) if params_file else None}
    answer = run_program("effective", input=json.dumps(request), capture_output=True)
    if answer.returncode == 2:
        message, _, hint = answer.stderr.strip().partition("\n  → ")
        raise InputError(message, hint)
    if answer.returncode:
        tail = "\n  ".join(answer.stderr.strip().splitlines()[-4:])
        raise InputError(f"the nodes cannot be loaded:\n  {tail}", "`nanorover doctor` says what is missing")
    return json.loads(answer.stdout)
