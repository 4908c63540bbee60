"""Costmaps: what stands where, how near one may come, and how fast one may drive there.

A map is layered: the static map, obstacles that the lidar marks and clears, zones, and objects known by class
(``semantics.py``). Cells are ``[row, column]`` from the lowest y and x; costs are as Nav2 has them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, transform_points
from nanorover.planning.costmap_params import CostmapParams
from nanorover.planning.distances import squared_cells
from nanorover.planning.scan_points import RETURN, SILENT, Beams
from nanorover.robot import RobotParams

FREE, INSCRIBED, LETHAL, UNKNOWN = 0, 253, 254, 255
SUBCELLS = 1 << 20  # of the steps along a beam, which are counted in whole numbers
NO_CIRCLES = np.zeros((0, 3))


@dataclass(frozen=True)
class Raster:
    """Where a grid lies: the outer corner of cell [0, 0] in the map frame, and the cell's edge."""

    x_m: float
    y_m: float
    resolution_m: float
    shape: tuple[int, int]

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """``(row, column)`` of a point, which may lie outside."""
        return (
            math.floor((y - self.y_m) / self.resolution_m),
            math.floor((x - self.x_m) / self.resolution_m),
        )

    def cells_within(
        self, points_m: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], tuple[NDArray[np.int_], NDArray[np.int_]]]:
        """Which of the points ``(N, 2)`` lie within, and the rows and columns of those."""
        cells = np.floor((points_m - (self.x_m, self.y_m)) / self.resolution_m).astype(int)
        within = np.all((cells >= 0) & (cells < (self.shape[1], self.shape[0])), axis=1)
        return within, (cells[within, 1], cells[within, 0])

    def contains(self, x: float, y: float) -> bool:
        """Whether a finite point lies within."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return False
        row, column = self.cell(x, y)
        return 0 <= row < self.shape[0] and 0 <= column < self.shape[1]

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """The middle of a cell."""
        return self.x_m + (column + 0.5) * self.resolution_m, self.y_m + (row + 0.5) * self.resolution_m


@dataclass(frozen=True)
class Window:
    """Rows and columns ``[first, end)`` of a part of a grid."""

    row: int
    row_end: int
    column: int
    column_end: int

    def grown(self, cells: int, shape: tuple[int, int]) -> "Window":
        """The window with a margin, within the grid."""
        return Window(
            max(0, self.row - cells),
            min(shape[0], self.row_end + cells),
            max(0, self.column - cells),
            min(shape[1], self.column_end + cells),
        )

    @property
    def of(self) -> tuple[slice, slice]:
        """As an index."""
        return slice(self.row, self.row_end), slice(self.column, self.column_end)

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return self.row >= self.row_end or self.column >= self.column_end


@njit(cache=True)
def _mark_and_clear(
    seen_s: NDArray[np.float32],
    ends: NDArray[np.float64],
    kinds: NDArray[np.uint8],
    origin: tuple[float, float],
    ranges: tuple[float, float, float, float],
    ignored: NDArray[np.float64],
    now_s: float,
) -> None:
    """Clear along the beams, then mark their ends; everything in cells. ``ignored`` circles are not marked."""
    rows, columns = seen_s.shape
    marking, clearing, blind, touching = ranges
    for i in range(len(ends)):
        if kinds[i] == SILENT:
            continue
        dx, dy = ends[i, 0] - origin[0], ends[i, 1] - origin[1]
        length = math.hypot(dx, dy)
        if length == 0.0:  # too near, of a lidar whose least range is 0
            continue
        # a beam that hit something must not clear the cell that it hit, nor its neighbour
        reach = min(clearing, length - 1.0 if kinds[i] == RETURN else length)
        # equal steps of half a cell visit every cell that the beam crosses more than grazingly
        steps = int(2.0 * reach)
        entered = False
        # what the robot could touch by turning and the lidar is too near to see could not be marked again: only
        # driving on or forgetting clears it
        first = int(2.0 * (blind if kinds[i] != RETURN else touching))
        x_step, y_step = int(0.5 * dx / length * SUBCELLS), int(0.5 * dy / length * SUBCELLS)
        x, y = int(origin[0] * SUBCELLS) + first * x_step, int(origin[1] * SUBCELLS) + first * y_step
        for _ in range(first, steps):
            column, row = x // SUBCELLS, y // SUBCELLS
            x, y = x + x_step, y + y_step
            if 0 <= row < rows and 0 <= column < columns:
                seen_s[row, column] = -math.inf
                entered = True
            elif entered:
                break
    for i in range(len(ends)):
        x, y = ends[i, 0], ends[i, 1]
        if kinds[i] != RETURN or math.hypot(x - origin[0], y - origin[1]) > marking:
            continue
        column, row = math.floor(x), math.floor(y)
        wanted = 0 <= row < rows and 0 <= column < columns
        for circle in ignored:
            wanted = wanted and math.hypot(x - circle[0], y - circle[1]) > circle[2]
        if wanted:
            seen_s[row, column] = now_s


@njit(cache=True)
def _inflate(
    squares: NDArray[np.uint32],
    barred: NDArray[np.bool_],
    tables: tuple[NDArray[np.float32], NDArray[np.uint8]],
    distance_m: NDArray[np.float32],
    cost: NDArray[np.uint8],
) -> None:
    """Distances and costs by tables over the squared distance in cells; ``barred`` cells cost ``UNKNOWN``."""
    for row in range(squares.shape[0]):
        for column in range(squares.shape[1]):
            square = squares[row, column]
            value = tables[1][square]
            distance_m[row, column] = tables[0][square]
            cost[row, column] = UNKNOWN if value < INSCRIBED and barred[row, column] else value


def _tables(
    params: CostmapParams, inscribed_m: float, resolution_m: float, reach: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Distance and cost by the squared distance in cells: inscribed, then falling exponentially, nothing from the
    inflation radius on."""
    d = np.sqrt(np.arange((reach + 1) ** 2 + 1)) * resolution_m
    falling = (INSCRIBED - 1) * np.exp(-params.inflation_rate_1_m * (d - inscribed_m))
    cost = falling.round().clip(0, INSCRIBED - 1).astype(np.uint8)
    cost[d <= inscribed_m] = INSCRIBED
    cost[d >= params.inflation_radius_m] = FREE
    cost[0] = LETHAL
    return np.minimum(d, params.inflation_radius_m).astype(np.float32), cost


class Costmap:
    """One grid of costs. ``cost`` and ``distance_m`` (to the nearest lethal cell, up to the inflation radius)
    are kept up to date by ``refresh`` in the window that changed. ``unknown`` is what the map does not know, also
    where that may be driven through.
    """

    def __init__(self, params: CostmapParams, robot: RobotParams, raster: Raster) -> None:
        self.params, self.robot, self.raster = params, robot, raster
        shape = raster.shape
        self.static_lethal = np.zeros(shape, bool)
        self.unknown = np.zeros(shape, bool)
        self.keep_out = np.zeros(shape, bool)
        self.speed_share = np.ones(shape, np.float32)
        self.seen_s = np.full(shape, -np.inf, np.float32)
        self.distance_m = np.full(shape, params.inflation_radius_m, np.float32)
        self.cost = np.zeros(shape, np.uint8)
        self.start_s: float | None = None
        self._reach_m = float(np.hypot(*robot.polygon().T).max())
        step = raster.resolution_m / 2.0
        xs = np.arange(-robot.footprint_rear_m, robot.footprint_front_m + step, step)
        ys = np.arange(-robot.half_width_m, robot.half_width_m + step, step)
        self._inside = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
        self._reach = math.ceil(params.inflation_radius_m / raster.resolution_m)
        self._tables = _tables(params, robot.inscribed_radius_m, raster.resolution_m, self._reach)

    @property
    def whole(self) -> Window:
        """The window of everything."""
        return Window(0, self.raster.shape[0], 0, self.raster.shape[1])

    def observe(
        self, beams: Beams, T_map_base: Pose, now_s: float, ignored: NDArray[np.float64] = NO_CIRCLES
    ) -> Window:
        """Mark and clear by one scan; the window that may have changed, for ``refresh``.

        ``ignored`` is ``(M, 3)``: x, y, radius in the map frame; returns in these circles belong to what moves
        and is handled as an object. ``now_s`` is any clock that does not run backwards.
        """
        r, p = self.raster, self.params
        if self.start_s is None:
            self.start_s = now_s  # single precision holds hours since the start, not years since 1970
        origin = transform_points(T_map_base, beams.origin_m[None])[0]
        corner = np.array([r.x_m, r.y_m])
        ends = (transform_points(T_map_base, beams.ends_m) - corner) / r.resolution_m
        at = (origin - corner) / r.resolution_m
        circles = np.column_stack([ignored[:, :2] - corner, ignored[:, 2]]) / r.resolution_m
        cells = 1.0 / r.resolution_m
        touching_m = min(beams.blind_m, self._reach_m + r.resolution_m)
        ranges = (p.marking_range_m * cells, p.clearing_range_m * cells, beams.blind_m * cells, touching_m * cells)
        _mark_and_clear(self.seen_s, ends, beams.kinds, (at[0], at[1]), ranges, circles, now_s - self.start_s)
        self._clear_footprint(T_map_base)
        reach = int(max(ranges)) + 2
        row, column = r.cell(*origin)
        return Window(row, row + 1, column, column + 1).grown(reach, r.shape)

    def remind(self, points_m: NDArray[np.float64], until_s: NDArray[np.float64]) -> None:
        """Mark points ``(N, 2)`` that no beam shows as obstacles until ``until_s`` ``(N,)``, after ``observe``."""
        start_s = self.start_s or 0.0
        within, at = self.raster.cells_within(points_m)
        self.seen_s[at] = np.maximum(self.seen_s[at], until_s[within] - self.params.forget_s - start_s)

    def refresh(self, window: Window, now_s: float) -> None:
        """Bring distances and costs up to date in the window and as far around it as it reaches."""
        if window.empty:
            return
        changed = window.grown(self._reach, self.raster.shape)
        source = changed.grown(self._reach, self.raster.shape)
        squares = squared_cells(self._lethal(source, now_s), self._reach)
        inner = squares[
            changed.row - source.row : changed.row_end - source.row,
            changed.column - source.column : changed.column_end - source.column,
        ]
        of = changed.of
        barred = np.zeros_like(inner, bool) if self.params.unknown_is_free else self.unknown[of]
        _inflate(inner, barred, self._tables, self.distance_m[of], self.cost[of])

    def forget(self, now_s: float) -> Window:
        """Drop obstacles that were not seen for long; the window of what was dropped."""
        if self.start_s is None:
            return Window(0, 0, 0, 0)
        old = np.isfinite(self.seen_s) & (self.seen_s < now_s - self.start_s - self.params.forget_s)
        rows, columns = np.nonzero(old)
        if len(rows) == 0:
            return Window(0, 0, 0, 0)
        self.seen_s[rows, columns] = -np.inf
        return Window(int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1)

    def clear(self, kept: tuple[float, float, float] | None = None) -> None:
        """Forget every obstacle that the lidar marked, but for those in the circle x, y, radius."""
        rows, columns = np.nonzero(np.isfinite(self.seen_s))
        if kept is not None:
            r = self.raster
            dx, dy = (
                r.x_m + (columns + 0.5) * r.resolution_m - kept[0],
                r.y_m + (rows + 0.5) * r.resolution_m - kept[1],
            )
            away = np.hypot(dx, dy) > kept[2]
            rows, columns = rows[away], columns[away]
        self.seen_s[rows, columns] = -np.inf

    def marked(self, window: Window, now_s: float) -> NDArray[np.bool_]:
        """Cells of the window where the lidar saw something lately."""
        since_s = now_s - (self.start_s if self.start_s is not None else now_s)
        return self.seen_s[window.of] >= np.float32(since_s - self.params.forget_s)

    def _lethal(self, window: Window, now_s: float) -> NDArray[np.bool_]:
        return self.marked(window, now_s) | self.static_lethal[window.of] | self.keep_out[window.of]

    def _clear_footprint(self, T_map_base: Pose) -> None:
        """Where the robot stands nothing else can stand: marks there are its own or gone."""
        _, at = self.raster.cells_within(transform_points(T_map_base, self._inside))
        self.seen_s[at] = -np.inf

    def cost_at(self, x: float, y: float) -> int:
        """The cost of a point; unknown outside."""
        if not self.raster.contains(x, y):
            return UNKNOWN
        return int(self.cost[self.raster.cell(x, y)])


class LocalCostmap(Costmap):
    """A fine map that rolls with the robot. The static map speaks only where the lidar does not see the same wall,
    so that a small error of the pose does not make two walls of one.
    """

    def __init__(self, params: CostmapParams, robot: RobotParams) -> None:
        cells = math.ceil(params.local_size_m / params.local_resolution_m)
        super().__init__(params, robot, Raster(0.0, 0.0, params.local_resolution_m, (cells, cells)))

    def follow(self, T_map_base: Pose, world: Costmap | None) -> None:
        """Keep the robot near the middle; ``world`` gives static cells and zones."""
        r = self.raster
        half = r.shape[0] * r.resolution_m / 2.0
        off_x, off_y = T_map_base[0] - r.x_m - half, T_map_base[1] - r.y_m - half
        if max(abs(off_x), abs(off_y)) > half / 8.0:
            columns, rows = round(off_x / r.resolution_m), round(off_y / r.resolution_m)
            self.seen_s = shifted(self.seen_s, rows, columns, -np.inf)
            self.raster = Raster(
                r.x_m + columns * r.resolution_m, r.y_m + rows * r.resolution_m, r.resolution_m, r.shape
            )
            if world is not None:
                self.sample(world)

    def sample(self, world: Costmap) -> None:
        """Take static cells and zones from the whole map; beyond its edge everything is unknown."""
        r, w = self.raster, world.raster
        at = (np.arange(r.shape[0]) + 0.5) * r.resolution_m
        rows = np.floor((r.y_m + at - w.y_m) / w.resolution_m).astype(int)
        columns = np.floor((r.x_m + at - w.x_m) / w.resolution_m).astype(int)
        outside = ~np.outer((rows >= 0) & (rows < w.shape[0]), (columns >= 0) & (columns < w.shape[1]))
        index = np.ix_(np.clip(rows, 0, w.shape[0] - 1), np.clip(columns, 0, w.shape[1] - 1))
        self.static_lethal = world.static_lethal[index] & ~outside
        self.unknown = world.unknown[index] | outside
        self.keep_out = world.keep_out[index] & ~outside
        self.speed_share = np.where(outside, np.float32(1.0), world.speed_share[index])

    def _lethal(self, window: Window, now_s: float) -> NDArray[np.bool_]:
        seen = self.marked(window, now_s)
        static = self.static_lethal[window.of]
        if static.any() and seen.any():
            same_wall = self.params.same_wall_m / self.raster.resolution_m
            static = static & (squared_cells(seen, math.ceil(same_wall)) > same_wall**2)
        return seen | static | self.keep_out[window.of]


def shifted(grid: NDArray, rows: int, columns: int, fill: float) -> NDArray:
    """The grid seen through a window moved by ``rows`` and ``columns``; what comes in is ``fill``."""
    moved = np.full_like(grid, fill)
    height, width = grid.shape
    if abs(rows) < height and abs(columns) < width:
        to_row, to_column = max(0, -rows), max(0, -columns)
        from_row, from_column = max(0, rows), max(0, columns)
        tall, wide = height - abs(rows), width - abs(columns)
        moved[to_row : to_row + tall, to_column : to_column + wide] = grid[
            from_row : from_row + tall, from_column : from_column + wide
        ]
    return moved
