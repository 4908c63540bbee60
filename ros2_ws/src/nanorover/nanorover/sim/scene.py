"""A simulated world as a readable file: walls, doors, windows, furniture, people, pets, the robot's start."""

import difflib
import math
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.sim.shapes import solids_of
from nanorover.sim.solids import SURFACES, Colour, Size, Solid, box

SHIPPED = {file.stem: file for file in sorted((Path(__file__).parent / "scenes").glob("*.yaml"))}

Point = tuple[float, float]
T = TypeVar("T")

DOOR_HEIGHT_M = 2.02
WINDOW_M = (0.9, 2.1)  # sill and top
LEAF_THICKNESS_M = 0.04
WALKERS = ("person", "cat", "dog")


@dataclass(frozen=True)
class Opening:
    """A gap in a wall, its middle ``at_m`` along it: a door (with a leaf where ``leaf_deg`` says how far it
    stands open), a window above the lidar's plane, or a pane of glass from the floor up."""

    kind: str
    at_m: float
    width_m: float = 0.9
    leaf_deg: float | None = None


@dataclass(frozen=True)
class Wall:
    """A straight wall."""

    from_m: Point
    to_m: Point
    thickness_m: float = 0.12
    colour: Colour = (0.88, 0.86, 0.81)
    surface: str = "matt"
    openings: tuple[Opening, ...] = ()


@dataclass(frozen=True)
class Furniture:
    """A standing thing: ``kind`` is a class of ``shapes.KINDS``; it looks along ``yaw_deg``. ``lift_m`` puts it
    on top of something."""

    kind: str
    at_m: Point
    yaw_deg: float = 0.0
    size_m: Size | None = None
    colour: Colour | None = None
    style: str = ""
    lift_m: float = 0.0


@dataclass(frozen=True)
class Walker:
    """A person or pet that walks along ``path_m`` and back; one that has a single point stands there."""

    kind: str
    path_m: tuple[Point, ...]
    speed_m_s: float = 0.8
    size_m: Size | None = None
    colour: Colour | None = None
    style: str = ""


@dataclass(frozen=True)
class Start:
    """Where the robot stands at first."""

    at_m: Point
    yaw_deg: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A whole world in the map frame: z is up, the floor is at 0."""

    name: str
    size_m: Point
    robot: Start
    walls: tuple[Wall, ...]
    furniture: tuple[Furniture, ...] = ()
    walkers: tuple[Walker, ...] = ()
    wall_height_m: float = 2.5
    floor: str = "wood"
    light: float = 1.0
    tour_m: tuple[Point, ...] = ()
    seed: int | None = None

    def fixed_solids(self) -> list[tuple[str, list[Solid]]]:
        """Name and solids of everything that never moves, in the map frame."""
        things = [(f"wall {n}", wall_solids(wall, self.wall_height_m)) for n, wall in enumerate(self.walls)]
        for n, thing in enumerate(self.furniture):
            things.append((f"{thing.kind} {n}", furniture_solids(thing)))
        return things


def furniture_solids(thing: Furniture) -> list[Solid]:
    """The solids of a piece of furniture in the map frame."""
    solids = solids_of(thing.kind, thing.size_m, thing.colour, thing.style)
    placed = [solid.placed(*thing.at_m, math.radians(thing.yaw_deg)) for solid in solids]
    return [_lifted(solid, thing.lift_m) for solid in placed] if thing.lift_m else placed


def _lifted(solid: Solid, by_m: float) -> Solid:
    return replace(solid, at_m=(*solid.at_m[:2], solid.at_m[2] + by_m))


def wall_solids(wall: Wall, height_m: float) -> list[Solid]:
    """A wall's pieces between and around its openings, with door leaves and panes."""
    (x0, y0), (x1, y1) = wall.from_m, wall.to_m
    length, yaw = math.hypot(x1 - x0, y1 - y0), math.atan2(y1 - y0, x1 - x0)
    half = wall.thickness_m / 2

    def piece(start: float, end: float, low: float, high: float, **more: Any) -> Solid:
        look = {"colour": wall.colour, "surface": wall.surface} | more
        return box((start, -half, low), (end, half, high), **look)

    solids, done = [], 0.0
    for opening in sorted(wall.openings, key=lambda o: o.at_m):
        start, end = opening.at_m - opening.width_m / 2, opening.at_m + opening.width_m / 2
        solids.append(piece(done, start, 0.0, height_m))
        done = end
        if opening.kind == "window":
            pane: dict[str, Any] = {"colour": (0.7, 0.85, 0.95), "surface": "glass"}
            solids.append(piece(start, end, 0.0, WINDOW_M[0]))
            solids.append(box((start, -0.01, WINDOW_M[0]), (end, 0.01, WINDOW_M[1]), **pane))
            solids.append(piece(start, end, WINDOW_M[1], height_m))
        elif opening.kind == "pane":
            pane = {"colour": (0.75, 0.88, 0.92), "surface": "glass"}
            solids.append(box((start, -0.01, 0.03), (end, 0.01, DOOR_HEIGHT_M), **pane))
            solids.append(piece(start, end, DOOR_HEIGHT_M, height_m))
        else:
            solids.append(piece(start, end, DOOR_HEIGHT_M, height_m))
            if opening.leaf_deg is not None:
                solids.append(_leaf(opening, start, half))
    solids.append(piece(done, length, 0.0, height_m))
    return [solid.placed(x0, y0, yaw) for solid in solids if min(solid.size_m) > 1e-6]


def _leaf(opening: Opening, hinge_m: float, half_wall_m: float) -> Solid:
    leaf = box(
        (0.02, 0.0, 0.01), (opening.width_m - 0.02, LEAF_THICKNESS_M, DOOR_HEIGHT_M - 0.02), (0.93, 0.9, 0.84)
    )
    return leaf.placed(hinge_m, half_wall_m, math.radians(opening.leaf_deg or 0.0))


def load_scene(path: Path) -> Scene:
    """Read a scene file.

    Raises InputError for a missing file, an unknown or missing key, a wrong type, an unknown class.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read scene {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    scene = _build(Scene, document, str(path))
    check_scene(scene, str(path))
    return scene


def save_scene(scene: Scene, path: Path | str) -> None:
    """Write a scene so that ``load_scene`` reads the same again; what has its usual value is left out."""
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(_plain(scene), sort_keys=False, default_flow_style=None, width=110))


def as_saved(scene: Scene) -> Scene:
    """The scene with the precision of a scene file, as it would be read again."""
    return _build(Scene, _plain(scene), scene.name)


def check_scene(scene: Scene, source: str) -> None:
    """Raise InputError for what types alone do not show: openings, surfaces, classes, walkers."""
    for n, wall in enumerate(scene.walls):
        length = math.dist(wall.from_m, wall.to_m)
        if wall.surface not in SURFACES:
            raise InputError(f"{source}: walls[{n}]: no surface '{wall.surface}'", "known: " + ", ".join(SURFACES))
        done = 0.0
        for opening in sorted(wall.openings, key=lambda o: o.at_m):
            start, end = opening.at_m - opening.width_m / 2, opening.at_m + opening.width_m / 2
            if opening.kind not in ("door", "window", "pane"):
                raise InputError(f"{source}: walls[{n}]: no opening '{opening.kind}'", "known: door, window, pane")
            if start < done - 1e-9 or end > length + 1e-9:
                raise InputError(
                    f"{source}: walls[{n}]: the {opening.kind} at {opening.at_m} m does not fit",
                    f"the wall is {length:.2f} m long and openings must not overlap",
                )
            done = end
    for n, thing in enumerate(scene.furniture):
        _checked_look(thing.kind, thing.style, f"{source}: furniture[{n}]")
    for n, walker in enumerate(scene.walkers):
        if walker.kind not in WALKERS or not walker.path_m:
            raise InputError(f"{source}: walkers[{n}] must be one of {', '.join(WALKERS)} with a path")
        _checked_look(walker.kind, walker.style, f"{source}: walkers[{n}]")


def _checked_look(kind: str, style: str, where: str) -> None:
    try:
        solids_of(kind, None, None, style)
    except InputError as error:
        raise InputError(f"{where}: {error.args[0]}", error.hint) from error


def _build(cls: type[T], value: Any, where: str) -> T:
    """A dataclass from plain values, checked by its annotations all the way down."""
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a mapping, not {value!r}")
    hints = get_type_hints(cls)
    for key in value:
        if key not in hints:
            close = difflib.get_close_matches(str(key), hints, n=1)
            meant = f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(hints)
            raise InputError(f"{where}: unknown key '{key}'", meant)
    for f in fields(cls):  # type: ignore[arg-type]
        if f.name not in value and f.default is MISSING:
            raise InputError(f"{where}: key '{f.name}' is missing")
    return cls(**{key: _typed(hints[key], item, f"{where}: {key}") for key, item in value.items()})


def _typed(kind: Any, value: Any, where: str) -> Any:
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or (arguments[-1] is not Ellipsis and len(value) != len(arguments)):
            raise InputError(f"{where} is {value!r}", "it must be a list of " + _length(arguments))
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(
            _typed(k, item, f"{where}[{n}]") for n, (k, item) in enumerate(zip(kinds, value, strict=True))
        )
    if type(None) in arguments:
        return None if value is None else _typed(arguments[0], value, where)
    if is_dataclass(kind):
        return _build(kind, value, where)  # type: ignore[arg-type]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) or (kind is float and not math.isfinite(value)):
        raise InputError(f"{where} is {value!r}", f"it must be a {kind.__name__}")
    return value


def _length(arguments: tuple[Any, ...]) -> str:
    return "entries" if arguments[-1] is Ellipsis else f"{len(arguments)} numbers"


def _plain(value: Any) -> Any:
    """Plain lists and mappings without the fields that have their default."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _plain(getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(float(value), 4) if isinstance(value, float) else value
