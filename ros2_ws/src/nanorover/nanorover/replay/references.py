"""References: what a case gave when somebody last said that it was right.

A reference is a small ``.npz`` with every compared field and a note of where it comes from. It changes only
through ``nanorover replay --update-references``.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nanorover.arrays import read_arrays
from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.replay.graph import Column

NOTE = "note"
FORMAT = 1


@dataclass(frozen=True)
class Reference:
    """The fields of a run with their note: commit, recording, records."""

    columns: dict[str, Column]
    note: dict[str, object]


def reference_path(folder: Path, recording: Path) -> Path:
    """Where the reference of a recording lies."""
    return folder / f"{recording.stem if recording.is_file() else recording.name}.npz"


def load_reference(path: Path) -> Reference | None:
    """The reference, or None where there is none yet; raises InputError for a damaged file."""
    if not path.exists():
        return None
    try:
        columns = read_arrays(path)
        note = json.loads(str(columns.pop(NOTE)))
    except (ValueError, KeyError) as error:
        raise InputError(f"reference {path} is damaged: {error}", "restore it, or --update-references") from error
    if note.get("format") != FORMAT:
        raise InputError(f"reference {path} has the format {note.get('format')}", "renew it: --update-references")
    return Reference(columns, note)


def save_reference(path: Path, columns: dict[str, Column], note: dict[str, object]) -> None:
    """Write a reference with its note; the commit and the format are added here."""
    full = json.dumps({**note, "format": FORMAT, "commit": current_commit(path.parent)})
    with replacing(path) as temporary:
        everything: dict[str, Any] = {**columns, NOTE: np.array(full)}
        np.savez_compressed(temporary, **everything)


def current_commit(folder: Path) -> str:
    """The commit that is checked out, marked where something is changed; "unknown" outside a repository."""
    folder.mkdir(parents=True, exist_ok=True)
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    source = [line for line in changed.splitlines() if line.endswith((".py", ".yaml"))]
    return f"{commit} with changes" if source else commit
