"""Keep-out zones that a person draws: what is refused, what is kept, and that the planner goes round them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanorover.base.gate import STILL
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning import zones
from nanorover.planning.costmap import Raster
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.zones import DrawnZones, Zone, checked

SQUARE = [[3.5, 1.0], [4.5, 1.0], [4.5, 4.0], [3.5, 4.0]]
# Two prongs whose ends lie on one line, and which is as good as any other zone.
FORK = [[0, 0], [3, 0], [3, 2], [2, 2], [2, 1], [1, 1], [1, 2], [0, 2]]
START, GOAL = np.array([1.0, 2.5, 0.0]), np.array([7.0, 2.5, 0.0])


def navigator(**costmap) -> Navigator:
    settings = load_settings()
    cells = np.zeros((120, 160), np.int8)
    cells[[0, -1]] = cells[:, [0, -1]] = 100
    made = Navigator(dataclasses.replace(settings, costmap=dataclasses.replace(settings.costmap, **costmap)))
    made.on_map(OccupancyGrid(cells, 0.05, np.zeros(3)), 0.0)
    return made


@pytest.mark.parametrize("turned", range(4))
@pytest.mark.parametrize("corners", [SQUARE, FORK, [[0, 0], [1, 0], [0, 1]]])
def test_a_simple_polygon_is_taken_whichever_way_it_is_drawn(corners, turned):
    for way in (corners, corners[::-1]):
        zone = checked("  by the\tstairs ", way[turned % len(way) :] + way[: turned % len(way)])
        assert zone.name == "by the stairs" and len(zone.corners_m) == len(corners)


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        ([], "0 corners"),
        ([[0, 0], [1, 1]], "2 corners"),
        ([[math.cos(a), math.sin(a)] for a in np.linspace(0, 6, 101)], "101 corners"),
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "crosses itself"),
        ([[0, 0], [4, 0], [4, 4], [2, 0], [0, 4]], "crosses itself"),  # touches
        ([[0, 0], [2, 0], [2, 2], [2, 0.5], [1, 1]], "crosses itself"),  # runs back along its own edge
        ([[0, 0], [1, 0], [2, 0]], "crosses itself"),
        ([[0, 0], [0.05, 0], [0, 0.05]], "no area"),
        ([[0, 0], [1, 0], [1, 0], [0, 1]], "the same place"),
        ([[0, 0], [1, 0], [0, math.nan]], "finite"),
        ([[0, 0], [1, 0], [0, 2e4]], "finite"),
        ([[0, 0], [1, 0], [0, True]], "finite"),
        ([[0, 0], [1, 0], [0, 1, 2]], "finite"),
        ([[0, 0], [1, 0], "ab"], "finite"),
        (None, "finite"),
    ],
)
def test_what_is_no_zone_is_refused_with_the_reason(corners, words):
    with pytest.raises(InputError, match=words):
        checked("", corners)


@pytest.mark.parametrize("name", [None, 3, "x" * 41, "bell\a"])
def test_a_name_is_one_short_line(name):
    with pytest.raises(InputError, match="name"):
        checked(name, SQUARE)


@given(st.lists(st.floats(0.5, 5.0), min_size=3, max_size=20), st.floats(-50.0, 50.0))
def test_a_star_of_any_rays_about_a_point_crosses_nothing(rays, x):
    bearings = np.linspace(0.0, 2.0 * np.pi, len(rays), endpoint=False)
    corners = np.column_stack([x + rays * np.cos(bearings), rays * np.sin(bearings)])
    assert not zones.crosses_itself(corners)


@given(st.integers(4, 100), st.integers(0, 98), st.floats(0.0, 6.0))
def test_a_ring_of_which_two_neighbours_change_places_crosses_itself(count, at, turned):
    bearings = turned + np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    corners = np.column_stack([np.cos(bearings), np.sin(bearings)])
    corners = np.roll(corners, at, axis=0)
    corners[[0, 1]] = corners[[1, 0]]
    assert zones.crosses_itself(corners)


def test_a_zone_far_outside_the_map_is_refused():
    raster = Raster(-4.0, -3.0, 0.05, (120, 160))
    zones.check_near(checked("", SQUARE), raster)
    zones.check_near(checked("", [[20.0, 0], [23.9, 0], [20.0, 1]]), raster)
    for far in ([[24.2, 0], [23, 0], [23, 1]], [[0, 0], [1, 0], [0, -23.5]]):
        with pytest.raises(InputError, match="outside the map"):
            zones.check_near(checked("", far), raster)


def test_its_cells_are_those_within():
    raster = Raster(-1.0, -2.0, 0.1, (60, 80))
    overlapping = [checked("", FORK), checked("", [[0.5, 0.5], [2.5, 0.5], [2.5, 0.8]])]
    shut = zones.cells_of(overlapping, raster)
    rows, columns = np.nonzero(np.ones(raster.shape))
    for row, column in zip(rows, columns, strict=True):
        x, y = raster.centre(row, column)
        inside = (0 < x < 3 and 0 < y < 2) and not (1 < x < 2 and y > 1)
        near = min(abs(x - v) for v in (0, 1, 2, 3)) < 0.06 or min(abs(y - v) for v in (0, 1, 2)) < 0.06
        assert shut[row, column] == inside or near, (x, y)
    assert not zones.cells_of([], raster).any()
    assert zones.cells_of([checked("", [[0, 0], [3, 0.01], [3, 0.02]])], raster).any(), "thinner than a cell"


def test_the_planner_goes_round_it_from_now_on_and_through_when_it_is_deleted():
    n = navigator()
    straight_m = n.plan(START, GOAL).length_m
    n.draw_zones([checked("", SQUARE)], 0.0)
    way = n.plan(START, GOAL)
    beside_m = np.maximum(abs(way.path[:, 0] - 4.0) - 0.5, abs(way.path[:, 1] - 2.5) - 1.5)
    assert beside_m.min() > n.settings.robot.inscribed_radius_m - 0.05
    assert way.length_m > straight_m + 0.4
    assert n.plan(START, np.array([4.0, 2.5, 0.0])).reason.startswith("the goal is in a keep-out zone")
    n.on_map(OccupancyGrid(n.world.static_lethal.astype(np.int8) * 100, 0.05, np.zeros(3)), 0.1)
    assert n.plan(START, GOAL).length_m == pytest.approx(way.length_m), "a new map changes nothing about it"
    n.draw_zones([], 0.2)
    assert n.plan(START, GOAL).length_m == pytest.approx(straight_m)


def test_a_robot_about_which_a_zone_is_drawn_drives_out_of_it():
    n, inside = navigator(), np.array([3.7, 2.5, 0.0])
    n.draw_zones([checked("", SQUARE)], 0.0)
    silent = LaserScan(1, np.full(90, np.nan, np.float32), -np.pi, 2 * np.pi / 90, 0.1, 8.0)
    n.on_scan(silent, inside, STILL, 0.0)
    assert n.plan(inside, np.array([1.0, 2.5, 0.0])).error == 0
    n.draw_zones([], 0.1)
    n.on_scan(silent, inside, STILL, 0.2)
    assert n.open_zone is None and not n.world.keep_out.any()


def test_a_mask_is_shown_by_the_outlines_of_what_it_shuts_and_of_holes_in_it():
    cells = np.zeros((60, 80), np.int8)
    cells[10:40, 20:60], cells[20:30, 30:40], cells[50, 70] = 100, 0, 64
    turned = OccupancyGrid(cells, 0.1, np.array([5.0, 1.0, np.pi / 2]))
    hole, area = zones.outlines_of(turned, 65)
    for outline, low, high in ((area, (1.0, 3.0), (4.0, 7.0)), (hole, (2.0, 4.0), (3.0, 5.0))):
        at = [outline.min(axis=0), outline.max(axis=0)]  # of the middles of the cells
        np.testing.assert_allclose(at, [low, high], atol=0.11)
    assert zones.outlines_of(OccupancyGrid(np.zeros((3, 3), np.int8), 0.1, np.zeros(3)), 65) == []
    speckled = OccupancyGrid((np.indices((100, 100)).sum(axis=0) % 3 == 0).astype(np.int8) * 100, 0.1, np.zeros(3))
    assert len(zones.outlines_of(speckled, 65)) <= zones.MOST_OUTLINES


def test_they_are_kept_in_the_file_and_numbers_are_not_given_twice(tmp_path):
    file = zones.file_beside(tmp_path / "flat.yaml")
    for name, beside in (("flat.pgm", "flat"), ("flat", "flat"), ("flat.v2", "flat.v2"), ("flat.yaml", "flat")):
        assert zones.file_beside(tmp_path / name) == tmp_path / f"{beside}.zones.yaml"
    kept = DrawnZones(file)
    for name in ("Küche", "stairs", ""):
        kept.add(checked(name, SQUARE))
    assert kept.remove(3) == Zone("", tuple(map(tuple, SQUARE)))
    kept.add(checked("desk", FORK))
    assert list(kept.zones) == [1, 2, 4]
    assert list(DrawnZones(file).zones.values()) == list(kept.zones.values())
    with pytest.raises(InputError, match="no zone 3"):
        kept.remove(3)
    assert list(tmp_path.iterdir()) == [file]


def test_zones_that_cannot_be_written_do_not_count(tmp_path):
    kept = DrawnZones(tmp_path / "flat.zones.yaml")
    kept.add(checked("", SQUARE))
    kept.file = tmp_path
    with pytest.raises(InputError, match="cannot write"):
        kept.add(checked("", FORK))
    with pytest.raises(InputError, match="cannot write"):
        kept.remove(1)
    assert len(kept.zones) == 1


def test_there_are_not_too_many():
    kept = DrawnZones(None)
    for _ in range(zones.MOST_ZONES):
        kept.add(checked("", SQUARE))
    with pytest.raises(InputError, match="100 zones already"):
        kept.add(checked("", SQUARE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lists no zones"),
        ("zones:\n- name: a\n  corners_m: [[0, 0], [1, 1], [1, 0], [0, 1]]\n", "crosses itself"),
        ("zones:\n- name: a\n", "lists no zones"),
        ("zones: 3\n", "lists no zones"),
        ("zones: [\n", "expected"),
        ("zones:\n- {name: a, corners_m: [[0, 0], [1, .nan], [1, 0]]}\n", "finite"),
        (b"\xff\xfe\x00", "damaged"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name_and_left_as_it_is(tmp_path, text, words):
    file = tmp_path / "flat.zones.yaml"
    data = text if isinstance(text, bytes) else text.encode()
    file.write_bytes(data)
    with pytest.raises(InputError, match=f"flat.zones.yaml are damaged: (.|\n)*{words}|damaged"):
        DrawnZones(file)
    with pytest.raises(InputError) as refused:
        zones.read(file)
    assert words in refused.value.args[0]
    assert file.read_bytes() == data


def test_a_file_without_zones_is_none(tmp_path):
    zones.write([], tmp_path / "none.zones.yaml")
    assert zones.read(tmp_path / "none.zones.yaml") == []
    assert DrawnZones(tmp_path / "absent.zones.yaml").zones == {}
