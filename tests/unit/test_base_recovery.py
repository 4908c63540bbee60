"""What the base driver makes of answers that fail, in lock-step with an emulated controller: against the truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from base_rig import SimpleWheels

from nanorover import params
from nanorover.base import protocol as p
from nanorover.base.driver import BaseDriver, BaseState
from nanorover.base.emulator import SHIPPED_GAINS, ControllerSpec, Firmware
from nanorover.base.link import LinkError
from nanorover.base.params import BaseParams

PARAMS = params.load(BaseParams, "base")
STEPS_PER_CYCLE = 16
STEP_S = 1.0 / PARAMS.rate_hz / STEPS_PER_CYCLE
AUTO_STOP_AS_SHIPPED_S = 2.0
A_TICK_EACH_M = 2 * PARAMS.m_per_tick


class Bench:
    """Driver, controller and wheels with one clock. ``damage`` changes the answers; while ``mute`` none comes."""

    def __init__(self, auto_stop_s: float = 0.2) -> None:
        self.spec = ControllerSpec(PARAMS.ticks_per_revolution, auto_stop_s=auto_stop_s)
        self.firmware, self.wheels = Firmware(self.spec), SimpleWheels()
        self.now_s, self.true_pose = 0.0, np.zeros(3)
        self.mute = False
        self.damage: Callable[[str], str] = lambda answer: answer
        clocks = {"clock": lambda: self.now_s, "stamp_clock": lambda: round(self.now_s * 1e9)}
        self.driver = BaseDriver(PARAMS, **clocks, open_link=lambda *_: self)
        self.state: BaseState | None = None

    def ask(self, command: bytes) -> str:
        """The driver's line."""
        if self.mute:
            raise LinkError("no answer")
        return self.damage(self.firmware.receive(command, self.now_s).decode().strip())

    def close(self) -> None:
        """It needs no closing."""

    def run(self, seconds: float, linear: float = 0.0, angular: float = 0.0, *, driver: bool = True) -> None:
        """Drive like that, or let time pass without a driver."""
        for _ in range(round(seconds * PARAMS.rate_hz)):
            if driver:
                self.driver.want(linear, angular)
                self.state = self.driver.cycle()
            for _ in range(STEPS_PER_CYCLE):
                self._step()

    def _step(self) -> None:
        self.now_s += STEP_S
        duties = self.firmware.step(self.now_s, self.wheels.left_rad, self.wheels.right_rad)
        before = np.array([self.wheels.left_rad, self.wheels.right_rad])
        self.wheels.step(STEP_S, *duties)
        ways_m = PARAMS.wheel_radius_m * (np.array([self.wheels.left_rad, self.wheels.right_rad]) - before)
        self.true_pose = PARAMS.track.advance(self.true_pose, *ways_m)

    def stand(self) -> None:
        """Wait until the wheels stand and the driver has seen it."""
        self.run(1.0)
        assert abs(self.wheels.left_rad_s) < 1e-3

    def restart(self) -> None:
        """The controller begins anew, as after a dip of its supply."""
        self.firmware = Firmware(self.spec, self.now_s)
        self.firmware.step(self.now_s, self.wheels.left_rad, self.wheels.right_rad)
        self.firmware.receive(p.command(p.RESET_ENCODERS), self.now_s)

    @property
    def error(self) -> np.ndarray:
        """Of the odometry: x, y, yaw."""
        error = self.driver.odometry.T_odom_base - self.true_pose
        return np.array([*error[:2], math.remainder(error[2], 2 * math.pi)])

    def assert_honest(self) -> None:
        """The error is within three standard deviations, and what the ticks cannot resolve."""
        sigmas = np.sqrt(np.diag(self.driver.odometry.covariance))
        least = np.array([A_TICK_EACH_M, A_TICK_EACH_M, A_TICK_EACH_M / PARAMS.wheel_separation_m])
        assert (abs(self.error) <= 3.0 * sigmas + least).all(), (self.error, sigmas)


@pytest.mark.parametrize("auto_stop_s", [0.2, AUTO_STOP_AS_SHIPPED_S])
@pytest.mark.parametrize("silent_s", [0.1, 0.2, 0.5, 2.0])
def test_the_way_while_no_answer_came_is_not_lost(silent_s, auto_stop_s):
    """The controller counted on: no answer for so long costs nothing, on a curve at half a metre per second."""
    bench = Bench(auto_stop_s)
    bench.run(2.0, 0.45, 0.5)
    bench.mute = True
    began = bench.true_pose.copy()
    bench.run(silent_s, 0.45, 0.5)
    way_m = math.hypot(*(bench.true_pose - began)[:2])
    assert way_m > 0.4 * min(silent_s, auto_stop_s), "it drove while nothing was heard"
    bench.mute = False
    bench.run(1.0, 0.45, 0.5)
    bench.stand()
    assert bench.driver.counts["connections"] == 2 and not bench.driver.counts["unknown ways"]
    assert np.abs(bench.error[:2]).max() < 0.01 and abs(bench.error[2]) < 0.005
    bench.assert_honest()


@pytest.mark.parametrize("silent_s", [0.0, 1.0])
@pytest.mark.parametrize("linear", [0.06, 0.4, -0.4])
def test_a_controller_that_restarts_is_noticed_and_set_anew(linear, silent_s):
    """However quickly: its counters begin anew, its gains are its own, and what it rolled meanwhile is unknown."""
    bench = Bench()
    bench.run(4.0, linear)
    assert bench.firmware.gains == PARAMS.gains != SHIPPED_GAINS
    before = bench.driver.odometry.covariance.copy()
    bench.restart()
    bench.mute = silent_s > 0.0
    bench.run(silent_s, linear)
    bench.mute = False
    speeds = []
    for _ in range(30):
        bench.run(1.0 / PARAMS.rate_hz, linear)
        speeds += [bench.state.measured.linear_m_s] if bench.state else []
    assert max(map(abs, speeds)) <= 1.5 * PARAMS.max_wheel_m_s
    assert bench.firmware.gains == PARAMS.gains
    counts = bench.driver.counts
    assert (counts["connections"], counts["unknown ways"]) == (2, 1)
    bench.stand()
    assert (np.linalg.eigvalsh(bench.driver.odometry.covariance - before) >= -1e-12).all()
    assert abs(bench.error[0]) < 0.05, "at most what it rolled in the time that nobody counted"
    bench.assert_honest()


def test_counters_that_jump_to_zero_are_not_a_way_even_where_it_was_ordered():
    """Back, ahead again, and a controller that restarts unheard: its counters jump ahead, as the wheels went."""
    bench = Bench()
    bench.run(2.0, -0.4)
    bench.run(0.5, 0.4)
    bench.restart()
    bench.mute = True
    bench.run(1.0, 0.4)
    bench.mute = False
    bench.stand()
    assert bench.driver.counts["unknown ways"] == 1
    assert abs(bench.error[0]) < 0.05
    bench.assert_honest()


@pytest.mark.parametrize("ticks", [-500, 800, 1300, -1300])
def test_one_wrong_number_moves_nothing(ticks):
    """An answer with a lost or a changed digit reads like any other; the next ones show what it was."""
    bench = Bench()
    bench.run(1.0, 0.3, 0.4)
    left = [1]

    def wrong(answer: str) -> str:
        if left[0] and " " in answer:
            left[0] -= 1
            first, second = answer.split()
            return f"{int(first) + ticks} {second}"
        return answer

    bench.damage = wrong
    bench.run(1.0, 0.3, 0.4)
    bench.stand()
    assert bench.driver.counts["encoder jumps"] == 1 and not bench.driver.counts["unknown ways"]
    assert np.abs(bench.error[:2]).max() < 0.003 and abs(bench.error[2]) < 0.005


def test_a_standing_robot_does_not_turn_by_a_counter_that_jumps_for_good():
    bench = Bench()
    bench.run(1.0, 0.3)
    bench.stand()
    pose = bench.driver.odometry.T_odom_base.copy()

    def jumped(answer: str) -> str:
        first, _, second = answer.partition(" ")
        return f"{int(first) + 500} {second}" if second else answer

    bench.damage = jumped
    bench.run(1.0)
    assert bench.driver.odometry.T_odom_base == pytest.approx(pose, abs=1e-9)
    assert bench.driver.counts["encoder jumps"] == bench.driver.counts["unknown ways"] == 1
    assert bench.driver.recent_trouble.startswith("well again since 1 s, before: an encoder jumped by 0.065 m")


def cut(_: str) -> str:
    raise LinkError("no answer")


def invalid(_: str) -> str:
    return p.INVALID


@pytest.mark.parametrize("damage", [cut, invalid])
def test_a_controller_that_hears_but_cannot_be_understood_is_stopped(damage):
    """By the driver, after three wrong answers in a row: the watchdog as shipped would take two seconds."""
    bench = Bench(AUTO_STOP_AS_SHIPPED_S)
    bench.run(2.0, 0.4)
    bench.damage, began_s = damage, bench.now_s
    while bench.wheels.left_rad_s > 0.05:
        bench.run(1.0 / PARAMS.rate_hz, 0.4)
        assert bench.now_s - began_s < 0.5
    assert bench.firmware.auto_stops == 0, "it was told, not its watchdog"
    bench.run(1.0, 0.4)
    assert bench.wheels.left_rad_s == pytest.approx(0.0, abs=1e-3), "and stays stopped while commands go on"


@pytest.mark.parametrize("auto_stop_s", [0.25, AUTO_STOP_AS_SHIPPED_S])
def test_a_driver_that_dies_leaves_the_wheels_to_the_controllers_watchdog(auto_stop_s):
    """As shipped they go on for two seconds: a metre at full speed. docs/hardware.md says how to shorten it."""
    bench = Bench(auto_stop_s)
    bench.run(2.0, 0.5)
    began_m = bench.true_pose[0]
    bench.run(3.0, driver=False)
    assert bench.firmware.auto_stops == 1 and bench.wheels.left_rad_s < 1e-3
    # it hears the last command a cycle before its death, and rolls out in a time constant
    assert bench.true_pose[0] - began_m == pytest.approx(0.5 * auto_stop_s, abs=0.05)


def test_what_was_wrong_is_said_for_a_while_after_it_is_well():
    bench = Bench()
    bench.mute = True
    bench.run(1.0)
    bench.mute = False
    bench.run(1.0)
    assert bench.driver.recent_trouble == "", "that it was not there yet is no trouble"
    bench.mute = True
    bench.run(0.5)
    bench.mute = False
    bench.run(4.0)
    assert bench.driver.recent_trouble == "well again since 4 s, before: no answer"
    bench.run(7.0)
    assert bench.driver.recent_trouble == ""


def test_a_single_lost_answer_is_no_trouble_but_many_are():
    bench = Bench()
    bench.run(1.0)
    for expected in ("", "", "well again since 0 s, before: no answer"):
        bench.mute = True
        bench.run(1.0 / PARAMS.rate_hz)
        bench.mute = False
        bench.run(0.3)
        assert bench.driver.recent_trouble == expected
    assert bench.driver.counts["connections"] == 1
