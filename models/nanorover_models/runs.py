"""The folder of a training: one at a time writes into it, another one never does, and it goes on as it began."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nanorover.errors import InputError
from nanorover.files import make_folder
from nanorover_models.data import DataSet
from nanorover_models.model import ModelSpec, load_checkpoint, spec_of
from nanorover_models.params import TrainParams

# Files that say that a training began here, the last one to tell how far it came.
BEST, LOG, CURVES, LAST = "best.pt", "log.jsonl", "curves.png", "last.pt"

# Parameters that may differ when a run goes on: the first change nothing of what is learnt, or nothing that the
# pictures do not tell too; the second are a matter of taste, and said.
FREE = ("workers", "threads", "pictures_on_gpu", "validate_every", "validation_part")
TASTE = ("epochs", "mixed_precision")


def refuse_begun(folder: Path, *, resumable: bool) -> None:
    """InputError where a training began in ``folder``; ``resumable``: whoever asks could go on with it."""
    there = [name for name in (BEST, LOG, LAST) if (folder / name).exists()]
    if not there:
        return
    content = load_checkpoint(folder / LAST) if LAST in there else {}
    what, resume = f"a training ({', '.join(there)})", "--resume"
    if "progress" in content:
        done, best, asked = (
            content["progress"]["epoch"],
            content["progress"]["best"],
            content["settings"]["epochs"],
        )
        finished = done >= asked
        what = f"a training that is {'finished' if finished else 'begun'}, {done} of {asked} epochs"
        what += f" (best AP {best:.3f})" if best >= 0 else ""
        resume = "--resume with a greater --epochs" if finished else resume
    raise InputError(
        f"{folder} holds {what}", "give another --out" + (f"; {resume} goes on with it" if resumable else "")
    )


def made_with(training: DataSet, validation: DataSet, processes: int, *, taught: bool) -> dict[str, Any]:
    """What a run's result depends on beside its network and parameters, as its checkpoint keeps it."""
    digests = {"training": training.digest(), "validation": validation.digest()}
    return {**digests, "processes": processes, "taught": taught}


def differences(
    folder: Path, content: dict[str, Any], spec: ModelSpec, settings: TrainParams, run: dict[str, Any]
) -> list[str]:
    """How a run that goes on from the ``content`` of its last checkpoint differs from what it was, as a matter of
    taste; ``run`` is what `made_with` says now.

    Raises InputError where it would be another run, so that what is there and what comes would not fit together.
    """
    before = content.get("run")
    elsewhere = f"go on into another folder: --start {folder / BEST}"
    if before is None:
        raise InputError(f"{folder} is of an older version, which did not keep what it was made with", elsewhere)
    if before["taught"] and not run["taught"]:
        raise InputError(f"{folder} was trained with a teacher, and would go on without", elsewhere)
    theirs = {**content["settings"], **asdict(spec_of(content))}
    ours = {**asdict(settings), **asdict(spec)}
    changed = [name for name in ours if name not in FREE and theirs.get(name) != ours[name]]
    other = [name for name in changed if name not in (*TASTE, "batch")]
    if other:
        words = "; ".join(f"{name} {_words(theirs.get(name))}, not {_words(ours[name])}" for name in other)
        raise InputError(
            f"{folder} was trained with {words}", f"resume with the same data and parameters, or {elsewhere}"
        )
    sets = [part for part in ("training", "validation") if before[part] != run[part]]
    if sets:
        raise InputError(
            f"{folder} was trained with another {' and another '.join(sets)} set: other pictures or boxes",
            f"resume with the same --data and --validation, or {elsewhere}",
        )
    steps = theirs["batch"] * before["processes"], settings.batch * run["processes"]
    said = [f"{name} {_words(ours[name])} instead of {_words(theirs[name])}" for name in changed if name in TASTE]
    if steps[0] != steps[1]:
        said.append(f"{steps[1]} pictures in each step instead of {steps[0]}, at a learning rate that follows")
    return said


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else trains into ``folder`` meanwhile: files of two runs would belong to neither.

    Raises InputError where somebody does, or where it cannot be written.
    """
    make_folder(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another training writes into {folder}", "wait for it, or give another --out"
            ) from error
        except OSError:  # a network's file system may know no locks of folders; then nobody can tell
            pass
        yield
    finally:
        os.close(lock)
