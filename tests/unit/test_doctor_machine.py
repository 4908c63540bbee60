"""Each diagnosis of the machine, provoked: a fault is made, and the doctor names it with the mend."""

import dataclasses
import json
import os
import pty
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from base_rig import RunningController
from typer.testing import CliRunner

from data import REPOSITORY
from nanorover.base.emulator import ControllerSpec, Firmware
from nanorover.base.params import BaseParams
from nanorover.bringup.run_state import RunState
from nanorover.cli import with_commands
from nanorover.cli.doctor import _ports
from nanorover.doctor import machine
from nanorover.doctor.findings import ERROR, NOTE, OK, WARN
from nanorover.doctor.machine import Machine
from nanorover.params import load

IMPATIENT = dataclasses.replace(load(BaseParams, "base"), boot_timeout_s=0.1)


def made(tmp_path: Path, **changes) -> Machine:
    """A machine whose file system is a folder of the test."""
    (tmp_path / "dev/shm").mkdir(parents=True, exist_ok=True)
    return Machine(**({"ports": {}, "root": tmp_path, "environment": {}, "disk": tmp_path} | changes))


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


@pytest.fixture
def terminal():
    """A pseudo terminal as serial port, and the end behind it."""
    far, near = pty.openpty()
    yield os.ttyname(near), far
    os.close(near)
    os.close(far)


def test_this_machine_is_well_where_the_tests_run():
    here = Machine(ports={})
    for look in (machine.clock, machine.disk, machine.caches):
        assert only(look(here)).level == OK


def _has(name: str) -> bool:
    return machine.importlib.util.find_spec(name) is not None


def test_a_machine_without_graphics_and_one_without_tensorrt(tmp_path):
    assert only(machine.graphics(made(tmp_path))).level == NOTE
    (tmp_path / "dev/nvidia0").touch()
    found = only(machine.graphics(made(tmp_path)))
    if _has("tensorrt"):
        assert found.level == OK
    else:
        assert found.level == WARN and "tensorrt" in found.sentence and "docker" in found.mend


def test_a_port_that_is_not_there(tmp_path):
    lidar, base = machine.serial_ports(made(tmp_path, ports={"lidar": "/dev/ydlidar", "base": "/dev/ttyNO"}))
    assert lidar.level == ERROR and "/dev/ydlidar of lidar does not exist" in lidar.sentence
    assert "udev" in lidar.mend and "plug it in" in base.mend


def test_ports_that_a_desk_lacks_are_no_fault_of_a_recording(tmp_path, monkeypatch):
    absent = {"lidar": "/dev/ydlidar", "base": "/dev/ttyNO"}
    beside = made(tmp_path, ports=absent, asked=False)
    assert [f.level for f in machine.serial_ports(beside)] == [NOTE, NOTE]
    of_a_robot = dataclasses.replace(beside, robot=frozenset({1}))
    assert [f.level for f in machine.serial_ports(of_a_robot)] == [ERROR, ERROR]

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    file = tmp_path / "robot.yaml"
    file.write_text("".join(f"{node}: {{ros__parameters: {{port: {port}}}}}\n" for node, port in absent.items()))
    bag = str(REPOSITORY / "tests" / "recordings" / "apartment.mcap")
    for words, level in ((["--bag", bag], NOTE), ([], ERROR)):
        said = CliRunner().invoke(with_commands(), ["doctor", "--json", "--params-file", str(file), *words])
        findings = json.loads(said.stdout)["findings"]
        assert {f["level"] for f in findings if f["check"] == "ports"} == {level}
        assert said.exit_code == any(f["level"] == ERROR for f in findings)


def test_a_port_without_permission(tmp_path):
    port = tmp_path / "tty"
    port.touch()
    port.chmod(0)
    here = made(tmp_path, ports={"lidar": str(port)})
    if os.geteuid() != 0:
        assert "dialout" in only(machine.serial_ports(here)).mend
        return
    for folder in (tmp_path, *(p for p in tmp_path.parents if p.name.startswith(("pytest", "popen")))):
        folder.chmod(0o755)
    child = os.fork()
    if child == 0:  # the superuser may open everything, so somebody else has to look
        code = 1
        try:
            os.setuid(65534)
            found = machine.serial_ports(here)
            code = 0 if found[0].level == ERROR and "dialout" in found[0].mend else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_port_that_another_process_holds(tmp_path, terminal):
    port, _ = terminal
    assert machine.serial_ports(made(tmp_path, ports={"lidar": port}))[0].level == OK
    code = f"f = open({port!r}, 'rb', buffering=0); print('open', flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        found = only(machine.serial_ports(made(tmp_path, ports={"lidar": port})))
        assert found.level == WARN and "in use" in found.sentence and f"process {holder.pid}" in found.mend
        assert only(machine.lidar(made(tmp_path, ports={"lidar": port}))).level == NOTE, "it must not be disturbed"
        holder.communicate("\n")


def test_an_emulator_behind_a_port_does_not_take_it(tmp_path):
    code = "import os, pty; ends = pty.openpty(); print(os.ttyname(ends[1]), flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as emulator:
        port = emulator.stdout.readline().strip()
        assert only(machine.serial_ports(made(tmp_path, ports={"lidar": port}))).level == OK
        emulator.communicate("\n")


def test_two_nodes_on_one_port(tmp_path, terminal):
    port, _ = terminal
    link = tmp_path / "ydlidar"
    link.symlink_to(port)
    found = machine.serial_ports(made(tmp_path, ports={"lidar": str(link), "base": port}))
    assert found[-1].level == ERROR and "lidar and base have the same port" in found[-1].sentence


def test_a_lidar_that_answers_and_one_that_is_silent(tmp_path, terminal):
    from nanorover.lidar.emulator import G4
    from nanorover.lidar.pty_server import PtyServer
    from nanorover.lidar.worlds import read_world

    with PtyServer(G4(read_world(None))) as server:
        found = only(machine.lidar(made(tmp_path, ports={"lidar": server.path})))
        assert found.level == OK and "G4" in found.sentence
    port, _ = terminal
    found = only(machine.lidar(made(tmp_path, ports={"lidar": port})))
    assert found.level == ERROR and found.mend


def test_a_motor_controller_that_answers_one_that_is_silent_and_a_stranger(tmp_path, terminal):
    spec = ControllerSpec(ticks_per_revolution=1560, first_tick=42)
    with RunningController(Firmware(spec, time.monotonic())) as running:
        found = only(machine.base(made(tmp_path, ports={"base": running.port.path})))
        assert found.level == OK and "encoders at 42 and 42" in found.sentence
        running.port.firmware.receive = lambda data, now_s: data and b"Hello\r\n"
        found = only(machine.base(made(tmp_path, ports={"base": running.port.path}, base=IMPATIENT)))
        assert found.level == ERROR and "does not answer as a motor controller" in found.sentence
    port, _ = terminal
    found = only(machine.base(made(tmp_path, ports={"base": port}, base=IMPATIENT)))
    assert found.level == ERROR and f"nothing answers on {port} at 57600 baud" in found.sentence
    assert "docs/hardware.md" in found.mend
    assert only(machine.base(made(tmp_path, ports={"base": str(tmp_path / "none")}))).level == NOTE


def test_the_ports_are_those_of_the_robot_that_runs(tmp_path, monkeypatch, terminal):
    port, _ = terminal
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert _ports(None, "")[0] == {"lidar": "/dev/ydlidar", "base": "/dev/ttyACM0"}
    (tmp_path / "lidar.yaml").write_text(json.dumps({"/**": {"ros__parameters": {"port": port}}}))
    command = [sys.executable, "-c", f"f = open({port!r}, 'rb', buffering=0); print('open', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout.readline() == "open\n"
        with RunState("") as state:
            state.write({"pid": 1, "log": str(tmp_path), "nodes": {"lidar": {"pid": node.pid}}})
            ports, robot = _ports(None, "")
        assert (ports, robot) == ({"lidar": port}, {node.pid}), "a robot without a base has no port for it"
        assert only(machine.serial_ports(made(tmp_path, ports=ports, robot=robot))).level == OK, (
            "its own node has it"
        )
        assert only(machine.serial_ports(made(tmp_path, ports=ports))).level == WARN
        node.communicate("\n")
    assert _ports(None, "")[0]["lidar"] == "/dev/ydlidar", "it has ended"


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "level"), [(50e9, OK), (1e9, WARN), (1e8, ERROR)])
def test_a_disk_that_fills(tmp_path, monkeypatch, free, level):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage(100e9, 100e9 - free, free))
    found = only(machine.disk(made(tmp_path)))
    assert found.level == level and f"{free / 1e9:.1f} GB" in found.sentence


def test_a_cache_that_cannot_be_written(tmp_path):
    # /proc refuses new files to everybody, the superuser included.
    found = only(machine.caches(made(tmp_path, caches={"engines": Path("/proc/1/cache"), "kernels": tmp_path})))
    if os.access("/proc/1", os.W_OK):
        pytest.skip("this kernel says that /proc can be written")
    assert found.level == ERROR and "cache of engines" in found.sentence


def test_a_clock_that_woke_up_years_ago(tmp_path):
    found = only(machine.clock(made(tmp_path), now_s=1_517_000_000))
    assert found.level == ERROR and "2018-01-26" in found.sentence and "NTP" in found.mend
    assert only(machine.clock(made(tmp_path), now_s=time.time())).level == OK


@pytest.mark.parametrize(("millidegrees", "level"), [("45000", OK), ("83500", WARN), ("97000", ERROR)])
def test_a_processor_that_is_hot(tmp_path, millidegrees, level):
    for number, text in enumerate(("30000", millidegrees, "off")):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text + "\n")
    assert only(machine.temperature(made(tmp_path))).level == level


@pytest.mark.parametrize(("mode", "level"), [("MAXN", OK), ("5W", WARN)])
def test_the_power_mode_of_a_jetson(tmp_path, mode, level):
    assert only(machine.power_mode(made(tmp_path))).level == NOTE
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R32 (release), REVISION: 7.1")
    assert "unknown" in only(machine.power_mode(made(tmp_path, environment={"PATH": str(tmp_path)}))).sentence
    tool = tmp_path / "nvpmodel"
    tool.write_text(f"#!/bin/sh\necho 'NV Fan Mode:quiet'\necho 'NV Power Mode: {mode}'\necho 0\n")
    tool.chmod(0o755)
    found = only(machine.power_mode(made(tmp_path, environment={"PATH": str(tmp_path)})))
    assert found.level == level and mode in found.sentence


@pytest.mark.parametrize(
    ("environment", "level", "named"),
    [
        ({}, OK, "domain 0"),
        ({"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, OK, "reach subnet"),
        ({"ROS_DOMAIN_ID": "232"}, ERROR, "'232'"),
        ({"ROS_DOMAIN_ID": "seven"}, ERROR, "'seven'"),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": "/nowhere.xml"}, ERROR, "/nowhere.xml"),
        ({"ROS_LOCALHOST_ONLY": "1", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, WARN, "at once"),
    ],
)
def test_nodes_that_cannot_find_each_other(tmp_path, environment, level, named):
    found = only(machine.discovery(made(tmp_path, environment=environment)))
    assert found.level == level and named in found.sentence


def test_a_container_without_shared_memory(tmp_path):
    bare = made(tmp_path)
    (tmp_path / "dev/shm").rmdir()
    found = only(machine.discovery(bare))
    assert found.level == ERROR and "ipc: host" in found.mend
