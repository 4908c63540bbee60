"""Flat buildings for ``flatland``: walls (N, 4) as x1, y1, x2, y2, and ways through them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Building:
    """Walls (N, 4) and the waypoints (M, 2) of a drive that sees all of it and comes back."""

    walls: NDArray[np.float64]
    waypoints: NDArray[np.float64]


def box(x: float, y: float, width: float, height: float, yaw: float = 0.0) -> list[list[float]]:
    """The four sides of a box around x, y."""
    c, s = math.cos(yaw), math.sin(yaw)
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    points = [
        (x + 0.5 * (c * a * width - s * b * height), y + 0.5 * (s * a * width + c * b * height))
        for a, b in corners
    ]
    return [[*points[k], *points[(k + 1) % 4]] for k in range(4)]


def wall_with_doors(
    start: tuple[float, float], end: tuple[float, float], doors: list[tuple[float, float, bool]]
) -> list[list[float]]:
    """A wall with openings ``(distance from start, width, open)``; a closed door is a niche 0.12 m deep."""
    a, b = np.array(start), np.array(end)
    length = float(np.hypot(*(b - a)))
    along = (b - a) / length
    across = np.array([-along[1], along[0]])
    made, at = [], 0.0
    for distance, width, is_open in sorted(doors):
        left, right = a + along * distance, a + along * (distance + width)
        made.append([*(a + along * at), *left])
        if not is_open:
            back_left, back_right = left + 0.12 * across, right + 0.12 * across
            made += [[*left, *back_left], [*back_left, *back_right], [*back_right, *right]]
        at = distance + width
    made.append([*(a + along * at), *b])
    return made


def furniture(
    rng: np.random.Generator, x: float, y: float, width: float, height: float, count: int
) -> list[list[float]]:
    """Boxes scattered in a rectangle that begins at x, y."""
    made: list[list[float]] = []
    for _ in range(count):
        made += box(
            x + rng.uniform(0.15, 0.85) * width,
            y + rng.uniform(0.15, 0.85) * height,
            rng.uniform(0.2, 0.9),
            rng.uniform(0.2, 0.7),
            rng.uniform(0.0, math.pi),
        )
    return made


def ring(
    rng: np.random.Generator, outer: tuple[float, float], corridor_m: float, every_m: float, open_part: float
) -> list[list[float]]:
    """A rectangular corridor with doors on both sides; rooms with furniture lie behind the open ones."""
    width, height = outer
    made: list[list[float]] = []
    inner = (corridor_m, corridor_m, width - corridor_m, height - corridor_m)
    outside = [
        ((width, 0.0), (0.0, 0.0)),
        ((width, height), (width, 0.0)),
        ((0.0, height), (width, height)),
        ((0.0, 0.0), (0.0, height)),
    ]
    inside = [
        ((inner[0], inner[1]), (inner[2], inner[1])),
        ((inner[2], inner[1]), (inner[2], inner[3])),
        ((inner[2], inner[3]), (inner[0], inner[3])),
        ((inner[0], inner[3]), (inner[0], inner[1])),
    ]
    for start, end in [*outside, *inside]:
        length = math.hypot(end[0] - start[0], end[1] - start[1])
        doors = [
            (at + rng.uniform(-0.3, 0.3), 0.9, bool(rng.random() < open_part))
            for at in np.arange(1.5 + rng.uniform(0.0, 1.0), length - 2.0, every_m)
        ]
        made += wall_with_doors(start, end, doors)
        made += _rooms(rng, start, end, doors)
    return made


def _rooms(
    rng: np.random.Generator,
    start: tuple[float, float],
    end: tuple[float, float],
    doors: list[tuple[float, float, bool]],
) -> list[list[float]]:
    """A room behind every open door, on the left of the wall's direction (where the niches are)."""
    made: list[list[float]] = []
    a, b = np.array(start), np.array(end)
    along = (b - a) / np.hypot(*(b - a))
    across = np.array([-along[1], along[0]])
    for distance, width, is_open in doors:
        if not is_open:
            continue
        depth, half = rng.uniform(2.5, 4.0), rng.uniform(1.2, 1.6)
        middle = a + along * (distance + width / 2) + across * (depth / 2 + 0.1)
        angle = math.atan2(along[1], along[0])
        corners = [
            middle + along * i * half + across * j * depth / 2 for i, j in ((-1, -1), (-1, 1), (1, 1), (1, -1))
        ]
        made += [[*corners[k], *corners[k + 1]] for k in range(3)]
        for _ in range(int(rng.integers(1, 4))):
            spot = middle + along * rng.uniform(-0.8, 0.8) * half + across * rng.uniform(-0.2, 0.8) * depth / 2
            made += box(
                spot[0], spot[1], rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.6), angle + rng.uniform(-0.3, 0.3)
            )
    return made


def apartment(rng: np.random.Generator) -> Building:
    """A few rooms around a hall, 14 × 10 m; driven twice."""
    walls = [*box(7.0, 5.0, 14.0, 10.0)]
    walls += wall_with_doors((0.0, 5.0), (14.0, 5.0), [(2.5, 1.1, True), (7.0, 1.1, True), (11.5, 1.1, True)])
    walls += wall_with_doors((5.0, 5.0), (5.0, 10.0), [(2.2, 1.0, True)])
    walls += wall_with_doors((10.0, 5.0), (10.0, 10.0), [(1.8, 1.0, True)])
    for x, y, w, h in ((0.2, 8.6, 4.4, 1.0), (5.4, 8.6, 4.2, 1.0), (10.4, 8.6, 3.2, 1.0), (0.3, 0.2, 13.0, 1.0)):
        walls += furniture(rng, x, y, w, h, 3)
    lap = [
        (1.5, 2.5),
        (3.05, 3.2),
        (3.05, 6.2),
        (2.0, 7.7),
        (3.5, 7.7),
        (4.2, 7.7),
        (6.0, 7.7),
        (7.55, 7.0),
        (7.55, 6.2),
        (7.55, 3.6),
        (10.0, 2.5),
        (12.05, 3.4),
        (12.05, 6.2),
        (12.2, 7.4),
        (11.2, 7.3),
        (9.2, 7.3),
        (7.55, 6.4),
        (7.55, 3.4),
        (4.5, 2.5),
    ]
    return Building(np.array(walls), np.array([*lap, *lap, lap[0]]))


def office(rng: np.random.Generator) -> Building:
    """Corridors around a block of rooms, 32 × 22 m, with a cross corridor: loops of about 100 m, driven twice."""
    walls = ring(rng, (32.0, 22.0), 2.0, 4.0, 0.5)
    lap = [(1.0, 1.0), (31.0, 1.0), (31.0, 21.0), (1.0, 21.0), (1.0, 1.2)]
    back = [(1.0, 21.0), (31.0, 21.0), (31.0, 1.0), (1.0, 1.0)]
    return Building(np.array(walls), np.array([*lap, *lap[1:], *back, (8.0, 1.0)]))


def campus(rng: np.random.Generator) -> Building:
    """Corridors 200 m long with closed doors at even distances: a loop of about 560 m, then half of it again."""
    walls = ring(rng, (200.0, 80.0), 2.6, 5.0, 0.12)
    lap = [(1.3, 1.3), (198.7, 1.3), (198.7, 78.7), (1.3, 78.7), (1.3, 1.4)]
    return Building(np.array(walls), np.array([*lap, (198.7, 1.3), (198.7, 30.0)]))


BUILDINGS = {"apartment": apartment, "office": office, "campus": campus}
