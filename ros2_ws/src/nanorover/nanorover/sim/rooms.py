"""A square building cut into furnished rooms, for measuring localization: every place looks a little different."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.sim.buildings import box, furniture, wall_with_doors

DOOR_M = 0.9
# Rooms are cut until their longer side is at most this.
LARGEST_M = 7.0


@dataclass(frozen=True, eq=False)
class Rooms:
    """Walls (N, 4) ``x1, y1, x2, y2``, and the rooms (M, 4) ``x0, y0, x1, y1``, in metres."""

    walls: NDArray[np.float64]
    rooms: NDArray[np.float64]

    def places(self, rng: np.random.Generator, room: int, count: int, clear_m: float = 0.4) -> NDArray[np.float64]:
        """Random poses (count, 3) in a room at least ``clear_m`` from everything."""
        x0, y0, x1, y1 = self.rooms[room]
        found: list[NDArray[np.float64]] = []
        while len(found) < count:
            pose = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1), rng.uniform(-math.pi, math.pi)])
            if distance_m(self.walls, pose) > clear_m:
                found.append(pose)
        return np.array(found)


def distance_m(walls: NDArray[np.float64], place: NDArray[np.float64]) -> float:
    """From x, y to the nearest wall."""
    start, along = walls[:, :2], walls[:, 2:] - walls[:, :2]
    part = ((place[:2] - start) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-12)
    nearest = start + along * np.clip(part, 0.0, 1.0)[:, None]
    return float(np.hypot(*(nearest - place[:2]).T).min())


def building(rng: np.random.Generator, size_m: float = 25.0) -> Rooms:
    """Rooms of 3 to 7 m with doors between them and a few pieces of furniture in each."""
    walls = box(size_m / 2, size_m / 2, size_m, size_m)
    waiting, rooms = [(0.0, 0.0, size_m, size_m)], []
    while waiting:
        x0, y0, x1, y1 = waiting.pop()
        width, height = x1 - x0, y1 - y0
        if max(width, height) <= LARGEST_M:
            rooms.append((x0, y0, x1, y1))
            continue
        part = rng.uniform(0.35, 0.65)
        if width > height:
            cut = x0 + part * width
            walls += wall_with_doors((cut, y0), (cut, y1), _doors(rng, height))
            waiting += [(x0, y0, cut, y1), (cut, y0, x1, y1)]
        else:
            cut = y0 + part * height
            walls += wall_with_doors((x0, cut), (x1, cut), _doors(rng, width))
            waiting += [(x0, y0, x1, cut), (x0, cut, x1, y1)]
    for x0, y0, x1, y1 in rooms:
        walls += furniture(rng, x0, y0, x1 - x0, y1 - y0, int(rng.integers(1, 5)))
    return Rooms(np.array(walls), np.array(rooms))


def _doors(rng: np.random.Generator, length_m: float) -> list[tuple[float, float, bool]]:
    """An open door every few metres of a wall."""
    count = max(round(length_m / 6.0), 1)
    step = length_m / count
    return [(k * step + rng.uniform(0.3, step - 0.3 - DOOR_M), DOOR_M, True) for k in range(count)]
