"""Shared set-up of the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests import their helpers: `from data import recording`
