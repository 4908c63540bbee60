"""The arguments of a start, declared once for ``nanorover up`` and for every launch file.

They are named as in nav2_bringup. A value is given as ``name:=value``; it is checked here, so that a bad one is
refused before anything starts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanorover.errors import InputError
from nanorover.files import expanded
from nanorover.params import refuse_unknown
from nanorover.tables import GROUPS, MODES, NODES

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


class SerialPort(str):
    """The kind of an argument that names a serial port; it must exist where the node runs on real hardware."""

    __slots__ = ()


@dataclass(frozen=True)
class Argument:
    """One argument of a start.

    ``kind`` is bool, str, int, float, SerialPort, or Path for a file that must exist. ``modes`` are those it
    belongs to, empty means all.
    """

    name: str
    default: str
    kind: type
    meaning: str
    choices: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()

    @property
    def described(self) -> str:
        """Its meaning and what may be chosen."""
        return self.meaning + (f" ({', '.join(self.choices)})" if self.choices else "")

    def checked(self, text: str) -> Any:
        """The value of ``text``; InputError with what is allowed otherwise."""
        if text and self.choices and text not in self.choices:
            raise InputError(f"argument {self.name} is '{text}'", "allowed is one of " + ", ".join(self.choices))
        if self.kind is bool:
            if text.lower() not in (*TRUE, *FALSE):
                raise InputError(f"argument {self.name} is '{text}'", "allowed is true or false")
            return text.lower() in TRUE
        if self.kind is Path and text:
            path = expanded(text)
            if not path.exists():
                raise InputError(f"argument {self.name}: there is no file '{text}'", self.meaning)
            return path.resolve()
        if self.kind in (int, float) and text:
            try:
                return self.kind(text)
            except ValueError:
                raise InputError(f"argument {self.name} is '{text}'", "allowed is a number") from None
        return text


# fmt: off
ARGUMENTS = {
    argument.name: argument
    for argument in (
        Argument("namespace", "", str,
                 "put before every name but /tf and /diagnostics; robots are kept apart by ROS_DOMAIN_ID"),
        Argument("use_sim_time", "false", bool, "take the time from /clock instead of this machine's clock"),
        Argument("params_file", "", Path, "YAML file whose values replace the shipped parameters"),
        Argument("map", "", Path, "map to localize in (a map's yaml or a graph file), or graph to go on with"),
        Argument("slam", "auto", str, "true makes a map while driving, false localizes in the given map;"
                 " auto localizes where a map is given", choices=("auto", "true", "false", "True", "False")),
        Argument("slam_mode", "", str, "what is done with the map, instead of what slam says",
                 choices=("mapping", "localization", "lifelong")),
        Argument("autostart", "true", bool, "configure and activate the nodes; false leaves them unconfigured"),
        Argument("use_respawn", "true", bool, "start a node again that ended, after a growing pause"),
        Argument("log_level", "info", str, "how much the nodes say",
                 choices=("debug", "info", "warn", "error", "fatal")),
        Argument("use_rviz", "false", bool, "open RViz with the robot's view (needs rviz2)"),
        Argument("view", "false", bool, "serve the page for the browser"),
        Argument("view_host", "", str, "address of that page instead of the parameter's; 0.0.0.0 opens it"),
        Argument("view_port", "", int, "TCP port of that page instead of the parameter's"),
        Argument("port", "", SerialPort, "serial port of the lidar instead of the parameter's"),
        Argument("base_port", "", SerialPort, "serial port of the motor controller instead of the parameter's"),
        Argument("camera", "", str, "camera instead of the parameter's: a device, a stream, a file, a folder"),
        Argument("model", "", str, "detector model instead of the parameter's: a name or an ONNX file"),
        Argument("without", "", str, "nodes or groups to leave out, such as camera,perception"),
        Argument("elsewhere", "", str, "nodes that another machine or container starts; looked after here"),
        Argument("bag", "", Path, "recording to play into the nodes", modes=("replay",)),
        Argument("rate", "1.0", float, "speed of the recording, as a multiple of real time", modes=("replay",)),
        Argument("world", "", str, "simulated world instead of the parameter's: seed (7), style and seed"
                 " (office:7), shipped scene or scene file", modes=("sim",)),
        Argument("ports", "", str, "folder in which the simulated robot's ports appear", modes=("sim",)),
    )
}
# fmt: on


def of_mode(mode: str) -> dict[str, Argument]:
    """The arguments that a mode takes. Raises InputError for an unknown mode."""
    refuse_unknown([mode], MODES, "unknown mode")
    return {name: a for name, a in ARGUMENTS.items() if not a.modes or mode in a.modes}


def split(words: Iterable[str]) -> dict[str, str]:
    """Words of the form ``name:=value``, ``--name=value`` or ``--name value`` as a mapping. Raises InputError."""
    given: dict[str, str] = {}
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if not word.startswith("--"):
            name, separator, value = word.partition(":=")
        else:
            name, separator, value = word[2:].partition("=")
            if not separator and remaining:
                separator, value = " ", remaining.pop(0)
        if not (name and separator):
            raise InputError(f"'{word}' is not an argument with a value", "write name:=value, as map:=office.yaml")
        given[name.replace("-", "_")] = value
    return given


def check(mode: str, given: Mapping[str, str]) -> dict[str, Any]:
    """All arguments of a mode with their checked values. Raises InputError."""
    known = of_mode(mode)
    refuse_unknown(given, known, f"mode {mode} has no argument")
    values = {name: argument.checked(given.get(name, argument.default)) for name, argument in known.items()}
    for name in ("without", "elsewhere"):
        values[name] = tuple(word.strip() for word in values[name].split(",") if word.strip())
        refuse_unknown(values[name], {*GROUPS, *NODES}, f"argument {name} names neither a node nor a group:")
    if mode == "replay" and not values["bag"]:
        raise InputError("replay needs a recording", "give bag:=FILE")
    if "slam" in MODES[mode]:
        values["slam_mode"] = values["slam_mode"] or _slam_mode(mode, values)
        if values["slam_mode"] == "localization" and not values["map"]:
            raise InputError("localization needs a map", "give map:=FILE, or slam:=true to make one")
    return values


def _slam_mode(mode: str, values: Mapping[str, Any]) -> str:
    """What SLAM does, by the launch mode, by ``slam``, or by whether there is a map; empty: the parameter's."""
    wanted = values["slam"].lower()
    if mode == "localization" or wanted == "false" or (wanted == "auto" and values["map"]):
        return "localization"
    return "mapping" if wanted == "true" else ""
