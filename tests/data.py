"""Where recordings that are not part of the repository lie, if this machine has them."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY.parent / "shared" / "data"


def recording(name: str) -> Path:
    """The path of a recording; skips the calling test where it is absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"recording {name} is not on this machine (looked in {FOLDER})")
    return path
