"""Reading one sqlite3 file of rosbag2, cut off or damaged as it may be.

The tables are those of ``rosbag2_storage_sqlite3``: topics, messages, and from schema 4 on message_definitions.
"""

import sqlite3
from collections.abc import Container, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from nanorover.errors import InputError
from nanorover.replay.bag_file import Message, Stream
from nanorover.replay.records import Problems

TOPICS = "SELECT id, name, type, serialization_format FROM topics"
DEFINITIONS = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
COUNTS = "SELECT topic_id, COUNT(*), MAX(timestamp) FROM messages GROUP BY topic_id"
IN_ORDER = "SELECT id, topic_id, timestamp, data FROM messages WHERE topic_id IN ({}) ORDER BY timestamp, id"
FROM_ROW = "SELECT id, topic_id, timestamp FROM messages WHERE id > ? ORDER BY id"
ROW = "SELECT id, topic_id, timestamp, data FROM messages WHERE id = ?"
GREATEST_ROW = 2**63 - 1
MOST_LEAPS = 200


class Db3File:
    """A sqlite3 file of rosbag2 as a ``bag_file.BagFile``.

    Raises InputError when its topics cannot be read; other damage is counted in ``problems``.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self.streams: dict[int, Stream] = {}
        self._reported = False
        self._mode = self._mode_to_open()
        with closing(self._open(self._mode)) as database:
            try:
                topics = database.execute(TOPICS).fetchall()
            except sqlite3.Error as error:
                hint = "the database is damaged; `sqlite3 FILE .recover` may help"
                raise InputError(f"cannot read {path}: {error}", hint) from error
            definitions = {name: (text, encoding) for name, encoding, text in _all(database, DEFINITIONS)}
            for number, topic, msgtype, encoding in topics:
                definition = definitions.get(msgtype, ("", ""))
                if encoding == "cdr" and all(isinstance(text, str) for text in (topic, msgtype, *definition)):
                    self.streams[number] = Stream(topic, msgtype, *definition)
                else:
                    problems.add("topic that is not a ROS 2 message skipped", f"{path}, {topic}")
            counts = _all(database, COUNTS)
        self.counts: dict[int, int] = {number: count for number, count, _ in counts}
        self.last_ns: int | None = max((last for _, _, last in counts if isinstance(last, int)), default=None)

    def messages(self, only: Container[int] | None = None) -> Iterator[Message]:
        """The messages, or those of some topics, by time; after damage those that can still be reached."""
        wanted = [number for number in self.streams if only is None or number in only]
        in_order = IN_ORDER.format(",".join("?" * len(wanted)))
        last = (-1, -1)
        with closing(self._open(self._mode)) as database:
            try:
                for row in database.execute(in_order, wanted):
                    last = (row[2], row[0])
                    yield from self._message(row)
            except sqlite3.Error as error:
                if not self._reported:
                    self._reported = True
                    place = f"{self.path}: {error}; `sqlite3 FILE .recover` may find more"
                    self.problems.add("damaged database; what can be reached is read", place)
                for at_ns, number in sorted(self._reached(database, wanted)):
                    for row in _all(database, ROW, number) if (at_ns, number) > last else ():
                        yield from self._message(row)

    def _message(self, row: tuple[int, int, Any, Any]) -> Iterator[Message]:
        """The message of a row; none where a damaged place holds something else."""
        number, topic, at_ns, data = row
        if isinstance(at_ns, int) and isinstance(data, bytes):
            yield topic, at_ns, data
        else:
            self.problems.add("damaged message skipped", f"{self.path}, row {number}")

    def _reached(self, database: sqlite3.Connection, wanted: list[int]) -> list[tuple[int, int]]:
        """Time and number of the rows that can be found in spite of damage, which is leapt over."""
        found: dict[int, int] = {}
        after, leap = -1, 1
        for _ in range(MOST_LEAPS):
            known = len(found)
            try:
                for number, topic, at_ns in database.execute(FROM_ROW, (after,)):
                    after = max(after, number)  # a damaged search leads back
                    if topic in wanted and isinstance(at_ns, int):
                        found[number] = at_ns
                break
            except sqlite3.Error:
                leap = 1 if len(found) > known else 2 * leap
                after = min(after + leap, GREATEST_ROW)
        return [(at_ns, number) for number, at_ns in found.items()]

    def _mode_to_open(self) -> str:
        """How to open the file: as it is, or with the log beside it, in which a recorder that was killed has left
        its last messages."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if not log.is_file() or log.stat().st_size == 0:
            return "ro&immutable=1"
        try:
            with closing(self._open("ro")) as database:
                database.execute(TOPICS)
        except (InputError, sqlite3.Error) as error:
            hint = "copy both to where they can be written"
            self.problems.add("last messages of a recorder that was killed not read", f"{log}: {error}; {hint}")
            return "ro&immutable=1"
        return "ro"

    def _open(self, mode: str) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode={mode}", uri=True)
            database.execute("PRAGMA writable_schema = ON")  # nothing is written: so sqlite reads files cut off
        except sqlite3.Error as error:
            raise InputError(f"cannot read {self.path}: {error}") from error
        database.text_factory = lambda text: text.decode(errors="replace")
        return database


def _all(database: sqlite3.Connection, query: str, *values: int) -> list[tuple[Any, ...]]:
    """What a query finds; nothing where a table is missing or damaged."""
    try:
        return database.execute(query, values).fetchall()
    except sqlite3.Error:
        return []
