"""The simulated camera: a rendered picture as a small sensor would take it."""

import math
import os

import mujoco
import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.sim.model import GLASS_ALPHA
from nanorover.sim.params import SimParams

Image = NDArray[np.uint8]

WANTED_GREY = 124.0  # what the exposure control aims at
ADAPTING = 0.25  # part of the way that it goes per picture
GAINS = (0.5, 2.2)
LENS_BLUR_PX = 0.55
_GEOM = int(mujoco.mjtObj.mjOBJ_GEOM)
_LAST_GROUP = mujoco.mjNGROUP - 1
READ_NOISE = 0.4  # of the noise is there in the dark too


def open_renderer(model: mujoco.MjModel, width_px: int, height_px: int) -> mujoco.Renderer:
    """An offscreen renderer; raises InputError where this machine has neither EGL nor OSMesa."""
    try:
        return mujoco.Renderer(model, height_px, width_px)
    except (RuntimeError, ImportError, AttributeError, TypeError, mujoco.FatalError) as error:
        backend = os.environ.get("MUJOCO_GL", "its usual backend")
        raise InputError(
            f"cannot draw pictures with {backend}: {error}",
            "install libegl1 (MUJOCO_GL=egl) or libosmesa6 (MUJOCO_GL=osmesa), or run without a camera",
        ) from error


class Camera:
    """Takes pictures of a running model from the robot."""

    def __init__(
        self, model: mujoco.MjModel, sim: SimParams, rng: np.random.Generator, name: str = "camera"
    ) -> None:
        self._model, self._sim, self._rng, self._name = model, sim, rng, name
        self._renderer = open_renderer(model, sim.camera_width_px, sim.camera_height_px)
        self._gain = 1.0
        y, x = np.mgrid[-1 : 1 : sim.camera_height_px * 1j, -1 : 1 : sim.camera_width_px * 1j]
        self._vignette = (1.0 - 0.1 * (x * x + y * y)).astype(np.float32)[:, :, None]

    def picture(self, data: mujoco.MjData, turn_rate_rad_s: float) -> Image:
        """The picture ``(H, W, 3)`` RGB, blurred by the turn during the exposure, with gain and noise."""
        import cv2

        self._renderer.update_scene(data, self._name)
        light = self._renderer.render().astype(np.float32) * self._vignette
        light = np.asarray(cv2.GaussianBlur(light, (3, 3), LENS_BLUR_PX), np.float32)
        light = _blurred(light, turn_rate_rad_s * self._sim.camera_exposure_s * float(self._sim.K[0, 0]))
        wanted = WANTED_GREY / max(1.0, float(light.mean()))
        self._gain += ADAPTING * (min(max(wanted, GAINS[0]), GAINS[1]) - self._gain)
        light *= self._gain
        spread = self._sim.camera_noise * (
            READ_NOISE + (1.0 - READ_NOISE) * np.sqrt(np.clip(light, 0, 255) / 128.0)
        )
        light += spread * self._rng.standard_normal(light.shape, dtype=np.float32)
        return np.clip(light + 0.5, 0.0, 255.0).astype(np.uint8)

    def things(self, data: mujoco.MjData) -> NDArray[np.int32]:
        """Which geom each pixel ``(H, W)`` shows (−1 for none), through panes of glass."""
        glass = self._model.geom_rgba[:, 3] < 1.0
        self._model.geom_rgba[glass, 3] *= 0.0
        self._renderer.enable_segmentation_rendering()
        try:
            self._renderer.update_scene(data, self._name)
            shown = self._renderer.render()
        finally:
            self._renderer.disable_segmentation_rendering()
            self._model.geom_rgba[glass, 3] = GLASS_ALPHA
        is_geom = shown[:, :, 1] == _GEOM
        return np.where(is_geom, shown[:, :, 0], -1).astype(np.int32)

    def pixels_alone(self, data: mujoco.MjData, geoms: NDArray[np.intp]) -> int:
        """How many pixels these geoms would fill if nothing stood before them."""
        groups = self._model.geom_group[geoms].copy()
        alone = mujoco.MjvOption()
        alone.geomgroup[:] = 0
        alone.geomgroup[_LAST_GROUP] = 1
        self._model.geom_group[geoms] = _LAST_GROUP
        self._renderer.enable_segmentation_rendering()
        try:
            self._renderer.update_scene(data, self._name, scene_option=alone)
            return int(np.count_nonzero(self._renderer.render()[:, :, 1] == _GEOM))
        finally:
            self._renderer.disable_segmentation_rendering()
            self._model.geom_group[geoms] = groups

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()


def _blurred(light: NDArray[np.float32], length_px: float) -> NDArray[np.float32]:
    """Smeared along the rows by this many pixels, fractions included."""
    import cv2

    length = abs(length_px)
    if length < 0.1:
        return light
    taps = 2 * math.ceil(length / 2) + 1
    kernel = np.clip((length + 1.0) / 2.0 - np.abs(np.arange(taps) - taps // 2) + 0.5, 0.0, 1.0)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return np.asarray(cv2.filter2D(light, -1, kernel[None]), np.float32)
