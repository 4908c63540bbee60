"""Matching points against a field: a correlative search finds the basin, Gauss-Newton the pose in it.

The search follows Olson, "Real-time correlative scan matching" (ICRA 2009). The refinement minimises the
distance of every point to the surface that the field names as nearest, with a robust kernel, together with
what is known beforehand; its Hessian gives the covariance (Censi, "An accurate closed-form estimate of ICP's
covariance", 2007, without the sensor term).
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import wrap_angle
from nanorover.geometry.symmetric import solve3
from nanorover.slam.field import FREE_CELLS, LIKELIHOOD_FULL, NONE, FieldArrays

ITERATIONS = 12
# The robust kernel starts wide, so that a guess 0.3 m off still pulls, and ends at the noise of a laser.
KERNEL_END_M = 0.05
KERNEL_SHRINK = 0.6
CONVERGED_M = 2e-4
CONVERGED_RAD = 1e-4
# How to refine: the width of the kernel to begin with (m), and how many times the step above ends it. Roughly is
# enough for what is refined again; that then starts nearby.
EXACTLY, ROUGHLY, FROM_NEARBY = (0.2, 1.0), (0.2, 5.0), (KERNEL_END_M, 1.0)
# A point counts as explained when the nearest surface is no further than this.
EXPLAINED_M = 0.10
# It contradicts the map when it lies where rays went through and no surface is nearer than this.
CONTRADICTED_M = 0.25


@njit(cache=True, nogil=True)
def search(
    f: FieldArrays,
    points: NDArray[np.float64],
    centre: NDArray[np.float64],
    half: NDArray[np.float64],
    step_m: float,
    step_rad: float,
    sigma: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """The pose in the box ``centre ± half`` (x, y, yaw) under which the points look most likely.

    The likelihood of a pose is its mean over the points, 0 to 1, less a gentle penalty for leaving ``centre``
    by more than ``sigma`` (x and y, yaw): odometry settles what the walls leave open and no more.
    Returns the pose and its likelihood with the penalty.
    """
    height, width = f.nearest.shape
    stride = max(round(step_m * f.frame[2]), 1)
    n_xy = math.ceil(half[0] * f.frame[2] / stride)
    n_yaw = math.ceil(half[2] / step_rad)
    flat = f.likelihood.ravel()
    base = np.empty(len(points), np.uint32)  # cells under the lowest of all shifts
    best, best_score = centre.copy(), -1e9
    margin = n_xy * stride
    tx, ty = centre[0] - f.frame[0], centre[1] - f.frame[1]
    scale = 1.0 / (LIKELIHOOD_FULL * max(len(points), 1))
    for a in range(-n_yaw, n_yaw + 1):
        yaw = centre[2] + a * step_rad
        c, s = math.cos(yaw), math.sin(yaw)
        count = 0
        for i in range(len(points)):
            column = math.floor((tx + c * points[i, 0] - s * points[i, 1]) * f.frame[2])
            row = math.floor((ty + s * points[i, 0] + c * points[i, 1]) * f.frame[2])
            if margin <= row < height - margin and margin <= column < width - margin:
                base[count] = (row - margin) * width + column - margin
                count += 1
        turned = (a * step_rad / sigma[1]) ** 2
        for iy in range(-n_xy, n_xy + 1):
            for ix in range(-n_xy, n_xy + 1):
                shifted = flat[stride * ((iy + n_xy) * width + ix + n_xy) :]
                total = 0
                for i in range(count):
                    total += shifted[base[i]]
                moved = (ix * ix + iy * iy) * (stride / f.frame[2] / sigma[0]) ** 2
                score = total * scale - PENALTY * math.log1p(turned + moved)
                if score > best_score:
                    best_score = score
                    best[0] = centre[0] + ix * stride / f.frame[2]
                    best[1] = centre[1] + iy * stride / f.frame[2]
                    best[2] = yaw
    return best, best_score


# What leaving the prediction by one sigma costs, as a part of the likelihood.
PENALTY = 0.015


@njit(cache=True, nogil=True)
def _normal_equations(
    f: FieldArrays, points: NDArray[np.float64], pose: NDArray[np.float64], kernel_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
    """Hessian, gradient, sum of weights and of weighted squares."""
    height, width = f.nearest.shape
    cells_per_m, tightness = f.frame[2], 1.0 / kernel_m**2
    c, s = math.cos(pose[2]), math.sin(pose[2])
    tx, ty = pose[0] - f.frame[0], pose[1] - f.frame[1]
    # Sums in registers; in an array each addition would wait for the one before.
    h00, h01, h02, h11, h12, h22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    g0, g1, g2, weights, squares = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(len(points)):
        rx, ry = c * points[i, 0] - s * points[i, 1], s * points[i, 0] + c * points[i, 1]
        x, y = tx + rx, ty + ry
        column, row = math.floor(x * cells_per_m), math.floor(y * cells_per_m)
        if row < 0 or column < 0 or row >= height or column >= width:
            continue
        surfel = f.nearest[row, column]
        if surfel == NONE:
            continue
        dx, dy = x - f.surfels[surfel, 0], y - f.surfels[surfel, 1]
        nx, ny = f.surfels[surfel, 2], f.surfels[surfel, 3]
        mx, my = c * points[i, 2] - s * points[i, 3], s * points[i, 2] + c * points[i, 3]
        if nx * mx + ny * my < -0.3:  # the other side of a thin wall
            continue
        if nx == 0.0 and ny == 0.0:
            nx, ny = mx, my  # the scan's own normal will do
        if nx != 0.0 or ny != 0.0:
            r = nx * dx + ny * dy
            r2 = r * r
            w = 1.0 / (1.0 + tightness * r2) ** 2
            turn = nx * -ry + ny * rx
            h00, h01, h02 = h00 + w * nx * nx, h01 + w * nx * ny, h02 + w * nx * turn
            h11, h12, h22 = h11 + w * ny * ny, h12 + w * ny * turn, h22 + w * turn * turn
            g0, g1, g2 = g0 + w * nx * r, g1 + w * ny * r, g2 + w * turn * r
        else:
            r2 = dx * dx + dy * dy
            w = 0.5 / (1.0 + tightness * r2) ** 2
            h00, h02, h11, h12 = h00 + w, h02 - w * ry, h11 + w, h12 + w * rx
            h22 += w * (rx * rx + ry * ry)
            g0, g1, g2 = g0 + w * dx, g1 + w * dy, g2 + w * (rx * dy - ry * dx)
        weights += w
        squares += w * r2
    H = np.array([[h00, h01, h02], [h01, h11, h12], [h02, h12, h22]])
    return H, np.array([g0, g1, g2]), weights, squares


@njit(cache=True, nogil=True)
def refine(
    f: FieldArrays,
    points: NDArray[np.float64],
    guess: NDArray[np.float64],
    prior: NDArray[np.float64],
    prior_information: NDArray[np.float64],
    noise_m: float,
    how: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Gauss-Newton from ``guess``: pose, its information (3, 3), RMS distance in metres.

    ``prior`` with its diagonal information (3,) enters as one more measurement. ``noise_m`` is the standard
    deviation of one point, ``how`` one of EXACTLY, ROUGHLY, FROM_NEARBY.
    """
    pose = guess.copy()
    # In the equations the weight of one point is 1.
    prior_weight = prior_information * noise_m**2
    kernel, tolerance = how
    H, g, weights, squares = _normal_equations(f, points, pose, kernel)
    for _ in range(ITERATIONS):
        for k in range(3):
            off = pose[k] - prior[k]
            if k == 2:
                off = wrap_angle(off)
            H[k, k] += prior_weight[k]
            g[k] += prior_weight[k] * off
        step = solve3(H, g)
        pose -= step
        done = abs(step[0]) + abs(step[1]) < tolerance * CONVERGED_M and abs(step[2]) < tolerance * CONVERGED_RAD
        last = kernel == KERNEL_END_M
        kernel = max(kernel * KERNEL_SHRINK, KERNEL_END_M)
        H, g, weights, squares = _normal_equations(f, points, pose, kernel)
        if done and last:
            break
    pose[2] = wrap_angle(pose[2])
    rms = math.sqrt(squares / weights) if weights > 0.0 else 0.0
    return pose, H / noise_m**2 + np.diag(prior_information), rms


@njit(cache=True, nogil=True)
def _in_free_space(f: FieldArrays, row: int, column: int) -> bool:
    """Whether rays went through a cell and the four beside it: those that pass a wall also pass its own cells.

    The free space of a map is known to the cell.
    """
    height, width = f.free.shape
    if not f.free[row, column] or f.free_to_the_cell[0]:
        return f.free[row, column]
    if row < 1 or column < 1 or row >= height - 1 or column >= width - 1:
        return False
    above_and_below = f.free[row - 1, column] and f.free[row + 1, column]
    return above_and_below and f.free[row, column - 1] and f.free[row, column + 1]


@njit(cache=True, nogil=True)
def judge(f: FieldArrays, points: NDArray[np.float64], pose: NDArray[np.float64]) -> tuple[float, float, float]:
    """The parts of the points that the map explains, that contradict it, and that merely miss a surface nearby.

    A point where nothing is known does none of these; one in the middle of free space contradicts.
    """
    height, width = f.nearest.shape
    c, s = math.cos(pose[2]), math.sin(pose[2])
    tx, ty = pose[0] - f.frame[0], pose[1] - f.frame[1]
    explained, contradicted, missed = 0, 0, 0
    for i in range(len(points)):
        x, y = tx + c * points[i, 0] - s * points[i, 1], ty + s * points[i, 0] + c * points[i, 1]
        column, row = math.floor(x * f.frame[2]), math.floor(y * f.frame[2])
        if row < 0 or column < 0 or row >= height or column >= width:
            continue
        surfel = f.nearest[row, column]
        distance = CONTRADICTED_M
        if surfel != NONE:
            dx, dy = x - f.surfels[surfel, 0], y - f.surfels[surfel, 1]
            nx, ny = f.surfels[surfel, 2], f.surfels[surfel, 3]
            distance = math.hypot(dx, dy)
            mx, my = c * points[i, 2] - s * points[i, 3], s * points[i, 2] + c * points[i, 3]
            facing = nx * mx + ny * my
            if facing >= 0.0:
                across = abs(nx * dx + ny * dy) if facing > 0.0 else distance
                if across < EXPLAINED_M:
                    explained += 1
                    continue
        if distance >= CONTRADICTED_M and _in_free_space(f, row // FREE_CELLS, column // FREE_CELLS):
            contradicted += 1
        elif surfel != NONE:
            missed += 1
    n = max(len(points), 1)
    return explained / n, contradicted / n, missed / n
