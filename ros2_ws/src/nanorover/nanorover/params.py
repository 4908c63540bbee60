"""Parameters: declared once with meaning, unit and range; valued only in YAML.

A component declares a frozen dataclass whose fields are made by ``param``; its values stand in
``nanorover/params/<component>.yaml``, in the form that ROS 2 reads as a ``params_file``. The command
line and the nodes load the same file, so no default hides in code.
"""

import dataclasses
import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from nanorover.errors import InputError
from nanorover.tables import NODES

FOLDER = Path(__file__).parent / "params"

# What stands for an empty list on the way to a node: ROS itself knows no parameter without a type.
EMPTY_LIST = [""]
EVERY_NODE = "/**"
EXPECTED_FORM = "expected is 'node: {ros__parameters: {name: value}}'"

# Parameters that ROS 2 itself declares on every node.
ROS_OWN = ("use_sim_time", "start_type_description_service", "qos_overrides")

T = TypeVar("T")


@dataclass(frozen=True)
class Declared:
    """What is said of one parameter besides its type."""

    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()

    def allowed(self) -> str:
        """The allowed values in words, for messages and the reference."""
        if self.choices:
            return "one of " + ", ".join(str(c) for c in self.choices)
        low = "" if self.minimum is None else f"at least {self.minimum:g}"
        high = "" if self.maximum is None else f"at most {self.maximum:g}"
        bounds = " and ".join(b for b in (low, high) if b)
        return f"{bounds} {self.unit}".strip() if bounds else "any value"


def param(
    description: str,
    unit: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
) -> Any:
    """A dataclass field without a default: its value must come from YAML."""
    return dataclasses.field(metadata={"declared": Declared(description, unit, minimum, maximum, choices)})


def declared(cls: type) -> dict[str, tuple[type, Declared]]:
    """Name → (type, declaration) of every parameter of a parameter class."""
    hints = get_type_hints(cls)
    return {f.name: (hints[f.name], f.metadata["declared"]) for f in fields(cls)}


def from_mapping(cls: type[T], values: dict[str, Any], source: str) -> T:
    """Build ``cls`` from plain values, checking names, types and ranges.

    Raises InputError that names ``source``, the parameter, its value and what is allowed.
    """
    known = declared(cls)
    refuse_unknown(values, known, f"{source}: unknown parameter")
    missing = [name for name in known if name not in values]
    if missing:
        raise InputError(f"{source}: parameter '{missing[0]}' is missing", known[missing[0]][1].description)
    return cls(**{name: _checked(name, kind, d, values[name], source) for name, (kind, d) in known.items()})


def part_of(cls: type[T], values: Mapping[str, Any], source: str) -> T:
    """``cls`` from its own among the parameters of a whole node. Raises InputError as ``from_mapping`` does."""
    return from_mapping(cls, {name: values[name] for name in declared(cls)}, source)


def _checked(name: str, kind: type, declaration: Declared, value: Any, source: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    plain = getattr(kind, "__origin__", kind)
    if plain is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise InputError(
            f"{source}: parameter '{name}' is {value!r}, a {type(value).__name__}",
            f"it must be a {plain.__name__}: {declaration.description}",
        )
    low, high = declaration.minimum, declaration.maximum
    items: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
    for item in items:
        numeric = isinstance(item, (int, float)) and not isinstance(item, bool)
        outside = numeric and (
            not math.isfinite(item) or (low is not None and item < low) or (high is not None and item > high)
        )
        if outside or (declaration.choices and item not in declaration.choices):
            raise InputError(f"{source}: parameter '{name}' is {value!r}", f"allowed is {declaration.allowed()}")
    return value


def refuse_unknown(names: Iterable[str], known: Collection[str], what: str) -> None:
    """InputError for the first of ``names`` that is not known, with the nearest name that is."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(sorted(known))
            raise InputError(f"{what} '{name}'", meant)


def read_sections(path: Path) -> dict[str, dict[str, Any]]:
    """Node → its parameters, of every section of a ROS 2 parameter file, without those that ROS itself declares.

    Raises InputError for a file that cannot be read or has another form.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read parameter file {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no parameters", EXPECTED_FORM)
    sections = {}
    for key, content in document.items():
        if content and not (isinstance(content, dict) and "ros__parameters" in content):
            raise InputError(f"{path}: '{key}' holds no parameters", EXPECTED_FORM)
        given = (content or {}).get("ros__parameters") or {}
        if not isinstance(given, dict):
            raise InputError(f"{path}: '{key}' holds no parameters", EXPECTED_FORM)
        name = key if key == EVERY_NODE else str(key).lstrip("/")
        sections[name] = {n: v for n, v in given.items() if n not in ROS_OWN}
    return sections


def read_yaml(path: Path, node: str) -> dict[str, Any]:
    """The parameters of ``node`` in a ROS 2 parameter file; ``/**`` applies to every node."""
    sections = read_sections(path)
    return {**sections.get(EVERY_NODE, {}), **sections.get(node, {})}


def for_every_node(sections: dict[str, dict[str, Any]], path: Path) -> dict[str, Any]:
    """What a file's ``/**`` says. Each component takes of it what it has; InputError for a name that none has."""
    given = sections.get(EVERY_NODE, {})
    if given:
        known = {name for shipped in FOLDER.glob("*.yaml") for name in read_yaml(shipped, shipped.stem)}
        refuse_unknown(given, known, f"{path}: '{EVERY_NODE}' names a parameter of no node:")
    return given


def _require_known(path: Path) -> None:
    """InputError for a file of which no part is meant for anything here, as when the only name is mistyped."""
    known = {"**", *NODES, *(shipped.stem for shipped in FOLDER.glob("*.yaml"))}
    given = [name.rsplit("/", 1)[-1] for name in read_sections(path)]
    if not known & set(given):
        refuse_unknown(given, known, f"{path}: unknown section")


def load(cls: type[T], component: str, params_file: Path | None = None, **overrides: Any) -> T:
    """The parameters of a component: the shipped YAML, then ``params_file``, then ``overrides``.

    Raises InputError for an unreadable file, an unknown name, a wrong type or a value out of range.
    """
    shipped = FOLDER / f"{component}.yaml"
    values = read_yaml(shipped, component)
    source = str(shipped)
    if params_file is not None:
        _require_known(params_file)
        sections = read_sections(params_file)
        values.update({n: v for n, v in for_every_node(sections, params_file).items() if n in values})
        values.update(sections.get(component, {}))
        source = str(params_file)
    loaded = from_mapping(cls, values, source)
    return from_mapping(cls, {**values, **overrides}, "as given") if overrides else loaded
