"""What the simulated lidar measures, against geometry: range, noise, materials, and the distortion of a sweep."""

import dataclasses
import math

import mujoco
import numpy as np
import pytest
from sim_rig import run_until

from nanorover.base import protocol as p
from nanorover.geometry.scan import LaserScan
from nanorover.params import load
from nanorover.sim.floorplan import random_scene
from nanorover.sim.model import RAY_GROUP
from nanorover.sim.params import SimParams
from nanorover.sim.pilots import Tour
from nanorover.sim.rays import first_hit
from nanorover.sim.rover import Rover
from nanorover.sim.scene import Furniture, Opening, Scene, Start, Wall
from nanorover.sim.simulation import Simulation

CORNERS = ((0.0, 0.0), (12.0, 0.0), (12.0, 6.0), (0.0, 6.0))
WALLS = tuple(Wall(a, b, 0.2) for a, b in zip(CORNERS, CORNERS[1:] + CORNERS[:1], strict=True))
HALL = Scene("hall", (12.0, 6.0), Start((2.0, 3.0)), WALLS)
EXACT = load(SimParams, "sim", dropout=0.0, range_noise_near_m=0.0, range_noise_far_ratio=0.0)


def look(scene, bearing_deg, count=2000, params=None):
    """``count`` readings in a direction (counter-clockwise from ahead)."""
    simulation = Simulation(scene, params=params)
    clockwise = np.full(count, -math.radians(bearing_deg))
    return simulation, simulation._view.ranges(np.zeros(count), clockwise)


def test_rays_hit_what_mujoco_hits():
    simulation = Simulation(random_scene(2))
    run_until(simulation, 0.1)
    simulation._view._cuts.refresh()
    model, data, height_m = simulation.world.model, simulation.data, simulation.frames.laser_z_m
    groups = np.zeros(6, np.uint8)
    groups[RAY_GROUP] = 1
    rng, number = np.random.default_rng(1), np.zeros(1, np.int32)
    misses = 0
    for _ in range(2000):
        x, y, turn = rng.uniform(-3, 15), rng.uniform(-3, 12), rng.uniform(-math.pi, math.pi)
        ray = np.array([math.cos(turn), math.sin(turn), 0.0])
        there = mujoco.mj_ray(model, data, np.array([x, y, height_m]), ray, groups, True, -1, number, None)
        mine, _, nx, ny = first_hit(simulation._view._cuts.all, x, y, ray[0], ray[1])
        if there < 0:
            misses += 1
            assert math.isinf(mine)
        else:
            assert mine == pytest.approx(there, abs=1e-7)
            assert math.hypot(nx, ny) == pytest.approx(1.0)
    assert 0 < misses < 1500


@pytest.mark.parametrize(
    ("bearing_deg", "range_m"), [(0, 9.9), (90, 2.9), (180, 1.9), (-90, 2.9), (45, 2.9 * math.sqrt(2))]
)
def test_exact_ranges(bearing_deg, range_m):
    _, seen = look(HALL, bearing_deg, 3, EXACT)
    assert seen == pytest.approx([range_m] * 3, abs=5e-4)


def test_noise_and_drop_outs_are_those_of_the_data_sheet():
    for bearing_deg, range_m, spread_m in ((180, 1.9, 0.004), (0, 9.9, 0.099), (90, 2.9, 0.029)):
        _, seen = look(HALL, bearing_deg, 20_000)
        there = np.isfinite(seen)
        assert seen[there].mean() == pytest.approx(range_m, abs=4 * spread_m / math.sqrt(20_000))
        assert seen[there].std() == pytest.approx(spread_m, rel=0.04)
        assert 1 - there.mean() == pytest.approx(0.004, abs=0.002)


def test_too_near_and_too_far_return_nothing():
    near = dataclasses.replace(HALL, furniture=(Furniture("box", (2.4, 3.0), size_m=(0.3, 0.3, 0.3)),))
    assert np.isinf(look(near, 0, 50, EXACT)[1]).all()  # 0.25 m, below the 0.28 m of 9 kHz
    long = dataclasses.replace(
        HALL,
        walls=tuple(
            Wall((a[0] * 2, a[1]), (b[0] * 2, b[1]))
            for a, b in zip(CORNERS, CORNERS[1:] + CORNERS[:1], strict=True)
        ),
    )
    simulation = Simulation(long, params=EXACT)
    simulation.lidar.receive(b"\xa5\x60", 0.0)
    scan = next(r for r in Rover(simulation, Tour(((2.0, 3.0), (3.0, 3.0)))).run(3.0) if isinstance(r, LaserScan))
    ahead = scan.ranges_m[len(scan.ranges_m) // 2]
    assert math.isinf(ahead)  # the wall is 22 m away
    assert scan.ranges_m[0] == pytest.approx(simulation.pose[0] - 0.06, abs=0.06)


def test_black_returns_less_the_farther_it_is():
    shares = []
    for x in (3.0, 7.0, 11.0):
        cabinet = Furniture("cabinet", (x, 3.0), yaw_deg=180.0, size_m=(0.4, 1.0, 1.0), style="black")
        _, seen = look(dataclasses.replace(HALL, furniture=(cabinet,)), 1)
        shares.append(np.isfinite(seen).mean())
    assert shares[0] > 0.95 and 0.4 < shares[1] < 0.75 and shares[2] < 0.2


def test_glass_is_seen_through_and_shines_back_when_met_squarely():
    pane = Wall((6.0, 0.0), (6.0, 6.0), 0.1, openings=(Opening("pane", 3.0, 3.0),))
    scene = dataclasses.replace(HALL, walls=(*WALLS, pane))
    _, square = look(scene, 0, params=EXACT)
    assert square == pytest.approx(np.full(2000, 3.99), abs=1e-4)
    _, slanting = look(scene, 15, params=EXACT)
    faces = [np.isclose(slanting, x / math.cos(math.radians(15)), atol=1e-3) for x in (3.99, 4.01)]
    stopped = faces[0] | faces[1]
    behind = np.isclose(slanting, 9.9 / math.cos(math.radians(15)), atol=1e-3)
    assert (stopped | behind).all()
    assert faces[0].mean() == pytest.approx(EXACT.glass_return, abs=0.03)  # each face may shine back
    assert 0.15 < stopped.mean() < 0.3


def test_a_mirror_shows_the_room_behind_itself():
    mirror = Furniture("cabinet", (6.0, 3.0), yaw_deg=180.0, size_m=(0.4, 2.0, 1.0), style="mirror")
    simulation, seen = look(dataclasses.replace(HALL, furniture=(mirror,)), 10, 5, EXACT)
    face = next(
        s for s in simulation.scene.fixed_solids()[-1][1] if s.surface == "mirror" and abs(s.at_m[1] - 3.5) < 0.5
    )
    to_face = face.at_m[0] - face.size_m[0] - 2.0
    back_to_wall = to_face + (face.at_m[0] - face.size_m[0] - 0.1)
    assert seen == pytest.approx([back_to_wall / math.cos(math.radians(10))] * 5, abs=0.01)


def test_each_ray_is_measured_where_the_robot_is_at_its_own_time():
    """The distortion of a sweep is real: undone with the true motion, the wall is straight; without, it is not."""
    simulation = Simulation(HALL, params=dataclasses.replace(EXACT, motor_latency_s=0.0))
    simulation.lidar.receive(b"\xa5\x60", 0.0)
    stamps, bearings = np.empty(0), np.empty(0)
    poses = []
    while simulation.now_s < 1.0:
        simulation.controller.receive(p.command(p.MOTOR_PWM, 120, 255), simulation.now_s)
        simulation.step()
        poses.append((simulation.now_s, *simulation.pose))
    history = np.array(poses)
    stamps = np.linspace(0.8, 1.0, 400, endpoint=False) + 0.0007
    bearings = np.linspace(0.0, 2 * math.pi, 400, endpoint=False)
    seen = simulation._view.ranges(stamps, bearings)
    yaw = np.interp(stamps, history[:, 0], np.unwrap(history[:, 3]))
    at = np.column_stack([np.interp(stamps, history[:, 0], history[:, k]) for k in (1, 2)])
    heading = yaw - bearings
    points = at + seen[:, None] * np.column_stack([np.cos(heading), np.sin(heading)])
    inner = np.array([[0.1, 0.1], [11.9, 5.9]])
    off = np.abs(np.concatenate([points - inner[0], points - inner[1]], axis=1)).min(axis=1)
    assert off.max() < 1e-3
    frozen = at[-1] + seen[:, None] * np.column_stack([np.cos(yaw[-1] - bearings), np.sin(yaw[-1] - bearings)])
    off_frozen = np.abs(np.concatenate([frozen - inner[0], frozen - inner[1]], axis=1)).min(axis=1)
    assert off_frozen.max() > 0.1


def test_scans_through_bytes_and_driver_lie_on_the_true_walls():
    simulation = Simulation(HALL, params=EXACT)
    rover = Rover(simulation, Tour(((2.0, 3.0), (5.0, 3.0), (5.0, 4.5))))
    truth, checked = {}, 0
    for record in rover.run(6.0):
        truth[simulation.now_ns] = simulation.pose
        if isinstance(record, LaserScan) and simulation.now_s > 1.5:
            times = np.array(list(truth))
            poses = np.array(list(truth.values()))
            rel_ns = record.stamp_ns - 1_767_225_600 * 10**9
            stamp = rel_ns + record.time_increment_s * 1e9 * np.arange(len(record.ranges_m))
            x, y, yaw = (np.interp(stamp, times, np.unwrap(column)) for column in poses.T)
            turn = yaw + record.angle_min_rad + record.angle_increment_rad * np.arange(len(record.ranges_m))
            there = np.isfinite(record.ranges_m)
            points = np.column_stack([x + record.ranges_m * np.cos(turn), y + record.ranges_m * np.sin(turn)])[
                there
            ]
            off = np.abs(np.concatenate([points - (0.1, 0.1), points - (11.9, 5.9)], axis=1)).min(axis=1)
            assert np.median(off) < 0.01 and np.percentile(off, 95) < 0.04
            checked += 1
    assert checked > 20
