"""What the files of all bag formats have in common: streams of messages, in chunks that may overlap in time."""

import heapq
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from nanorover.replay.records import Problems

Message: TypeAlias = tuple[int, int, bytes]  # stream, time of arrival in ns, content
Chunk = TypeVar("Chunk")


@dataclass(frozen=True)
class Stream:
    """What a topic carries. Where the file has it, ``definition`` is that of its type, as ``format`` writes it."""

    topic: str
    type: str
    definition: str = ""
    format: str = ""  # ros2msg, ros2idl or ros1msg


class BagFile(Protocol):
    """One file: its streams by number, how many messages each has and when the last came, as far as it says.

    Raises InputError when the file is of another format; other damage is counted in ``problems``.
    """

    streams: dict[int, Stream]
    counts: dict[int, int]
    last_ns: int | None

    def __init__(self, path: Path, problems: Problems) -> None: ...

    def messages(self, only: Container[int] | None = None) -> Iterator[Message]:
        """The messages, or those of some streams, in the order of their arrival."""
        ...


def by_time(
    chunks: Iterable[tuple[int, Chunk]], messages_of: Callable[[Chunk], Iterable[Message]]
) -> Iterator[Message]:
    """The messages of chunks that are sorted by their first time; at the same time as the file has them."""
    waiting: list[tuple[int, int, Message]] = []
    order = count()
    for first_ns, chunk in chunks:
        while waiting and waiting[0][0] < first_ns:
            yield heapq.heappop(waiting)[2]
        for message in messages_of(chunk):
            heapq.heappush(waiting, (message[1], next(order), message))
    while waiting:
        yield heapq.heappop(waiting)[2]
