"""Ways through a world whose map is known, for people, pets and scripted drives."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from nanorover.sim.truth import FREE, Grid

Point = tuple[float, float]


class Ways:
    """Shortest ways for a body of this radius, that rather keep ``comfort_m`` away from walls."""

    def __init__(self, grid: Grid, radius_m: float, comfort_m: float = 0.3) -> None:
        self.grid = grid
        self.clearance_m = distance_transform_edt(grid.cells == FREE) * grid.resolution_m - grid.resolution_m / 2
        self.open = self.clearance_m > radius_m
        self._numbers = np.full(grid.cells.shape, -1)
        self._cells = np.argwhere(self.open)
        self._numbers[tuple(self._cells.T)] = np.arange(len(self._cells))
        self._graph = self._edges(radius_m, comfort_m)

    def _edges(self, radius_m: float, comfort_m: float) -> coo_array:
        near = np.clip((radius_m + comfort_m - self.clearance_m) / comfort_m, 0.0, 1.0)
        price = 1.0 + 3.0 * near**2
        sources, targets, costs = [], [], []
        for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
            ahead = self._cells + step
            inside = np.all((ahead >= 0) & (ahead < self.grid.cells.shape), axis=1)
            here, there = self._cells[inside], ahead[inside]
            passable = self.open[tuple(there.T)]
            here, there = here[passable], there[passable]
            sources.append(self._numbers[tuple(here.T)])
            targets.append(self._numbers[tuple(there.T)])
            costs.append(math.hypot(*step) * (price[tuple(here.T)] + price[tuple(there.T)]) / 2)
        edges = (np.concatenate(sources), np.concatenate(targets))
        count = len(self._cells)
        return coo_array((np.concatenate(costs) * self.grid.resolution_m, edges), shape=(count, count)).tocsr()

    def nearest(self, point_m: Point) -> int:
        """The number of the open cell nearest to a point."""
        away = np.linalg.norm(self.grid.centres(self._cells) - point_m, axis=1)
        return int(np.argmin(away))

    def reachable(self, start_m: Point) -> NDArray[np.bool_]:
        """Mask ``(H, W)`` of the cells that can be reached."""
        from scipy.sparse.csgraph import connected_components

        _, component = connected_components(self._graph, directed=False)
        mask = np.zeros(self.open.shape, bool)
        mask[tuple(self._cells[component == component[self.nearest(start_m)]].T)] = True
        return mask

    def between(self, start_m: Point, goal_m: Point) -> list[Point] | None:
        """A way as points with straight lines between them, or None where there is none."""
        start, goal = self.nearest(start_m), self.nearest(goal_m)
        cost, before = dijkstra(self._graph, directed=False, indices=start, return_predecessors=True)
        if not np.isfinite(cost[goal]):
            return None
        chain = [goal]
        while chain[-1] != start:
            chain.append(before[chain[-1]])
        points = self.grid.centres(self._cells[chain[::-1]])
        return [(float(x), float(y)) for x, y in self._straightened(points)]

    def through(self, stops_m: list[Point]) -> list[Point] | None:
        """A way through all stops in order, or None."""
        way = [stops_m[0]]
        for start, goal in pairwise(stops_m):
            leg = self.between(start, goal)
            if leg is None:
                return None
            way += leg[1:]
        return way

    def _straightened(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Leave out points wherever the straight line is as comfortable as the way was."""
        kept = [0]
        while kept[-1] < len(points) - 1:
            here = kept[-1]
            ahead = min(len(points) - 1, here + 60)
            while ahead > here + 1 and not self._clear(points[here], points[ahead], points[here : ahead + 1]):
                ahead = max(here + 1, ahead - 3)
            kept.append(ahead)
        return points[kept]

    def _clear(self, a: NDArray[np.float64], b: NDArray[np.float64], way: NDArray[np.float64]) -> bool:
        count = 2 + int(np.linalg.norm(b - a) / self.grid.resolution_m)
        line = self.grid.indices(a + np.linspace(0.0, 1.0, count)[:, None] * (b - a))
        passed = self.grid.indices(way)
        lowest = self.clearance_m[tuple(line.T)].min()
        return bool(self.open[tuple(line.T)].all() and lowest >= self.clearance_m[tuple(passed.T)].min() - 1e-9)
