"""Localization in a saved map: found without a click, never sure of what is not certain, and recovered."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import between, compose
from nanorover.mapping.grid import OCCUPIED, OccupancyGrid
from nanorover.mapping.map_files import load_map, save_map
from nanorover.replay.logs import open_log
from nanorover.sim.buildings import box
from nanorover.sim.flatland import G4, WHEELS, record
from nanorover.slam import localization_benchmark
from nanorover.slam.lifelong import Lifelong
from nanorover.slam.localization_benchmark import NOTICE_S, World, is_right, scan_at, way_in
from nanorover.slam.localizer import CONFIDENT, Localizer
from nanorover.slam.map_field import walls_crossed
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import slam_params
from nanorover.slam.session import Session

PARAMS = slam_params()
STEP_NS = 100_000_000
NINE_METRES_ON = np.array([9.0, 0.0, 9.0, 0.0])
FAMILY = Path(__file__).resolve().parents[1] / "recordings" / "family.mcap"


@pytest.fixture(scope="module")
def world() -> World:
    return World.made(np.random.default_rng(5), PARAMS, size_m=14.0)


class Robot:
    """Scans at 10 Hz from wherever it is put."""

    def __init__(self, estimator, walls: np.ndarray) -> None:
        self.estimator, self.walls = estimator, walls
        self.rng, self.stamp_ns = np.random.default_rng(1), 0

    def look(self, T_world_base: np.ndarray):
        self.stamp_ns += STEP_NS
        scan = scan_at(self.walls, T_world_base, self.rng)
        return self.estimator.add_scan(dataclasses.replace(scan, stamp_ns=self.stamp_ns))

    def drive(self, places):
        return [self.look(place) for place in places][-1]


def test_random_starts_are_right_and_starts_outside_the_map_are_never_wrong_and_sure():
    known = localization_benchmark.random_starts(PARAMS, range(100, 102), 15, (0.3, 1.0))
    assert known.right == 30
    assert known.sure >= 24 and known.wrong_and_sure == 0
    assert json.loads(json.dumps(dataclasses.asdict(known)))["right"] == 30
    outside = localization_benchmark.random_starts(PARAMS, range(100, 102), 8, (0.0, 0.2))
    assert outside.wrong_and_sure == 0


def test_whoever_is_carried_away_notices_in_time():
    kidnaps = localization_benchmark.kidnappings(PARAMS, range(100, 102), 2, size_m=14.0)
    assert len(kidnaps.noticed_s) == 4 and max(kidnaps.noticed_s) <= NOTICE_S
    assert kidnaps.wrong_and_sure == 0
    assert np.median(kidnaps.found_s) <= NOTICE_S


def test_a_room_outside_the_map_that_is_like_one_in_it_is_not_believed():
    """Carried there, the robot sees 78 % of its first scan and 65 % of the others in the map."""
    kidnaps = localization_benchmark.kidnappings(PARAMS, range(4, 5), 2)
    assert max(kidnaps.noticed_s) < 1.0
    assert kidnaps.wrong_and_sure == 0


def test_places_that_look_alike_are_never_sure():
    views, sure = localization_benchmark.ambiguous_views(PARAMS, np.random.default_rng(3), 6)
    assert (views, sure) == (18, 0)


def test_a_room_that_looks_the_same_after_half_a_turn_stays_unsure_however_often_it_is_seen():
    room, place = np.array(box(0.0, 0.0, 6.0, 4.0)), np.array([1.0, 0.5, 0.3])
    grid = localization_benchmark.mapped_from(room, np.zeros((1, 3)), PARAMS, np.random.default_rng(3))
    robot = Robot(Localizer(PARAMS, grid), room)
    robot.drive([place] * 32)
    assert not robot.estimator.localized and robot.estimator.confidence == 0.0


def test_where_the_robot_is_said_to_be_counts_twenty_times_as_much_as_a_place_that_looks_the_same():
    """Two bays alike, and before both a wall that the map does not know: half of the scan is in the map."""
    bay = np.array([[-2.5, 1.0, -2.5, -1.5], [-2.5, -1.5, 2.5, -1.5], [2.5, -1.5, 2.5, 1.0], [1.0, -1.5, 1.0, -1]])
    bays, place = np.concatenate([bay, bay + NINE_METRES_ON]), np.array([0.2, 0.3, 0.3])
    views = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    grid = localization_benchmark.mapped_from(bays, views, PARAMS, np.random.default_rng(3))
    robot = Robot(Localizer(PARAMS, grid), np.concatenate([bays, [[-6.0, 3.5, 15.0, 3.5]]]))
    robot.estimator.set_pose(place)
    result = robot.drive([place] * 2)
    assert is_right(result.T_map_base, place) and 0.4 < result.quality < 0.6
    assert robot.estimator.confidence == pytest.approx(20.0 / 21.0, abs=0.001)


def test_a_place_that_others_fit_much_better_is_given_up_though_none_of_them_is_certain():
    """Two rooms alike and furnished, one of the same size and empty: the scan fits well enough there."""
    furniture = [*box(1.2, -0.8, 0.8, 0.5, 0.3), *box(-1.8, 1.2, 0.5, 0.5)]
    empty = np.array(box(0.0, 0.0, 5.0, 4.0))
    room = np.concatenate([empty, furniture])
    walls = np.concatenate([room, room + NINE_METRES_ON, empty + 2.0 * NINE_METRES_ON])
    views = np.array([[x, y, 0.0] for x in (0.0, 9.0, 18.0) for y in (-0.5, 0.8)])
    grid = localization_benchmark.mapped_from(walls, views, PARAMS, np.random.default_rng(3))
    robot = Robot(Localizer(PARAMS, grid), walls)
    robot.estimator.set_pose(np.array([18.2, 0.1, 0.3]))
    result = robot.drive([np.array([0.2, 0.1, 0.3])] * 8)
    assert not robot.estimator.localized and result.covariance[0, 0] > 1e3
    assert result.reason == "2 places in the map look like this"


def test_the_covariance_says_how_wrong_the_pose_is(world):
    """Normalised errors of a drive have about unit size; far from zero and from ten."""
    way = way_in(world.rooms, int(world.mapped[0]), np.random.default_rng(4))
    localizer = Localizer(PARAMS, world.grid)
    squares = []
    for step in record(world.rooms.walls, way, G4, None, np.random.default_rng(4)):
        result = localizer.add_scan(step.scan)
        if localizer.confidence >= CONFIDENT:
            error = between(step.T_map_base, result.T_map_base)
            assert np.hypot(*error[:2]) < 0.1
            squares.append(error @ np.linalg.inv(result.covariance) @ error)
    assert len(squares) > 50
    assert 0.3 < np.mean(squares) < 10.0


def test_while_the_place_is_unknown_the_covariance_is_huge_and_a_reason_is_given(world):
    robot = Robot(Localizer(PARAMS, world.grid), world.rooms.walls)
    nowhere = robot.look(np.array([500.0, 0.0, 0.0]))
    assert nowhere.covariance[0, 0] > 1e3 and "usable points" in nowhere.reason
    assert robot.estimator.confidence == 0.0


def test_a_wrong_click_is_found_out(world):
    places = world.rooms.places(np.random.default_rng(2), int(world.mapped[0]), 1)
    robot = Robot(Localizer(PARAMS, world.grid), world.rooms.walls)
    elsewhere = world.rooms.places(np.random.default_rng(2), int(world.mapped[-1]), 1)[0]
    robot.estimator.set_pose(elsewhere)
    assert robot.estimator.localized and robot.estimator.confidence < CONFIDENT
    result = robot.drive([places[0]] * 10)
    assert is_right(result.T_map_base, places[0]) and robot.estimator.confidence >= CONFIDENT


def test_a_map_file_serves_as_well_as_the_grid(world, tmp_path):
    session = Session(PARAMS, "localization", save_map(world.grid, tmp_path / "home"))
    place = world.rooms.places(np.random.default_rng(7), int(world.mapped[1]), 1)[0]
    result = Robot(session.estimator, world.rooms.walls).drive([place] * 5)
    assert is_right(result.T_map_base, place)
    assert session.place_known() and session.confidence() > CONFIDENT
    assert (load_map(tmp_path / "home.yaml").cells == session.estimator.grid().cells).all()


@pytest.mark.parametrize(
    ("mode", "content", "named"),
    [
        ("localization", None, "localization needs a map"),
        ("localisation", None, "did you mean 'localization'"),
        ("localization", b"no graph", "is no graph file"),
        ("lifelong", b"", "is no graph file"),
        ("mapping", b'{"format": "nanorover-graph", "version": 1, "sha256": "0"}\n1', "damaged"),
    ],
)
def test_a_mode_that_cannot_be_says_why_and_the_session_goes_on(tmp_path, mode, content, named):
    session = Session(PARAMS, "mapping")
    before = session.estimator
    path = None
    if content is not None:
        path = tmp_path / "map"
        path.write_bytes(content)
    with pytest.raises(InputError, match=named):
        session.open(mode, path)
    assert session.estimator is before and session.mode == "mapping"


def test_a_map_without_walls_is_refused():
    with pytest.raises(InputError, match="no walls"):
        Localizer(PARAMS, OccupancyGrid(np.zeros((40, 40), np.int8), 0.05))


def test_a_map_whose_walls_are_drawn_twice_says_so(world):
    cells = world.grid.cells.copy()
    cells[np.roll(cells, 5, axis=1) == OCCUPIED] = OCCUPIED  # the same again, 0.25 m beside
    doubled = OccupancyGrid(cells, world.grid.resolution_m, world.grid.T_map_origin)
    assert Localizer(PARAMS, world.grid).health()["doubled walls"] < 0.01
    assert Localizer(PARAMS, doubled).health()["doubled walls"] > 0.03


def test_walls_in_between_are_counted(world):
    cells = np.zeros((40, 40), np.int8)
    cells[:, 20] = 100
    grid = OccupancyGrid(cells, 0.1, np.array([0.0, 0.0, np.pi / 2]))  # the wall lies at y = 2.05
    points = np.array([[0.0, 3.0], [0.0, 1.0], [-1.5, 0.5], [0.5, 3.5]])
    assert walls_crossed(grid, points, np.array([-2.0, 0.5, 0.0])) == 0.5


def test_a_lifelong_map_is_left_alone_while_the_robot_is_lost_and_grows_when_it_knows_its_place(world):
    room = int(world.mapped[0])
    way = way_in(world.rooms, room, np.random.default_rng(6))
    mapper = Mapper(PARAMS)
    for step in record(world.rooms.walls, way, G4, None, np.random.default_rng(6)):
        mapper.add_scan(step.scan)
    keyframes = len(mapper.graph)
    robot = Robot(Lifelong(mapper, place_known=False), world.rooms.walls)
    other = world.rooms.places(np.random.default_rng(8), int(world.mapped[-1]), 1)[0]
    robot.drive([other] * 8)
    assert robot.estimator.localizer is not None and len(mapper.graph) == keyframes

    start = way.poses[0]
    result = robot.drive([start] * 8)
    assert robot.estimator.localizer is None
    assert is_right(compose(way.poses[0], result.T_map_base), start)
    robot.drive([compose(start, np.array([0.0, 0.0, 0.2 * k])) for k in range(20)])
    assert robot.estimator.localizer is None
    assert len(mapper.graph) < keyframes + 25

    keyframes = len(mapper.graph)
    robot.drive([other] * 12)  # carried away
    assert robot.estimator.localizer is not None
    assert len(mapper.graph) == keyframes


def lifelong_in_its_room(world: World) -> tuple[Robot, np.ndarray]:
    """A robot that mapped a room, with odometry that says it stands since, and where it began."""
    way = way_in(world.rooms, int(world.mapped[0]), np.random.default_rng(6))
    mapper = Mapper(PARAMS)
    for step in record(world.rooms.walls, way, G4, None, np.random.default_rng(6)):
        mapper.add_scan(step.scan)
    mapper.set_pose(between(way.poses[0], way.poses[0]))
    return Robot(Lifelong(mapper, place_known=True), world.rooms.walls), way.poses[0]


def test_who_is_found_far_from_what_the_wheels_say_is_looked_for_in_the_whole_map(world):
    robot, start = lifelong_in_its_room(world)
    moved_in = [box(start[0] + x, start[1] + y, 0.5, 0.8) for x, y in ((0.9, -0.4), (0.1, 0.5), (-0.9, -0.3))]
    robot.walls = np.concatenate([robot.walls, *moved_in])  # so that the map knows less of the view

    def look(place: np.ndarray) -> None:
        robot.estimator.add_odometry(Odometry(robot.stamp_ns + STEP_NS, np.zeros(3)))
        robot.look(place)

    for _ in range(4):
        look(start)
    assert robot.estimator.localizer is None and robot.estimator.health()["leaps"] == 0
    carried_to = compose(start, np.array([-0.4, 0.0, 0.1]))
    look(carried_to)
    assert robot.estimator.localizer is not None and robot.estimator.health()["leaps"] == 1
    for _ in range(12):
        look(carried_to)
    assert robot.estimator.localizer is None
    assert is_right(compose(start, robot.estimator.T_map_base()), carried_to)


def test_in_a_map_too_large_to_be_searched_the_robot_maps_on(world):
    robot, start = lifelong_in_its_room(world)
    graph = robot.estimator.mapper.graph
    graph.add_keyframe(1, np.array([450.0, 0.0, 0.0]), graph.points[0], graph.sensors[0])
    other = world.rooms.places(np.random.default_rng(8), int(world.mapped[-1]), 1)[0]
    robot.drive([start] * 3)
    robot.drive([other] * 20)
    assert "larger than" in robot.estimator.health()["not looked for in the map"]
    assert robot.estimator.localizer is None and robot.estimator.health()["pieces begun"] == 1
    robot.estimator.set_pose(np.zeros(3))
    assert robot.look(start).quality > 0.8


def test_mapping_on_begins_where_the_robot_really_stands(world, tmp_path):
    way = way_in(world.rooms, int(world.mapped[0]), np.random.default_rng(6))
    session = Session(PARAMS, "mapping")
    for step in record(world.rooms.walls, way, G4, None, np.random.default_rng(6)):
        session.estimator.add_scan(step.scan)
    session.save_graph(tmp_path / "graph")

    session.open("mapping", tmp_path / "graph")
    assert not session.place_known(), "it may have been carried since"
    keyframes = len(session.mapper.graph)
    middle = way.poses[len(way.poses) // 2]
    elsewhere = compose(middle, np.array([0.0, 0.0, 2.0]))
    result = Robot(session.estimator, world.rooms.walls).drive([elsewhere] * 8)
    assert session.place_known() and is_right(compose(way.poses[0], result.T_map_base), elsewhere)
    assert len(session.mapper.graph) <= keyframes + 1


def test_a_session_changes_what_it_does_on_the_way(world):
    """From making the map to localizing in it and back, twice, without losing the place."""
    rng = np.random.default_rng(9)
    way = way_in(world.rooms, int(world.mapped[0]), rng)
    session = Session(PARAMS, "mapping")
    session.estimator.set_pose(way.poses[0])  # an empty map begins where it is said to
    steps = list(record(world.rooms.walls, way, G4, WHEELS["good"], rng))
    worst_m = 0.0
    for k, step in enumerate(steps):
        if k in (len(steps) // 4, len(steps) // 2, 3 * len(steps) // 4):
            session.switch({"mapping": "localization", "localization": "mapping"}[session.mode])
        for reading in step.odometry:
            session.estimator.add_odometry(reading)
        result = session.estimator.add_scan(step.scan)
        worst_m = max(worst_m, float(np.hypot(*between(step.T_map_base, result.T_map_base)[:2])))
        assert session.place_known()
    assert session.mode == "localization"
    assert worst_m < 0.1


def test_a_family_that_walks_about_does_not_make_the_robot_lost():
    records = [item for item in open_log(FAMILY) if isinstance(item, (LaserScan, Odometry))]
    mapper = Mapper(PARAMS)
    for item in records:
        (mapper.add_scan if isinstance(item, LaserScan) else mapper.add_odometry)(item)
    mapper.finish()
    _, truth = mapper.trajectory()
    localizer, sure = Localizer(PARAMS, mapper.grid()), 0
    results = []
    for item in records:
        if isinstance(item, LaserScan):
            results.append(localizer.add_scan(item))
            sure += localizer.localized and localizer.confidence >= localization_benchmark.SURE
        else:
            localizer.add_odometry(item)
    assert localizer.health().get("times lost", 0) == 0
    assert sure > 0.7 * len(results)
    off = np.array([between(at, result.T_map_base) for at, result in zip(truth, results, strict=True)])
    assert np.hypot(off[:, 0], off[:, 1]).max() < 0.15


def test_moved_furniture_does_not_make_the_robot_lost():
    """The map still has a couch and a table where none stand any longer; outside the walls it knows nothing."""
    hall = box(0.0, 0.0, 8.0, 5.0)
    then = np.array([*hall, *box(-1.0, 1.2, 1.4, 0.8), *box(1.0, -1.3, 2.0, 0.9)])
    now = np.array([*hall, *box(-0.8, -1.1, 1.4, 0.8, 0.6), *box(1.2, 1.2, 2.0, 0.9, 1.1)])
    views = np.array([[-3.0, 0.0, 0.0], [0.0, 0.0, 1.0], [3.0, 0.0, 2.0], [2.5, 2.0, 0.0], [-2.5, -2.0, 0.0]])
    grid = localization_benchmark.mapped_from(then, views, PARAMS, np.random.default_rng(3))
    robot = Robot(Localizer(PARAMS, grid), now)
    way = np.array([[-3.0 + 0.05 * k, 0.0, 0.1 * np.sin(0.2 * k)] for k in range(60)])
    robot.estimator.set_pose(way[0])
    for place in way:
        result = robot.look(place)
        assert robot.estimator.localized, result.reason
        assert np.hypot(*(result.T_map_base - place)[:2]) < 0.15
    assert robot.estimator.confidence > CONFIDENT and robot.estimator.health().get("times lost", 0) == 0
