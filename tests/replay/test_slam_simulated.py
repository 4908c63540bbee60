"""SLAM and localization on simulated drives with exact truth; a piece taken out must show in the error."""

import dataclasses

import numpy as np
import pytest

from nanorover.geometry.se2 import between, compose
from nanorover.sim.buildings import BUILDINGS
from nanorover.sim.flatland import G4, G4_SWEEPING, SICK, WHEELS, Step, drive, record
from nanorover.slam import front_end
from nanorover.slam.benchmark import Case, absolute_error_m, run_case, true_relations
from nanorover.slam.localizer import Localizer
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import slam_params
from nanorover.slam.relations import relation_error

PARAMS = slam_params()


def steps_of(building, lidar, wheels, seed=0) -> list[Step]:
    rng = np.random.default_rng(seed)
    made = BUILDINGS[building](rng)
    return list(record(made.walls, drive(made.waypoints), lidar, WHEELS.get(wheels), rng))


def fed(mapper, steps):
    results = []
    for step in steps:
        for odometry in step.odometry:
            mapper.add_odometry(odometry)
        results.append(mapper.add_scan(step.scan))
    return results


def error_of(mapper, steps):
    stamps_ns, poses = mapper.trajectory()
    truth = np.array([s.T_map_base for s in steps])
    return relation_error(true_relations(stamps_ns, truth, np.random.default_rng(0)), stamps_ns, poses)


@pytest.fixture(scope="module")
def sweeping() -> list[Step]:
    return steps_of("apartment", G4_SWEEPING, "good")


@pytest.fixture(scope="module")
def apartment(sweeping):
    """The mapped apartment: mapper, steps, results."""
    mapper = Mapper(PARAMS)
    results = fed(mapper, sweeping)
    mapper.finish()
    return mapper, sweeping, results


@pytest.mark.parametrize("odometry", ["weak", "none"])
@pytest.mark.parametrize("lidar", ["G4", "G4 sweeping"])
def test_an_apartment_to_a_centimetre(lidar, odometry):
    result = run_case(Case("apartment", odometry, lidar=lidar))
    assert result["trans_m_mean"] < 0.010
    assert result["rot_deg_mean"] < 0.15
    assert result["ate_m"] < 0.02


@pytest.mark.slow
def test_an_office_loop_with_few_rays_and_long_steps():
    result = run_case(Case("office", "weak", lidar="SICK", every=7))
    assert result["trans_m_mean"] < 0.03
    assert result["ate_m"] < 0.08


def test_without_deskew_a_sweeping_scan_errs(sweeping, monkeypatch):
    part = sweeping[:500]
    right = Mapper(PARAMS)
    fed(right, part)
    monkeypatch.setattr(front_end.FrontEnd, "_sweep_s", lambda self, scan: 0.0)
    wrong = Mapper(PARAMS)
    fed(wrong, part)
    assert error_of(wrong, part).rot_deg_mean > 3 * error_of(right, part).rot_deg_mean
    assert error_of(wrong, part).trans_m_mean > 2 * error_of(right, part).trans_m_mean


def test_the_stated_covariance_is_honest(apartment):
    _, steps, results = apartment
    truth = np.array([s.T_map_base for s in steps])
    poses = np.array([r.T_map_base for r in results])
    # Errors of the step from scan to scan: what one match is off by.
    errors = np.array(
        [between(between(truth[k - 1], truth[k]), between(poses[k - 1], poses[k])) for k in range(50, 700)]
    )
    stated = np.sqrt(2.0 * np.array([np.diag(r.covariance) for r in results[50:700]]))
    ratio = np.sqrt((errors**2).mean(axis=0)) / stated.mean(axis=0)
    assert (ratio < 3.0).all(), ratio
    assert (ratio > 0.2).all(), ratio


def test_the_published_odometry_frame_moves_only_when_the_map_does(sweeping):
    mapper = Mapper(PARAMS)
    last, jumps, T_odom_base = None, [], np.zeros(3)
    for step in sweeping[:400]:
        for odometry in step.odometry:
            mapper.add_odometry(odometry)
            T_odom_base = odometry.T_odom_base
        mapper.add_scan(step.scan)
        now = mapper.T_map_odom()
        if last is not None:  # by how much the robot leaps in the map, wherever the frames have their origins
            jumps.append(np.hypot(*(compose(now, T_odom_base) - compose(last, T_odom_base))[:2]))
        last = now
    assert max(jumps) < 0.05


def test_a_loop_is_closed_in_spite_of_weak_odometry():
    steps = steps_of("office", SICK, "weak")[:1300]
    mapper = Mapper(PARAMS)
    fed(mapper, steps)
    mapper.finish()
    assert mapper.loop_closer.counts["loops closed"] >= 1
    _, poses = mapper.trajectory()
    assert absolute_error_m(np.array([s.T_map_base for s in steps]), poses) < 0.15


def test_ten_seconds_without_scans_and_dropped_scans(sweeping):
    steps = sweeping[:300] + sweeping[400:700:2]
    mapper = Mapper(PARAMS)
    fed(mapper, steps)
    assert mapper.health()["gaps in the scans"] == 1
    assert error_of(mapper, steps).trans_m_mean < 0.03


def test_the_map_goes_on_in_a_new_piece_when_nothing_fits_any_more(sweeping):
    other = steps_of("office", G4, None)[200:260]
    mapper = Mapper(PARAMS)
    fed(mapper, sweeping[:100])
    results = [mapper.add_scan(dataclasses.replace(s.scan, stamp_ns=s.scan.stamp_ns + 10**12)) for s in other]
    assert any(r.reason for r in results)
    assert mapper.health()["pieces begun"] >= 1
    assert results[-1].reason == ""
    assert results[-1].quality > 0.8


def test_the_same_rounds_again_cost_no_keyframes(apartment):
    mapper, steps, _ = apartment
    before = len(mapper.graph)
    end_ns = steps[-1].scan.stamp_ns
    again = Mapper(PARAMS, mapper.graph, None)
    again.set_pose(mapper.trajectory()[1][0])
    for step in steps:
        again.add_scan(dataclasses.replace(step.scan, stamp_ns=step.scan.stamp_ns + end_ns))
    assert len(again.graph) <= 1.15 * before


def test_changed_furniture_is_renewed_in_the_map():
    rng = np.random.default_rng(0)
    room = np.array([[0.0, 0.0, 8.0, 0.0], [8.0, 0.0, 8.0, 6.0], [8.0, 6.0, 0.0, 6.0], [0.0, 6.0, 0.0, 0.0]])
    box = np.array([[3.0, 3.5, 5.0, 3.5], [5.0, 3.5, 5.0, 4.5], [5.0, 4.5, 3.0, 4.5], [3.0, 4.5, 3.0, 3.5]])
    lap = np.array([[1.5, 1.2], [6.5, 1.2], [6.5, 2.4], [1.5, 2.4], [1.5, 1.2]])
    way = drive(np.concatenate([lap, lap, lap[1:], lap[1:]]))
    furnished = list(record(np.concatenate([room, box]), way, G4, None, rng))
    bare = list(record(room, way, G4, None, rng))
    mapper = Mapper(PARAMS)
    fed(mapper, furnished[:400])
    T_room_map = furnished[0].T_map_base

    def occupied_in_the_box() -> int:
        grid = mapper.grid()
        rows, columns = np.nonzero(grid.cells > 65)
        x = grid.T_map_origin[0] + (columns + 0.5) * grid.resolution_m
        y = grid.T_map_origin[1] + (rows + 0.5) * grid.resolution_m
        points = np.array([compose(T_room_map, np.array([a, b, 0.0]))[:2] for a, b in zip(x, y, strict=True)])
        near = (points[:, 0] > 2.8) & (points[:, 0] < 5.2) & (points[:, 1] > 3.3) & (points[:, 1] < 4.7)
        return int(near.sum())

    with_box = occupied_in_the_box()
    keyframes = len(mapper.graph)
    for step in bare[400:]:
        mapper.add_scan(step.scan)
    assert with_box > 30
    assert mapper.health().get("keyframes renewed", 0) > 0
    assert occupied_in_the_box() < with_box
    assert len(mapper.graph) < 2.5 * keyframes


def test_a_mirrored_laser_shows_in_the_quality(apartment):
    mapper, steps, _ = apartment
    localizer = Localizer(PARAMS, mapper.grid())
    localizer.set_pose(between(steps[0].T_map_base, steps[150].T_map_base))
    results = []
    for k in range(150, 190):
        scan = steps[k].scan
        results.append(localizer.add_scan(dataclasses.replace(scan, ranges_m=scan.ranges_m[::-1].copy())))
    assert all(result.quality < 0.75 and result.reason for result in results)
    ordinary = Localizer(PARAMS, mapper.grid())
    ordinary.set_pose(between(steps[0].T_map_base, steps[150].T_map_base))
    assert all(not ordinary.add_scan(steps[k].scan).reason for k in range(150, 190))
