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
# Neighbours further apart than this many beam spacings lie on different things, unless they are in line.
GAP_SPACINGS = 6.0
GAP_MIN_M = 0.10
# A surface is flat when the scatter across it is below this part of the scatter along it.
FLATNESS = 0.15
# Where a flat surface is seen by at least this many points, a point is moved onto it: so their noise averages out.
# With fewer, far apart, the line through them is not the surface.
AVERAGED = 5
# Three neighbouring rays meet one wall, however far apart, when the point in the middle misses the line through
# the others by less than this part of the rays' spacing there: so where walls are seen at a flat angle.
IN_LINE = 0.12


@njit(cache=True, nogil=True)
def _step(twist: NDArray[np.float64], t: float, c: float, s: float) -> tuple[float, float, float, float]:
    """What a constant twist makes of a time: the step x, y, and cosine and sine of the turn.

    ``c, s`` are those of half the turn: turning half first makes the straight step exact to the third order.
    """
    return t * (c * twist[0] - s * twist[1]), t * (s * twist[0] + c * twist[1]), c * c - s * s, 2.0 * c * s


@njit(cache=True, nogil=True)
def _measured(
    ranges_m: NDArray[np.float32],
    angles: tuple[float, float],
    limits: tuple[float, float],
    T_base_laser: NDArray[np.float64],
    twist: NDArray[np.float64],
    time_increment_s: float,
) -> NDArray[np.float64]:
    """Valid points (K, 4): x, y in the base frame in the middle of the scan, the range, the time from then on."""
    points = np.empty((len(ranges_m), 4))
    count, middle = 0, 0.5 * (len(ranges_m) - 1)
    # Directions, and half of the turns, go on from ray to ray by multiplication, which spares sines and cosines.
    before = T_base_laser[2] + angles[0] - angles[1]
    ux, uy, cu, su = math.cos(before), math.sin(before), math.cos(angles[1]), math.sin(angles[1])
    half = 0.5 * twist[2] * time_increment_s
    before = -(middle + 1.0) * half
    hx, hy, ch, sh = math.cos(before), math.sin(before), math.cos(half), math.sin(half)
    moving = time_increment_s != 0.0 and (twist[0] != 0.0 or twist[1] != 0.0 or twist[2] != 0.0)
    for i in range(len(ranges_m)):
        ux, uy = cu * ux - su * uy, su * ux + cu * uy
        hx, hy = ch * hx - sh * hy, sh * hx + ch * hy
        r = float(ranges_m[i])
        if not (limits[0] < r < limits[1]):  # NaN and inf fail too
            continue
        x, y = T_base_laser[0] + r * ux, T_base_laser[1] + r * uy
        t = (i - middle) * time_increment_s
        if moving:
            dx, dy, c, s = _step(twist, t, hx, hy)
            x, y = dx + c * x - s * y, dy + s * x + c * y
        points[count, 0], points[count, 1], points[count, 2], points[count, 3] = x, y, r, t
        count += 1
    return points[:count]


@njit(cache=True, nogil=True)
def _in_line(points: NDArray[np.float64], i: int, spacing_rad: float) -> bool:
    """Whether point i and its two neighbours lie on one wall.

    Without a normal, points far along a corridor would fit best where they lie on the same points again, which
    holds the robot at its place.
    """
    if i < 1 or i >= len(points) - 1:
        return False
    ax, ay = points[i + 1, 0] - points[i - 1, 0], points[i + 1, 1] - points[i - 1, 1]
    bx, by = points[i, 0] - points[i - 1, 0], points[i, 1] - points[i - 1, 1]
    return abs(ax * by - ay * bx) < IN_LINE * spacing_rad * points[i, 2] * math.sqrt(ax * ax + ay * ay)


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
            if ex * ex + ey * ey > gap * gap and not (step == 1 and _in_line(points, i, spacing_rad)):
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
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of a scan at least ``spacing_m`` apart along it, with normals towards the sensor, and their times.

    The points (K, 4) float64 ``x, y, nx, ny`` are in the base frame in the middle of the scan; the normal is
    (0, 0) where the neighbourhood is no surface. ``twist`` is the base's velocity ``vx, vy, wz`` (m/s, rad/s), by
    which every ray is moved to that moment. The times (K,) count from that moment, in seconds.
    """
    longest = min(scan.range_max_m, max_range_m)
    measured = _measured(
        scan.ranges_m,
        (scan.angle_min_rad, scan.angle_increment_rad),
        (scan.range_min_m, longest),
        scan.T_base_laser,
        twist,
        scan.time_increment_s,
    )
    chosen = _spaced(measured, spacing_m)
    return _oriented(measured, chosen, scan.T_base_laser, abs(scan.angle_increment_rad)), measured[chosen, 3]


@njit(cache=True, nogil=True)
def bent(
    points: NDArray[np.float64], times_s: NDArray[np.float64], was: NDArray[np.float64], twist: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points (K, 4) made with the twist ``was`` as another twist has them.

    A point and the neighbours that gave it its normal are measured nearly at once, and move as one.
    """
    made = np.empty_like(points)
    for k in range(len(points)):
        t = times_s[k]
        before, now = 0.5 * was[2] * t, 0.5 * twist[2] * t
        x0, y0, c0, s0 = _step(was, t, math.cos(before), math.sin(before))
        x1, y1, c1, s1 = _step(twist, t, math.cos(now), math.sin(now))
        c, s = c1 * c0 + s1 * s0, s1 * c0 - c1 * s0
        x, y, nx, ny = points[k, 0] - x0, points[k, 1] - y0, points[k, 2], points[k, 3]
        made[k, 0], made[k, 1] = x1 + c * x - s * y, y1 + s * x + c * y
        made[k, 2], made[k, 3] = c * nx - s * ny, s * nx + c * ny
    return made
