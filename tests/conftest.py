"""Shared set-up of the tests."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # tests import their helpers: `from data import recording`

# Time limits per example are off: the first call of a kernel compiles it.
settings.register_profile("nanorover", deadline=None)
settings.load_profile("nanorover")
