"""Files of the checkout that this package lies in; where the package is installed elsewhere they do not exist."""

from pathlib import Path

# ".." and not `parents`: at the root of a file system it stays there.
_ROOT = (Path(__file__).parent / "../../../..").resolve()

RECORDINGS_FOLDER = _ROOT / "tests" / "recordings"
REPLAY_REFERENCES = _ROOT / "tests" / "replay" / "references"
