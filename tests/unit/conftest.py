"""What unit tests share: a network small enough to write by hand."""

from pathlib import Path

import pytest
from detect_helpers import write_tiny_onnx, write_tiny_yaml


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description of the tiny network; its file need not exist."""
    return write_tiny_yaml(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_onnx(tiny_yaml: Path) -> Path:
    """The tiny network itself."""
    return write_tiny_onnx(tiny_yaml.parent)
