"""The base driver on a real pseudo terminal: driving, and everything that can go wrong on the way."""

import dataclasses
import itertools
import math
import os
import select
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from base_rig import RunningController

from nanorover import params
from nanorover.base.driver import BaseDriver, BaseState
from nanorover.base.emulator import ControllerSpec, Firmware
from nanorover.base.link import LinkError, SerialLink
from nanorover.base.params import BaseParams

PARAMS = dataclasses.replace(
    params.load(BaseParams, "base"),
    answer_timeout_s=0.1,  # the machine of the tests may be busy
    boot_timeout_s=0.3,
    reconnect_period_s=0.05,
)


def controller(**spec: object) -> RunningController:
    made = ControllerSpec(**{"ticks_per_revolution": PARAMS.ticks_per_revolution, "auto_stop_s": 0.5, **spec})
    return RunningController(Firmware(made, time.monotonic()))


def driver_on(path: str | Path) -> BaseDriver:
    return BaseDriver(dataclasses.replace(PARAMS, port=str(path)))


def cycle_until(
    driver: BaseDriver, condition: Callable[[BaseState | None], object], timeout_s: float = 10.0
) -> BaseState | None:
    """Cycle at the driver's rate until the condition on its state holds."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        state = driver.cycle()
        if condition(state):
            return state
        time.sleep(1.0 / PARAMS.rate_hz)
    pytest.fail(f"the condition did not come true; fault: {driver.fault}, counts: {dict(driver.counts)}")


def drive_until(driver: BaseDriver, linear: float, angular: float, condition) -> BaseState:
    def commanded(state: BaseState | None) -> object:
        driver.want(linear, angular)
        return state is not None and condition(state)

    return cycle_until(driver, commanded)


def test_odometry_is_what_the_wheels_did():
    with controller() as running:
        driver = driver_on(running.port.path)
        drive_until(driver, 0.3, 0.8, lambda s: s.T_odom_base[2] > 1.0)
        cycle_until(driver, lambda s: running.wheels.at_rest)
        still = cycle_until(driver, lambda s: s is not None)
        wheels, radius = running.wheels, PARAMS.wheel_radius_m
        turned = radius * (wheels.right_rad - wheels.left_rad) / PARAMS.wheel_separation_m
        assert still.T_odom_base[2] == pytest.approx(turned, abs=2 * PARAMS.m_per_tick / PARAMS.wheel_separation_m)
        assert np.linalg.eigvalsh(still.covariance).max() > 0.0
        driver.close()


def test_what_is_reported_as_sent_is_what_the_controller_was_told():
    with controller() as running:
        driver = driver_on(running.port.path)
        state = drive_until(driver, 9.9, 0.0, lambda s: s.sent.linear_m_s > 0.497)
        firmware = running.port.firmware
        told = (firmware._left.target, firmware._right.target)
        assert state.sent == driver.gate.velocity_of(told)
        assert state.sent.linear_m_s == pytest.approx(PARAMS.max_linear_m_s, abs=PARAMS.m_s_per_unit)
        driver.close()


def test_it_stops_250_ms_after_the_last_command():
    clock_s = [100.0]
    with controller(auto_stop_s=60.0) as running:
        driver = BaseDriver(dataclasses.replace(PARAMS, port=running.port.path), clock=lambda: clock_s[0])

        def cycle(seconds: float) -> BaseState | None:
            clock_s[0] += seconds
            return driver.cycle()

        while cycle(0.03) is None:
            pass
        driver.want(0.3, 0.0)
        assert cycle(0.24).held_because == ""
        held = cycle(0.02)
        assert held.held_because == "no fresh command"
        assert (held.sent.linear_m_s, held.sent.angular_rad_s) == (0.0, 0.0)
        assert running.port.firmware._moving is False
        driver.close()


def test_emergency_stop_is_told_at_once_and_holds():
    with controller() as running:
        driver = driver_on(running.port.path)
        drive_until(driver, 0.3, 0.0, lambda s: s.measured.linear_m_s > 0.2)
        driver.stop(True)
        assert running.port.firmware._moving is False  # before any further cycle
        state = drive_until(driver, 0.3, 0.0, lambda s: s.measured.linear_m_s == 0.0)
        assert state.held_because == "emergency stop" and state.sent.linear_m_s == 0.0
        driver.stop(False)
        drive_until(driver, 0.3, 0.0, lambda s: s.measured.linear_m_s > 0.2)
        driver.close()


def test_a_driver_that_dies_leaves_a_robot_that_stops():
    with controller(auto_stop_s=0.2) as running:
        driver = driver_on(running.port.path)
        drive_until(driver, 0.3, 0.0, lambda s: s.measured.linear_m_s > 0.2)
        driver._link.close()  # as after a kill: no farewell
        deadline = time.monotonic() + 5.0
        while running.port.firmware.auto_stops == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert running.port.firmware.auto_stops == 1


def test_unplugged_and_plugged_in_again(tmp_path):
    port = tmp_path / "base"
    driver = driver_on(port)
    assert (
        driver.cycle() is None
        and "there is no port" in driver.fault
        and "plug the motor controller in" in driver.fault
    )
    with controller() as first:
        port.symlink_to(first.port.path)
        before = drive_until(driver, 0.3, 0.0, lambda s: s.T_odom_base[0] > 0.2)
    port.unlink()

    def gone(state):
        nonlocal before  # it rolls on until its port is gone
        before = before if state is None else state
        return state is None and not driver.connected

    cycle_until(driver, gone)
    with controller(first_tick=-500_000) as second:  # a fresh controller counts from somewhere else
        port.symlink_to(second.port.path)
        after = cycle_until(driver, lambda state: state is not None)
        assert after.T_odom_base == pytest.approx(before.T_odom_base, abs=0.05), "the pose must not jump"
        assert after.sent.linear_m_s == 0.0, "an old command must not move it"
        assert driver.counts["connections"] == 2
        drive_until(driver, 0.3, 0.0, lambda s: s.T_odom_base[0] > before.T_odom_base[0] + 0.1)
        driver.close()


def test_a_controller_that_restarts_underway_does_not_move_the_pose():
    with controller() as running:
        driver = driver_on(running.port.path)
        before = drive_until(driver, 0.3, 0.0, lambda s: s.T_odom_base[0] > 0.3)
        running.port.firmware._left.zero_encoder()
        running.port.firmware._right.zero_encoder()
        after = cycle_until(driver, lambda s: s is not None and s.measured.linear_m_s == 0.0)
        assert driver.counts["encoder jumps"] == 1
        assert abs(after.T_odom_base[0] - before.T_odom_base[0]) < 0.1
        driver.close()


@pytest.mark.parametrize("noise", [b"\xff\xfe\x00garbage\r\n", b"Invalid Command\r\n", b"12", b"OK\r\n" * 50])
def test_noise_in_the_line_costs_cycles_but_never_a_wrong_pose(noise):
    with controller() as running:
        driver = driver_on(running.port.path)
        cycle_until(driver, lambda state: state is not None)
        plain = running.port.firmware.receive
        left = [3]

        def noisy(data: bytes, now_s: float) -> bytes:
            answers = plain(data, now_s)
            if left[0] and answers:
                left[0] -= 1
                return noise + answers
            return answers

        running.port.firmware.receive = noisy  # type: ignore[method-assign]
        state = cycle_until(driver, lambda s: s is not None and not left[0])
        assert math.hypot(*state.T_odom_base[:2]) < 0.01
        driver.close()


@pytest.fixture
def silent_port():
    """Both ends of a line without a controller."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, slave
    os.close(master)
    os.close(slave)


def test_a_silent_controller_is_named(silent_port):
    driver = driver_on(os.ttyname(silent_port[1]))
    deadline = time.monotonic() + 5.0
    while "nothing answers" not in driver.fault and time.monotonic() < deadline:
        assert driver.cycle() is None
    assert f"nothing answers on {driver.params.port} at {PARAMS.baud} baud" in driver.fault
    assert "power" in driver.fault
    driver.close()


def test_a_line_that_takes_no_bytes_is_not_a_port_that_is_lost(silent_port):
    """A computer that is busy while it writes looks alike, and opening the port anew resets many controllers."""
    link = SerialLink(os.ttyname(silent_port[1]), PARAMS.baud, 0.01)
    with pytest.raises(LinkError, match="was not sent within 0.01 s") as caught:
        link.ask(b"b" * 100_000)
    assert type(caught.value) is LinkError
    link.close()


def test_a_port_in_use_and_a_stranger_at_it_are_named(silent_port):
    path = os.ttyname(silent_port[1])
    other = SerialLink(path, PARAMS.baud, 0.01)
    driver = driver_on(path)
    assert driver.cycle() is None
    assert driver.fault == f"port {path} is in use by another program: stop the other driver or terminal first"
    other.close()

    def chatter():
        while b"m 0 0" not in os.read(silent_port[0], 64):
            pass
        os.write(silent_port[0], b"\xfe\x01\x80\r\n")

    stranger = threading.Thread(target=chatter)
    stranger.start()
    cycle_until(driver, lambda _: "does not answer as a motor controller at 57600 baud" in driver.fault)
    assert "baud rate" in driver.fault
    stranger.join()
    driver.close()


def test_an_answer_that_comes_too_late_is_not_that_to_the_next_question(silent_port):
    master, slave = silent_port
    link = SerialLink(os.ttyname(slave), PARAMS.baud, 1.0)
    with pytest.raises(LinkError, match="no answer to 'e' within"):
        link.ask(b"e\r")
    os.write(master, b"17 42\r\n")
    assert select.select([slave], [], [], 5.0)[0]

    def answer():
        heard = b""
        while not heard.endswith(b"b\r"):
            heard += os.read(master, 64)
        os.write(master, b"57600\r\n")

    controller = threading.Thread(target=answer)
    controller.start()
    assert link.ask(b"b\r") == "57600"
    controller.join()
    link.close()


def test_a_controller_that_boots_is_not_opened_anew(silent_port):
    """Opening the port resets many controllers, so their boot would begin again each time."""
    tenths, opened_s = [0], []

    def open_link(port: str, baud: int, timeout_s: float) -> SerialLink:
        opened_s.append(tenths[0] / 10)
        return SerialLink(port, baud, timeout_s)

    patient = dataclasses.replace(
        PARAMS, port=os.ttyname(silent_port[1]), answer_timeout_s=0.01, boot_timeout_s=1.0
    )
    driver = BaseDriver(patient, clock=lambda: tenths[0] / 10, open_link=open_link)
    while len(opened_s) < 2:
        assert driver.cycle() is None
        tenths[0] += 1
    assert opened_s == [0.0, 1.1]
    driver.close()


def test_the_stamp_is_in_the_middle_of_question_and_answer():
    with controller() as running:
        even = itertools.count(0, 2)
        driver = BaseDriver(dataclasses.replace(PARAMS, port=running.port.path), stamp_clock=lambda: next(even))
        state = cycle_until(driver, lambda state: state is not None)
        assert state.stamp_ns % 2 == 1, "between two readings in a row of a clock of even numbers"
        driver.close()


def test_the_battery_is_read():
    with controller() as running:
        running.port.firmware.battery_v = 11.1
        driver = BaseDriver(dataclasses.replace(PARAMS, port=running.port.path, battery_pin=0))
        state = cycle_until(driver, lambda s: s is not None and s.battery_v is not None)
        assert state.battery_v == pytest.approx(11.1, abs=PARAMS.battery_full_scale_v / 1023)
        driver.close()
