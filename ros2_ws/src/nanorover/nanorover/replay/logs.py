"""A recording of any format as one stream of typed records, with what was wrong in it counted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from nanorover.base.kinematics import Track
from nanorover.errors import InputError
from nanorover.replay.packed import PACKED_SUFFIXES, plain_name
from nanorover.replay.records import Problems, Record, Summary

BAG_SUFFIXES = (".mcap", ".db3", ".bag")
CARMEN_SUFFIXES = (".clf", ".log", ".carmen")


@dataclass(frozen=True)
class Wheels:
    """How to make odometry from two topics of wheel velocities (``std_msgs/Float64``).

    ``left_m_per_unit`` is the path of the wheel per unit of velocity and second: the radius where the topic
    is in rad/s; negative where the wheel is mounted the other way round.
    """

    left_topic: str
    right_topic: str
    left_m_per_unit: float
    right_m_per_unit: float
    track: Track


@dataclass(frozen=True)
class Reading:
    """What a person may choose about the reading of a bag.

    ``topics`` maps a role (``scan``, ``odom``, ``image`` …) to a topic. ``clock`` says which time counts: the
    stamp in the header, or the time of arrival where the headers of a bag come from different clocks.
    """

    topics: Mapping[str, str] = field(default_factory=dict)
    wheels: Wheels | None = None
    clock: Literal["header", "received"] = "header"


class Log(Protocol):
    """A recording. Iterating yields its records in the order of their arrival, afresh each time.

    ``problems`` and ``summary`` tell of the latest iteration.
    """

    path: Path
    problems: Problems
    summary: Summary

    def __iter__(self) -> Iterator[Record]: ...


def open_log(path: Path | str, reading: Reading | None = None) -> Log:
    """The recording at ``path``: rosbag2 (folder, mcap, sqlite3), ROS 1 bag or CARMEN log; files also packed.

    Raises InputError when it is missing, empty, of no known format or lacks a topic that ``reading`` names, and
    for choices with a CARMEN log, which has none; while iterating, when the clocks of its topics do not agree.
    What is damaged inside is counted and skipped.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{path} does not exist", "give a bag folder, an .mcap, .db3 or .bag file, or a CARMEN log"
        )
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty", "the recording ended before anything was written")
    suffix = Path(plain_name(path)).suffix
    if path.is_file() and suffix in CARMEN_SUFFIXES:
        from nanorover.replay.carmen import CarmenLog

        if reading not in (None, Reading()):
            raise InputError(f"{path} is a CARMEN log: it has no topics to choose and one clock", "leave that out")
        return CarmenLog(path)
    if path.is_file() and suffix not in BAG_SUFFIXES:
        known, packed = ", ".join(BAG_SUFFIXES + CARMEN_SUFFIXES), ", ".join(PACKED_SUFFIXES)
        hint = f"known are bag folders and {known} ({packed})"
        raise InputError(f"{path} is no recording that can be read", hint)
    from nanorover.replay.bag_log import BagLog

    return BagLog(path, reading or Reading())


def need(log: Log, *record_types: type) -> None:
    """After reading: raise InputError when the recording held none of these records."""
    for record_type in record_types:
        if log.summary.counts[record_type.__name__] == 0:
            reasons = "; ".join(log.problems.lines()) or "it has no topic of that type"
            raise InputError(f"{log.path} holds no usable {record_type.__name__}", reasons)
