"""Pictures of a world for people: from above."""

from pathlib import Path

import mujoco
import numpy as np

from nanorover.perception.images import write_image
from nanorover.sim.camera import Image, open_renderer
from nanorover.sim.simulation import Simulation

OVERHEAD_PX = (1200, 900)
ABOVE_M = 12.0
BORDER = 1.06  # of the world's size is shown


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


def save(picture: Image, path: Path) -> None:
    """Write a picture as the file type of its name says."""
    write_image(path, np.ascontiguousarray(picture[:, :, ::-1]))
