"""The documentation builds without a warning and says what the code says."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data import REPOSITORY
from nanorover import params
from nanorover.bringup.arguments import ARGUMENTS
from nanorover.tables import NODES, TOPICS

pytest.importorskip("mkdocs", reason="the documentation needs ./scripts/setup docs")
pytest.importorskip("rclpy", reason="the parameters of nodes need ROS 2")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page.read_text()))


def test_every_parameter_with_its_value_is_in_the_reference(site):
    page = text_of(site / "reference/parameters.html")
    for file in params.FOLDER.glob("*.yaml"):
        values = params.read_yaml(file, file.stem)
        if re.search(rf"\b{file.stem}\b", page):
            for name in values:
                assert name in page, f"{file.stem}.{name}"
    for used in ("slam", "base", "web", "supervisor", "frames", "lidar"):
        assert params.read_yaml(params.FOLDER / f"{used}.yaml", used).keys() <= set(re.findall(r"\w+", page))


def test_every_topic_node_argument_and_command_is_in_the_reference(site):
    topics = text_of(site / "reference/topics.html")
    for name in (*TOPICS, *NODES):
        assert name in topics
    arguments = text_of(site / "reference/arguments.html")
    for argument in ARGUMENTS.values():
        assert argument.name in arguments and argument.meaning in arguments
    commands = text_of(site / "reference/commands.html")
    for name in ("up", "status", "stop", "view", "doctor", "calibrate wheels", "security", "replay"):
        assert f"nanorover {name}" in commands
    assert "--strategy" not in commands and "Traceback" not in commands


def test_commands_that_pages_name_exist(site):
    known = set(re.findall(r"nanorover ([a-z]+)", text_of(site / "reference/commands.html")))
    for page in (REPOSITORY / "docs").glob("*.md"):
        for name in re.findall(r"(?:^|`)nanorover ([a-z]+)", page.read_text(), re.M):
            assert name in known, f"{page.name} names 'nanorover {name}'"


def test_files_that_pages_name_exist():
    for page in (REPOSITORY / "docs").glob("*.md"):
        for name in re.findall(r"`((?:docker|launch|scripts)/[\w./-]+\w)`", page.read_text()):
            assert (REPOSITORY / name).exists(), f"{page.name} names {name}"
