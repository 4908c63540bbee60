"""What a person sees of work that takes long: sentences, and how far it is."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

# Into a file or pipe a line goes after so long a silence, which becomes twice as long with each.
FIRST_SILENCE_S = 10.0
LONGEST_SILENCE_S = 300.0

# The line on a terminal changes so often; for what it says, a GPU is waited for.
REFRESH_S = 0.5

Item = TypeVar("Item")


class Advance(Protocol):
    """Takes that so many more pictures are done; ``further`` makes words that come behind, if they are shown."""

    def __call__(self, pictures: int = 1, further: Callable[[], str] | None = None) -> None: ...


class Reporter:
    """Says sentences, and lines about work that goes on where nothing was said for long."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._silence_s, self._said_s = FIRST_SILENCE_S, clock()

    def say(self, sentence: str) -> None:
        """Say something that is known once."""
        self._said_s = self._clock()
        self._say(sentence)

    @contextmanager
    def work(self, what: str, total: int | None = None) -> Iterator[Advance]:
        """Work on ``total`` pictures begins; within, the function that is given is told what is done of it."""
        begin_s, done = self._clock(), 0

        def advance(pictures: int = 1, further: Callable[[], str] | None = None) -> None:
            nonlocal done
            done += pictures
            now_s = self._clock()
            if not self._wanted(now_s):
                return
            rate = done / max(now_s - begin_s, 1e-3)
            facts = [f"{done}{'' if total is None else f'/{total}'} pictures"]
            facts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
            if further is not None:
                facts.append(further())
            elif total is not None:
                facts.append(f"{duration((total - done) / rate)} left")
            self._show(what, "  ".join(facts), done, total)

        try:
            yield advance
        finally:
            self._hide()

    def each(self, what: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
        """The items, each of which is the work on one picture; ``total`` says how many, where they do not."""
        with self.work(what, len(items) if isinstance(items, Sized) else total) as advance:
            for item in items:
                yield item
                advance()

    def _wanted(self, now_s: float) -> bool:
        """Is it time to show how far work is?"""
        if now_s - self._said_s < self._silence_s:
            return False
        self._silence_s = min(2 * self._silence_s, LONGEST_SILENCE_S)
        return True

    def _show(self, what: str, facts: str, _done: int, _total: int | None) -> None:
        self.say(f"{what}: {facts}")

    def _hide(self) -> None:
        """The work has ended."""


class LiveReporter(Reporter):
    """The same on a terminal, where one line at the bottom says how far work is."""

    def __init__(
        self, say: Callable[[str], None], console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``say`` prints on ``console``."""
        super().__init__(say, clock)
        self._console, self._shown_s = console, self._said_s
        self._line: Progress | None = None

    def _wanted(self, now_s: float) -> bool:
        if now_s - self._shown_s < REFRESH_S:
            return False
        self._shown_s = now_s
        return True

    def _show(self, what: str, facts: str, done: int, total: int | None) -> None:
        if self._line is None:
            columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[facts]}"))
            # It changes from here alone: processes that load are forked, and a thread that draws is not.
            self._line = Progress(*columns, console=self._console, transient=True, expand=True, auto_refresh=False)
            self._line.start()
            self._line.add_task(what, total=total, facts=facts)
        self._line.update(self._line.task_ids[0], completed=done, facts=facts, refresh=True)

    def _hide(self) -> None:
        if self._line is not None:
            self._line.stop()
            self._line = None


SILENT = Reporter(lambda _: None)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
