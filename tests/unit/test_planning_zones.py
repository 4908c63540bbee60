"""What a person draws over the map, and what a class of object means to the way."""

import dataclasses
import math

import numpy as np
import pytest

from nanorover import params
from nanorover.base.gate import STILL
from nanorover.errors import InputError
from nanorover.fusion.objects import MOVING, STANDING, TrackedObject
from nanorover.geometry.scan import LaserScan
from nanorover.mapping.grid import OccupancyGrid
from nanorover.mapping.map_files import save_map
from nanorover.planning.exploration import next_frontier
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.safety_params import SafetyParams
from nanorover.planning.semantics import Semantics, SemanticsParams

SETTINGS = load_settings()
START, GOAL = np.array([1.0, 3.0, 0.0]), np.array([7.0, 3.0, 0.0])


def room(width_m: float = 8.0, depth_m: float = 6.0, resolution_m: float = 0.05, corner=(0.0, 0.0)):
    cells = np.zeros((round(depth_m / resolution_m), round(width_m / resolution_m)), np.int8)
    cells[[0, -1]] = cells[:, [0, -1]] = 100
    return OccupancyGrid(cells, resolution_m, np.array([*corner, 0.0]))


def mask(path, x: tuple[float, float], y: tuple[float, float], value: int, mode: str = "trinary") -> str:
    """A mask of the room with one dark rectangle, at another resolution than the map's; its yaml."""
    grid = OccupancyGrid(np.zeros((60, 80), np.int8), 0.1, np.zeros(3))
    grid.cells[round(y[0] * 10) : round(y[1] * 10), round(x[0] * 10) : round(x[1] * 10)] = 100
    file = save_map(grid, path)
    if mode == "scale":
        picture = file.with_suffix(".pgm")
        picture.write_bytes(picture.read_bytes().replace(b"\x00" * 10, bytes([255 - round(2.55 * value)]) * 10))
        text = file.read_text().replace("trinary", "scale")
        text = text.replace("occupied_thresh: 0.65", "occupied_thresh: 1.0").replace(
            "free_thresh: 0.196", "free_thresh: 0.0"
        )
        file.write_text(text)
    return str(file)


def navigator(**costmap) -> Navigator:
    made = Navigator(dataclasses.replace(SETTINGS, costmap=dataclasses.replace(SETTINGS.costmap, **costmap)))
    made.on_map(room(), 0.0)
    return made


def seen(x: float, y: float, class_id: str = "person", vx: float = 0.0, vy: float = 0.0) -> TrackedObject:
    return TrackedObject(1, class_id, 1.0, 0, np.array([x, y, vx, vy]), np.eye(4) * 0.01, 0.25, True)


def distance(path: np.ndarray, x: float, y: float) -> float:
    return float(np.hypot(path[:, 0] - x, path[:, 1] - y).min())


def test_a_keep_out_zone_is_driven_around_and_no_goal(tmp_path):
    zoned = navigator(keep_out_mask=mask(tmp_path / "keep_out", (3.5, 4.5), (1.0, 4.0), 100))
    found = zoned.plan(START, GOAL)
    assert found.error == 0
    inside = (
        (abs(found.path[:, 0] - 4.0) < 0.5 + 0.12)
        & (found.path[:, 1] > 1.0 - 0.12)
        & (found.path[:, 1] < 4.0 + 0.12)
    )
    assert not inside.any()
    refused = zoned.plan(START, np.array([4.0, 2.5, 0.0]))
    assert refused.error and refused.nearest_m is not None
    assert math.dist(refused.nearest_m, (4.0, 2.5)) < 0.9
    zoned.on_scan(
        LaserScan(1, np.full(90, 4.0, np.float32), -np.pi, 2 * np.pi / 90, 0.1, 8.0),
        np.array([3.0, 2.5, 0.0]),
        STILL,
        0.0,
    )
    assert zoned.local.cost_at(4.0, 2.5) == 254  # the controller knows it too


def test_a_robot_in_a_keep_out_zone_drives_out_of_it_and_not_in_again(tmp_path):
    zoned = navigator(keep_out_mask=mask(tmp_path / "keep_out", (3.0, 5.0), (1.0, 4.0), 100))
    inside, goal = np.array([3.6, 2.5, 0.0]), np.array([1.0, 2.5, 0.0])
    assert "the robot stands in a keep-out zone" in zoned.plan(inside, goal).reason
    silent = LaserScan(1, np.full(90, np.nan, np.float32), -np.pi, 2 * np.pi / 90, 0.1, 8.0)
    zoned.on_scan(silent, inside, STILL, 0.0)
    for by_map_alone in (False, True):
        out = zoned.plan(inside, goal, by_map_alone=by_map_alone)
        assert out.error == 0 and out.length_m < 2.7
        far = zoned.plan(inside, np.array([7.0, 2.5, 0.0]), by_map_alone=by_map_alone).path
        assert (far[:, 0] < 3.0 + 0.1).any() and not (
            (abs(far[:, 0] - 4.5) < 0.5) & (abs(far[:, 1] - 2.5) < 1.4)
        ).any()
        refused = zoned.plan(inside, np.array([4.0, 2.5, 0.0]), by_map_alone=by_map_alone)
        assert refused.error == 206 and refused.reason.startswith("the goal is in a keep-out zone")
    assert zoned.local.cost_at(3.3, 2.5) < 253
    outside = np.array([2.7, 2.5, 0.0])
    zoned.on_scan(silent, outside, STILL, 0.1)
    assert zoned.world.cost_at(3.3, 2.5) == zoned.local.cost_at(3.3, 2.5) == 254
    assert zoned.plan(outside, inside).reason.startswith("the goal is in a keep-out zone")


def test_a_mask_whose_origin_is_turned_lies_where_its_yaml_says(tmp_path):
    cells = np.zeros((40, 40), np.int8)
    cells[:, :10] = 100  # 1 m wide and 4 m long, turned by 90° about (6, 1)
    turned = save_map(OccupancyGrid(cells, 0.1, np.array([6.0, 1.0, np.pi / 2])), tmp_path / "turned")
    world = navigator(keep_out_mask=str(turned)).world
    rows, columns = np.nonzero(world.keep_out)
    assert (columns.min() * 0.05, columns.max() * 0.05) == pytest.approx((2.0, 5.95))
    assert (rows.min() * 0.05, rows.max() * 0.05) == pytest.approx((1.0, 1.95))


def test_a_speed_zone_slows_by_how_dark_it_is(tmp_path):
    zoned = navigator(speed_mask=mask(tmp_path / "speed", (3.0, 5.0), (2.0, 4.0), 60, "scale"))
    for x, limit in ((4.0, 0.4 * SETTINGS.motion.max_linear_m_s), (1.0, math.inf)):
        pose = np.array([x, 3.0, 0.0])
        zoned.local.follow(pose, zoned.world)
        zoned.local.sample(zoned.world)
        assert min(zoned.speed_limit_m_s(pose), 9.0) == pytest.approx(
            min(limit, SETTINGS.motion.max_linear_m_s), rel=0.03
        )


def test_a_mask_that_cannot_be_read_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        navigator(keep_out_mask=str(tmp_path / "nowhere.yaml"))


def test_a_person_is_not_a_chair():
    n = navigator()
    gaps = {}
    for class_id in ("person", "chair"):
        n.on_objects([seen(4.0, 3.05, class_id)])
        found = n.plan(START, GOAL)
        gaps[class_id] = distance(found.path, 4.0, 3.05)
    assert gaps["person"] > gaps["chair"] + 0.15
    assert gaps["chair"] > 0.25 + SETTINGS.robot.inscribed_radius_m
    near = np.array([3.2, 3.0, 0.0])
    assert n.semantics.speed_limit_m_s([seen(4.0, 3.0)], near) == 0.3
    assert n.semantics.speed_limit_m_s([seen(4.0, 3.0, "chair")], near) == 0.5
    assert n.semantics.speed_limit_m_s([seen(4.0, 3.0, "toaster")], near) == math.inf


@pytest.mark.parametrize("class_id", ["person", MOVING, STANDING])
def test_who_stands_is_passed_at_the_room_that_he_is_owed_or_at_what_there_is(class_id):
    n, inscribed_m = navigator(), SETTINGS.robot.inscribed_radius_m
    n.on_objects([seen(4.0, 3.3, class_id)])
    gap_m = distance(n.plan(START, GOAL).path, 4.0, 3.3) - 0.25 - inscribed_m
    assert gap_m >= params.load(SafetyParams, "safety").people_clearance_m
    n.on_objects([seen(4.0, 3.05, class_id)])
    corridor = room()
    corridor.cells[[42, 76]] = 100  # from y = 2.15 m to 3.8 m: of 1.65 m he leaves 0.65 and 0.5 m
    n.on_map(corridor, 0.0)
    past = n.plan(START, GOAL)
    at = past.path[np.argmin(abs(past.path[:, 0] - 4.0)), 1]
    assert past.error == 0 and 2.15 + inscribed_m < at < 3.05 - 0.25 - inscribed_m


@pytest.mark.parametrize("free", [False, True])
def test_what_the_map_does_not_know_is_explored_also_where_it_may_be_driven_through(free):
    grid = room()
    grid.cells[:, 60:] = -1  # from x = 3 m on
    n = navigator(unknown_is_free=free)
    n.on_map(grid, 0.0)
    for by_map_alone in (False, True):
        assert (n.plan(START, GOAL, by_map_alone=by_map_alone).error == 0) == free
    assert np.count_nonzero(n.world.unknown) == grid.cells[:, 60:].size
    place, left = next_frontier(n.planning_cost(START), n.world, START, 0.3, [])
    assert left == 1 and place == pytest.approx((2.975, 2.975, 0.0), abs=0.05)


@pytest.mark.parametrize("vy", [0.9, -0.9])
def test_one_passes_behind_who_crosses(vy):
    n = navigator()
    n.on_objects([seen(4.0, 3.0 - 0.3 * math.copysign(1.0, vy), MOVING, vy=vy)])
    path = n.plan(START, GOAL).path
    at = path[np.argmin(abs(path[:, 0] - 4.0)), 1]
    assert (at - 3.0) * vy < 0.0


def test_lists_of_unequal_length_are_refused():
    shipped = params.load(SemanticsParams, "semantics")
    with pytest.raises(InputError, match="not equally long"):
        Semantics(dataclasses.replace(shipped, lead_s=shipped.lead_s[:-1]))


def test_a_person_is_brought_forward_to_now_but_not_by_more_than_a_second():
    semantics = navigator().semantics
    for class_id, vx, age_s, x_m in (
        ("person", 0.8, 0.5, 4.4), ("person", 0.8, 5.0, 4.8), ("person", 0.0, 0.5, 4.0), ("chair", 0.8, 0.5, None)
    ):  # fmt: skip
        rows = semantics.for_controller([seen(4.0, 3.0, class_id, vx)], START, round(age_s * 1e9), 9.0)
        assert [row[:2].tolist() for row in rows] == ([] if x_m is None else [pytest.approx([x_m, 3.0])])


def test_a_mark_is_as_old_as_it_is_also_in_a_new_map():
    n, silent = navigator(), np.full(360, np.nan, np.float32)
    ahead = silent.copy()
    ahead[179:182] = 1.5
    forget_s = SETTINGS.costmap.forget_s
    for now_s, ranges in ((1000.0, ahead), (1000.0 + forget_s - 1.0, silent), (1000.0 + forget_s + 2.0, silent)):
        n.on_map(room(), now_s)
        n.on_scan(LaserScan(round(now_s), ranges, -np.pi, 2 * np.pi / 360, 0.1, 12.0), START, STILL, now_s)
        assert (n.world.cost_at(2.5, 3.0) == 254) == (now_s < 1000.0 + forget_s)


@pytest.mark.parametrize(("by_m", "by_rad", "kept"), [(0.4, 0.5, True), (0.6, 0.0, False), (0.0, 0.7, False)])
def test_what_was_marked_before_the_pose_jumped_stands_elsewhere(by_m, by_rad, kept):
    n, silent = navigator(), np.full(360, np.nan, np.float32)
    ahead = silent.copy()
    ahead[179:182] = 1.5
    for k, (ranges, pose) in enumerate(((ahead, START), (silent, START + np.array([0.0, by_m, by_rad])))):
        n.on_scan(LaserScan(k, ranges, -np.pi, 2 * np.pi / 360, 0.1, 12.0), pose, STILL, 0.1 * k)
    assert n.jumps == (not kept)
    assert [c.cost_at(2.5, 3.0) == 254 for c in (n.world, n.local)] == [kept, kept]


def test_what_the_lidar_is_too_near_to_see_is_not_forgotten_when_all_else_is():
    n, ahead = navigator(), np.full(360, np.nan, np.float32)
    ahead[179:182], ahead[89:92] = 0.4, 1.5
    n.on_scan(LaserScan(1, ahead, -np.pi, 2 * np.pi / 360, 0.28, 12.0), START, STILL, 0.0)
    nearer = START + np.array([0.15, 0.0, 0.0])
    n.on_scan(LaserScan(2, np.full_like(ahead, np.nan), -np.pi, 2 * np.pi / 360, 0.28, 12.0), nearer, STILL, 0.1)
    n.clear_costmaps(0.2)
    for costmap in (n.local, n.world):
        assert costmap.cost_at(1.4, 3.0) == 254
        assert costmap.cost_at(1.0, 1.5) == 0


@pytest.mark.parametrize(
    ("gap_m", "mapped", "squeezes"), [(0.3, False, True), (0.45, False, False), (0.3, True, False)]
)
def test_a_gap_is_squeezed_through_where_what_is_seen_leaves_hardly_more_than_the_robot(gap_m, mapped, squeezes):
    n, grid = navigator(), room()
    half = round(gap_m / 0.1)
    beside = np.r_[: 60 - half, 60 + half : grid.cells.shape[0]]  # at x = 4 m, the gap about y = 3 m
    grid.cells[beside, 80] = 100 if mapped else grid.cells[beside, 80]
    n.on_map(grid, 0.0)
    if not mapped:
        n.world.seen_s[beside, 80] = 0.0
        n.world.refresh(n.world.whole, 0.0)
    path = n.plan(START, GOAL).path
    assert len(path) and n.squeezes(path, (4.0, 3.0)) == squeezes
    assert not n.squeezes(path, (2.0, 3.0))


def test_marks_move_along_when_the_map_grows():
    n = navigator()
    ranges = np.full(360, 12.0, np.float32)
    ranges[180] = ranges[181] = ranges[179] = 1.5
    n.on_scan(LaserScan(1, ranges, -np.pi, 2 * np.pi / 360, 0.1, 12.0), START, STILL, 0.0)
    assert n.world.cost_at(2.5, 3.0) == 254
    n.on_map(room(12.0, 9.0, 0.05, (-2.0, -1.0)), 0.1)
    assert n.world.cost_at(2.5, 3.0) == 254 and n.world.cost_at(9.0, 6.0) < 254
    n.on_map(room(3.0, 4.0), 0.2)
    assert n.world.cost_at(2.5, 3.0) == 254
    assert n.plan(START, GOAL).error == 204 and "outside the map" in n.plan(START, GOAL).reason
