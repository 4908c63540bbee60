"""The occupancy grid of rays whose cells are known exactly."""

import math

import numpy as np
import pytest

from nanorover.mapping.grid import FREE, OCCUPIED, UNKNOWN, GridMap, OccupancyGrid, cropped

RESOLUTION_M = 0.05
RANGE_M = 25.03
ORIGIN = np.array([2.01, -3.02, 0.3])


def star(rays: int) -> np.ndarray:
    """Ends of rays to all sides as (N, 4) x, y, nx, ny in the base frame."""
    bearings = np.linspace(-math.pi, math.pi, rays, endpoint=False)
    directions = np.column_stack([np.cos(bearings), np.sin(bearings)])
    return np.concatenate([RANGE_M * directions, -directions], axis=1, dtype=np.float32)


def cell_at(grid, ray: np.ndarray, range_m: float) -> int:
    bearing = ORIGIN[2] + math.atan2(ray[1], ray[0])
    x, y = ORIGIN[0] + range_m * math.cos(bearing), ORIGIN[1] + range_m * math.sin(bearing)
    column, row = (np.floor((np.array([x, y]) - grid.T_map_origin[:2]) / grid.resolution_m)).astype(int)
    return int(grid.cells[row, column])


def test_one_wide_scan_is_stored_whole_and_can_be_taken_away_again():
    """It needs several times the tiles that the map has at first."""
    rays, mapped = star(72), GridMap(RESOLUTION_M)
    mapped.update([rays], ORIGIN[None], [np.zeros(3)])
    grid = mapped.grid()
    for ray in rays:
        assert cell_at(grid, ray, RANGE_M) == OCCUPIED
        assert all(cell_at(grid, ray, range_m) == FREE for range_m in np.arange(3.0, RANGE_M - 0.2, 0.5))
    elsewhere = ORIGIN + np.array([60.0, 0.0, 0.0])
    mapped.update([rays], elsewhere[None], [np.zeros(3)])
    assert np.count_nonzero(mapped.grid().cells == OCCUPIED) == np.count_nonzero(grid.cells == OCCUPIED)


def test_the_known_part_of_a_turned_map_stays_in_its_place():
    cells = np.full((20, 30), UNKNOWN, np.int8)
    cells[7, 11] = OCCUPIED
    part = cropped(OccupancyGrid(cells, 0.1, np.array([1.0, 2.0, math.pi / 2])))
    assert part.cells.shape == (5, 5) and part.cells[2, 2] == OCCUPIED
    # It begins 5 rows and 9 columns further on: 0.5 m to the left of the map, which looks up, and 0.9 m ahead.
    assert part.T_map_origin == pytest.approx([0.5, 2.9, math.pi / 2])
