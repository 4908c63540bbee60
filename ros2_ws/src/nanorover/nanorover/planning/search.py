"""Kernels of the any-angle search: lines over costs, a heap, a coarse cost-to-go, and Lazy Theta*.

Lengths are in cells. Stepping on a cell of cost c is ``1 + weight * c / INSCRIBED`` as long as on a free one;
cells from ``INSCRIBED`` on cannot be stepped on.

Sources: Nash, Koenig, Tovey, "Lazy Theta*: Any-Angle Path Planning and Path Length Analysis in 3D", AAAI 2010;
the lower resolution as heuristic follows Holte et al., "Hierarchical A*", AAAI 1996.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nanorover.planning.costmap import INSCRIBED

DIAGONAL = math.sqrt(2.0)
GREED = 1.05  # breaks the ties of equally long ways in favour of the one that was followed so far
POOL = 4  # cells of the map along the edge of one coarse cell
# Longer lines are broken, for every cell that is looked at walks its whole line; shortening joins them again.
LONGEST_LINE = 100.0

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@njit(cache=True, inline="always")
def _push(keys: Floats, items: NDArray[np.int32], size: int, key: float, item: int) -> int:
    """Push onto a binary heap."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] <= key:
            break
        keys[i], items[i] = keys[parent], items[parent]
        i = parent
    keys[i], items[i] = key, item
    return size + 1


@njit(cache=True)
def _pop(keys: Floats, items: NDArray[np.int32], size: int) -> int:
    """Take the top off a binary heap whose top was read before."""
    size -= 1
    key, item = keys[size], items[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[i], items[i] = keys[child], items[child]
        i = child
    keys[i], items[i] = key, item
    return size


@njit(cache=True)
def line_length(cost: Bytes, a: int, b: int, weight: float) -> float:
    """Weighted length of the straight line between the middles of two cells (flat indices); inf if blocked.

    Visits every cell that the line crosses (Amanatides and Woo, 1987), each with the length within it.
    """
    columns = cost.shape[1]
    row, column = a // columns, a % columns
    end_row, end_column = b // columns, b % columns
    d_row, d_column = end_row - row, end_column - column
    length = math.sqrt(d_row * d_row + d_column * d_column)
    if length == 0.0:
        return 0.0
    step_row, step_column = (1 if d_row > 0 else -1), (1 if d_column > 0 else -1)
    per_row = 1.0 / abs(d_row) if d_row != 0 else math.inf
    per_column = 1.0 / abs(d_column) if d_column != 0 else math.inf
    next_row, next_column = 0.5 * per_row, 0.5 * per_column
    at, total = 0.0, 0.0
    while True:
        c = cost[row, column]
        if c >= INSCRIBED:
            return math.inf
        leave = min(next_row, next_column, 1.0)
        total += (leave - at) * (1.0 + weight * c / INSCRIBED)
        if leave >= 1.0:
            return total * length
        at = leave
        if next_row < next_column:
            row += step_row
            next_row += per_row
        elif next_column < next_row:
            column += step_column
            next_column += per_column
        else:  # through a corner: both cells beside it must be free
            if cost[row + step_row, column] >= INSCRIBED or cost[row, column + step_column] >= INSCRIBED:
                return math.inf
            row += step_row
            column += step_column
            next_row += per_row
            next_column += per_column


@njit(cache=True)
def pooled(cost: Bytes) -> tuple[Floats, NDArray[np.bool_]]:
    """The map in blocks of ``POOL`` × ``POOL`` cells: mean length of a step, and whether two blocks touch.

    Steps are inf where nothing is passable. ``open[row, column]`` says whether passable cells lie side by side
    across the border to the next column ``[0]`` and to the next row ``[1]``. Walls of at least ``POOL`` + 1 cells,
    and inflated ones are, thus stay closed, and passages of a single cell stay open.
    """
    rows, columns = (cost.shape[0] + POOL - 1) // POOL, (cost.shape[1] + POOL - 1) // POOL
    total, count = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    is_open = np.zeros((rows, columns, 2), np.bool_)
    for row in range(cost.shape[0]):
        for column in range(cost.shape[1]):
            if cost[row, column] >= INSCRIBED:
                continue
            r, c = row // POOL, column // POOL
            total[r, c] += cost[row, column]
            count[r, c] += 1
            if column % POOL == POOL - 1 and column + 1 < cost.shape[1] and cost[row, column + 1] < INSCRIBED:
                is_open[r, c, 0] = True
            if row % POOL == POOL - 1 and row + 1 < cost.shape[0] and cost[row + 1, column] < INSCRIBED:
                is_open[r, c, 1] = True
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(math.inf)).astype(np.float32), is_open


@njit(cache=True)
def _passes(is_open: NDArray[np.bool_], row: int, column: int, dr: int, dc: int) -> bool:
    """Whether a step leads from block to block; a diagonal one goes round either corner."""
    if dr == 0 and dc == 0:
        return False
    across = column if dc > 0 else column - 1
    along = row if dr > 0 else row - 1
    if dr == 0:
        return is_open[row, across, 0]
    if dc == 0:
        return is_open[along, column, 1]
    return (is_open[along, column, 1] and is_open[row + dr, across, 0]) or (
        is_open[row, across, 0] and is_open[along, column + dc, 1]
    )


@njit(cache=True)
def cost_to_go(
    coarse: Floats, is_open: NDArray[np.bool_], goal_row: int, goal_column: int, weight: float
) -> Floats:
    """Dijkstra from the goal over the blocks; lengths in cells of the map, inf where unreachable."""
    rows, columns = coarse.shape
    to_go = np.full((rows, columns), np.float32(math.inf), np.float32)
    keys, items = np.empty(8 * rows * columns + 8, np.float32), np.empty(8 * rows * columns + 8, np.int32)
    to_go[goal_row, goal_column] = 0.0
    size = _push(keys, items, 0, 0.0, goal_row * columns + goal_column)
    while size > 0:
        key, item = keys[0], items[0]
        size = _pop(keys, items, size)
        row, column = item // columns, item % columns
        if key > to_go[row, column]:
            continue
        for r in range(max(0, row - 1), min(rows, row + 2)):
            for c in range(max(0, column - 1), min(columns, column + 2)):
                if not _passes(is_open, row, column, r - row, c - column):
                    continue
                length = POOL * (DIAGONAL if r != row and c != column else 1.0)
                total = key + length * (1.0 + weight * (coarse[row, column] + coarse[r, c]) / (2 * INSCRIBED))
                if total < to_go[r, c]:
                    to_go[r, c] = total
                    size = _push(keys, items, size, total, r * columns + c)
    return to_go


@njit(cache=True)
def _heuristic(to_go: Floats, row: int, column: int, goal_row: int, goal_column: int) -> float:
    """Length still to go: the coarse one between the middles of its cells, at least the straight line."""
    straight = math.sqrt((row - goal_row) ** 2 + (column - goal_column) ** 2)
    at_row, at_column = row // POOL, column // POOL
    coarse = to_go[at_row, at_column]
    if coarse == math.inf:
        return coarse
    # linear towards the neighbours on the side of the cell where the point lies
    off_row, off_column = (row + 0.5) / POOL - at_row - 0.5, (column + 0.5) / POOL - at_column - 0.5
    beside = to_go[min(max(at_row + (1 if off_row > 0 else -1), 0), to_go.shape[0] - 1), at_column]
    if beside < math.inf:
        coarse += abs(off_row) * (beside - to_go[at_row, at_column])
    beside = to_go[at_row, min(max(at_column + (1 if off_column > 0 else -1), 0), to_go.shape[1] - 1)]
    if beside < math.inf:
        coarse += abs(off_column) * (beside - to_go[at_row, at_column])
    return max(straight, GREED * coarse)


@njit(cache=True)
def _best_parent(
    cost: Bytes, g: Floats, closed: NDArray[np.bool_], s: int, hoped: int, weight: float
) -> tuple[int, float]:
    """The parent that reaches ``s`` cheapest, of the hoped-for one and the closed neighbours, and its length."""
    rows, columns = cost.shape
    row, column = s // columns, s % columns
    best, best_parent = g[hoped] + line_length(cost, hoped, s, weight), hoped
    for r in range(max(0, row - 1), min(rows, row + 2)):
        for c in range(max(0, column - 1), min(columns, column + 2)):
            n = r * columns + c
            if closed[n] and g[n] < best:
                total = g[n] + line_length(cost, n, s, weight)
                if total < best - 1e-3:
                    best, best_parent = total, n
    return best_parent, best


@njit(cache=True)
def lazy_theta_star(cost: Bytes, to_go: Floats, start: int, goal: int, weight: float) -> NDArray[np.int32]:
    """The way from start to goal as flat indices of its turning points; empty when there is none."""
    rows, columns = cost.shape
    goal_row, goal_column = goal // columns, goal % columns
    g = np.full(rows * columns, np.float32(math.inf), np.float32)
    parent = np.full(rows * columns, -1, np.int32)
    closed = np.zeros(rows * columns, np.bool_)
    keys, items = np.empty(1 << 16, np.float32), np.empty(1 << 16, np.int32)
    g[start], parent[start] = 0.0, start
    size = _push(keys, items, 0, 0.0, start)
    while size > 0 and not closed[goal]:
        s = items[0]
        size = _pop(keys, items, size)
        if closed[s]:
            continue
        if s != start:  # until now the line of sight to the parent was only hoped for
            p, length = _best_parent(cost, g, closed, s, parent[s], weight)
            if length == math.inf:
                continue
            g[s], parent[s] = length, p
        closed[s] = True
        p = parent[s]
        line = float(g[s] - g[p])
        row, column, p_row, p_column = s // columns, s % columns, p // columns, p % columns
        so_far = math.sqrt((row - p_row) ** 2 + (column - p_column) ** 2)
        if so_far > LONGEST_LINE:
            p, p_row, p_column, line, so_far = s, row, column, 0.0, 0.0
        for r in range(max(0, row - 1), min(rows, row + 2)):
            for c in range(max(0, column - 1), min(columns, column + 2)):
                n = r * columns + c
                h = _heuristic(to_go, r, c, goal_row, goal_column)
                if closed[n] or cost[r, c] >= INSCRIBED or h == math.inf:
                    continue
                # hoped for: the line to s and the step to n, made straight
                step = DIAGONAL if r != row and c != column else 1.0
                direct = math.sqrt((r - p_row) ** 2 + (c - p_column) ** 2)
                bent = line + step * (1.0 + weight * cost[r, c] / INSCRIBED)
                total = g[p] + bent * direct / (so_far + step)
                if total < g[n]:
                    g[n], parent[n] = total, p
                    if size + 1 >= len(keys):
                        keys = np.concatenate((keys, np.empty_like(keys)))
                        items = np.concatenate((items, np.empty_like(items)))
                    size = _push(keys, items, size, total + h, n)
    if not closed[goal]:
        return np.empty(0, np.int32)
    way = [goal]
    while way[-1] != start:
        way.append(parent[way[-1]])
    return np.array(way[::-1], dtype=np.int32)
