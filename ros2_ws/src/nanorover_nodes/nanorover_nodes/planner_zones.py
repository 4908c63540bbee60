"""The keep-out zones that people draw: asked for by services, shown on a topic, kept beside the map."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.planning.zones import (
    DrawnZones,
    Zone,
    check_near,
    checked,
    distance_inside_m,
    file_beside,
    outlines_of,
    write,
)
from nanorover_interfaces.srv import AddZone, FilePath, RemoveZone
from nanorover_nodes.zones import markers_msg

if TYPE_CHECKING:
    from nanorover_nodes.planner import PlannerNode

MM_DECIMALS = 3  # a polygon's corners come in single precision


class PlannerZones:
    """The zones of the map that the planner has."""

    def __init__(self, node: "PlannerNode") -> None:
        """Raises InputError where those beside the map are damaged: the robot might drive into one."""
        self.node = node
        self.map_file: Path | None = None
        if node.settings.map:
            self._take(Path(node.settings.map))
        self.drawn = DrawnZones(None)
        self.kept = False  # beside a map's file
        self.markers = node.offer("keep_out_zones")
        node.serve("keep_out_zones/add", self.add)
        node.serve("keep_out_zones/remove", self.remove)
        node.serve("keep_out_zones/save", self.save)
        node.serve("keep_out_zones/open", self.open)

    def _take(self, map_file: Path) -> None:
        DrawnZones(file_beside(map_file))
        self.map_file = map_file

    def begin(self, began_ns: int) -> None:
        """The map's frame began then: its zones are in force. Raises InputError where they cannot be read."""
        folder = self.node.params["run"].run_folder
        # What outlives this node in this start of the robot: where the zones of the frame lie, or they themselves.
        noted, of_run = (
            Path(folder) / f"{began_ns}.{name}" if folder else None for name in ("zones", "zones.yaml")
        )
        beside = self._file_beside(began_ns)
        if beside is None and noted is not None and noted.exists():
            beside = Path(noted.read_text())
        elif beside is not None and noted is not None:
            with replacing(noted) as temporary:
                temporary.write_text(str(beside))
        self.drawn, self.kept = DrawnZones(beside or of_run), beside is not None
        self._enforce()

    def _file_beside(self, began_ns: int) -> Path | None:
        """Where the zones of a map lie that is the known file's: it began as that was written (0: nobody says)."""
        if self.map_file is None:
            return None
        written_ns = self.map_file.stat().st_mtime_ns if self.map_file.exists() else 0
        return file_beside(self.map_file) if began_ns in (0, written_ns) else None

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
        if self.kept and self.drawn.file is not None:
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

    def save(self, request: FilePath.Request) -> str:
        """Write the zones beside a file of the present map, in place of those of a map that it held before."""
        file = file_beside(Path(request.path))
        if not (self.drawn.zones or file.exists()):
            return ""
        write(list(self.drawn.zones.values()), file)
        return f"keep-out zones written: {file}"

    def open(self, request: FilePath.Request) -> str:
        """SLAM is about to go on with a map's file: the zones beside that count from then on."""
        self._take(Path(request.path))
        file = file_beside(Path(request.path))
        return f"keep-out zones: {file}" if file.exists() else ""


def _called(zone: Zone) -> str:
    return f"the zone '{zone.name}'" if zone.name else "the zone"
