"""Maps as files: what is written comes back, through our reader and by the letter of map_server's rule."""

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from nanorover.errors import InputError
from nanorover.mapping.grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid, is_free, is_wall
from nanorover.mapping.map_files import load_map, save_map

CELLS = np.array([[UNKNOWN, FREE, OCCUPIED], [25, 26, 65]], np.int8)
# What three states make of CELLS: up to 25 free, from 65 on occupied, undecided cells unknown.
STATES = np.array([[UNKNOWN, FREE, OCCUPIED], [FREE, UNKNOWN, OCCUPIED]], np.int8)


def by_the_letter(yaml_path) -> np.ndarray:
    """Nav2's rule for trinary maps, row 0 lowest."""
    facts = yaml.safe_load(yaml_path.read_text())
    pixels = cv2.imread(str(yaml_path.parent / facts["image"]), cv2.IMREAD_GRAYSCALE)
    dark = 1.0 - pixels / 255.0
    cells = np.full(pixels.shape, UNKNOWN, np.int8)
    cells[dark <= facts["free_thresh"]] = FREE
    cells[dark >= facts["occupied_thresh"]] = OCCUPIED
    return np.flipud(cells)


def test_what_is_written_comes_back(tmp_path):
    facts = save_map(OccupancyGrid(CELLS, 0.05, np.array([-1.0, 2.0, 0.1])), tmp_path / "room")
    assert facts == tmp_path / "room.yaml"
    grid = load_map(facts)
    assert np.array_equal(grid.cells, STATES)
    assert np.array_equal(by_the_letter(facts), STATES)
    assert np.array_equal(is_wall(grid.cells), is_wall(CELLS)) and np.array_equal(
        is_free(grid.cells), is_free(CELLS)
    )
    assert grid.resolution_m == 0.05
    assert grid.T_map_origin == pytest.approx([-1.0, 2.0, 0.1])


@pytest.mark.parametrize(("negate", "pixels"), [(0, [0, 205, 254]), (1, [255, 50, 1])])
def test_a_map_of_another_saver_keeps_its_unknown_cells(tmp_path, negate, pixels):
    (tmp_path / "a.pgm").write_bytes(b"P5\n# made elsewhere\n3 1\n255\n" + bytes(pixels))
    (tmp_path / "a.yaml").write_text(
        f"image: a.pgm\nmode: trinary\nresolution: 0.1\norigin: [0, 0, 0]\nnegate: {negate}\n"
        "occupied_thresh: 0.65\nfree_thresh: 0.25\n"
    )
    assert load_map(tmp_path / "a.yaml").cells.tolist() == [[OCCUPIED, UNKNOWN, FREE]]


@pytest.mark.parametrize("channels", ["grey", "colour", "alpha", "palette"])
def test_what_a_picture_editor_saves_as_png_is_the_same_map(tmp_path, channels):
    facts = save_map(OccupancyGrid(CELLS, 0.05), tmp_path / "room")
    picture = Image.open(tmp_path / "room.pgm")
    picture.convert({"grey": "L", "colour": "RGB", "alpha": "RGBA", "palette": "P"}[channels]).save(
        tmp_path / "room.png"
    )
    (tmp_path / "room.pgm").unlink()
    facts.write_text(facts.read_text().replace("room.pgm", "room.png"))
    assert np.array_equal(load_map(facts).cells, STATES)


def test_zones_in_any_colour_are_dark_and_what_is_erased_is_unknown(tmp_path):
    red, green, blue, white, erased = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (255,) * 4, (0,) * 4
    Image.fromarray(np.array([[red, green, blue, white, erased]], np.uint8)).save(tmp_path / "zones.png")
    (tmp_path / "zones.yaml").write_text("image: zones.png\nresolution: 0.1\norigin: [0, 0, 0]\n")
    assert load_map(tmp_path / "zones.yaml").cells.tolist() == [[OCCUPIED] * 3 + [FREE, UNKNOWN]]


def test_a_picture_of_more_than_8_bits_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((2, 3), 300, np.uint16))
    (tmp_path / "deep.yaml").write_text("image: deep.png\nresolution: 0.1\norigin: [0, 0, 0]\n")
    with pytest.raises(InputError, match=r"deep.png: it has more than 8 bits"):
        load_map(tmp_path / "deep.yaml")


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-1, 100)))
def test_any_map_survives_a_second_round_unchanged(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("map")
    once = load_map(save_map(OccupancyGrid(cells, 0.05), folder / "once"))
    twice = load_map(save_map(once, folder / "twice"))
    assert np.array_equal(once.cells, twice.cells)
    assert np.array_equal(once.cells == UNKNOWN, (cells == UNKNOWN) | ((cells > 25) & (cells < 65)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image": "absent.pgm"}, "absent.pgm"),
        ({"resolution": 0}, "resolution"),
        ({"resolution": "wide"}, "no number"),
        ({"origin": [0, 0]}, "origin"),
        ({"mode": "colourful"}, "colourful"),
        ({"free_thresh": 0.9}, "free_thresh"),
    ],
)
def test_a_bad_yaml_is_named(tmp_path, change, named):
    facts = save_map(OccupancyGrid(CELLS, 0.05), tmp_path / "room")
    facts.write_text(yaml.safe_dump(yaml.safe_load(facts.read_text()) | change))
    with pytest.raises(InputError, match=named):
        load_map(facts)


@pytest.mark.parametrize("keep", [0, 4, 12, 14])
def test_a_truncated_picture_is_named(tmp_path, keep):
    facts = save_map(OccupancyGrid(CELLS, 0.05), tmp_path / "room")
    picture = tmp_path / "room.pgm"
    picture.write_bytes(picture.read_bytes()[:keep])
    with pytest.raises(InputError, match="room.pgm"):
        load_map(facts)


def test_an_empty_map_is_not_written(tmp_path):
    with pytest.raises(InputError, match="empty"):
        save_map(OccupancyGrid(np.zeros((0, 0), np.int8), 0.05), tmp_path / "room")
    assert list(tmp_path.iterdir()) == []
