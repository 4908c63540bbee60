"""A scan becomes evenly spaced points with normals, as seen from where the base was in the middle of the scan.

The middle and not the stamp: an error of the velocity then moves the first half of the scan one way and the other
half the other way, and leaves the pose that fits it nearly alone.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.scan import LaserScan

# A point's normal comes from the neighbours within this distance along the scan.
NORMAL_RADIUS_M = 0.20
NORMAL_BEAMS = 6
# Neighbours further apart than this many beam spacings lie on different things.
GAP_SPACINGS = 6.0
GAP_MIN_M = 0.10
# A surface is flat when the scatter across it is below this part of the scatter along it.
FLATNESS = 0.15
# Where a flat surface is seen by at least this many points, a point is moved onto it: so their noise averages out.
# With fewer, far apart, the line through them is not the surface.
AVERAGED = 5


@njit(cache=True, nogil=True)
def _measured(
    ranges_m: NDArray[np.float32],
    angles: tuple[float, float],
    limits: tuple[float, float],
    T_base_laser: NDArray[np.float64],
    twist: NDArray[np.float64],
    time_increment_s: float,
) -> NDArray[np.float64]:
    """Valid points (K, 3) as x, y in the base frame in the middle of the scan, and the range."""
    points = np.empty((len(ranges_m), 3))
    count, middle = 0, 0.5 * (len(ranges_m) - 1)
    cm, sm = math.cos(T_base_laser[2]), math.sin(T_base_laser[2])
    moving = time_increment_s != 0.0 and (twist[0] != 0.0 or twist[1] != 0.0 or twist[2] != 0.0)
    for i in range(len(ranges_m)):
        r = float(ranges_m[i])
        if not (limits[0] < r < limits[1]):  # NaN and inf fail too
            continue
        angle = angles[0] + i * angles[1]
        xl, yl = r * math.cos(angle), r * math.sin(angle)
        x = T_base_laser[0] + cm * xl - sm * yl
        y = T_base_laser[1] + sm * xl + cm * yl
        if moving:
            # Constant twist; turning half first makes the straight step exact to the third order.
            t = (i - middle) * time_increment_s
            half = 0.5 * twist[2] * t
            ch, sh = math.cos(half), math.sin(half)
            c, s = ch * ch - sh * sh, 2.0 * ch * sh  # of the whole turn
            dx, dy = t * (ch * twist[0] - sh * twist[1]), t * (sh * twist[0] + ch * twist[1])
            x, y = dx + c * x - s * y, dy + s * x + c * y
        points[count, 0], points[count, 1], points[count, 2] = x, y, r
        count += 1
    return points[:count]


@njit(cache=True, nogil=True)
def _surface(points: NDArray[np.float64], i: int, spacing_rad: float) -> tuple[float, float, float]:
    """The unit normal at point i from its neighbours along the scan, (0, 0) where there is no surface.

    The third value is how far along the normal the surface lies from the point, in metres.
    """
    gap = GAP_MIN_M + GAP_SPACINGS * spacing_rad * points[i, 2]
    n, sx, sy, sxx, sxy, syy = 1, 0.0, 0.0, 0.0, 0.0, 0.0
    for direction in (-1, 1):
        last = i
        for step in range(1, NORMAL_BEAMS + 1):
            j = i + direction * step
            if j < 0 or j >= len(points):
                break
            ex, ey = points[j, 0] - points[last, 0], points[j, 1] - points[last, 1]
            if ex * ex + ey * ey > gap * gap:
                break
            dx, dy = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            if step > 1 and dx * dx + dy * dy > NORMAL_RADIUS_M**2:
                break
            n += 1
            sx, sy = sx + dx, sy + dy
            sxx, sxy, syy = sxx + dx * dx, sxy + dx * dy, syy + dy * dy
            last = j
    if n < 3:
        return 0.0, 0.0, 0.0
    cxx, cxy, cyy = sxx - sx * sx / n, sxy - sx * sy / n, syy - sy * sy / n
    mean, d = 0.5 * (cxx + cyy), 0.5 * (cxx - cyy)
    half = math.sqrt(d * d + cxy * cxy)
    if not mean - half < FLATNESS * (mean + half):
        return 0.0, 0.0, 0.0
    # Along the surface points the eigenvector of the larger eigenvalue, mean + half.
    x, y = (half + d, cxy) if d > 0.0 else (cxy, half - d)
    length = math.sqrt(x * x + y * y)
    nx, ny = -y / length, x / length
    return nx, ny, (nx * sx + ny * sy) / n if n >= AVERAGED else 0.0


@njit(cache=True, nogil=True)
def _spaced(points: NDArray[np.float64], spacing_m: float) -> NDArray[np.int64]:
    """Indices of points that lie at least ``spacing_m`` from the one kept before."""
    kept = np.empty(len(points), np.int64)
    count = 0
    x, y = math.inf, math.inf
    for i in range(len(points)):
        dx, dy = points[i, 0] - x, points[i, 1] - y
        if not dx * dx + dy * dy < spacing_m * spacing_m:
            kept[count] = i
            count += 1
            x, y = points[i, 0], points[i, 1]
    return kept[:count]


@njit(cache=True, nogil=True)
def _oriented(
    points: NDArray[np.float64], chosen: NDArray[np.int64], T_base_laser: NDArray[np.float64], spacing_rad: float
) -> NDArray[np.float64]:
    """The chosen points with their normals turned towards the sensor: (K, 4) x, y, nx, ny."""
    made = np.empty((len(chosen), 4))
    for k in range(len(chosen)):
        i = chosen[k]
        nx, ny, off = _surface(points, i, spacing_rad)
        x, y = points[i, 0] + off * nx, points[i, 1] + off * ny
        if nx * (T_base_laser[0] - x) + ny * (T_base_laser[1] - y) < 0.0:
            nx, ny = -nx, -ny
        made[k, 0], made[k, 1], made[k, 2], made[k, 3] = x, y, nx, ny
    return made


def surface_points(
    scan: LaserScan, twist: NDArray[np.float64], spacing_m: float, max_range_m: float
) -> NDArray[np.float64]:
    """Points of a scan at least ``spacing_m`` apart along it, with normals towards the sensor.

    Returns (K, 4) float64 ``x, y, nx, ny`` in the base frame in the middle of the scan; the normal is (0, 0)
    where the neighbourhood is no surface. ``twist`` is the base's velocity ``vx, vy, wz`` (m/s, rad/s), by which
    every ray is moved to that moment.
    """
    longest = min(scan.range_max_m, max_range_m)
    points = _measured(
        scan.ranges_m,
        (scan.angle_min_rad, scan.angle_increment_rad),
        (scan.range_min_m, longest),
        scan.T_base_laser,
        twist,
        scan.time_increment_s,
    )
    return _oriented(points, _spaced(points, spacing_m), scan.T_base_laser, abs(scan.angle_increment_rad))
