"""Scene files and random worlds: what is refused, what comes back as it was, what can be reached."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanorover.errors import InputError
from nanorover.sim.floorplan import random_scene, scene_of
from nanorover.sim.paths import Ways
from nanorover.sim.people import BODY_HEIGHTS_M, ROBOT_WAY_M
from nanorover.sim.scene import Furniture, Opening, Scene, Start, Walker, Wall, load_scene, save_scene
from nanorover.sim.shapes import KINDS
from nanorover.sim.simulation import Simulation
from nanorover.sim.solids import SURFACES, Solid
from nanorover.sim.truth import FREE, OCCUPIED, UNKNOWN, solid_grid, true_map

CORNERS = ((0.0, 0.0), (4.0, 0.0), (4.0, 3.0), (0.0, 3.0))
WALLS = tuple(Wall(a, b, 0.1) for a, b in zip(CORNERS, CORNERS[1:] + CORNERS[:1], strict=True))
ROOM = Scene("room", (4.0, 3.0), Start((1.0, 1.0)), WALLS)


def written(tmp_path, text):
    path = tmp_path / "scene.yaml"
    path.write_text(text)
    return path


GOOD = "{name: a, size_m: [4, 3], robot: {at_m: [1, 1]}, walls: [{from_m: [0, 0], to_m: [4, 0]}]}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("name: a", "name: a, flor: wood"), "unknown key 'flor'.*\n.*did you mean 'floor'"),
        (("{from_m", "{thick: 1, from_m"), r"walls\[0\]: unknown key 'thick'"),
        (("at_m: [1, 1]", "at_m: [1]"), r"robot: at_m is \[1\]"),
        (("at_m: [1, 1]", "at_m: [1, .nan]"), "at_m"),
        (("at_m: [1, 1]", "yaw_deg: 1"), "key 'at_m' is missing"),
        (("name: a", "name: 7"), "name is 7"),
        (("walls: [", "walls: [3, "), r"walls\[0\] must be a mapping"),
        (("to_m: [4, 0]}]", "to_m: [4, 0], surface: fog}]"), "no surface 'fog'"),
        (("walls", "furniture: [{kind: dragon, at_m: [1, 1]}], walls"), r"furniture\[0\].*dragon"),
        (("walls", "furniture: [{kind: chair, style: baroque, at_m: [1, 1]}], walls"), "no style 'baroque'"),
        (("walls", "walkers: [{kind: chair, path_m: [[1, 1]]}], walls"), r"walkers\[0\]"),
        (("to_m: [4, 0]}", "to_m: [4, 0], openings: [{kind: door, at_m: 3.9}]}"), "does not fit"),
        (("to_m: [4, 0]}", "to_m: [4, 0], openings: [{kind: hatch, at_m: 1}]}"), "no opening 'hatch'"),
    ],
)
def test_a_bad_scene_is_refused_by_name(tmp_path, change, said):
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(InputError, match=said):
        load_scene(written(tmp_path, text))


def test_files_that_are_no_scene(tmp_path):
    for text in ("[1, 2", "just words", ""):
        with pytest.raises(InputError):
            load_scene(written(tmp_path, text))
    with pytest.raises(InputError, match="style"):
        scene_of("castle:3")


def test_a_world_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    assert scene_of("flat").name == "flat"
    for text in ("nothere", str(tmp_path / "none.yaml"), "castle:x"):
        with pytest.raises(InputError) as refusal:
            scene_of(text)
        assert str(refusal.value).startswith(f"there is no world '{text}'\n")
        assert "known: flat, SEED, apartment:SEED, office:SEED, or the path of a scene file" in str(refusal.value)
    for text, seed in (("-7", "-7"), ("office:-7", "-7"), ("apartment:1.5", "1.5"), ("office:", "")):
        with pytest.raises(InputError, match=f"'{seed}' is no seed of a world\n.*whole number"):
            scene_of(text)


@pytest.mark.parametrize(
    "at_m",
    [(2.5, 1.5), (2.0, 0.01), (9.0, 9.0), (0.11, 1.5)],
    ids=["table", "wall", "outside", "against the wall"],
)
def test_a_robot_inside_something_is_refused(at_m):
    crate = Furniture("box", (2.5, 1.5), size_m=(0.8, 0.8, 0.5))
    scene = dataclasses.replace(ROOM, robot=Start(at_m), furniture=(crate,))
    with pytest.raises(InputError, match="move robot.at_m"):
        Simulation(scene)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_a_world_follows_from_its_seed_and_survives_its_file(tmp_path_factory, seed):
    scene = random_scene(seed)
    assert scene == random_scene(seed) != random_scene(seed + 1)
    path = tmp_path_factory.mktemp("scene") / "s.yaml"
    save_scene(scene, path)
    assert load_scene(path) == scene


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_the_robot_can_drive_its_tour_through_a_random_world(seed):
    scene = random_scene(seed)
    ways = Ways(true_map(scene, *BODY_HEIGHTS_M), ROBOT_WAY_M - 0.04)
    for a, b in zip(scene.tour_m, scene.tour_m[1:], strict=False):
        line = np.array(a) + np.linspace(0, 1, 2 + int(math.dist(a, b) / 0.05))[:, None] * (np.array(b) - a)
        assert ways.open[tuple(ways.grid.indices(line).T)].all()
    assert scene.tour_m[0] == pytest.approx(scene.tour_m[-1], abs=0.01)
    assert scene.tour_m[0] == pytest.approx(scene.robot.at_m, abs=0.01)


def test_the_true_map_is_the_geometry():
    crate = Furniture("box", (2.0, 1.5), size_m=(1.0, 0.5, 0.5))
    table = Furniture("table", (3.2, 2.2), size_m=(0.8, 0.8, 0.74), style="plain")
    scene = dataclasses.replace(ROOM, furniture=(crate, table))
    grid = true_map(scene, 0.14)
    assert {grid.at(p) for p in ((1.52, 1.27), (2.48, 1.73), (2.0, 1.5), (2.0, 0.02), (3.98, 1.0))} == {OCCUPIED}
    assert {grid.at(p) for p in ((1.42, 1.5), (2.0, 1.18), (3.2, 2.2), (1.0, 1.0))} == {
        FREE
    }  # under the table too
    assert grid.at((-0.3, 1.0)) == grid.at((4.3, 1.0)) == grid.at((99.0, 0.0)) == UNKNOWN
    crate_area = (grid.cells == OCCUPIED).sum() * grid.resolution_m**2
    bare = true_map(dataclasses.replace(scene, furniture=(table,)), 0.14)
    assert crate_area - (bare.cells == OCCUPIED).sum() * bare.resolution_m**2 == pytest.approx(0.5, abs=0.16)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 1.5), st.floats(0.5, 1.5), st.floats(0, math.pi), st.booleans())
def test_a_cell_is_occupied_exactly_where_it_shares_area_with_a_solid(x, y, yaw, is_box):
    solid = Solid("box", (0.31, 0.07, 0.2), (x, y, 0.2), (0, 0, 0), yaw_rad=yaw)
    if not is_box:
        solid = Solid("cylinder", (0.17, 0.2), (x, y, 0.2), (0, 0, 0))
    grid = solid_grid([solid], (2.0, 2.0), 0.05, (0.14,))
    # Points on a fine raster; those close to the outline are left out on both sides.
    fine = np.stack(np.meshgrid(np.arange(0, 2, 0.005), np.arange(0, 2, 0.005)), axis=-1).reshape(-1, 2) + 0.0025
    c, s = math.cos(yaw), math.sin(yaw)
    local = (fine - (x, y)) @ np.array([[c, -s], [s, c]])
    off = np.abs(local) - (0.31, 0.07) if is_box else (np.linalg.norm(local, axis=1) - 0.17)[:, None]
    inside, reach = off.max(axis=1) < -0.002, off.max(axis=1)
    hit = np.zeros(grid.cells.shape, bool)
    hit[tuple(grid.indices(fine[inside]).T)] = True
    near = np.zeros(grid.cells.shape, bool)
    near[tuple(grid.indices(fine[reach < 0.006]).T)] = True
    occupied = grid.cells == OCCUPIED
    assert not (hit & ~occupied).any() and not (occupied & ~near).any()


def test_every_class_can_be_built_in_every_style_and_stands_on_the_floor():
    for name, kind in KINDS.items():
        for style in kind.styles:
            solids = kind.build(kind.size_m, kind.colour, style)
            low = min(s.at_m[2] - (s.size_m[1] if s.kind == "cylinder" else s.size_m[-1]) for s in solids)
            assert -0.02 <= low <= 0.09, (name, style, low)
            assert {s.surface for s in solids} <= set(SURFACES)
            if name in ("person", "cat", "dog"):
                Simulation(dataclasses.replace(ROOM, walkers=(Walker(name, ((3.0, 2.0),), style=style),)))
            else:
                Simulation(dataclasses.replace(ROOM, furniture=(Furniture(name, (3.0, 2.0), style=style),)))


def test_walls_leave_their_openings():
    openings = (Opening("door", 1.0, 0.9), Opening("window", 2.5, 1.0), Opening("pane", 3.6, 0.6))
    scene = dataclasses.replace(ROOM, walls=(dataclasses.replace(WALLS[0], openings=openings), *WALLS[1:]))
    solids = [s for _, group in scene.fixed_solids() for s in group]
    cut = {name: [s for s in solids if s.outline(z) is not None] for name, z in (("lidar", 0.14), ("window", 1.5))}

    def there(height, x):
        return [
            s
            for s in cut[height]
            if s.kind == "box" and abs(s.at_m[1]) < 0.1 and abs(s.at_m[0] - x) <= s.size_m[0]
        ]

    assert not there("lidar", 1.0) and there("lidar", 0.3) and there("lidar", 2.5)
    assert [s.surface for s in there("lidar", 3.6)] == ["glass"] == [s.surface for s in there("window", 2.5)]
