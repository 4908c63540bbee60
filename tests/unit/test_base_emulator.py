"""The motor controller's state machine against its documented behaviour, with a clock of the test's own."""

import math

import pytest
from base_rig import SimpleWheels

from nanorover.base.emulator import ControllerSpec, Firmware

TICKS = 1560
SPEC = ControllerSpec(ticks_per_revolution=TICKS)
DT = 0.002


class Bench:
    """A controller with two motors on a bench."""

    def __init__(self, spec: ControllerSpec = SPEC) -> None:
        self.firmware, self.wheels, self.now_s = Firmware(spec), SimpleWheels(), 0.0
        self.duties = (0.0, 0.0)

    def tell(self, line: str) -> str:
        answer = self.firmware.receive(line.encode() + b"\r", self.now_s).decode()
        assert answer.endswith("\r\n")
        return answer.strip()

    def run(self, seconds: float, keep_telling: str = "") -> None:
        for i in range(round(seconds / DT)):
            if keep_telling and i % 25 == 0:
                assert self.tell(keep_telling) == "OK"
            self.now_s += DT
            self.duties = self.firmware.step(self.now_s, self.wheels.left_rad, self.wheels.right_rad)
            self.wheels.step(DT, *self.duties)

    @property
    def ticks(self) -> tuple[int, int]:
        left, right = self.tell("e").split()
        return int(left), int(right)


def test_encoders_count_and_reset():
    bench = Bench()
    bench.firmware.step(0.01, 2 * math.pi + 1e-6, -2 * math.pi + 1e-6)
    assert bench.ticks == (TICKS, -TICKS)
    assert bench.tell("r") == "OK"
    assert bench.ticks == (0, 0)


def test_encoders_overflow_as_32_bit_numbers():
    bench = Bench(ControllerSpec(TICKS, first_tick=2**31 - 1))
    assert bench.ticks == (2**31 - 1, 2**31 - 1)
    bench.firmware.step(0.01, 2 * math.pi * 1.5 / TICKS, 0.0)
    assert bench.ticks == (-(2**31), 2**31 - 1)


def test_closed_loop_speed_is_ticks_per_cycle():
    bench = Bench()
    bench.tell("u 20:12:1:50")
    bench.run(1.5, "m 40 -25")
    before = bench.ticks
    bench.run(1.0, "m 40 -25")
    after = bench.ticks
    assert (after[0] - before[0]) / 30 == pytest.approx(40, abs=1.5)
    assert (after[1] - before[1]) / 30 == pytest.approx(-25, abs=1.5)


def test_raw_pwm_is_the_duty_and_is_limited():
    bench = Bench()
    assert bench.tell("o 51 -999") == "OK"
    bench.run(0.01)
    assert bench.duties == (0.2, -1.0)


@pytest.mark.parametrize("command", ["m 40 40", "o 100 100"])
def test_it_stops_by_itself_200_ms_after_the_last_command(command):
    bench = Bench()
    bench.run(1.0, command)
    bench.tell(command)
    bench.run(0.19)
    assert bench.duties[0] > 0.1
    bench.run(0.02)
    assert bench.duties == (0.0, 0.0)
    assert bench.firmware.auto_stops == 1
    bench.run(1.0)
    assert bench.duties == (0.0, 0.0)
    assert bench.tell("m 0 0") == "OK"


def test_reading_the_encoders_does_not_feed_the_watchdog():
    bench = Bench()
    bench.run(0.5, "m 40 40")
    for _ in range(10):
        bench.run(0.05)
        bench.tell("e")
    assert bench.duties == (0.0, 0.0)


def test_the_battery_is_on_its_analog_pin():
    bench = Bench()
    bench.firmware.battery_v = 7.5
    assert bench.tell("a 0") == "512"
    assert bench.tell("a 3") == "0"


@pytest.mark.parametrize("line", ["", "z", "m 1", "m x y", "m 1 2 3", "u 1:2:3", "u 1 2 3 4 5", "e 1", "\xff"])
def test_what_is_no_command_is_said_and_moves_nothing(line):
    bench = Bench()
    assert bench.tell(line) == "Invalid Command"
    bench.run(0.1)
    assert bench.duties == (0.0, 0.0)


def test_two_runs_are_equal():
    first, second = Bench(), Bench()
    for bench in (first, second):
        bench.run(1.0, "m 33 17")
        bench.run(0.5)
    assert first.wheels == second.wheels and first.ticks == second.ticks
