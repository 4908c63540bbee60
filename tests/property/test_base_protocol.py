"""The drive protocol's codec and the velocity gate, for any input."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanorover import params
from nanorover.base import protocol as p
from nanorover.base.emulator import ControllerSpec, Firmware
from nanorover.base.gate import Velocity, VelocityGate
from nanorover.base.params import BaseParams

LONGS = st.integers(-(2**31), 2**31 - 1)
SPEEDS = st.floats(-3.0, 3.0)
PARAMS = params.load(BaseParams, "base")


@given(LONGS, LONGS)
def test_motor_commands_are_understood_as_sent(left, right):
    line = p.command(p.MOTOR_SPEEDS, left, right)
    assert line.endswith(b"\r")
    assert p.parse_command(line[:-1]) == (p.MOTOR_SPEEDS, (left, right))


@given(st.tuples(*[st.integers(0, 10_000)] * 4))
def test_gains_are_understood_as_sent(gains):
    assert p.parse_command(p.gains_command(p.Gains(*gains))[:-1]) == (p.UPDATE_PID, gains)


@given(LONGS, LONGS)
def test_encoder_answers(left, right):
    assert p.parse_encoders(f"{left} {right}") == (left, right)


@given(st.text(max_size=30))
def test_any_other_answer_is_refused_in_words(text):
    for parse in (p.parse_encoders, p.parse_number, p.parse_ok):
        try:
            parse(text)
        except p.ProtocolError as error:
            assert "got" in str(error) or "answered" in str(error)


@given(LONGS, st.integers(-(2**30), 2**30), st.sampled_from([16, 32]))
def test_counters_wrap(before, motion, bits):
    half = 1 << (bits - 1)
    motion = motion % half - half // 2
    after = (before + motion + half) % (1 << bits) - half
    assert p.wrapped_difference(after, before, bits) == motion


@given(st.binary(max_size=200))
def test_the_controller_survives_any_bytes_and_still_answers(noise):
    firmware = Firmware(ControllerSpec(1000))
    firmware.receive(noise + b"\r", 0.0)
    assert firmware.receive(b"b\r", 0.1) == b"57600\r\n"


@given(st.binary(max_size=60).filter(lambda b: b"\r" not in b))
def test_every_line_gets_exactly_one_answer(line):
    answer = Firmware(ControllerSpec(1000)).receive(line + b"\r", 0.0)
    assert answer.count(b"\r\n") == 1 and answer.endswith(b"\r\n")


@given(st.lists(st.tuples(SPEEDS, SPEEDS), min_size=1, max_size=40), st.floats(0.005, 0.1))
def test_accelerations_and_limits_are_kept(wanted, elapsed_s):
    gate = VelocityGate(PARAMS)
    now_s, before = 0.0, Velocity(0.0, 0.0)
    for linear, angular in wanted:
        now_s += elapsed_s
        gate.want(Velocity(linear, angular), now_s)
        permitted, held = gate.permit(now_s, elapsed_s)
        assert held == ""
        assert abs(permitted.linear_m_s) <= PARAMS.max_linear_m_s
        assert abs(permitted.angular_rad_s) <= PARAMS.max_angular_rad_s
        change = permitted.linear_m_s - before.linear_m_s
        braking = change * before.linear_m_s < 0.0
        limit = PARAMS.linear_deceleration_m_s2 if braking else PARAMS.linear_acceleration_m_s2
        assert abs(change) <= limit * elapsed_s + 1e-9
        turn_change = abs(permitted.angular_rad_s - before.angular_rad_s)
        assert turn_change <= PARAMS.angular_acceleration_rad_s2 * elapsed_s + 1e-9
        before = permitted


@given(SPEEDS, st.floats(-10.0, 10.0))
def test_wheels_that_are_too_fast_keep_the_curve(linear, angular):
    fine = dataclasses.replace(PARAMS, ticks_per_revolution=1_000_000)  # no rounding to speak of
    gate = VelocityGate(fine)
    units = gate.wheel_units(Velocity(linear, angular))
    assert max(abs(n) for n in units) * fine.m_s_per_unit <= fine.max_wheel_m_s + fine.m_s_per_unit
    sent = gate.velocity_of(units)
    scale = max(abs(linear), abs(angular) * fine.wheel_separation_m)
    if scale > 0.01:
        # same ratio of forward to turn: the cross product of the two vectors vanishes
        assert abs(sent.linear_m_s * angular - sent.angular_rad_s * linear) < 0.01 * scale * (1 + scale)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_command_that_is_no_number_is_refused_and_does_not_refresh(bad):
    gate = VelocityGate(PARAMS)
    gate.want(Velocity(0.2, 0.0), 0.0)
    gate.want(Velocity(bad, 0.0), 0.2)
    assert gate.permit(0.24, 0.03)[1] == ""
    assert gate.permit(0.26, 0.03) == (Velocity(0.0, 0.0), "no fresh command")
    assert gate.refused == 1


def test_release_of_the_stop_does_not_bring_the_old_command_back():
    gate = VelocityGate(PARAMS)
    gate.want(Velocity(0.2, 0.0), 0.0)
    gate.stop(True)
    gate.want(Velocity(0.2, 0.0), 0.01)
    assert gate.permit(0.02, 0.03) == (Velocity(0.0, 0.0), "emergency stop")
    gate.stop(False)
    assert gate.permit(0.03, 0.03) == (Velocity(0.0, 0.0), "no fresh command")
    gate.want(Velocity(0.2, 0.0), 0.04)
    permitted, held = gate.permit(0.05, 0.03)
    assert held == "" and 0.0 < permitted.linear_m_s <= PARAMS.linear_acceleration_m_s2 * 0.03
