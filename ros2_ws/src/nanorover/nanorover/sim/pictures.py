"""Pictures of a world for people: from above, and its true map with the way driven."""

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.perception.images import write_image
from nanorover.sim.camera import Image, open_renderer
from nanorover.sim.simulation import Simulation
from nanorover.sim.truth import FREE, OCCUPIED, Grid

OVERHEAD_PX = (1200, 900)
ABOVE_M = 12.0
BORDER = 1.06  # of the world's size is shown
MAP_SCALE = 4  # pixels per cell


def overhead(simulation: Simulation) -> Image:
    """The world from high above, ``(H, W, 3)`` RGB, with everything where it is now."""
    model = simulation.world.model
    width, height = OVERHEAD_PX
    size = simulation.scene.size_m
    camera = mujoco.MjvCamera()
    camera.lookat[:] = (size[0] / 2, size[1] / 2, 0.0)
    camera.azimuth, camera.elevation = 90.0, -90.0
    camera.distance = ABOVE_M
    # Seen in parallel, walls hide nothing; the field of view is then a height in metres.
    camera.orthographic = 1
    looking = model.vis.global_
    before, looking.fovy = looking.fovy, max(size[1], size[0] * height / width) * BORDER
    options = mujoco.MjvOption()
    options.geomgroup[:] = 1
    renderer = open_renderer(model, width, height)
    renderer.update_scene(simulation.data, camera, scene_option=options)
    picture = renderer.render().copy()
    renderer.close()
    looking.fovy = before
    return picture


def map_picture(grid: Grid, path_m: NDArray[np.float64] | None = None) -> Image:
    """The true map, ``(H, W, 3)`` RGB, north up, with a path ``(N, 2)`` in it."""
    import cv2

    grey = np.full(grid.cells.shape, 150, np.uint8)
    grey[grid.cells == FREE], grey[grid.cells == OCCUPIED] = 250, 20
    large = cv2.resize(grey[::-1], None, fx=MAP_SCALE, fy=MAP_SCALE, interpolation=cv2.INTER_NEAREST)
    picture = cv2.cvtColor(large, cv2.COLOR_GRAY2RGB)
    if path_m is not None and len(path_m):
        per_m = MAP_SCALE / grid.resolution_m
        pixels = (path_m[:, :2] - grid.origin_m) * per_m
        pixels[:, 1] = len(picture) - pixels[:, 1]
        cv2.polylines(picture, [np.round(pixels).astype(np.int32)], False, (210, 60, 20), 2, cv2.LINE_AA)
        cv2.circle(picture, tuple(int(v) for v in np.round(pixels[0])), 6, (20, 140, 40), -1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def save(picture: Image, path: Path) -> None:
    """Write a picture as the file type of its name says."""
    write_image(path, np.ascontiguousarray(picture[:, :, ::-1]))
