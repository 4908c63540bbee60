"""Maps as files, as the map_server of ROS reads and writes them: a picture and its facts (yaml)."""

import math
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.mapping.grid import FREE, FREE_UP_TO, OCCUPIED, UNKNOWN, WALL_FROM, OccupancyGrid, is_free, is_wall

OCCUPIED_THRESHOLD, FREE_THRESHOLD = WALL_FROM / OCCUPIED, FREE_UP_TO / OCCUPIED
# What the yaml says: the grey of unknown cells, 205, is 0.1961 dark, and a reader that goes by 0.25 alone takes
# all that is unknown for free.
FREE_THRESHOLD_WRITTEN = 0.196
PIXEL_OCCUPIED, PIXEL_FREE, PIXEL_UNKNOWN = 0, 254, 205
MOST_CELLS = Image.MAX_IMAGE_PIXELS = 400_000_000  # the reader's own bound is below large maps


def trinary(cells: NDArray[np.int8], occupied: int, free: int, unknown: int) -> NDArray[np.int64]:
    """What a map file keeps of every cell: one of three values."""
    return np.where(is_wall(cells), occupied, np.where(is_free(cells), free, unknown))


def save_map(grid: OccupancyGrid, path: Path) -> Path:
    """Write ``<path>.pgm`` and ``<path>.yaml`` (a suffix of ``path`` is dropped); returns the yaml's path.

    Raises InputError when the map is empty or the folder cannot be written.
    """
    if grid.cells.size == 0:
        raise InputError("the map is empty", "nothing has been mapped yet")
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".pgm", ".yaml") else path
    pixels = trinary(grid.cells, PIXEL_OCCUPIED, PIXEL_FREE, PIXEL_UNKNOWN).astype(np.uint8)
    picture, facts = stem.with_name(stem.name + ".pgm"), stem.with_name(stem.name + ".yaml")
    with replacing(picture) as temporary:
        height, width = grid.cells.shape
        temporary.write_bytes(b"P5\n%d %d\n255\n" % (width, height) + np.flipud(pixels).tobytes())
    with replacing(facts) as temporary:
        document = {
            "image": picture.name,
            "mode": "trinary",
            "resolution": float(grid.resolution_m),
            "origin": [float(value) for value in grid.T_map_origin],
            "negate": 0,
            "occupied_thresh": OCCUPIED_THRESHOLD,
            "free_thresh": FREE_THRESHOLD_WRITTEN,
        }
        temporary.write_text(yaml.safe_dump(document, sort_keys=False))
    return facts


def load_map(path: Path) -> OccupancyGrid:
    """Read a map_server map by its yaml file, in mode ``trinary`` or ``scale``; what is transparent is unknown.

    The picture may be a pgm or what picture editors make of it: png, bmp and the like, in grey or colours.
    In a trinary map the savers' grey 205 is unknown whatever the thresholds: map savers write it beside a
    ``free_thresh`` of 0.25, which taken by the letter would make it free.
    Raises InputError naming the file and what is wrong in it.
    """
    path = Path(path)
    facts = _facts(path)
    pixels, transparent = _pixels(path.parent / str(facts["image"]))
    dark = pixels.astype(np.float32) / 255.0 if facts["negate"] else (255.0 - pixels.astype(np.float32)) / 255.0
    occupied, free = dark >= facts["occupied_thresh"], dark <= facts["free_thresh"]
    cells = np.full(pixels.shape, UNKNOWN, np.int8)
    if facts["mode"] == "scale":
        between = ~(occupied | free)
        span = facts["occupied_thresh"] - facts["free_thresh"]
        cells[between] = np.round(99.0 * (dark[between] - facts["free_thresh"]) / span).astype(np.int8)
    cells[occupied], cells[free] = OCCUPIED, FREE
    if facts["mode"] == "trinary":
        cells[pixels == (255 - PIXEL_UNKNOWN if facts["negate"] else PIXEL_UNKNOWN)] = UNKNOWN
    cells[transparent] = UNKNOWN
    return OccupancyGrid(np.ascontiguousarray(np.flipud(cells)), facts["resolution"], np.array(facts["origin"]))


def _facts(path: Path) -> dict:
    """The checked content of a map's yaml."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read map {path}: {error.strerror}", "give the .yaml file of the map") from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read map {path}: it is no text", "give the .yaml file of the map") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict) or "image" not in document or "resolution" not in document:
        raise InputError(f"{path} is no map", "a map's yaml names at least image, resolution and origin")
    facts = {
        "image": document["image"],
        "mode": document.get("mode", "trinary"),
        "resolution": document["resolution"],
        "origin": document.get("origin", [0.0, 0.0, 0.0]),
        "negate": document.get("negate", 0),
        "occupied_thresh": document.get("occupied_thresh", OCCUPIED_THRESHOLD),
        "free_thresh": document.get("free_thresh", FREE_THRESHOLD),
    }
    if facts["mode"] not in ("trinary", "scale"):
        raise InputError(f"{path}: mode '{facts['mode']}' is not known", "known are trinary and scale")
    try:
        facts["origin"] = [float(value) for value in facts["origin"]]
        for name in ("resolution", "occupied_thresh", "free_thresh"):
            facts[name] = float(facts[name])
        facts["negate"] = bool(int(facts["negate"]))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: a value is no number: {error}") from error
    numbers = [facts["resolution"], facts["occupied_thresh"], facts["free_thresh"], *facts["origin"]]
    if len(facts["origin"]) != 3 or not all(math.isfinite(value) for value in numbers) or facts["resolution"] <= 0:
        raise InputError(f"{path}: resolution must be positive and origin three finite numbers")
    if not 0.0 <= facts["free_thresh"] < facts["occupied_thresh"] <= 1.0:
        raise InputError(f"{path}: free_thresh must be below occupied_thresh, both between 0 and 1")
    return facts


def _pixels(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """How bright the cells (H, W) of a map's picture are, top row first, and which are transparent.

    Colours count by the mean of their parts, as in map_server.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_CELLS:
                raise ValueError(f"{picture.width} × {picture.height} cells are too many")
            if picture.mode.startswith(("I", "F")):
                raise ValueError("it has more than 8 bits per pixel")
            if picture.mode == "L" and "transparency" not in picture.info:
                return np.array(picture), np.zeros((picture.height, picture.width), bool)
            layers = np.asarray(picture.convert("RGBA"))
    except Exception as error:  # the readers of the many formats raise whatever they stumble upon
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read the map's picture {path}: {reason}", "save it again, as pgm or png with 8 bits of grey"
        ) from error
    return layers[:, :, :3].mean(axis=2).round().astype(np.uint8), layers[:, :, 3] < 255
