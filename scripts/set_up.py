"""Makes and mends the Python environment `.venv`; started by `scripts/setup`, needs only the standard library.

Every step leaves a key of what it was made from in `.venv/nanorover/state.json`, and is done again when the key
changes or when a file that it installed is gone. A step that is interrupted leaves no key.
"""

import argparse
import configparser
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "ros2_ws" / "src"
REQUIREMENTS = ROOT / "scripts" / "requirements"
OWN_PACKAGES = tuple(SOURCES / name for name in ("nanorover", "nanorover_nodes", "nanorover_bringup"))
ROS_ENVIRONMENT = SOURCES / "nanorover" / "nanorover" / "ros_environment.py"
PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))

# The message wheels were built on another machine and name its headers in the files they export to CMake.
FOREIGN_PYTHON_HEADERS = re.compile(r"/opt/python/[^/;\"]+/include/python3\.\d+")
FOREIGN_NUMPY_HEADERS = re.compile(r"/opt/python/[^;\"]+/site-packages/numpy/_core/include")

# What another environment may have left behind; without a ROS of its own this one needs none of them.
FOREIGN_VARIABLES = (
    "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)  # fmt: skip


class SetupError(Exception):
    """Set-up cannot go on; the text says why and what to do."""


class Environment:
    """The Python environment in ``folder``: what runs in it, where its files lie, what is missing from it."""

    def __init__(self, folder: Path, ros: Path | None) -> None:
        self.folder = folder
        self.ros = ros
        self.python = folder / "bin" / "python"
        self.notes = folder / "nanorover"  # state, logs and lists of installed files

    def answer(self, question: str) -> str:
        """What its Python prints; empty if it does not run."""
        with contextlib.suppress(OSError):
            asked = [self.python, "-I", "-S", "-c", question]
            return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        return ""

    def version(self) -> tuple[int, ...]:
        """Major and minor version of its Python; empty if it does not run."""
        return tuple(int(part) for part in self.answer("import sys; print(*sys.version_info[:2])").split())

    def site_packages(self) -> Path:
        major, minor = self.version()
        return self.folder / "lib" / f"python{major}.{minor}" / "site-packages"

    def usable(self, wanted: tuple[int, ...] | None) -> bool:
        """True if it runs an accepted (the wanted) version, has pip, and was made in this very folder."""
        version = self.version()
        if version not in PYTHONS or (wanted and version != wanted):
            return False
        pip = self.folder / "bin" / "pip"
        if not pip.exists() or str(self.folder).encode() not in pip.read_bytes():
            return False  # half made, or moved: its scripts name the folder in which it was made
        return any(self.site_packages().glob("pip-*.dist-info/RECORD"))

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> None:
        """Run a program, its output in a log; SetupError with the end of the log if it fails."""
        log = self.notes / "log.txt"
        foreign = () if self.ros else FOREIGN_VARIABLES
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        with log.open("ab") as sink:
            code = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=kept, cwd=cwd, check=False
            ).returncode
        if code:
            end = "\n    ".join(log.read_text(errors="replace").splitlines()[-12:])
            raise SetupError(
                f"{' '.join(str(a) for a in arguments[:4])} ... failed (exit code {code}):\n    {end}\n"
                f"  → the whole log: {log}\n  → then ./scripts/setup goes on where it stopped; "
                f"to start anew: rm -rf '{self.folder}' && ./scripts/setup"
            )


def installed_by_pip(site_packages: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Each distribution's folder with those of its files that are missing; the folder itself if half written."""
    for folder in site_packages.glob("*.dist-info"):
        record = folder / "RECORD"
        if not (record.exists() and (folder / "INSTALLER").exists()):
            yield folder, [folder]
            continue
        names = (line.rsplit(",", 2)[0].strip('"') for line in record.read_text(encoding="utf-8").splitlines())
        yield (
            folder,
            [site_packages / n for n in names if not n.endswith(".pyc") and not (site_packages / n).exists()],
        )


def digest(*paths: Path, extra: str = "") -> str:
    """A key of the contents of files and folders."""
    key = hashlib.sha256(extra.encode())
    for path in paths:
        for file in sorted(p for p in [path, *path.rglob("*")] if p.is_file()):
            key.update(str(file.relative_to(path.parent)).encode() + b"\0" + file.read_bytes())
    return key.hexdigest()[:16]


class SetUp:
    """The steps, in order."""

    def __init__(self, groups: list[str], python: str | None, ros: Path | None) -> None:
        self.environment = Environment(ROOT / ".venv", ros)
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

    def step(self, name: str, key: str, whole: bool, work: Callable[[], None]) -> None:
        """Do ``work`` unless the step was done with this key and everything it made is there."""
        if whole and self.state.get(name) == key:
            return
        self.state.pop(name, None)
        self.save_state()
        print(f"• {name} ...", file=sys.stderr, flush=True)
        start = time.monotonic()
        work()
        self.state[name] = key
        self.save_state()
        print(f"  {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    def save_state(self) -> None:
        file = self.environment.notes / "state.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.state, indent=1))
        temporary.replace(file)

    def make_environment(self) -> None:
        base = self.python or sys._base_executable  # type: ignore[attr-defined]
        wanted = sys.version_info[:2] if self.python else None  # the script started this file with that Python
        if self.environment.usable(wanted):
            with contextlib.suppress(OSError, ValueError):
                self.state = json.loads((self.environment.notes / "state.json").read_text())
            return
        print(f"• .venv for Python {sys.version_info[0]}.{sys.version_info[1]} ...", file=sys.stderr, flush=True)
        shutil.rmtree(self.environment.folder, ignore_errors=True)
        self.environment.notes.mkdir(parents=True)
        system = ["--system-site-packages"] if self.ros else []
        self.environment.run(base, "-I", "-m", "venv", *system, self.environment.folder)
        if not self.environment.usable(wanted):
            raise SetupError(
                f"{base} made no usable environment\n  → ./scripts/setup --python /path/to/python3.11"
            )

    def install_requirements(self) -> None:
        site_packages = self.environment.site_packages()
        broken = [folder for folder, missing in installed_by_pip(site_packages) if missing]
        wanted = ["robot", *([] if self.ros else ["ros"]), *self.groups]
        # What an earlier call has installed stays up to date too.
        known = [g for g in self.lock_files() if g in wanted or f"requirements {g}" in self.state]
        stale = [g for g in known if self.state.get(f"requirements {g}") != self.lock_key(g)]
        if not stale and not broken:
            return
        for folder in broken:  # without this folder pip takes the package as not installed, and installs it
            shutil.rmtree(folder)
        for left_over in site_packages.glob("~*"):  # of an interrupted pip
            shutil.rmtree(left_over, ignore_errors=True)
        for group in known:
            self.state.pop(f"requirements {group}", None)
        self.step(f"requirements: {' '.join(known)}", "", False, lambda: self.pip_install_groups(known))
        self.state.pop(f"requirements: {' '.join(known)}")
        self.state.update({f"requirements {g}": self.lock_key(g) for g in known})
        self.save_state()

    def lock_files(self) -> list[str]:
        return sorted(file.stem for file in REQUIREMENTS.glob("*.txt") if file.stem != "on_ros")

    def lock_key(self, group: str) -> str:
        overrides = [REQUIREMENTS / "on_ros.txt"] if self.ros else []
        return digest(REQUIREMENTS / f"{group}.txt", *overrides)

    def pip_install_groups(self, groups: list[str]) -> None:
        """Install the pins of ``groups``; every other lock file constrains what comes along."""
        options: list[str | Path] = []
        for group in self.lock_files():
            file = REQUIREMENTS / f"{group}.txt"
            if self.ros:
                file = self.with_overrides(file)
            options += ["--requirement" if group in groups else "--constraint", file]
        self.pip("install", *options)

    def with_overrides(self, file: Path) -> Path:
        """A copy of a lock file without the packages that must fit the installed ROS, which are added instead."""
        name = re.compile(r"^[\w.-]+")
        overrides = (REQUIREMENTS / "on_ros.txt").read_text().splitlines()
        overridden = {match.group() for line in overrides if (match := name.match(line))}
        kept = [
            line
            for line in file.read_text().splitlines()
            if not ((match := name.match(line)) and match.group() in overridden)
        ]
        copy = self.environment.notes / file.name
        copy.write_text("\n".join([*kept, *(overrides if file.stem == "robot" else [])]) + "\n")
        return copy

    def pip(self, *arguments: str | Path) -> None:
        self.environment.run(
            self.environment.python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments
        )

    def repair_cmake_paths(self) -> None:
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
        venv = self.environment.folder
        build = self.environment.notes / "build" / package.name
        listing = self.environment.notes / f"{package.name}.files"

        def work() -> None:
            listing.unlink(missing_ok=True)
            shutil.rmtree(build, ignore_errors=True)
            python = f"-DPython3_EXECUTABLE={self.environment.python}"
            prefixes = [f"-DCMAKE_PREFIX_PATH={venv}", f"-DCMAKE_INSTALL_PREFIX={venv}"]
            self.environment.run(
                "cmake", "-S", package, "-B", build, "-G", "Ninja", *prefixes, python, "-DBUILD_TESTING=OFF"
            )
            self.environment.run("cmake", "--build", build, "--target", "install")
            shutil.copy(build / "install_manifest.txt", listing)
            shutil.rmtree(build)

        whole = listing.exists() and all(
            Path(f).exists() for f in listing.read_text().splitlines() if not f.endswith(".pyc")
        )
        ros = str(self.ros) if self.ros else self.lock_key("ros")
        self.step(f"messages {package.name}", digest(package, extra=ros), whole, work)

    def install_own_packages(self) -> None:
        packages = [package for package in OWN_PACKAGES if package.exists()]
        files = [package / name for package in packages for name in ("setup.py", "setup.cfg", "package.xml")]
        editable = [option for package in packages for option in ("--editable", package)]
        self.step(
            "own packages",
            digest(*files),
            True,
            lambda: self.pip("install", "--no-deps", "--no-build-isolation", *editable),
        )

    def link_own_packages(self) -> None:
        """What `pip` leaves out and ROS looks for: the package's mark, its share folder, its executables."""
        venv = self.environment.folder
        for package in (p for p in OWN_PACKAGES if p.exists()):
            name = package.name
            link(
                venv / "share" / "ament_index" / "resource_index" / "packages" / name, package / "resource" / name
            )
            link(venv / "share" / name, package)
            for entry_points in self.environment.site_packages().glob(f"{name}-*.dist-info/entry_points.txt"):
                scripts = configparser.ConfigParser()
                scripts.read(entry_points)
                for script in scripts["console_scripts"]:
                    link(venv / "lib" / name / script, venv / "bin" / script)

    def write_environment_file(self) -> None:
        file = self.environment.folder / "nanorover.env.sh"
        prefix = self.environment.folder
        python = quote(str(self.environment.python))
        text = (
            "# Source this in bash: the commands of this environment, and ROS 2 as its nodes need it.\n"
            + (f"source {self.ros}/setup.bash\n" if self.ros else "")
            + f'eval "$({python} -I -S {quote(str(ROS_ENVIRONMENT))} {quote(str(prefix))})"\n'
            + f'export PATH={quote(str(prefix / "bin"))}:"$PATH"\n'
        )
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def link(at: Path, to: Path) -> None:
    """Let ``at`` be a symbolic link to ``to``, whatever was there."""
    if at.is_symlink() and at.readlink() == to:
        return
    if at.is_dir() and not at.is_symlink():
        shutil.rmtree(at)
    at.unlink(missing_ok=True)
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(to)


def main() -> int:
    groups = sorted(file.stem for file in REQUIREMENTS.glob("*.txt"))
    parser = argparse.ArgumentParser(prog="./scripts/setup", description="Make or mend .venv.")
    parser.add_argument("groups", nargs="*", choices=[*groups, []], help="further requirements to install")
    parser.add_argument("--python", help="make .venv anew with this Python")
    parser.add_argument("--ros", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        with Path(__file__).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two commands started at once set up one after the other
            SetUp(arguments.groups, arguments.python, arguments.ros).all()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
