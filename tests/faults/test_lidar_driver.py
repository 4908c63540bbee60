"""The driver on a real pseudo terminal against everything that goes wrong with a lidar."""

import os
import pty
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import numpy as np
import pytest
import serial
from lidar_rig import ROOM, Witness, settings, time_errors_s, wait_until

from nanorover.errors import InputError
from nanorover.lidar import port as port_module
from nanorover.lidar import status as status_module
from nanorover.lidar.assemble import Revolution
from nanorover.lidar.device import Lidar
from nanorover.lidar.emulator import G4
from nanorover.lidar.faults import Fault
from nanorover.lidar.pty_server import PtyServer
from nanorover.lidar.status import ERROR, OK, WARN
from nanorover.lidar.worlds import Room

FAULT_S = 2.0


class Run:
    """A driver at work on an emulated device."""

    def __init__(self, server: PtyServer, **parameters) -> None:
        self.server = server
        self.revolutions: list[Revolution] = []
        self.said: list[tuple[float, int, str]] = []  # device time, level, sentence
        self.lidar = Lidar(settings(port=server.path, **parameters), self.revolutions.append)

    def hear(self) -> str:
        status = self.lidar.status()
        if not self.said or self.said[-1][2] != status.sentence:
            self.said.append((self.server.device_s(), status.level, status.sentence))
        return status.sentence

    def heard(self, words: str, since_s: float = 0.0) -> float | None:
        """When a sentence with these words was first said."""
        self.hear()
        return next((at_s for at_s, _, sentence in self.said if words in sentence and at_s >= since_s), None)

    def wait_heard(self, words: str, timeout_s: float = 15.0) -> float:
        wait_until(lambda: self.heard(words) is not None, f"'{words}'; it said {self.said}", timeout_s)
        at_s = self.heard(words)
        assert at_s is not None
        return at_s

    def wait_scans(self, count: int = 3, timeout_s: float = 15.0) -> None:
        target = len(self.revolutions) + count
        wait_until(
            lambda: self.hear() and len(self.revolutions) >= target, f"scans; it said {self.said}", timeout_s
        )


@contextmanager
def running(tmp_path, *faults: Fault, parameters=None, speed=1.0, **device) -> Iterator[Run]:
    with PtyServer(G4(ROOM, faults=faults, **device), link=tmp_path / "g4", speed=speed) as server:
        run = Run(server, **(parameters or {}))
        with run.lidar:
            run.wait_scans()
            yield run


@pytest.mark.parametrize("kind", ["bit_errors", "lost_bytes", "truncated", "garbage"])
def test_damage_on_the_line_costs_only_what_is_damaged(tmp_path, kind):
    with running(tmp_path, Fault(kind, FAULT_S, 0.6)) as run:
        assert run.heard("the lidar scans") is not None
        at_s = run.wait_heard("came damaged")
        assert at_s < FAULT_S + 1.0
        assert run.lidar.status().level == WARN
        wait_until(lambda: run.server.device_s() > FAULT_S + 1.0, "the fault is over")
        run.wait_scans()
        g4 = run.server.g4
        # the device goes on sending; what it had sent before the count below was read must have arrived
        sent, damaged = g4.packets_sent, g4.packets_damaged
        assert damaged > 20 or kind == "garbage"
        wait_until(lambda: run.lidar.status().packets >= sent - damaged, "every undamaged packet arrives")
        status = run.lidar.status()
        assert status.reconnects == 0
        assert status.packets <= g4.packets_sent - damaged
        if kind != "garbage":
            assert status.dropped_packets == pytest.approx(damaged, rel=0.15)


def test_a_stuck_motor_is_named_and_turns_on(tmp_path):
    with running(tmp_path, Fault("stuck", FAULT_S, 1.5)) as run:
        at_s = run.wait_heard("the motor turns at")
        assert at_s < FAULT_S + 1.0 and run.said[-1][1] == ERROR
        run.wait_heard("well again")
        run.wait_scans()
        assert "blocks the rotor" in str(run.said)
        wait_until(lambda: abs(run.revolutions[-1].frequency_hz - 10.0) < 0.2, "it is up to speed")
        assert run.server.g4.frequency_setting_hz == 10.0


@pytest.mark.parametrize(
    ("kind", "words"),
    [("silence", "fell silent"), ("reboot", "fell silent"), ("disconnect", "vanished")],
)
def test_recognised_within_a_second_and_settings_restored(tmp_path, kind, words):
    parameters = {"rate_khz": 4, "frequency_hz": 7.0}
    with running(tmp_path, Fault(kind, FAULT_S, 1.0), parameters=parameters) as run:
        threads = set(threading.enumerate())
        at_s = run.wait_heard(words)
        assert at_s < FAULT_S + 1.0
        assert run.said[-1][1] == ERROR
        run.wait_heard("well again")
        run.wait_scans()
        g4 = run.server.g4
        assert (g4.rate_khz, g4.frequency_setting_hz) == (4, 7.0)
        assert run.revolutions[-1].frequency_hz == pytest.approx(7.0, abs=0.2)
        assert len(run.revolutions[-1].scan.ranges_m) == 571
        status = run.lidar.status()
        assert status.reconnects == 1 and words in status.last_fault
        assert set(threading.enumerate()) <= threads
    assert not g4.scanning


def worst_time_error_s(revolution_count: int) -> float:
    """Over the second half of so many revolutions through a port."""
    world, revolutions = Witness(), []
    with PtyServer(G4(world)) as server:
        with Lidar(settings(port=server.path), revolutions.append):
            wait_until(lambda: len(revolutions) >= revolution_count, "revolutions", 60.0)
        start_ns = server.stamp_ns(0.0)
    late = revolutions[revolution_count // 2 :]
    return max(np.abs(time_errors_s(revolution, world, start_ns)).max() for revolution in late)


def test_every_ray_has_its_time_to_a_millisecond_through_the_port():
    """The host does not promise times: when others keep it busy, it is tried again."""
    errors_s = [1.0]
    while min(errors_s) > 1e-3 and len(errors_s) < 5:
        errors_s.append(worst_time_error_s(80))
    assert min(errors_s) < 1e-3, errors_s


def test_what_the_device_says_of_its_health_is_said(tmp_path):
    with running(tmp_path, Fault("health", 0.0, FAULT_S)) as run:
        status = run.lidar.status()
        assert status.level == WARN, "it scans all the same"
        assert "asked at its start" in status.sentence and "reports an error (code 0x0004)" in status.sentence
        assert "supply" in status.sentence
        wait_until(lambda: run.server.device_s() > FAULT_S, "it is well again")
        run.lidar.close()
        run.lidar.start()
        run.wait_scans()
        assert (run.lidar.status().level, run.hear()) == (OK, "the lidar scans")


def test_what_the_device_said_at_its_start_is_not_said_for_ever(tmp_path, monkeypatch):
    """A scanning device cannot be asked again."""
    monkeypatch.setattr(status_module, "HEALTH_SAID_S", 1.0)
    with running(tmp_path, Fault("health", 0.0, FAULT_S)) as run:
        run.wait_heard("reports an error")
        run.wait_heard("the lidar scans")


def test_scans_without_a_return_are_not_well(monkeypatch):
    monkeypatch.setattr(status_module, "EMPTY_S", 0.3)
    nothing = Room(np.zeros((0, 2, 2)), np.zeros((0, 3)), (0.0, 0.0, 0.0))
    with PtyServer(G4(nothing)) as server:
        run = Run(server)
        with run.lidar:
            run.wait_heard("nothing returns from between 0.28 and 16 m")
            assert run.lidar.status().level == WARN


def test_comes_back_under_another_port_name(tmp_path, monkeypatch):
    """Only the list of USB devices is made up: a pseudo terminal is none."""
    server = PtyServer(G4(ROOM, faults=[Fault("disconnect", FAULT_S, 0.5)]), link=tmp_path / "ttyUSB0")

    def comports():
        entry = SimpleNamespace(
            device=server.path, vid=0x10C4, pid=0xEA60, serial_number="0001", description="CP2102"
        )
        return [entry] if os.path.exists(server.path) else []

    monkeypatch.setattr(port_module.list_ports, "comports", comports)
    with server:
        run = Run(server)
        with run.lidar:
            run.wait_scans()
            wait_until(lambda: not os.path.exists(server.path), "unplugged")
            server.link = tmp_path / "ttyUSB1"
            (tmp_path / "ttyUSB0").write_text("another device took the old name")
            run.wait_heard("well again")
            run.wait_scans()
        assert run.lidar.status().reconnects == 1


def test_of_two_equal_devices_none_is_taken_for_the_lost_one(monkeypatch):
    def plugged_in(*devices: str) -> None:
        ports = [SimpleNamespace(device=d, vid=0x10C4, pid=0xEA60, serial_number="0001") for d in devices]
        monkeypatch.setattr(port_module.list_ports, "comports", lambda: ports)

    ours = port_module.UsbIdentity(0x10C4, 0xEA60, "0001")
    plugged_in("/dev/ttyUSB1")
    assert port_module.find_again("/dev/ttyUSB0", ours) == "/dev/ttyUSB1"
    plugged_in("/dev/ttyUSB1", "/dev/ttyUSB2")
    assert port_module.find_again("/dev/ttyUSB0", ours) == "/dev/ttyUSB0"


def test_the_motor_idles_after_the_end_also_after_an_error(tmp_path):
    with suppress(RuntimeError), running(tmp_path) as run:
        assert run.server.g4.scanning and run.server.g4.motor_hz > 5
        g4 = run.server.g4
        before = set(threading.enumerate())
        raise RuntimeError
    assert not g4.scanning and g4.low_power
    assert not [thread for thread in threading.enumerate() if thread.name == "lidar"] and before


def test_a_scanning_device_left_by_another_program_is_taken_over(tmp_path):
    with PtyServer(G4(ROOM, rate_khz=8, frequency_hz=5.0), link=tmp_path / "g4", speed=3.0) as server:
        with serial.Serial(server.path, 230400) as other:
            other.write(b"\xa5\x02\xa5\xd9\xa5\x60")  # no low power, heartbeats wanted, scan
            wait_until(lambda: other.in_waiting > 200, "it scans")
        run = Run(server)
        with run.lidar:
            run.wait_scans()
            assert (server.g4.rate_khz, server.g4.frequency_setting_hz, server.g4.low_power) == (9, 10.0, True)
            # the heartbeat that nobody gives stops the device after 3 s; then it is switched off for good
            run.wait_heard("fell silent")
            run.wait_heard("well again")
            run.wait_scans(40, timeout_s=20)
            assert run.lidar.status().reconnects == 1


def test_rotation_is_trimmed_to_the_wanted_one(tmp_path):
    with running(tmp_path, speed=3.0, slowness_hz=0.4) as run:
        assert run.revolutions[-1].frequency_hz == pytest.approx(9.6, abs=0.2)
        wait_until(lambda: run.server.g4.frequency_setting_hz == 10.4, f"trimmed; it said {run.said}")
        run.wait_scans(25)
        assert np.mean([r.frequency_hz for r in run.revolutions[-15:]]) == pytest.approx(10.0, abs=0.05)
        assert run.lidar.status().reconnects == 0


def test_a_frequency_out_of_reach_is_said(tmp_path):
    with running(tmp_path, speed=3.0, slowness_hz=1.0, parameters={"frequency_hz": 12.0}) as run:
        run.wait_heard("whatever is set", timeout_s=40)
        run.wait_scans()
        assert run.server.g4.frequency_setting_hz == 12.0


def refused(path: str) -> str:
    before = threading.active_count()
    with pytest.raises(InputError) as error, Lidar(settings(port=path), lambda _: None):
        pass
    assert threading.active_count() == before
    return str(error.value)


def test_no_such_port(tmp_path):
    assert f"there is no port {tmp_path}/tty" in refused(f"{tmp_path}/tty")


def test_not_a_serial_port(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be opened as a serial port" in refused(str(tmp_path / "file"))


def test_a_port_in_use(tmp_path):
    with running(tmp_path) as run:
        assert "is in use by another program" in refused(run.server.path)
        run.wait_scans(12)
        assert run.lidar.status().reconnects == 0, "the first program is not disturbed"


def test_no_permission():
    master, slave = pty.openpty()
    path = os.ttyname(slave)
    os.chmod(path, 0o600)
    root = os.geteuid() == 0
    if not root:
        os.chmod(path, 0o000)
    try:
        if root:
            os.seteuid(65534)
        sentence = refused(path)
    finally:
        if root:
            os.seteuid(0)
        os.close(master)
        os.close(slave)
    assert "no permission to open" in sentence and "70-ydlidar.rules" in sentence


@contextmanager
def stranger(talk: bytes, period_s: float) -> Iterator[str]:
    """Something else on a pseudo terminal, which says the same again and again."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def speak() -> None:
        while talk and not ended.wait(period_s):
            with suppress(BlockingIOError):
                os.write(master, talk)

    os.set_blocking(master, False)
    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (b"", "nothing answers on"),
        (b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n", "it says '$GPGGA"),
        (bytes(np.random.default_rng(1).integers(256, size=300, dtype=np.uint8)), "cannot be read at 230400 baud"),
    ],
)
def test_something_else_on_the_port(talk, words):
    with stranger(talk, 0.05) as path:
        started_s = time.monotonic()
        sentence = refused(path)
        assert words in sentence and "→" in sentence
        assert time.monotonic() - started_s < 5.0


def test_a_lidar_of_another_model(tmp_path):
    with PtyServer(G4(ROOM, model=6)) as server:
        sentence = refused(server.path)
    assert "another model (X4" in sentence and "for the G4" in sentence


def test_a_weak_supply_is_named(tmp_path):
    with running(tmp_path) as run:
        for i in range(3):
            before = run.lidar.status().reconnects
            run.server.g4.add_fault(Fault("disconnect", run.server.device_s() + 0.1, 0.3))
            wait_until(
                lambda before=before: run.hear() and run.lidar.status().reconnects > before, f"reconnect {i}", 30
            )
            run.wait_scans()
        run.wait_heard("the supply is probably too weak")
        assert run.lidar.status().revolutions == len(run.revolutions)
