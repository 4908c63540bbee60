"""A Python environment that may be half made: what runs in it, what is missing from it. Standard library only."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))

# What another environment may have left behind; without an installed ROS this one needs none of them.
FOREIGN_VARIABLES = (
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)


class SetupError(Exception):
    """Set-up cannot go on; the text says why and what to do."""


class Environment:
    """The Python environment in ``folder``, on top of the ROS installed in ``ros`` if there is one."""

    def __init__(self, folder: Path, ros: Path | None = None) -> None:
        self.folder = folder
        self.ros = ros
        self.python = folder / "bin" / "python"
        self.notes = folder / "nanorover"  # state, log and lists of installed files

    def answer(self, question: str) -> str:
        """What its Python prints; empty if it does not run."""
        with contextlib.suppress(OSError):
            asked = [str(self.python), "-I", "-S", "-c", question]
            return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        return ""

    def version(self) -> tuple[int, ...]:
        """Major and minor version of its Python; empty if it does not run."""
        return tuple(int(part) for part in self.answer("import sys; print(*sys.version_info[:2])").split())

    def site_packages(self) -> Path:
        """Where pip installs."""
        major, minor = self.version()
        return self.folder / "lib" / f"python{major}.{minor}" / "site-packages"

    def usable(self, wanted: tuple[int, ...] | None) -> bool:
        """True if it runs an accepted (the wanted) version, has a whole pip, and was made in this very folder."""
        version = self.version()
        if version not in PYTHONS or (wanted and version != wanted):
            return False
        pip = self.folder / "bin" / "pip"
        if not pip.exists() or str(self.folder).encode() not in pip.read_bytes():
            return False  # half made, or moved: its scripts name the folder in which it was made
        folders = list(self.site_packages().glob("pip-*.dist-info"))
        return len(folders) == 1 and not missing_files(folders[0])

    def run(self, *arguments: str | Path) -> None:
        """Run a program, its output in a log; SetupError with the end of the log if it fails."""
        log = self.notes / "log.txt"
        foreign = () if self.ros else FOREIGN_VARIABLES
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        with log.open("ab") as sink:
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=kept, check=False
            )
        if done.returncode:
            end = "\n    ".join(log.read_text(errors="replace").splitlines()[-12:])
            raise SetupError(
                f"{' '.join(str(a) for a in arguments[:4])} ... failed (exit code {done.returncode}):\n    {end}\n"
                f"  → the whole log: {log}\n"
                "  → mend the cause, then ./scripts/setup goes on where it stopped; "
                f"to start anew: rm -rf '{self.folder}' && ./scripts/setup"
            )

    def packages(self) -> set[str]:
        """What pip has installed, as name-version."""
        return {folder.stem for folder in self.site_packages().glob("*.dist-info")}

    def broken(self) -> Iterator[Path]:
        """The ``*.dist-info`` folders of what pip has installed and is not whole."""
        return (folder for folder in self.site_packages().glob("*.dist-info") if missing_files(folder))

    def forget(self, dist_info: Path) -> None:
        """Let pip take a package as not installed, so that it installs it whole."""
        shutil.rmtree(dist_info)
        for left_over in dist_info.parent.glob("~*"):  # of an interrupted pip
            shutil.rmtree(left_over, ignore_errors=True)


def missing_files(dist_info: Path) -> list[Path]:
    """What a package that pip installed lacks: its list of files, which pip writes last, or some of these."""
    record = dist_info / "RECORD"
    if not (record.exists() and (dist_info / "INSTALLER").exists()):
        return [record]
    names = (line.rsplit(",", 2)[0].strip('"') for line in record.read_text(encoding="utf-8").splitlines())
    files = (dist_info.parent / name for name in names if not name.endswith(".pyc"))
    return [file for file in files if not file.exists()]


def digest(*paths: Path, extra: str = "") -> str:
    """A key of the contents of files and folders."""
    key = hashlib.sha256(extra.encode())
    for path in paths:
        for file in sorted(p for p in [path, *path.rglob("*")] if p.is_file()):
            key.update(str(file.relative_to(path.parent)).encode() + b"\0" + file.read_bytes())
    return key.hexdigest()[:16]


def link(at: Path, to: Path) -> None:
    """Let ``at`` be a symbolic link to ``to``, whatever was there."""
    if at.is_symlink() and at.readlink() == to:
        return
    if at.is_dir() and not at.is_symlink():
        shutil.rmtree(at)
    at.unlink(missing_ok=True)
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(to)
