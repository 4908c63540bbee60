"""How far long work is: rare lines into a file, one live line on a terminal."""

import io
import re
from collections.abc import Iterable
from itertools import count

import pytest
from models_helpers import MODELS
from rich.console import Console

assert MODELS.is_dir()  # importing it made the package importable

from nanorover_models.report import LiveReporter, Reporter

HOUR_S = 3600


class Clock:
    """A clock that is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_file_gets_the_first_line_soon_and_never_thousands() -> None:
    clock, said = Clock(), []
    with Reporter(lambda _: said.append(clock.now_s), clock).work("epoch", 10 * HOUR_S) as advance:
        for clock.now_s in range(10 * HOUR_S):
            advance()
    gaps = [after - before for before, after in zip([0, *said], said, strict=False)]
    assert gaps[:6] == [10, 20, 40, 80, 160, 300]
    assert set(gaps[5:]) == {300}


def test_what_is_said_meanwhile_breaks_the_silence_too() -> None:
    clock, said = Clock(), []
    report = Reporter(said.append, clock)
    with report.work("epoch", 100) as advance:
        for clock.now_s in range(100):
            advance()
            if clock.now_s % 9 == 0:
                report.say("a sentence")
    assert set(said) == {"a sentence"}


def test_a_line_says_how_much_is_done_how_quickly_and_how_long_it_takes_yet() -> None:
    clock, said = Clock(), []
    report = Reporter(said.append, clock)
    with report.work("validation", 1500) as advance:
        clock.now_s = 20.0
        advance(500)
    assert said.pop() == "validation: 500/1500 pictures  25/s  0:00:40 left"
    with report.work("pruning") as advance:
        clock.now_s += 40.0
        advance(60, lambda: "90% of the MACs left")
    assert said.pop() == "pruning: 60 pictures  1.5/s  90% of the MACs left"
    with report.work("rendering", 4) as advance:
        clock.now_s += 100.0
        advance()
    assert said.pop() == "rendering: 1/4 pictures  0.01/s  0:05:00 left"


@pytest.mark.parametrize(("items", "total"), [(["a", "b"], None), (iter("ab"), 2)])
def test_each_item_is_counted_when_it_is_done(items: Iterable[str], total: int | None) -> None:
    done: list[str] = []
    report = Reporter(done.append, clock=count(step=1000).__next__)
    for item in report.each("reading", items, total):
        done.append(item)
    assert [line.split("  ")[0] for line in done] == ["a", "reading: 1/2 pictures", "b", "reading: 2/2 pictures"]


def test_a_terminal_has_one_line_that_goes_when_the_work_ends() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80, height=24)
    clock = Clock()
    report = LiveReporter(console.print, console, clock)
    with report.work("quick", 100) as advance:
        for _ in range(100):
            advance(further=lambda: pytest.fail("words are made only to be shown: they wait for a GPU"))
    assert shown.getvalue() == ""
    with pytest.raises(KeyboardInterrupt), report.work("epoch 1/2", 3) as advance:
        for loss in ("2", "1"):
            clock.now_s += 1.0
            advance(further=f"loss {loss}".__str__)
            report.say(f"said at {loss}")
        raise KeyboardInterrupt
    written = shown.getvalue()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    live = [line for line in lines if line.startswith("epoch")]
    assert all(len(line) == 80 for line in live)
    assert live[0].split()[3:] == ["1/3", "pictures", "1/s", "loss", "2"]
    assert live[-1].split()[3:] == ["2/3", "pictures", "1/s", "loss", "1"]
    assert [line.strip() for line in lines if line.startswith("said")] == ["said at 2", "said at 1"]
    after = written.rpartition("pictures")[2]
    assert "\x1b[2K" in after, "the line is wiped"
