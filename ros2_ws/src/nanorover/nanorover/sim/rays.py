"""Rays in a horizontal plane through a MuJoCo world, each from its own place.

MuJoCo casts many rays from one point; a lidar on a moving robot needs one from a new point 9000 times a
second. At one height every upright primitive is a rectangle or an ellipse, so that is what is hit here.
"""

import math

import mujoco
import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.sim.model import RAY_GROUP, World
from nanorover.sim.solids import SURFACES

Floats = NDArray[np.float64]

# Columns of a cut: rectangle or ellipse, centre, cosine and sine of its yaw, half axes, reach, surface.
RECTANGLE, ELLIPSE = 0.0, 1.0
BLACK, GLASS, MIRROR = (SURFACES.index(name) for name in ("black", "glass", "mirror"))

BOUNCES = 4  # panes and mirrors that one ray may meet
PAST_SURFACE_M = 1e-6
MIRROR_LIKE_COSINE = 0.985  # a pane met this squarely shines back

# As plain numbers: NumPy compares an array with an enum one by one.
_BOX, _CYLINDER, _SPHERE, _ELLIPSOID = (
    int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}")) for name in ("BOX", "CYLINDER", "SPHERE", "ELLIPSOID")
)


class Cuts:
    """The cuts ``(G, 9)`` of all that a plane at this height meets; what moves is cut anew by ``refresh``."""

    def __init__(self, world: World, data: mujoco.MjData, height_m: float) -> None:
        self._world, self._data, self._height_m = world, data, height_m
        model = world.model
        in_plane = np.flatnonzero(model.geom_group == RAY_GROUP)
        moves = model.body_mocapid[model.geom_bodyid[in_plane]] >= 0
        self._moving = in_plane[moves]
        self._fixed = self._cut(in_plane[~moves])
        self.refresh()

    def refresh(self) -> None:
        """Cut again what walks."""
        self.all = np.concatenate([self._fixed, self._cut(self._moving)])

    def _cut(self, geoms: NDArray[np.int64]) -> Floats:
        model, data = self._world.model, self._data
        kind, size = model.geom_type[geoms], model.geom_size[geoms]
        at, turn = data.geom_xpos[geoms], data.geom_xmat[geoms].reshape(-1, 3, 3)
        box, cylinder = kind == _BOX, kind == _CYLINDER
        half_height = np.where(cylinder, size[:, 1], np.where(kind == _SPHERE, size[:, 0], size[:, 2]))
        above = (self._height_m - at[:, 2]) / half_height
        shrink = np.where(box | cylinder, 1.0, np.sqrt(np.clip(1.0 - above**2, 0.0, None)))
        round_pair = np.column_stack([size[:, 0], size[:, 0]])
        half = np.where((box | (kind == _ELLIPSOID))[:, None], size[:, :2], round_pair)
        half = half * shrink[:, None]
        reach = np.where(box, np.hypot(half[:, 0], half[:, 1]), half.max(axis=1))
        cut = np.column_stack([
            np.where(box, RECTANGLE, ELLIPSE), at[:, :2], turn[:, 0, 0], turn[:, 1, 0], half, reach,
            self._world.surface[geoms],
        ])  # fmt: skip
        return np.ascontiguousarray(cut[(np.abs(above) < 1.0) & (half.min(axis=1) > 1e-6)])


@njit(cache=True)
def _hit(cut: Floats, x: float, y: float, dx: float, dy: float) -> tuple[float, float, float]:
    """Distance along a unit ray to a cut (inf for a miss) and its normal there, towards the ray's start."""
    ox, oy = x - cut[1], y - cut[2]
    c, s = cut[3], cut[4]
    px, py = c * ox + s * oy, c * oy - s * ox
    qx, qy = c * dx + s * dy, c * dy - s * dx
    a, b = cut[5], cut[6]
    near, far, nx, ny = -math.inf, math.inf, 0.0, 0.0
    if cut[0] == 0.0:
        fx, fy = 0.0, 0.0
        for axis in range(2):
            p, q, half = (px, qx, a) if axis == 0 else (py, qy, b)
            if abs(q) < 1e-12:
                if abs(p) > half:
                    return math.inf, 0.0, 0.0
                continue
            enter, leave = (-half - p) / q, (half - p) / q
            side = -1.0
            if enter > leave:
                enter, leave, side = leave, enter, 1.0
            if enter > near:
                near, nx, ny = enter, (side if axis == 0 else 0.0), (side if axis == 1 else 0.0)
            if leave < far:
                far, fx, fy = leave, (side if axis == 0 else 0.0), (side if axis == 1 else 0.0)
        if near > far or far < 0.0:
            return math.inf, 0.0, 0.0
        if near < 0.0:
            near, nx, ny = far, fx, fy
    else:
        px, py, qx, qy = px / a, py / b, qx / a, qy / b
        qq, pq, pp = qx * qx + qy * qy, px * qx + py * qy, px * px + py * py - 1.0
        root = pq * pq - qq * pp
        if root < 0.0:
            return math.inf, 0.0, 0.0
        near = (-pq - math.sqrt(root)) / qq
        inside = near < 0.0
        if inside:
            near = (-pq + math.sqrt(root)) / qq
        if near < 0.0:
            return math.inf, 0.0, 0.0
        nx, ny = (px + near * qx) / a, (py + near * qy) / b
        length = math.hypot(nx, ny) * (-1.0 if inside else 1.0)
        nx, ny = nx / length, ny / length
    return near, c * nx - s * ny, s * nx + c * ny


@njit(cache=True)
def first_hit(cuts: Floats, x: float, y: float, dx: float, dy: float) -> tuple[float, int, float, float]:
    """Distance to the nearest cut (inf for none), its number, and the normal there."""
    best, number, best_nx, best_ny = math.inf, -1, 0.0, 0.0
    for g in range(len(cuts)):
        ox, oy = cuts[g, 1] - x, cuts[g, 2] - y
        reach = cuts[g, 7]
        along = ox * dx + oy * dy
        if abs(ox * dy - oy * dx) > reach or along < -reach or along - reach > best:
            continue
        distance, nx, ny = _hit(cuts[g], x, y, dx, dy)
        if distance < best:
            best, number, best_nx, best_ny = distance, g, nx, ny
    return best, number, best_nx, best_ny


@njit(cache=True)
def cast(
    cuts: Floats, places: Floats, headings_rad: Floats, glass_return: float, chance: Floats
) -> tuple[Floats, Floats, NDArray[np.int8]]:
    """Range ``(N,)``, cosine of incidence and surface of what each ray returns from, through panes and around
    mirrors. ``places`` is ``(N, 2)``; ``chance`` ``(N, B)`` in 0 … 1 decides at each of up to B surfaces."""
    count = len(headings_rad)
    ranges_m, cosines = np.full(count, np.inf), np.ones(count)
    surfaces = np.zeros(count, np.int8)
    for i in range(count):
        x, y = places[i]
        dx, dy = math.cos(headings_rad[i]), math.sin(headings_rad[i])
        travelled = 0.0
        for bounce in range(chance.shape[1]):
            step, number, nx, ny = first_hit(cuts, x, y, dx, dy)
            travelled += step
            if number < 0:
                break
            surface, cosine = int(cuts[number, 8]), dx * nx + dy * ny
            square = abs(cosine) > MIRROR_LIKE_COSINE
            passes = surface == GLASS and not square and chance[i, bounce] > glass_return
            if not passes and surface != MIRROR:
                ranges_m[i], cosines[i], surfaces[i] = travelled, abs(cosine), surface
                break
            if passes:
                step += PAST_SURFACE_M
                x, y = x + step * dx, y + step * dy
            else:
                step -= PAST_SURFACE_M
                x, y = x + step * dx, y + step * dy
                dx, dy = dx - 2.0 * cosine * nx, dy - 2.0 * cosine * ny
    return ranges_m, cosines, surfaces
