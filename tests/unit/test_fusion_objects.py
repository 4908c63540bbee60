"""Fusion and tracking against worlds known exactly."""

import dataclasses
import math

import numpy as np
import pytest

from data import REPOSITORY
from nanorover import params
from nanorover.fusion.clusters import clusters_of, walkers
from nanorover.fusion.free_space import FreeSpace
from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.fusion.measurements import Camera, Detection, Measurement, locate
from nanorover.fusion.objects import MOVING, STANDING
from nanorover.fusion.tracks import Tracker, predicted
from nanorover.geometry.scan import LaserScan
from nanorover.perception.description import load_model, read_description
from nanorover.planning.scan_points import beams_of
from nanorover.planning.semantics import SemanticsParams
from nanorover.replay.records import CameraInfo

PARAMS = params.load(FusionParams, "fusion")
NS = 1_000_000_000
BEAMS = 720
BEARINGS_RAD = -math.pi + np.arange(BEAMS) * 2 * math.pi / BEAMS
FOCAL_PX, WIDTH_PX, HEIGHT_PX = 500.0, 640, 480
CAMERA_X_M, CAMERA_Z_M = 0.1, 0.2
K = np.array([[FOCAL_PX, 0, WIDTH_PX / 2], [0, FOCAL_PX, HEIGHT_PX / 2], [0, 0, 1]])
# x forward of the base is z of the picture, y left is −x, z up is −y
T_BASE_OPTICAL = np.array([[0, 0, 1, CAMERA_X_M], [-1, 0, 0, 0], [0, -1, 0, CAMERA_Z_M], [0, 0, 0, 1.0]])
CAMERA = Camera(CameraInfo(0, WIDTH_PX, HEIGHT_PX, K, np.zeros(5)), T_BASE_OPTICAL)


def scan_of_discs(stamp_ns: int, *discs: tuple[float, float, float], pose: np.ndarray | None = None) -> LaserScan:
    """What a lidar at ``pose`` sees of round things (x, y, radius), with nothing behind."""
    x, y, yaw = np.zeros(3) if pose is None else pose
    ranges = np.full(BEAMS, np.inf)
    for disc_x, disc_y, radius in discs:
        dx, dy = disc_x - x, disc_y - y
        c, s = np.cos(BEARINGS_RAD + yaw), np.sin(BEARINGS_RAD + yaw)
        along = c * dx + s * dy
        inside = radius**2 - (dx**2 + dy**2 - along**2)
        hit = (inside > 0) & (along > 0)
        ranges[hit] = np.minimum(ranges[hit], along[hit] - np.sqrt(inside[hit]))
    return LaserScan(stamp_ns, ranges.astype(np.float32), -math.pi, 2 * math.pi / BEAMS, 0.1, 12.0)


def box_of(x: float, y: float, radius: float, height: float, pose: np.ndarray | None = None) -> tuple:
    """The exact box of a cylinder on the floor in the camera's picture."""
    px, py, yaw = np.zeros(3) if pose is None else pose
    c, s = math.cos(yaw), math.sin(yaw)
    forward, left = c * (x - px) + s * (y - py) - CAMERA_X_M, -s * (x - px) + c * (y - py)
    away = math.hypot(forward, left)
    bearing, half = math.atan2(left, forward), math.asin(radius / away)
    u = [WIDTH_PX / 2 - FOCAL_PX * math.tan(b) for b in (bearing + half, bearing - half)]
    v = [HEIGHT_PX / 2 - FOCAL_PX * (z - CAMERA_Z_M) / forward for z in (height, 0.0)]
    return (u[0], v[0], u[1], v[1])


def person(x: float, y: float, pose: np.ndarray | None = None) -> Detection:
    return Detection("person", 0.9, box_of(x, y, 0.25, 1.65, pose))


def found_clusters(*discs: tuple[float, float, float]):
    return clusters_of(beams_of(scan_of_discs(0, *discs)), PARAMS.cluster_gap_m, PARAMS.cluster_gap_per_m, 6.0)


def test_the_classes_that_are_known_are_those_that_detectors_name():
    """Spelled otherwise they would be left out without a word: COCO's names, and the shipped detector's."""
    public = [read_description(path).labels for path in sorted((REPOSITORY / "models/public").glob("*.yaml"))]
    assert len(public) == 5 and len(set(public)) == 1
    named = {*public[0], *load_model("rover").labels}
    assert set(PARAMS.known_classes) <= named
    assert set(params.load(SemanticsParams, "semantics").classes) == {*PARAMS.known_classes, MOVING, STANDING}
    assert {"couch", "potted plant", "dining table", "motorcycle", "airplane", "tv"} <= set(public[0])


def test_clusters_and_the_seam_behind_the_robot():
    found = found_clusters((2.0, 0.5, 0.1), (2.0, -0.5, 0.1), (-1.5, 0.0, 0.2))
    assert len(found) == 3
    behind = min(found, key=lambda c: c.centre_m[0])
    assert behind.centre_m == pytest.approx((-1.35, 0.0), abs=0.06)
    assert behind.radius_m == pytest.approx(0.2, abs=0.03)


def test_two_legs_are_one_walker_and_a_wall_is_none():
    legs = found_clusters((2.0, 0.15, 0.06), (2.1, -0.15, 0.06))
    assert len(legs) == 2
    joined = walkers(legs, PARAMS.legs_apart_m, PARAMS.widest_mover_m)
    assert len(joined) == 1
    assert joined[0].centre_m == pytest.approx((2.0, 0.0), abs=0.06)
    assert walkers(found_clusters((2.0, 0.0, 0.8)), PARAMS.legs_apart_m, PARAMS.widest_mover_m) == []


@pytest.mark.parametrize(("x", "y"), [(1.5, 0.0), (2.5, 0.8), (4.0, -1.5)])
def test_the_scan_gives_the_range_of_what_the_camera_names(x, y):
    scan = found_clusters((x, y, 0.12), (x + 1.5, y * (x + 1.5) / x, 0.6), (x, y + 1.5, 0.2))
    measurement, index = locate(person(x, y), CAMERA, np.zeros(3), scan, PARAMS)
    assert index >= 0
    assert measurement.source == "scan"
    assert measurement.position_m == pytest.approx((x, y), abs=0.12)
    assert np.sqrt(np.linalg.eigvalsh(measurement.covariance_m2)) == pytest.approx(PARAMS.scan_match_deviation_m)


def test_the_middle_of_a_person_lies_behind_the_near_side_of_the_legs():
    scan = walkers(found_clusters((2.0, 0.1, 0.06), (2.0, -0.1, 0.06)), PARAMS.legs_apart_m, PARAMS.widest_mover_m)
    measurement, _ = locate(person(2.0, 0.0), CAMERA, np.zeros(3), scan, PARAMS)
    assert scan[0].centre_m[0] == pytest.approx(1.95, abs=0.01)
    assert measurement.position_m == pytest.approx((2.0, 0.0), abs=0.015)


@pytest.mark.parametrize(("class_id", "source"), [("dog", "floor"), ("person", "size")])
def test_without_a_scan_the_size_or_the_floor_gives_it_with_its_doubt(class_id, source):
    height, radius = PARAMS.size(class_id)
    x, y = (1.2, 0.3) if class_id == "dog" else (5.0, 0.3)
    detection = Detection(class_id, 0.8, box_of(x, y, radius, height))
    measurement, index = locate(detection, CAMERA, np.zeros(3), [], PARAMS)
    assert (index, measurement.source) == (-1, source)
    assert measurement.position_m == pytest.approx((x, y), abs=0.12)
    bearing = math.atan2(y, x - CAMERA_X_M)
    along = np.array([math.cos(bearing), math.sin(bearing)])
    across = np.array([-along[1], along[0]])
    sigma_along = math.sqrt(along @ measurement.covariance_m2 @ along)
    sigma_across = math.sqrt(across @ measurement.covariance_m2 @ across)
    assert sigma_across == pytest.approx(PARAMS.bearing_deviation_rad * math.hypot(x - 0.1, y), rel=0.05)
    assert sigma_along > 0.06


def test_feet_out_of_the_picture():
    x0, y0, x1, y1 = person(1.6, 0.0).box_px
    detection = Detection("person", 0.9, (x0, max(y0, 0.0), x1, min(y1, HEIGHT_PX)))
    if y0 > 3.0:
        measurement, _ = locate(detection, CAMERA, np.zeros(3), [], PARAMS)
        assert measurement.position_m[0] == pytest.approx(1.6, abs=0.3)
    hidden = Detection("person", 0.9, (x0, 0.0, x1, HEIGHT_PX))
    assert locate(hidden, CAMERA, np.zeros(3), [], PARAMS) is None


def test_a_wall_behind_the_person_is_not_the_person():
    scan = found_clusters((5.0, 0.0, 1.0))
    measurement, index = locate(person(2.0, 0.0), CAMERA, np.zeros(3), scan, PARAMS)
    assert index == -1
    assert measurement.position_m[0] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("offset_s", [0.0, -0.2])
def test_the_picture_is_placed_by_the_pose_of_its_own_time(offset_s):
    """The robot turns by 1 rad/s; the picture is 50 ms older than the scan, its stamp is off by the offset."""
    fusion = Fusion(dataclasses.replace(PARAMS, camera_time_offset_s=offset_s))
    fusion.camera = CAMERA
    at = (2.5, 0.6)
    for k in range(6):
        stamp_ns = 10 * NS + k * NS // 10
        pose = np.array([0.0, 0.0, 0.1 * k])
        fusion.on_pose(stamp_ns, pose)
        fusion.on_scan(scan_of_discs(stamp_ns, (*at, 0.15), pose=pose), pose)
        earlier = pose - [0.0, 0.0, 0.05]
        fusion.on_detections([person(*at, pose=earlier)], stamp_ns - NS // 20 + round(offset_s * NS))
    (seen,) = fusion.tracker.objects()
    assert seen.class_id == "person"
    assert seen.by_camera
    assert seen.state[:2] == pytest.approx(at, abs=0.12)
    assert seen.speed_m_s < 0.15


def test_a_person_is_not_placed_by_an_old_scan():
    """Half a second ago the scan ended at something wide 4 m off; now the picture shows a person at 3 m there."""
    fusion = Fusion(PARAMS)
    fusion.camera = CAMERA
    fusion.on_scan(scan_of_discs(10 * NS, (4.5, 0.0, 0.5)), np.zeros(3))
    fusion.on_pose(10 * NS + NS // 2, np.zeros(3))
    fusion.on_detections([person(3.0, 0.0)], 10 * NS + NS // 2)
    (seen,) = fusion.tracker.unsure()
    assert seen.state[0] == pytest.approx(3.0, abs=0.2)


def walk(tracker: Tracker, ways: list, steps: int, generator: np.random.Generator, noise_m: float = 0.05) -> list:
    """Feed noisy places of walkers; the objects after each step."""
    history = []
    for k in range(steps):
        t = 0.1 * k
        places = [np.array(start) + np.array(v) * t for start, v in ways]
        generator.shuffle(places)
        measured = [
            Measurement(p + generator.normal(0, noise_m, 2), np.eye(2) * noise_m**2, 0.2, entered=True)
            for p in places
        ]
        tracker.update(measured, 5 * NS + round(t * NS))
        history.append({o.id: o for o in tracker.objects()})
    return history


def test_velocities_converge_and_covariances_are_honest():
    generator = np.random.default_rng(0)
    squared = []
    for _ in range(40):
        tracker = Tracker(PARAMS)
        last = walk(tracker, [((0.0, 0.0), (0.8, -0.3))], 30, generator)[-1]
        (seen,) = last.values()
        truth = np.array([0.8 * 2.9, -0.3 * 2.9, 0.8, -0.3])
        error = seen.state - truth
        assert np.hypot(*error[:2]) < 0.15
        assert np.hypot(*error[2:]) < 0.6
        squared.append(error @ np.linalg.solve(seen.covariance, error))
    assert np.mean(squared) < 4.0 * 1.3  # four degrees of freedom; the filter allows for more motion than there is


def test_ids_stay_when_two_walkers_cross():
    tracker = Tracker(PARAMS)
    ways = [((0.0, 0.0), (1.0, 0.25)), ((0.0, 1.0), (1.0, -0.25))]
    history = walk(tracker, ways, 45, np.random.default_rng(1))
    made = [step for step in history if len(step) == 2]
    assert len(made) > 30
    first, last = made[0], made[-1]
    assert first.keys() == last.keys()
    for number, o in first.items():
        assert np.sign(o.state[3]) == np.sign(last[number].state[3])


def test_birth_needs_hits_and_death_needs_silence():
    tracker = Tracker(PARAMS)
    tracker.update([Measurement(np.zeros(2), np.eye(2) * 0.01, 0.2, "person", 0.9)], NS)
    assert tracker.objects() == []
    for k in range(1, PARAMS.birth_hits):
        tracker.update(
            [Measurement(np.array([0.08 * k, 0.0]), np.eye(2) * 0.01, 0.2, "person", 0.9)], NS + k * NS // 10
        )
    (seen,) = tracker.objects()
    assert seen.class_id == "person"
    tracker.update([], 2 * NS)
    assert len(tracker.objects()) == 1
    tracker.update([], 2 * NS + round((PARAMS.keep_standing_s + 1) * NS))
    assert tracker.objects() == []


@pytest.mark.parametrize(("speed_m_s", "remembered_s"), [(0.0, PARAMS.keep_standing_s), (0.8, PARAMS.keep_s)])
def test_a_person_who_stands_is_remembered_for_longer_than_one_who_walks(speed_m_s, remembered_s):
    tracker = Tracker(PARAMS)
    for k in range(15):
        at = np.array([0.1 * k * speed_m_s, 0.0])
        tracker.update([Measurement(at, np.eye(2) * 0.01, 0.2, "person", 0.9)], NS + k * NS // 10)
    seen_ns = tracker.stamp_ns
    for after_s in (remembered_s - 0.1, remembered_s + 0.1):
        tracker.update([], seen_ns + round(after_s * NS))
        assert bool(tracker.objects()) == (after_s < remembered_s)


def test_nothing_is_tracked_faster_than_things_go():
    tracker = Tracker(PARAMS)
    for k in range(20):  # at 5 m/s
        tracker.update([Measurement(np.array([0.5 * k, 0.0]), np.eye(2) * 0.09, 0.2)], NS + k * NS // 10)
    fastest = max(np.hypot(*track.state[2:]) for track in tracker.tracks)
    assert fastest == pytest.approx(PARAMS.greatest_speed_m_s)


def test_old_votes_for_a_class_are_forgotten():
    """After n new votes the 30 old ones weigh 0.95^n: from the twelfth on the new class has the most."""
    tracker = Tracker(PARAMS)
    for k in range(45):
        name = "dog" if k < 30 else "person"
        tracker.update([Measurement(np.zeros(2), np.eye(2) * 0.01, 0.2, name, 0.8)], NS + k * NS // 10)
        if k in (38, 44):  # after 9 and after 15
            assert tracker.objects()[0].class_id == ("dog" if k == 38 else "person")


def test_the_class_is_what_most_votes_say():
    tracker = Tracker(PARAMS)
    for k, name in enumerate(["dog", "person", "person", "dog", "person", "person", "person"]):
        tracker.update([Measurement(np.zeros(2), np.eye(2) * 0.01, 0.2, name, 0.8)], NS + k * NS // 10)
    (seen,) = tracker.objects()
    assert seen.class_id == "person"
    assert 0.6 < seen.score < 0.9


def test_a_thing_that_stands_is_no_mover():
    tracker = Tracker(PARAMS)
    history = walk(tracker, [((1.0, 1.0), (0.0, 0.0))], 60, np.random.default_rng(2), noise_m=0.03)
    assert all(not step for step in history)
    history = walk(Tracker(PARAMS), [((1.0, 1.0), (0.5, 0.0))], 20, np.random.default_rng(2), noise_m=0.03)
    assert {o.class_id for o in history[-1].values()} == {MOVING}


def scan_in_round_room(stamp_ns: int, discs: list[tuple[float, float, float]], pose: np.ndarray) -> LaserScan:
    """Round things in a round room of 5 m."""
    scan = scan_of_discs(stamp_ns, *discs, pose=pose)
    c, s = np.cos(BEARINGS_RAD + pose[2]), np.sin(BEARINGS_RAD + pose[2])
    along = pose[0] * c + pose[1] * s
    wall = -along + np.sqrt(25.0 - (pose[0] ** 2 + pose[1] ** 2 - along**2))
    ranges = np.minimum(scan.ranges_m, wall).astype(np.float32)
    return LaserScan(scan.stamp_ns, ranges, scan.angle_min_rad, scan.angle_increment_rad, 0.1, 12.0)


def moving_ids(discs_at, steps: int, pose_at=lambda k: np.zeros(3), fusion: Fusion | None = None) -> set[int]:
    """Ids of what the scan alone calls moving, in a round room of 5 m."""
    fusion = fusion or Fusion(PARAMS)
    found: set[int] = set()
    for k in range(steps):
        pose = pose_at(k)
        found |= {
            o.id for o in fusion.on_scan(scan_in_round_room(10 * NS + k * NS // 10, discs_at(k), pose), pose)
        }
    return found


def test_a_walker_comes_to_where_nothing_was():
    assert len(moving_ids(lambda k: [(2.0, -1.5 + 0.08 * k, 0.12)], 40)) == 1


@pytest.mark.parametrize(
    ("way_m", "moving_s"), [(1.2, PARAMS.mover_memory_s), (0.6, PARAMS.mover_doubt_s)], ids=["far", "near"]
)
def test_who_has_come_and_stands_is_not_forgotten(way_m, moving_s):
    """For as long as he stands where nothing was, also where the robot drives round him and loses sight of him."""
    fusion, waited, classes = Fusion(PARAMS), 12, []
    stands_at = waited + round(way_m / 0.08)
    for k in range(stands_at + round(moving_s * 10) + 150):
        round_him_rad = 0.01 * max(0, k - stands_at)
        pose = np.array([2.0 - 2.0 * math.cos(round_him_rad), -2.0 * math.sin(round_him_rad), 0.0])
        half_way = (pose[:2] + np.array([2.0, 0.0])) / 2.0
        hides = [(*half_way, 0.2)] if k > stands_at + moving_s * 10 and k % 50 < 10 else []
        y = -way_m + 0.08 * min(max(0, k - waited), stands_at - waited)
        stamp_ns = 10 * NS + k * NS // 10
        seen = fusion.on_scan(scan_in_round_room(stamp_ns, [(2.0, y, 0.15), *hides], pose), pose)
        assert len(seen) <= 1
        classes.append(seen[0].class_id if seen else "")
    assert classes[stands_at - 1] == MOVING
    turned = classes.index(STANDING)
    assert turned - stands_at == pytest.approx(10 * moving_s, abs=8)
    assert set(classes[stands_at:turned]) == {MOVING} and set(classes[turned:]) == {STANDING}


def test_what_was_not_seen_to_come_is_a_thing_again():
    """A track that showed signs of walking, and stays with a post that stood there all the time."""
    fusion = Fusion(PARAMS)
    for k in range(80):
        stamp_ns = 10 * NS + k * NS // 10
        seen = fusion.on_scan(scan_in_round_room(stamp_ns, [(2.0, 0.0, 0.12)], np.zeros(3)), np.zeros(3))
        (track,) = fusion.tracker.tracks
        if k == 20:
            track.mover, track.entries, track.entered_ns = True, 3, stamp_ns
        assert bool(seen) == (20 < k <= 20 + 10 * PARAMS.mover_doubt_s)


def test_who_may_walk_is_known_at_once_and_who_stands_is_not():
    def steps_out(k: int) -> list[tuple[float, float, float]]:
        return [(1.5, -1.5, 0.12)] if k < 15 else [(1.5, -1.5 + 0.1 * (k - 14), 0.12)]

    standing, walking = Fusion(PARAMS), Fusion(PARAMS)
    assert moving_ids(steps_out, 15, fusion=standing) == set()
    assert standing.tracker.unsure() == []
    assert moving_ids(steps_out, 18, fusion=walking) == set()
    (unsure,) = walking.tracker.unsure()
    assert unsure.state[:2] == pytest.approx((1.5, -1.3), abs=0.2)
    assert len(moving_ids(steps_out, 24)) == 1


@pytest.mark.parametrize(
    ("then", "gone"),
    [([(2.0, 0.4, 0.12)], True), ([(2.0, 0.0, 0.12)], False), ([(1.0, 0.0, 0.3)], False)],
    ids=["elsewhere", "still there", "hidden by somebody"],
)
def test_what_stood_there_has_gone_where_beams_pass_now(then, gone):
    free_space, where = FreeSpace(), np.array([[1.88, 0.0], [1.89, 0.05]])
    for k in range(8):
        scan = scan_in_round_room(10 * NS + k * NS // 10, [(2.0, 0.0, 0.12)] if k < 5 else then, np.zeros(3))
        free_space.take(beams_of(scan), np.zeros(3))
        assert not free_space.gone(where, scan.stamp_ns).any() or (gone and k >= 6)
    assert free_space.gone(where, scan.stamp_ns).all() == gone


def test_where_something_is_hit_right_beside_nothing_has_gone():
    """A post that is pushed by 4 cm: beams pass where its left edge was, and end in the cell beside."""
    free_space, edge = FreeSpace(), np.array([[1.955, 0.11]])
    for k in range(8):
        posts = [(2.0, 0.0 if k < 5 else -0.04, 0.12)]
        scan = scan_in_round_room(10 * NS + k * NS // 10, posts, np.zeros(3))
        free_space.take(beams_of(scan), np.zeros(3))
    assert not free_space.gone(edge, scan.stamp_ns).any()


def test_the_memory_of_free_space_stays_in_its_place_when_it_rolls():
    free_space, post, free = FreeSpace(), np.array([[2.88, 1.0]]), np.array([[1.0, 1.0], [1.0, -1.0]])
    for k, x in enumerate((0.0, 0.0, 1.5)):
        pose = np.array([x, 0.0, 0.0])
        scan = scan_in_round_room(10 * NS + k * NS, [(3.0, 1.0, 0.12)] if k < 2 else [], pose)
        assert k == 0 or (
            not free_space.new(post, scan.stamp_ns).any() and free_space.new(free, scan.stamp_ns).all()
        )
        free_space.take(beams_of(scan), pose)
    assert not free_space.new(post, scan.stamp_ns).any() and free_space.new(free, scan.stamp_ns).all()


def test_signs_of_moving_make_a_mover_only_of_what_gets_somewhere():
    for speed_m_s in (0.0, 0.8):
        tracker = Tracker(PARAMS)
        for k in range(12):
            at = np.array([1.0 + speed_m_s * 0.1 * k, 1.0])
            tracker.update([Measurement(at, np.eye(2) * 0.04, 0.2, points_m=at[None])], NS + k * NS // 10)
            (track,) = tracker.tracks
            assert track.has_left(tracker.stamp_ns) == (speed_m_s > 0.0 and k >= 3)
            if k >= 5:
                track.moved(tracker.stamp_ns, PARAMS)
        assert track.mover == (speed_m_s > 0.0)


def test_whoever_a_camera_names_once_makes_the_robot_careful():
    fusion = Fusion(PARAMS)
    fusion.camera = CAMERA
    fusion.on_pose(NS, np.zeros(3))
    assert fusion.on_detections([person(2.0, 0.0)], NS) == []
    (unsure,) = fusion.tracker.unsure()
    assert unsure.class_id == "person" and unsure.state[0] == pytest.approx(2.0, abs=0.3)


def test_what_only_comes_into_view_does_not_move():
    """Posts, one behind the other, while the robot drives past and turns: their visible sides wander."""
    posts = [(1.5, 1.0, 0.15), (2.2, 1.5, 0.15), (1.0, 2.0, 0.04), (1.3, 2.2, 0.04), (-1.5, 1.0, 0.3)]

    def drive(k: int) -> np.ndarray:
        return np.array([-1.0 + 0.04 * k, -0.5, 0.6 * math.sin(0.2 * k)])

    assert moving_ids(lambda _: posts, 60, drive) == set()


def test_prediction_moves_on_and_doubts_more():
    state, covariance = predicted(np.array([1.0, 2.0, 0.5, -0.5]), np.eye(4) * 0.01, 2.0, 0.5)
    assert state == pytest.approx((2.0, 1.0, 0.5, -0.5))
    assert covariance[0, 0] == pytest.approx(0.01 + 4 * 0.01 + 0.25 * 16 / 4)
    assert covariance[2, 2] == pytest.approx(0.01 + 0.25 * 4)


def test_what_is_missing_is_counted_and_harmless():
    fusion = Fusion(PARAMS)
    assert fusion.on_detections([person(2.0, 0.0)], NS) == []  # no camera yet
    fusion.camera = CAMERA
    assert fusion.on_detections([person(2.0, 0.0)], NS) == []  # no pose yet
    assert fusion.refused == 2
    fusion.on_pose(NS, np.zeros(3))
    for k in range(PARAMS.birth_hits):  # no scan ever: the size must do
        fusion.on_detections([person(2.0, 0.0)], NS + k)
    assert len(fusion.tracker.objects()) == 1
    nan = Detection("person", 0.9, (math.nan, 0.0, 1.0, 1.0))
    fusion.on_detections([nan, Detection("zebra", 0.9, (0, 0, 9, 9))], NS + 100)
    fusion.on_scan(LaserScan(NS + 200, np.full(BEAMS, np.nan, np.float32), -math.pi, 0.01, 0.1, 12.0), np.zeros(3))
    fusion.on_scan(LaserScan(NS + 300, np.zeros(0, np.float32), -math.pi, 0.01, 0.1, 12.0), np.zeros(3))
    fusion.on_pose(5, np.zeros(3))  # the clock jumped back
    assert fusion.tracker.objects() == []
