"""The keep-out zones that people draw: asked for by services, shown on a topic, kept beside the map."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from nanorover.bringup.notes import Note
from nanorover.errors import InputError
from nanorover.planning.zones import (
    DrawnZones,
    Zone,
    check_near,
    checked,
    distance_inside_m,
    file_beside,
    outlines_of,
)
from nanorover_interfaces.srv import AddZone, RemoveZone
from nanorover_nodes.zones import markers_msg

if TYPE_CHECKING:
    from nanorover_nodes.planner import PlannerNode

MM_DECIMALS = 3  # a polygon's corners come in single precision


class PlannerZones:
    """The zones of the map that the planner has."""

    def __init__(self, node: "PlannerNode") -> None:
        """Raises InputError where those beside the map are damaged: the robot might drive into one."""
        self.node = node
        self.map_file = Path(node.settings.map) if node.settings.map else None
        self.of_file = DrawnZones(file_beside(self.map_file) if self.map_file else None)
        self.drawn = DrawnZones(None)
        self.markers = node.offer("keep_out_zones")
        node.serve("keep_out_zones/add", self.add)
        node.serve("keep_out_zones/remove", self.remove)

    def begin(self, began_ns: int) -> None:
        """The map's frame began then: its zones are in force. Raises InputError where they cannot be read."""
        self.drawn = self.of_file if self._is_of_file(began_ns) else DrawnZones(self._file_of_run(began_ns))
        self._enforce()

    def _is_of_file(self, began_ns: int) -> bool:
        """Whether a map is the file's: it began when that was written (0: nobody says when). It remains so in this
        start of the robot, also when the file is written anew."""
        if self.map_file is None:
            return False
        note = Note(self.node.params["run"], f"map_of_file-{began_ns}")
        written_ns = self.map_file.stat().st_mtime_ns if self.map_file.exists() else 0
        if began_ns in (0, written_ns):
            note.set(True)
            return True
        return note.holds()

    def _file_of_run(self, began_ns: int) -> Path | None:
        """Where the zones of a map that is no file's outlive this node."""
        folder = self.node.params["run"].run_folder
        return Path(folder) / f"map-{began_ns}.zones.yaml" if folder else None

    def _enforce(self) -> None:
        navigator = self.node.navigator
        navigator.draw_zones(list(self.drawn.zones.values()), time.monotonic())
        mask = navigator.zones.keep_out
        shown = outlines_of(mask, self.node.parts.costmap.occupied_from) if mask is not None else []
        self.markers.publish(markers_msg(self.drawn.zones, shown, self.node.settings.map_frame))

    def add(self, request: AddZone.Request) -> str:
        """Shut an area; the sentence says for how long."""
        world = self.node.navigator.world
        if world is None:
            raise InputError("there is no map yet in which a zone could lie", "wait for the map")
        corners = [(round(p.x, MM_DECIMALS), round(p.y, MM_DECIMALS)) for p in request.polygon.points]
        zone = checked(request.name, corners)
        check_near(zone, world.raster)
        self.drawn.add(zone)
        self._enforce()
        kept = "until the map is begun anew"
        if self.drawn is self.of_file and self.drawn.file is not None:
            kept = f"kept in {self.drawn.file.name} beside the map"
        return f"{_called(zone)} is shut, {kept}{self._robot_within(zone)}"

    def _robot_within(self, zone: Zone) -> str:
        pose = self.node.poses.latest()
        if pose is None or distance_inside_m(zone, *pose[:2]) < -self.node.parts.robot.inscribed_radius_m:
            return ""
        return "; the robot stands in it and will drive out of it the shortest way"

    def remove(self, request: RemoveZone.Request) -> str:
        """Open an area again."""
        zone = self.drawn.remove(request.id)
        self._enforce()
        return f"{_called(zone)} is deleted"


def _called(zone: Zone) -> str:
    return f"the zone '{zone.name}'" if zone.name else "the zone"
