"""Keep-out zones that a person draws: polygons of the map frame, checked, and kept in a file beside the map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.geometry.se2 import transform_points
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.costmap import Raster

MOST_ZONES, MOST_CORNERS, LONGEST_NAME = 100, 100, 40
LEAST_AREA_M2, LEAST_EDGE_M = 0.01, 0.01
FARTHEST_M = 1e4  # from the map's origin: farther away is no place
BEYOND_MAP_M = 20.0  # a map may still grow by so much
SUBCELL_BITS = 4  # of a corner's place in its cell
MAP_SUFFIXES = (".yaml", ".pgm")  # which a map's name may be given with
MOST_OUTLINES = 200  # of a mask are shown: the largest


@dataclass(frozen=True)
class Zone:
    """An area that is shut: at least three corners x, y (m, map frame); the name may be empty."""

    name: str
    corners_m: tuple[tuple[float, float], ...]


def checked(name: Any, corners_m: Any) -> Zone:
    """A zone of what somebody asks for. Raises InputError with the reason where it makes no sense."""
    if not isinstance(name, str) or len(name := " ".join(name.split())) > LONGEST_NAME or not name.isprintable():
        raise InputError(f"a zone's name is one line of at most {LONGEST_NAME} letters", "shorten it")
    if not isinstance(corners_m, Sequence) or not all(_is_place(corner) for corner in corners_m):
        raise InputError("a corner of the zone is no place: it needs two finite numbers, x and y in metres")
    if not 3 <= len(corners_m) <= MOST_CORNERS:
        raise InputError(f"the zone has {len(corners_m)} corners", f"3 to {MOST_CORNERS} make a zone")
    zone = Zone(name, tuple((float(x), float(y)) for x, y in corners_m))
    corners = np.array(zone.corners_m)
    if np.hypot(*(corners - np.roll(corners, -1, axis=0)).T).min() < LEAST_EDGE_M:
        raise InputError("two corners of the zone in a row are the same place", "leave one of them out")
    if crosses_itself(corners):
        raise InputError("the outline of the zone crosses itself", "go round the area once")
    if _area_m2(corners) < LEAST_AREA_M2:
        raise InputError("the zone has next to no area", "draw it larger")
    return zone


def check_near(zone: Zone, raster: Raster) -> None:
    """Raise InputError where the zone lies far outside the map."""
    low = np.array([raster.x_m, raster.y_m])
    high = low + raster.resolution_m * np.array(raster.shape[::-1])
    corners = np.array(zone.corners_m)
    beyond_m = np.maximum(low - corners, corners - high).max()
    if beyond_m > BEYOND_MAP_M:
        raise InputError(
            f"the zone lies {beyond_m:.0f} m outside the map", f"at most {BEYOND_MAP_M:.0f} m are taken"
        )


def crosses_itself(corners: NDArray[np.float64]) -> bool:
    """Whether the closed outline ``(N, 2)`` meets itself other than at its corners."""
    begin, end = corners, np.roll(corners, -1, axis=0)
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    near = np.all((low[:, None] <= high) & (low <= high[:, None]), axis=2)
    along = (end - begin)[:, None]
    side = np.sign(_cross(along, begin - begin[:, None])) * np.sign(_cross(along, end - begin[:, None]))
    meet = near & (side <= 0) & (side.T <= 0)
    n = np.arange(len(corners))
    neighbours = np.isin((n[:, None] - n) % len(corners), (0, 1, len(corners) - 1))
    back = corners - np.roll(corners, 1, axis=0), end - begin  # an edge that runs back along the one before it
    runs_back = (_cross(*back) == 0.0) & ((back[0] * back[1]).sum(axis=1) < 0.0)
    return bool((meet & ~neighbours).any() or runs_back.any())


def distance_inside_m(zone: Zone, x: float, y: float) -> float:
    """How far inside the zone's outline a point lies; negative outside."""
    return float(cv2.pointPolygonTest(np.array(zone.corners_m, np.float32), (x, y), True))


def cells_of(zones: Sequence[Zone], raster: Raster) -> NDArray[np.bool_]:
    """The cells of a raster in any of the zones; one that an outline touches belongs to it."""
    shut = np.zeros(raster.shape, np.uint8)
    for zone in zones:
        at = (np.array(zone.corners_m) - (raster.x_m, raster.y_m)) / raster.resolution_m - 0.5
        cv2.fillPoly(shut, [np.round(at * 2**SUBCELL_BITS).astype(np.int32)], 1, shift=SUBCELL_BITS)
    return shut.astype(bool)


def outlines_of(mask: OccupancyGrid, occupied_from: int) -> list[NDArray[np.float64]]:
    """What a keep-out mask shuts, to look at: outlines ``(N, 2)`` in the map frame, of areas and their holes."""
    dark = (mask.cells >= occupied_from).astype(np.uint8)
    found = sorted(cv2.findContours(dark, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0], key=cv2.contourArea)
    simple = (cv2.approxPolyDP(outline, 0.5, True)[:, 0].astype(np.float64) for outline in found[-MOST_OUTLINES:])
    return [transform_points(mask.T_map_origin, (outline + 0.5) * mask.resolution_m) for outline in simple]


class DrawnZones:
    """The zones of one map by their numbers. What changes is on the disk before it counts."""

    def __init__(self, file: Path | None) -> None:
        """``file`` is where they are kept, and read from if it exists; None keeps them in memory alone.
        Raises InputError for a file that is damaged, and leaves it as it is."""
        self.file = file
        self.zones = dict(enumerate(read(file), 1)) if file is not None and file.exists() else {}
        self._given = len(self.zones)  # a number is not given twice: who asks for it may look at an old page

    def add(self, zone: Zone) -> None:
        """Raises InputError where there are too many, or the file cannot be written."""
        if len(self.zones) >= MOST_ZONES:
            raise InputError(f"there are {MOST_ZONES} zones already", "delete some, or join them")
        self._replace({**self.zones, self._given + 1: zone})
        self._given += 1

    def remove(self, number: int) -> Zone:
        """Raises InputError where there is no such zone, or the file cannot be written."""
        if number not in self.zones:
            raise InputError(f"there is no zone {number}", "perhaps somebody else has deleted it")
        removed = self.zones[number]
        self._replace({n: zone for n, zone in self.zones.items() if n != number})
        return removed

    def _replace(self, zones: dict[int, Zone]) -> None:
        if self.file is not None:
            write(list(zones.values()), self.file)
        self.zones = zones


def file_beside(map_file: Path) -> Path:
    """Where the zones of a map or graph lie: ``flat.zones.yaml`` beside ``flat.yaml``, or ``flat``."""
    stem = map_file.stem if map_file.suffix in MAP_SUFFIXES else map_file.name
    return map_file.with_name(f"{stem}.zones.yaml")


def read(file: Path) -> list[Zone]:
    """The zones in a file. Raises InputError naming the file and what is wrong in it."""
    try:
        listed = yaml.safe_load(file.read_text())["zones"]
        zones = [checked(one["name"], one["corners_m"]) for one in listed]
    except OSError as error:
        raise InputError(f"cannot read the keep-out zones {file}: {error.strerror}") from error
    except InputError as error:
        raise _damaged(file, error.args[0]) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise _damaged(file, " ".join(str(error).split())) from error
    except (TypeError, KeyError) as error:
        raise _damaged(file, "it lists no zones with name and corners_m") from error
    if len(zones) > MOST_ZONES:
        raise _damaged(file, f"{len(zones)} zones are more than {MOST_ZONES}")
    return zones


def write(zones: Sequence[Zone], file: Path) -> None:
    """Raises InputError where the file cannot be written; the one before is whole then."""
    listed = [{"name": zone.name, "corners_m": [list(corner) for corner in zone.corners_m]} for zone in zones]
    with replacing(file) as temporary:
        temporary.write_text(yaml.safe_dump({"zones": listed}, sort_keys=False, allow_unicode=True))


def _damaged(file: Path, what: str) -> InputError:
    return InputError(f"the keep-out zones {file} are damaged: {what}", "mend the file, or move it away")


def _is_place(corner: Any) -> bool:
    return (
        isinstance(corner, Sequence)
        and len(corner) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in corner)
        and all(math.isfinite(v) and abs(v) <= FARTHEST_M for v in corner)
    )


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _area_m2(corners: NDArray[np.float64]) -> float:
    return abs(float(_cross(corners, np.roll(corners, -1, axis=0)).sum())) / 2.0
