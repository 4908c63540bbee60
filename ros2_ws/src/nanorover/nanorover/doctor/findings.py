"""What a check says: how bad, one sentence, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass

OK, NOTE, WARN, ERROR = "ok", "note", "warn", "error"
LEVELS = (OK, NOTE, WARN, ERROR)


@dataclass(frozen=True)
class Finding:
    """One line of the doctor. A ``note`` is worth knowing and needs no mend."""

    level: str
    sentence: str
    mend: str = ""


@dataclass(frozen=True)
class Check:
    """A named check; ``look`` takes what its group looks at and gives at least one finding."""

    name: str
    look: Callable[..., list[Finding]]


def ok(sentence: str) -> list[Finding]:
    """All is well."""
    return [Finding(OK, sentence)]


def unseen() -> list[Finding]:
    """There was nothing to look at."""
    return [Finding(NOTE, "nothing to look at")]


def ok_of(count: int, sentence: str) -> list[Finding]:
    """All of ``count`` things are well; a note where there was nothing to look at."""
    return ok(f"{count} {sentence}") if count else unseen()


def worst(findings: list[Finding]) -> str:
    """The worst level among the findings."""
    return max((f.level for f in findings), key=LEVELS.index, default=OK)
