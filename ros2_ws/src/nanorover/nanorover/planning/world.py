"""The whole map as a costmap: static cells from an occupancy grid, zones from mask files and drawn ones."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.mapping.grid import OccupancyGrid
from nanorover.mapping.map_files import load_map
from nanorover.planning.costmap import Costmap, Raster
from nanorover.planning.costmap_params import CostmapParams
from nanorover.planning.zones import Zone, cells_of
from nanorover.robot import RobotParams

SMALLEST_SHARE = 0.1  # of the full speed: the darkest grey of a speed zone slows, it does not stop


class Zones:
    """Where not to drive, by a mask over the map and by what is ``drawn``, and by a mask where to drive slowly."""

    def __init__(self, params: CostmapParams) -> None:
        self.keep_out = load_map(Path(params.keep_out_mask)) if params.keep_out_mask else None
        self.speed = load_map(Path(params.speed_mask)) if params.speed_mask else None
        self.drawn: Sequence[Zone] = ()

    @property
    def shut(self) -> bool:
        """Whether there is anywhere not to drive."""
        return self.keep_out is not None or bool(self.drawn)

    def apply(self, costmap: Costmap) -> None:
        """Write the zones into a costmap; beyond a mask's edge it says nothing."""
        costmap.keep_out = cells_of(self.drawn, costmap.raster)
        if self.keep_out is not None:
            costmap.keep_out |= _sampled(self.keep_out, costmap.raster, 0) >= costmap.params.occupied_from
        if self.speed is not None:
            slowness = np.clip(_sampled(self.speed, costmap.raster, 0), 0, 100)
            costmap.speed_share = np.maximum(SMALLEST_SHARE, 1.0 - slowness / 100.0).astype(np.float32)


def world_of(
    grid: OccupancyGrid, params: CostmapParams, robot: RobotParams, zones: Zones | None = None
) -> Costmap:
    """The costmap of a map. Raises InputError for a map that cannot be planned on."""
    x_m, y_m, yaw_rad = grid.T_map_origin
    if grid.cells.ndim != 2 or grid.cells.size == 0:
        raise InputError(f"the map has no cells: its shape is {grid.cells.shape}")
    if not (math.isfinite(grid.resolution_m) and grid.resolution_m > 0.0 and np.isfinite(grid.T_map_origin).all()):
        raise InputError(f"the map's resolution is {grid.resolution_m}, its origin {list(grid.T_map_origin)}")
    if abs(yaw_rad) > 1e-3:
        raise InputError(
            f"the map's origin is turned by {math.degrees(yaw_rad):.1f}°", "save the map with an origin of yaw 0"
        )
    costmap = Costmap(params, robot, Raster(float(x_m), float(y_m), float(grid.resolution_m), grid.cells.shape))
    costmap.static_lethal = grid.cells >= params.occupied_from
    costmap.unknown = grid.cells < 0
    if zones is not None:
        zones.apply(costmap)
    return costmap


def _sampled(mask: OccupancyGrid, raster: Raster, beyond: int) -> NDArray[np.int16]:
    """The mask's values at the middles of a raster's cells; its origin may be turned."""
    x = raster.x_m + (np.arange(raster.shape[1]) + 0.5) * raster.resolution_m - mask.T_map_origin[0]
    y = raster.y_m + (np.arange(raster.shape[0]) + 0.5) * raster.resolution_m - mask.T_map_origin[1]
    c, s = math.cos(mask.T_map_origin[2]), math.sin(mask.T_map_origin[2])
    column = np.floor(np.add.outer(s * y, c * x) / mask.resolution_m).astype(int)
    row = np.floor(np.add.outer(c * y, -s * x) / mask.resolution_m).astype(int)
    height, width = mask.cells.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    values = np.full(raster.shape, beyond, np.int16)
    values[inside] = mask.cells[row[inside], column[inside]]
    return values
