"""The robot's components in lock-step in one process: no DDS, no clock, no sleep, equal to the bit every time.

A component takes one record at a time and yields what it makes of it; that goes to the components after it
before the next record of the recording is taken. Time is the stamp of the records and nothing else.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nanorover.replay.records import Problems

Column = NDArray[Any]


class Component(Protocol):
    """One part of the robot, as the graph drives it."""

    def take(self, record: Any) -> Iterable[Any]:
        """Take one record and give what comes of it: dataclasses with ``stamp_ns``, or several at once."""
        ...

    def finish(self) -> Mapping[str, Any]:
        """What there is to say at the end: a map, a path; arrays, numbers or text by name."""
        ...


@dataclass(frozen=True, eq=False)
class Several:
    """What came of one record where that is any number of things, perhaps none; all have its stamp."""

    stamp_ns: int
    things: tuple[Any, ...]


@dataclass(frozen=True)
class Unusable:
    """In place of what a component would have made of a record: what is wrong with it. It is counted."""

    stamp_ns: int
    problem: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One component as declared: what it takes, what it makes, and how closely that is compared.

    Every field of ``output`` is compared but those ``ignored``; what a component makes besides only goes on to
    the components after it. ``tolerance`` maps a field to the largest difference that passes; a field that is
    not named must be equal. ``allowed_share`` maps a field to the share of its values that may differ at all
    (cells of a map), and ``stamp_ns`` to the share of moments that may have more things or fewer.
    ``replaces`` names recorded types that are left out once the component makes them itself, which begins with
    the first record of its first input.
    """

    name: str
    make: Callable[[], Component]
    inputs: tuple[type, ...]
    output: type
    ignored: tuple[str, ...] = ()
    tolerance: Mapping[str, float] = field(default_factory=dict)
    allowed_share: Mapping[str, float] = field(default_factory=dict)
    replaces: tuple[type, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are compared, ``stamp_ns`` first."""
        names = (f.name for f in dataclasses.fields(self.output))
        return ("stamp_ns", *(name for name in names if name not in {"stamp_ns", *self.ignored}))


@dataclass
class Run:
    """What a graph made of a recording: component → field → one row per output, and the ends.

    A component whose first input never came is not in it.
    """

    outputs: dict[str, dict[str, Column]]
    ends: dict[str, dict[str, Column]]
    cpu_s: float
    records: int
    problems: Problems

    def columns(self) -> dict[str, Column]:
        """Every field under the name ``component/field``, the ends as ``component/end/field``."""
        steps = {
            f"{name}/{key}": column for name, fields in self.outputs.items() for key, column in fields.items()
        }
        ends = {
            f"{name}/end/{key}": column for name, fields in self.ends.items() for key, column in fields.items()
        }
        return steps | ends


def run(rows: Sequence[Row], records: Iterable[Any], on_record: Callable[[Any], None] | None = None) -> Run:
    """Drive the components with a recording; ``on_record`` sees each record, for progress and truth."""
    graph = _Graph(rows)
    started, count = time.process_time(), 0
    for record in records:
        graph.take(record)
        count += 1
        if on_record is not None:
            on_record(record)
    parts = [(row, component) for row, component in graph.parts if row.name in graph.awake]
    ends = {row.name: _as_columns(component.finish()) for row, component in parts}
    outputs = {row.name: _stacked(graph.collected[row.name], row.fields) for row, _ in parts}
    return Run(outputs, ends, time.process_time() - started, count, graph.problems)


class _Graph:
    def __init__(self, rows: Sequence[Row]) -> None:
        self.parts = [(row, row.make()) for row in rows]
        self.collected: dict[str, list[Any]] = {row.name: [] for row in rows}
        self.awake: set[str] = set()
        self.problems = Problems()

    def take(self, record: Any) -> None:
        """A record of the recording, and all that follows from it, to the end of the graph."""
        replaced = (row.replaces for row, _ in self.parts if row.name in self.awake)
        if any(isinstance(record, kinds) for kinds in replaced):
            return
        self._pass_on(record, 0)

    def _pass_on(self, record: Any, first: int) -> None:
        for i in range(first, len(self.parts)):
            row, component = self.parts[i]
            if isinstance(record, row.inputs):
                if isinstance(record, row.inputs[0]):
                    self.awake.add(row.name)
                for output in component.take(record):
                    if isinstance(output, Unusable):
                        self.problems.add(output.problem, output.reason)
                        continue
                    things = output.things if isinstance(output, Several) else (output,)
                    self.collected[row.name] += [thing for thing in things if isinstance(thing, row.output)]
                    self._pass_on(output, i + 1)


def _stacked(outputs: list[Any], names: Sequence[str]) -> dict[str, Column]:
    """Outputs as one column per field."""
    return {name: np.array([getattr(output, name) for output in outputs]) for name in names}


def _as_columns(ends: Mapping[str, Any]) -> dict[str, Column]:
    return {name: np.asarray(value) for name, value in ends.items()}
