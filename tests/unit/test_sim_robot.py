"""The simulated robot's body: wheels that roll, slip, start late and have limits; a world that is hit."""

import dataclasses
import math

import numpy as np
import pytest
from sim_rig import run_until

from nanorover.base import protocol as p
from nanorover.params import load
from nanorover.sim.params import SimParams
from nanorover.sim.scene import Furniture, Scene, Start, Walker, Wall
from nanorover.sim.simulation import Simulation

PERFECT = load(SimParams, "sim", motor_mismatch=0.0, wheel_radius_error=0.0, wheel_separation_error=0.0)
CORNERS = ((0.0, 0.0), (8.0, 0.0), (8.0, 6.0), (0.0, 6.0))
HALL = Scene(
    "hall",
    (8.0, 6.0),
    Start((2.0, 3.0)),
    tuple(Wall(a, b) for a, b in zip(CORNERS, CORNERS[1:] + CORNERS[:1], strict=True)),
)


def ask(simulation, letter, *arguments):
    return simulation.controller.receive(p.command(letter, *arguments), simulation.now_s)


def drive(simulation, seconds, letter, left, right):
    """Keep the command alive as a driver does."""
    end_s = simulation.now_s + seconds
    while simulation.now_s < end_s:
        ask(simulation, letter, left, right)
        run_until(simulation, simulation.now_s + 0.05)


def rolled_m(simulation):
    radius = simulation.base.wheel_radius_m
    return [angle * radius for angle in simulation._robot.wheel_angles_rad]


def test_a_perfect_robot_goes_where_its_wheels_say():
    simulation = Simulation(HALL, params=PERFECT)
    drive(simulation, 3.0, p.MOTOR_SPEEDS, 60, 60)
    left, right = rolled_m(simulation)
    assert left == pytest.approx(right, rel=0.003)
    assert 0.6 < left < 1.0  # 60 ticks per cycle are 0.236 m/s
    assert simulation.pose[:2] == pytest.approx([2.0 + (left + right) / 2, 3.0], abs=0.02)
    encoders = p.parse_encoders(ask(simulation, p.READ_ENCODERS).decode().strip())
    assert [n * simulation.base.m_per_tick for n in encoders] == pytest.approx([left, right], abs=2e-3)


def test_it_turns_about_the_middle_of_its_wheels():
    simulation = Simulation(HALL, params=PERFECT)
    drive(simulation, 2.0, p.MOTOR_SPEEDS, -20, 20)
    left, right = rolled_m(simulation)
    assert simulation.pose[2] == pytest.approx((right - left) / simulation.base.wheel_separation_m, rel=0.02)
    assert math.dist(simulation.pose[:2], (2.0, 3.0)) < 0.01


def test_tolerances_of_a_real_robot_bend_a_straight_drive():
    yaws = []
    for seed in (1, 2, 3):
        simulation = Simulation(HALL, seed)
        drive(simulation, 4.0, p.MOTOR_SPEEDS, 80, 80)
        yaws.append(float(simulation.pose[2]))
    assert np.ptp(yaws) > 0.002 and max(map(abs, yaws)) < 0.3


def test_wheels_slip_where_the_floor_is_smooth():
    slip = {}
    for friction in (0.7, 0.05):
        simulation = Simulation(HALL, params=dataclasses.replace(PERFECT, wheel_friction=friction))
        drive(simulation, 0.6, p.MOTOR_PWM, 255, 255)
        slip[friction] = np.mean(rolled_m(simulation)) - (simulation.pose[0] - 2.0)
    assert slip[0.05] > 0.15 and 0.0 < slip[0.7] < slip[0.05] / 3  # full duty spins even good tyres a little


def test_a_motor_starts_late_and_has_a_limit():
    simulation = Simulation(HALL, params=dataclasses.replace(PERFECT, motor_latency_s=0.1))
    ask(simulation, p.MOTOR_PWM, 255, 255)
    run_until(simulation, 0.09)
    assert abs(rolled_m(simulation)[0]) < 1e-4
    drive(simulation, 2.0, p.MOTOR_PWM, 255, 255)
    before, start_s = rolled_m(simulation)[0], simulation.now_s
    drive(simulation, 1.0, p.MOTOR_PWM, 255, 255)
    speed_m_s = (rolled_m(simulation)[0] - before) / (simulation.now_s - start_s)
    free_m_s = PERFECT.free_speed_rad_s * simulation.base.wheel_radius_m
    assert 0.8 * free_m_s < speed_m_s < free_m_s


def test_the_controller_stops_the_wheels_without_commands():
    simulation = Simulation(HALL, params=PERFECT)
    drive(simulation, 1.0, p.MOTOR_SPEEDS, 80, 80)
    run_until(simulation, simulation.now_s + 0.6)
    halted = simulation.pose.copy()
    run_until(simulation, simulation.now_s + 0.5)
    assert simulation.controller.auto_stops == 1
    assert simulation.pose[:2] == pytest.approx(halted[:2], abs=1e-3)


def test_running_into_things_is_counted_once_per_touch_and_named():
    crate = Furniture("box", (2.8, 3.0), size_m=(0.4, 0.4, 0.4))
    simulation = Simulation(dataclasses.replace(HALL, furniture=(crate,)), params=PERFECT)
    assert simulation.clearance_m() == pytest.approx(0.6 - 0.12, abs=0.005)
    drive(simulation, 3.0, p.MOTOR_SPEEDS, 60, 60)
    assert simulation.score.touched == ["box 0"]
    assert simulation.score.clearance_m <= 0.001
    assert simulation.pose[0] < 2.5  # it stands
    drive(simulation, 1.5, p.MOTOR_SPEEDS, -60, -60)
    drive(simulation, 2.5, p.MOTOR_SPEEDS, 60, 60)
    assert simulation.score.collisions == 2


def test_a_person_walks_to_and_fro_and_never_into_the_robot():
    walker = Walker("person", ((5.0, 3.0), (1.0, 3.0)), speed_m_s=1.0)
    simulation = Simulation(dataclasses.replace(HALL, walkers=(walker,)))
    xs, nearest = [], math.inf
    for second in range(1, 21):
        run_until(simulation, float(second))
        person = simulation.objects()[-1].pose
        xs.append(person[0])
        nearest = min(nearest, math.dist(person[:2], simulation.pose[:2]))
    assert simulation.score.collisions == 0
    assert min(xs) < 2.9 and 0.6 < nearest < 0.9  # came near, waited
    assert xs[-1] > min(xs) + 0.5 or max(xs[10:]) > 4.0  # and went back


def test_two_runs_are_equal_to_the_bit_and_seeds_differ():
    def trace(seed):
        simulation = Simulation(dataclasses.replace(HALL, furniture=(Furniture("plant", (4.0, 4.0)),)), seed)
        simulation.lidar.receive(b"\xa5\x60", 0.0)
        drive(simulation, 1.5, p.MOTOR_SPEEDS, 70, 50)
        return simulation.lidar.transmit(simulation.now_s), simulation.pose.tobytes()

    assert trace(5) == trace(5)
    assert trace(5)[0] != trace(6)[0] and trace(5)[1] != trace(6)[1]
