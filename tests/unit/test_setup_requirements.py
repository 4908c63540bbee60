"""The lock files: exact, without contradiction, and complete."""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from data import REPOSITORY

FILES = sorted((REPOSITORY / "scripts" / "requirements").glob("*.txt"))
LOCKS = [file for file in FILES if file.stem != "on_ros"]


def pins(file: Path) -> list[Requirement]:
    return [Requirement(line) for line in file.read_text().splitlines() if line and not line.startswith("#")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_requirement_is_one_exact_version(file: Path):
    for requirement in pins(file):
        assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), requirement


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_no_package_is_pinned_to_two_versions(python: str):
    versions: dict[str, str] = {}
    for file in LOCKS:
        for requirement in pins(file):
            if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
                version = versions.setdefault(canonical(requirement.name), str(requirement.specifier))
                assert version == str(requirement.specifier), requirement


def test_what_pip_has_installed_is_what_is_pinned():
    if not (Path(sys.prefix) / "nanorover" / "state.json").exists():
        pytest.skip("this Python was not set up by scripts/setup")
    pinned = {
        canonical(r.name): r.specifier
        for file in LOCKS
        for r in pins(file)
        if r.marker is None or r.marker.evaluate()
    }
    # torch brings what its build for this machine needs, and pins that itself.
    of_torch = re.compile(r"nvidia-.*|cuda-.*|triton")
    astray = []
    for distribution in distributions(path=[p for p in sys.path if p.startswith(sys.prefix)]):
        name = canonical(distribution.metadata["Name"])
        if distribution.read_text("INSTALLER") is None or name.startswith("nanorover") or of_torch.match(name):
            continue
        if name not in pinned or not pinned[name].contains(distribution.version, prereleases=True):
            astray.append(f"{name} {distribution.version} installed, pinned {pinned.get(name, 'nowhere')}")
    assert not astray, "add to or correct in scripts/requirements:\n" + "\n".join(astray)
