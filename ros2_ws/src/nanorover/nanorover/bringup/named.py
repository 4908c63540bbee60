"""What the parameters of a start name is read before the start, each by the reader that its node uses.

A node that cannot use what it was given lives on and is asked again and again: nobody would hear why.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nanorover.errors import InputError
from nanorover.files import expanded
from nanorover.params import part_of

Values = Mapping[str, Any]


def _world(values: Values, _: Values) -> None:
    from nanorover.sim.floorplan import scene_of

    scene_of(values["world"])


def _camera(values: Values, given: Values) -> None:
    """A device that only a parameter names may be plugged in later."""
    from nanorover.perception.calibration import read_calibration
    from nanorover.perception.camera import existing, is_pipeline

    if "source" in given and not is_pipeline(values["source"]):
        existing(values["source"])
    if values["calibration"]:
        read_calibration(expanded(values["calibration"]))


def _map(values: Values, _: Values) -> None:
    from nanorover.slam.params import SlamParams
    from nanorover.slam.session import Session

    if values["map"]:
        Session(part_of(SlamParams, values, "node slam"), values["mode"], Path(values["map"]))


def _model(values: Values, _: Values) -> None:
    from nanorover.perception.description import load_model

    if values["engine"] != "remote":
        load_model(values["model"], values["weights"] or None)


def _zones(values: Values, _: Values) -> None:
    from nanorover.planning.costmap_params import CostmapParams
    from nanorover.planning.world import Zones
    from nanorover.planning.zones import DrawnZones, file_beside

    Zones(part_of(CostmapParams, values, "node planner"))
    if values["map"]:
        DrawnZones(file_beside(Path(values["map"])))


def _recording(values: Values, _: Values) -> None:
    from nanorover.replay.logs import open_log

    if values["bag"]:
        open_log(Path(values["bag"]))


# Node → who reads what its parameters name; the second argument is what a person gave for this start.
READERS: dict[str, Callable[[Values, Values], None]] = {
    "simulator": _world,
    "camera": _camera,
    "slam": _map,
    "detector": _model,
    "planner": _zones,
    "playback": _recording,
}


def check_named(nodes: Mapping[str, Values], given: Mapping[str, Values]) -> None:
    """InputError for a file, world, camera or model that a node of ``nodes``, name → parameters, cannot use.

    ``given`` has of these parameters those that were asked for as arguments.
    """
    for name, read in READERS.items():
        if name in nodes:
            try:
                read(nodes[name], given[name])
            except InputError as error:
                raise InputError(f"node {name}: {error.args[0]}", error.hint) from error
