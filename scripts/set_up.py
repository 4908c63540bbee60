"""Makes and mends the Python environment `.venv`; started by `scripts/setup`, needs only the standard library.

Every step leaves a key of what it was made from in `.venv/nanorover/state.json`, and is done again when the key
changes or when a file that it installed is gone. A step that is interrupted leaves no key.
"""

import argparse
import configparser
import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from typing import TextIO

from environment import Environment, SetupError, digest, link

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "ros2_ws" / "src"
REQUIREMENTS = ROOT / "scripts" / "requirements"
OWN_PACKAGES = tuple(SOURCES / name for name in ("nanorover", "nanorover_nodes", "nanorover_bringup"))
ROS_ENVIRONMENT = SOURCES / "nanorover" / "nanorover" / "ros_environment.py"

# The message wheels were built on another machine and name its headers in the files they export to CMake.
FOREIGN_PYTHON_HEADERS = re.compile(r"/opt/python/[^/;\"]+/include/python3\.\d+")
FOREIGN_NUMPY_HEADERS = re.compile(r"/opt/python/[^;\"]+/site-packages/numpy/_core/include")
PACKAGE_NAME = re.compile(r"^[\w.-]+")


@contextlib.contextmanager
def timed(title: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    print(f"• {title} ...", file=sys.stderr, flush=True)
    start = time.monotonic()
    yield
    print(f"  {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


class SetUp:
    """The steps, in order."""

    def __init__(
        self, groups: list[str], python: str | None = None, ros: Path | None = None, venv: Path = ROOT / ".venv"
    ) -> None:
        self.environment = Environment(venv, ros)
        self.python = python
        self.ros = ros
        self.groups = groups
        self.state: dict[str, str] = {}

    def all(self) -> None:
        """Do what is not done."""
        self.make_environment()
        self.install_requirements()
        self.repair_cmake_paths()
        for package in self.interface_packages():
            self.build_interfaces(package)
        self.install_own_packages()
        self.link_own_packages()
        self.write_environment_file()
        self.compile_kernels()

    def step(self, name: str, key: str, whole: bool, work: Callable[[], None]) -> None:
        """Do ``work`` unless the step was done with this key and everything it made is there."""
        if whole and self.state.get(name) == key:
            return
        self.state.pop(name, None)
        self.save_state()
        with timed(name):
            work()
        self.state[name] = key
        self.save_state()

    def save_state(self) -> None:
        file = self.environment.notes / "state.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.state, indent=1))
        temporary.replace(file)

    def make_environment(self) -> None:
        """Take what is there if it is usable, else make it anew."""
        environment = self.environment
        wanted = sys.version_info[:2] if self.python else None  # the named Python is the one that runs this
        if environment.usable(wanted):
            with contextlib.suppress(OSError, ValueError):
                self.state = json.loads((environment.notes / "state.json").read_text())
            return
        base = sys._base_executable  # type: ignore[attr-defined]  # sys.executable may lie in what is removed now
        with timed(f"{environment.folder.name} for Python {sys.version_info[0]}.{sys.version_info[1]}"):
            shutil.rmtree(environment.folder, ignore_errors=True)
            environment.notes.mkdir(parents=True)
            system = ["--system-site-packages"] if self.ros else []
            environment.run(base, "-I", "-m", "venv", *system, environment.folder)
        if not environment.usable(wanted):
            raise SetupError(
                f"{base} made no usable environment\n  → ./scripts/setup --python /path/to/python3.11"
            )

    def install_requirements(self) -> None:
        """Install the wanted lock files where they have changed, or where an installed package is not whole."""
        wanted = {"robot", *self.groups} | (set() if self.ros else {"ros"})
        # What an earlier call has installed stays up to date too.
        groups = [g for g in self.lock_files() if g in wanted or f"requirements {g}" in self.state]
        keys = {f"requirements {g}": self.lock_key(g) for g in groups}
        listing = self.environment.notes / "packages.txt"
        expected = set(listing.read_text().split()) if listing.exists() else set()
        gone = expected - self.environment.packages()
        broken = list(self.environment.broken())
        if not gone and not broken and all(self.state.get(name) == key for name, key in keys.items()):
            return
        for name in keys:
            self.state.pop(name, None)
        self.save_state()
        for package in sorted(gone):
            print(f"• {package} is gone", file=sys.stderr)
        for dist_info in broken:
            print(f"• {dist_info.stem} is not whole", file=sys.stderr)
            self.environment.forget(dist_info)
        with timed(f"requirements: {' '.join(groups)}"):
            self.pip_install(groups)
        listing.write_text("\n".join(sorted(self.environment.packages())) + "\n")
        self.state |= keys
        self.save_state()

    def lock_files(self) -> list[str]:
        return sorted(file.stem for file in REQUIREMENTS.glob("*.txt") if file.stem != "on_ros")

    def lock_key(self, group: str) -> str:
        overrides = [REQUIREMENTS / "on_ros.txt"] if self.ros else []
        return digest(REQUIREMENTS / f"{group}.txt", *overrides)

    def pip_install(self, groups: list[str]) -> None:
        """Install the pins of ``groups``; every other lock file constrains what comes along."""
        options: list[str | Path] = []
        for group in self.lock_files():
            file = REQUIREMENTS / f"{group}.txt"
            if self.ros:
                file = self.with_overrides(file)
            options += ["--requirement" if group in groups else "--constraint", file]
        self.pip("install", *options)

    def with_overrides(self, file: Path) -> Path:
        """A copy of a lock file in which the packages that must fit the installed ROS have their own pins."""
        overrides = {name: line for line, name in named_lines((REQUIREMENTS / "on_ros.txt").read_text())}
        # A package may stand there twice, with markers; its override stands once.
        lines = dict.fromkeys(overrides.get(name, line) for line, name in named_lines(file.read_text()))
        copy = self.environment.notes / file.name
        copy.write_text("\n".join(lines) + "\n")
        return copy

    def pip(self, *arguments: str | Path) -> None:
        self.environment.run(
            self.environment.python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments
        )

    def repair_cmake_paths(self) -> None:
        """Let the message wheels' CMake files name the headers of this machine."""
        files = self.environment.folder.glob("share/*/cmake/export_*__rosidl_generator_pyExport.cmake")
        foreign = {file: text for file in files if "/opt/python/" in (text := file.read_text())}
        if foreign:
            numpy_headers = str(self.environment.site_packages() / "numpy" / "_core" / "include")
            python_headers = self.environment.answer("import sysconfig; print(sysconfig.get_path('include'))")
        for file, text in foreign.items():
            repaired = FOREIGN_NUMPY_HEADERS.sub(lambda _: numpy_headers, text)
            file.write_text(FOREIGN_PYTHON_HEADERS.sub(lambda _: python_headers, repaired))

    def interface_packages(self) -> list[Path]:
        """Packages of messages whose definitions are here and that the installed ROS does not bring."""
        prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if self.ros and p]
        packages = [SOURCES / "nanorover_interfaces", *sorted((SOURCES / "compat").iterdir())]
        return [
            package
            for package in packages
            if (package / "package.xml").exists()
            and not any((p / "share" / package.name / "package.xml").exists() for p in prefixes)
        ]

    def build_interfaces(self, package: Path) -> None:
        """Generate, compile and install one package of message definitions with plain CMake."""
        venv, python = self.environment.folder, self.environment.python
        build = self.environment.notes / "build" / package.name
        listing = self.environment.notes / f"{package.name}.files"

        def work() -> None:
            listing.unlink(missing_ok=True)
            shutil.rmtree(build, ignore_errors=True)
            places = [f"-DCMAKE_PREFIX_PATH={venv}", f"-DCMAKE_INSTALL_PREFIX={venv}"]
            options = [*places, f"-DPython3_EXECUTABLE={python}", "-DBUILD_TESTING=OFF"]
            self.environment.run("cmake", "-S", package, "-B", build, "-G", "Ninja", *options)
            self.environment.run("cmake", "--build", build, "--target", "install")
            shutil.copy(build / "install_manifest.txt", listing)
            shutil.rmtree(build)

        installed = listing.read_text().splitlines() if listing.exists() else []
        whole = bool(installed) and all(Path(f).exists() for f in installed if not f.endswith(".pyc"))
        built_with = str(self.ros) if self.ros else self.lock_key("ros")
        self.step(f"messages {package.name}", digest(package, extra=built_with), whole, work)

    def install_own_packages(self) -> None:
        """Install the packages of this repository so that a change of their sources counts at once."""
        files = [package / name for package in OWN_PACKAGES for name in ("setup.py", "setup.cfg", "package.xml")]
        editable = [option for package in OWN_PACKAGES for option in ("--editable", package)]
        site_packages = self.environment.site_packages()
        self.step(
            "own packages",
            digest(*files),
            all(any(site_packages.glob(f"{package.name}-*.dist-info")) for package in OWN_PACKAGES),
            lambda: self.pip("install", "--no-deps", "--no-build-isolation", *editable),
        )

    def link_own_packages(self) -> None:
        """What pip leaves out and ROS looks for: the package's mark, its share folder, its executables."""
        venv = self.environment.folder
        for package in OWN_PACKAGES:
            name = package.name
            index = venv / "share" / "ament_index" / "resource_index" / "packages"
            link(index / name, package / "resource" / name)
            link(venv / "share" / name, package)
            entry_points = configparser.ConfigParser()
            entry_points.read(self.environment.site_packages().glob(f"{name}-*.dist-info/entry_points.txt"))
            if entry_points.has_section("console_scripts"):
                for script in entry_points["console_scripts"]:
                    link(venv / "lib" / name / script, venv / "bin" / script)

    def write_environment_file(self) -> None:
        """Write what people and scripts source."""
        venv = self.environment.folder
        python, prefix, program = (quote(str(p)) for p in (self.environment.python, venv, ROS_ENVIRONMENT))
        lines = [
            "# Source this in bash: the commands of this environment, and ROS 2 as its nodes need it.",
            *([f"source {self.ros}/setup.bash"] if self.ros else []),
            f'eval "$({python} -I -S {program} {prefix})"',
            f'export PATH={prefix}/bin:"$PATH"',
        ]
        text = "\n".join(lines) + "\n"
        file = venv / "nanorover.env.sh"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)

    def compile_kernels(self) -> None:
        """Compile once what the nodes need; sources that change later are compiled by who runs them first."""
        command = (self.environment.python, "-m", "nanorover.kernels")
        self.step("kernels", self.lock_key("robot"), True, lambda: self.environment.run(*command))


def named_lines(lock: str) -> Iterator[tuple[str, str]]:
    """The pins of a lock file: each line with the name of the package."""
    for line in lock.splitlines():
        if match := PACKAGE_NAME.match(line):
            yield line, re.sub("[-_.]+", "-", match.group()).lower()


def wait_for_turn(lock: TextIO) -> None:
    """Of two set-ups started at once one waits for the other, and says so."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("• another set-up runs here; waiting for it ...", file=sys.stderr, flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def main() -> int:
    """Set up; 0 if everything is there now."""
    groups = sorted(file.stem for file in REQUIREMENTS.glob("*.txt") if file.stem != "on_ros")
    parser = argparse.ArgumentParser(prog="./scripts/setup", description="Make or mend .venv.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"install these too: {', '.join(groups)}")
    parser.add_argument("--python", help="make .venv with this Python")
    parser.add_argument("--ros", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(groups):
        parser.error(f"unknown group {', '.join(sorted(unknown))}; there are: {', '.join(groups)}")
    try:
        with Path(__file__).open() as lock:
            wait_for_turn(lock)
            SetUp(arguments.groups, arguments.python, arguments.ros).all()
    except (SetupError, OSError) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; ./scripts/setup goes on where it stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
