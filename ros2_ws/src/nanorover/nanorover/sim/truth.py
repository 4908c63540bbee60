"""What is really there: the map at the lidar's height and the things with their places."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.geometry.se2 import Pose
from nanorover.sim.scene import Scene
from nanorover.sim.solids import Solid

FREE, OCCUPIED, UNKNOWN = 0, 100, -1
# Around the world's walls, so that they are whole on the map.
MARGIN_M = 0.5


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells ``(H, W)`` int8 as an occupancy grid has them (row 0 is the lowest y), and their lower-left corner."""

    cells: NDArray[np.int8]
    resolution_m: float
    origin_m: tuple[float, float]

    def indices(self, points_m: NDArray[np.float64]) -> NDArray[np.int64]:
        """Row and column ``(N, 2)`` of the cells that hold these points ``(N, 2)``, which may lie outside."""
        return np.floor((np.atleast_2d(points_m) - self.origin_m) / self.resolution_m).astype(np.int64)[:, ::-1]

    def centres(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Points ``(N, 2)`` in the middle of cells ``(N, 2)`` given as row and column."""
        return np.asarray((cells[:, ::-1] + 0.5) * self.resolution_m + self.origin_m, dtype=np.float64)

    def at(self, point_m: tuple[float, float]) -> int:
        """The cell at a point; UNKNOWN outside."""
        row, column = self.indices(np.array(point_m))[0]
        inside = 0 <= row < self.cells.shape[0] and 0 <= column < self.cells.shape[1]
        return int(self.cells[row, column]) if inside else UNKNOWN


@dataclass(frozen=True)
class TrueObject:
    """A thing: its class, where it stands (``T_map_object``) and its size (ahead, across, up)."""

    name: str
    kind: str
    pose: Pose
    size_m: tuple[float, float, float]


def solid_grid(
    solids: list[Solid], size_m: tuple[float, float], resolution_m: float, heights_m: tuple[float, ...]
) -> Grid:
    """Occupied is every cell whose square shares area with the cut of a solid at one of these heights."""
    origin = (-MARGIN_M, -MARGIN_M)
    shape = [int(np.ceil((extent + 2 * MARGIN_M) / resolution_m)) for extent in (size_m[1], size_m[0])]
    grid = Grid(np.zeros(shape, np.int8), resolution_m, origin)
    for solid in solids:
        for height_m in heights_m:
            outline = solid.outline(height_m)
            if outline is not None:
                _mark(grid, outline)
    return grid


def _mark(grid: Grid, outline: NDArray[np.float64]) -> None:
    """Mark the cells that overlap a convex polygon, by the separating axis theorem."""
    limits = np.array(grid.cells.shape) - 1
    low = np.clip(grid.indices(outline.min(axis=0))[0], 0, limits)
    high = np.clip(grid.indices(outline.max(axis=0))[0], 0, limits)
    rows, columns = (np.arange(a, b + 1) for a, b in zip(low, high, strict=True))
    cells = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    centres = grid.centres(cells)
    half = grid.resolution_m / 2
    edges = np.roll(outline, -1, axis=0) - outline
    axes = np.vstack([np.eye(2), np.column_stack([edges[:, 1], -edges[:, 0]])])
    reach = half * np.abs(axes).sum(axis=1)
    spans = outline @ axes.T
    middles = centres @ axes.T
    touching = (middles + reach > spans.min(axis=0) + 1e-9) & (middles - reach < spans.max(axis=0) - 1e-9)
    hit = cells[touching.all(axis=1)]
    grid.cells[hit[:, 0], hit[:, 1]] = OCCUPIED


def true_map(scene: Scene, *heights_m: float, resolution_m: float = 0.05) -> Grid:
    """The map as perfect lidars at these heights would draw it: what cannot be reached from the robot's start is
    unknown.

    Raises InputError where the robot would start inside something.
    """
    from scipy.ndimage import label

    solids = [solid for _, group in scene.fixed_solids() for solid in group]
    grid = solid_grid(solids, scene.size_m, resolution_m, heights_m)
    regions, _ = label(grid.cells == FREE)
    row, column = grid.indices(np.array(scene.robot.at_m))[0]
    inside = 0 <= row < grid.cells.shape[0] and 0 <= column < grid.cells.shape[1]
    region = regions[row, column] if inside else 0
    if region == 0:
        raise InputError(
            f"scene {scene.name}: the robot at {scene.robot.at_m} stands inside something",
            "move robot.at_m to a free place",
        )
    grid.cells[(grid.cells == FREE) & (regions != region)] = UNKNOWN
    return grid
