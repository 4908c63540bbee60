"""The simulated camera against projection: blur, exposure, noise, and the boxes of the detector's pictures."""

import dataclasses
import math

import numpy as np
import pytest

from nanorover.errors import InputError
from nanorover.params import load
from nanorover.sim.camera import Camera
from nanorover.sim.dataset import render_dataset
from nanorover.sim.params import SimParams
from nanorover.sim.pictures import overhead
from nanorover.sim.scene import Furniture, Scene, Start, Wall
from nanorover.sim.shapes import CLASSES
from nanorover.sim.simulation import Simulation

CORNERS = ((0.0, 0.0), (6.0, 0.0), (6.0, 4.0), (0.0, 4.0))
WALLS = tuple(Wall(a, b) for a, b in zip(CORNERS, CORNERS[1:] + CORNERS[:1], strict=True))
BALL = Furniture("ball", (3.4, 2.3), size_m=(0.24, 0.24, 0.24), colour=(0.9, 0.1, 0.1))
ROOM = Scene("room", (6.0, 4.0), Start((1.5, 2.0)), WALLS, furniture=(BALL,))


@pytest.fixture(scope="module")
def room():
    try:
        simulation = Simulation(ROOM)
        simulation.picture()
    except InputError as error:
        pytest.skip(f"no pictures can be drawn on this machine: {error}")
    yield simulation
    simulation.close()


def camera_of(simulation, **changes):
    params = dataclasses.replace(load(SimParams, "sim"), **changes)
    return Camera(simulation.world.model, params, np.random.default_rng(0))


def test_a_ball_appears_where_the_intrinsics_project_it(room):
    camera = camera_of(room)
    owner = np.append(room.world.thing, -1)[camera.things(room.data)]
    camera.close()
    rows, columns = np.nonzero(owner == room.world.things.index("ball 0"))
    frames, K = room.frames, room.params.K
    x, y, yaw = room.pose
    ahead, left = 3.4 - x, 2.3 - y
    ahead, left = ahead * math.cos(yaw) + left * math.sin(yaw), left * math.cos(yaw) - ahead * math.sin(yaw)
    ahead, up = ahead - frames.camera_x_m, 0.12 - frames.camera_z_m
    c, s = math.cos(-frames.camera_pitch_rad), math.sin(-frames.camera_pitch_rad)
    depth, above = c * ahead + s * up, c * up - s * ahead
    assert columns.mean() == pytest.approx(K[0, 2] - K[0, 0] * left / depth, abs=1.0)
    assert rows.mean() == pytest.approx(K[1, 2] - K[1, 1] * above / depth, abs=1.0)
    across = 2 * K[0, 0] * 0.12 / math.sqrt(depth**2 - 0.12**2)
    assert np.ptp(columns) + 1 == pytest.approx(across, abs=2.0)


def test_the_part_of_a_thing_that_others_hide_is_measured_in_its_pixels(room):
    box = Furniture("box", (2.5, 2.36), size_m=(0.2, 0.4, 0.7), colour=(0.5, 0.4, 0.2))
    hidden = Simulation(dataclasses.replace(ROOM, furniture=(BALL, box)))
    seen = []
    for simulation in (room, hidden):
        camera = camera_of(simulation)
        ball = np.flatnonzero(simulation.world.thing == simulation.world.things.index("ball 0"))
        shown = int(np.isin(camera.things(simulation.data), ball).sum())
        seen.append((shown, camera.pixels_alone(simulation.data, ball)))
        camera.close()
    hidden.close()
    (whole, alone), (part, alone_behind_the_box) = seen
    assert whole == alone == pytest.approx(alone_behind_the_box, abs=3)
    assert 0.2 < part / alone < 0.8


def test_a_turn_blurs_along_the_rows_and_noise_is_as_strong_as_said(room):
    camera = camera_of(room, camera_noise=0.0)
    still = camera.picture(room.data, 0.0).astype(float)
    turning = camera.picture(room.data, 3.0).astype(float)
    camera.close()
    edges = [np.abs(np.diff(picture, axis=1)).max() for picture in (still, turning)]
    assert edges[1] < 0.75 * edges[0]
    camera = camera_of(room, camera_noise=4.0)
    pictures = np.array([camera.picture(room.data, 0.0).astype(float) for _ in range(12)])[6:]
    camera.close()
    middle = (pictures.mean(axis=0) > 110) & (pictures.mean(axis=0) < 145)
    assert pictures.std(axis=0, ddof=1)[middle].mean() == pytest.approx(4.0, rel=0.15)


def test_the_exposure_finds_the_same_grey_in_dim_and_in_bright_light():
    means = []
    for light in (0.7, 1.2):
        simulation = Simulation(dataclasses.replace(ROOM, light=light))
        means.append([simulation.picture().mean() for _ in range(25)])
        simulation.close()
    assert means[1][0] - means[0][0] > 5  # it takes a moment
    assert means[0][-1] == pytest.approx(means[1][-1], abs=8)


def test_pictures_with_boxes_follow_from_the_seed_and_boxes_are_tight():
    first, again = list(render_dataset(4, 3)), list(render_dataset(4, 3))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.boxes_px, b.boxes_px)
        assert a.image.shape == (240, 320, 3) and a.image.std() > 5
        assert len(a.boxes_px) == len(a.labels) == len(a.visible)
        assert (a.boxes_px[:, :2] >= 0).all() and (a.boxes_px[:, 2:] <= (320, 240)).all()
        assert (a.boxes_px[:, 2:] > a.boxes_px[:, :2]).all()
        assert ((a.labels >= 0) & (a.labels < len(CLASSES))).all()
        assert ((a.visible > 0.0) & (a.visible <= 1.0)).all()
    assert not np.array_equal(first[0].image, next(iter(render_dataset(5, 1))).image)


def test_the_view_from_above_shows_the_whole_world(room):
    picture = overhead(room)
    red = (picture[:, :, 0] > 120) & (picture[:, :, 1] < 90) & (picture[:, :, 2] < 90)
    rows, columns = np.nonzero(red)
    height, width = picture.shape[:2]
    metres_per_px = max(4.0, 6.0 * height / width) * 1.06 / height
    assert (columns.mean() - width / 2) * metres_per_px + 3.0 == pytest.approx(3.4, abs=0.1)
    assert (height / 2 - rows.mean()) * metres_per_px + 2.0 == pytest.approx(2.3, abs=0.1)
