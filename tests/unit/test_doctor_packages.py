"""Packages that are missing, broken, or built for another processor: the doctor names them and lives."""

import json
import os
import subprocess
import sys

import pytest

from nanorover.doctor import packages
from nanorover.doctor.findings import ERROR, NOTE, OK


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Makes a package of one line that Python then finds first."""

    def make(name: str, line: str) -> None:
        (tmp_path / f"{name}.py").write_text(f"import os, signal, sys\n{line}\n")

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return make


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def test_all_is_well_where_the_tests_run():
    assert only(packages.library()).level == OK


def test_a_missing_package_is_told_from_one_that_lacks_another(imported):
    imported("lacking", "import no_such_part")
    missing, lacking = packages.library(("numpy", "no_such_package", "lacking"))
    assert missing.level == ERROR and "missing: no_such_package" in missing.sentence and "setup" in missing.mend
    assert lacking.sentence == "lacking cannot be imported: No module named 'no_such_part'"


def test_packages_that_end_python_are_named_and_the_next_are_still_tried(imported):
    imported("foreign", "print('=hello', flush=True); os.kill(os.getpid(), signal.SIGILL)")
    imported("leaving", "print('the last word', file=sys.stderr); os._exit(102)")
    imported("loud", "print('a', 'b=c', sep=chr(10))")
    imported("raising", "raise ImportError('numpy.core.multiarray failed\\nto import')")
    names = ("foreign", "loud", "leaving", "raising", "json")
    assert packages.faults(names) == {
        "foreign": "ends Python with SIGILL",
        "leaving": "ends Python with exit code 102: the last word",
        "raising": "numpy.core.multiarray failed to import",
    }
    assert "OPENBLAS_CORETYPE" in packages.library(names)[0].mend


def test_a_package_that_never_comes_back(imported, monkeypatch):
    imported("endless", "while True: pass")
    monkeypatch.setattr(packages, "IMPORT_TIMEOUT_S", 0.5)
    assert packages.faults(("json", "endless", "re")) == {"endless": "takes longer than 0.5 s"}


def test_ros_out_of_reach_is_told_from_a_missing_message_package(imported):
    found = only(packages.ros(("no_such_msgs", "json")))
    assert found.level == ERROR and found.sentence == "ROS packages are missing: no_such_msgs"
    imported("rclpy", "raise ModuleNotFoundError('gone', name='rclpy')")
    assert "source /opt/ros" in only(packages.ros()).mend
    imported("rclpy", "os._exit(102)")
    assert "RMW_IMPLEMENTATION" in only(packages.ros()).mend


def test_without_the_simulator_the_doctor_names_its_group_and_nothing_is_wrong(imported):
    imported("mujoco", "raise ModuleNotFoundError('gone', name='mujoco')")
    found = only(packages.simulation())
    assert found.level == NOTE and "nanorover sim" in found.sentence and found.mend == "./scripts/setup sim"
    imported("mujoco", "raise ImportError('torn')")
    assert only(packages.simulation()).level == ERROR


@pytest.mark.parametrize("package", ["numpy", "serial"])
def test_without_a_package_the_doctor_says_so_and_nothing_else(imported, package):
    imported(package, "raise ImportError('torn')")
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", "doctor", "--json"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 1, said.stderr
    findings = json.loads(said.stdout)["findings"]
    assert any(f"{package} cannot be imported: torn" in f["sentence"] for f in findings)
    assert {f["of"] for f in findings} == {"packages"}
