"""What a person looks at: the map and path of a case, before and after, and where the path moved."""

from pathlib import Path

import numpy as np

from nanorover.files import replacing
from nanorover.mapping.draw import draw_map
from nanorover.mapping.grid import OccupancyGrid
from nanorover.replay.graph import Column
from nanorover.report import Figure


def draw_case(name: str, stem: Path, now: dict[str, Column], then: dict[str, Column]) -> list[Figure]:
    """Write the pictures of a case as ``<stem>_*.png``: the reference where there is one, now, and the change."""
    figures = []
    for title, columns in (("reference", then), ("now", now)):
        if "slam/end/cells" in columns:
            path = stem.with_name(f"{stem.name}_{title}.png")
            ends = {key.split("/")[-1]: column for key, column in columns.items() if "/end/" in key}
            grid = OccupancyGrid(ends["cells"], float(ends["resolution_m"]), ends["T_map_origin"])
            draw_map(path, grid, ends["T_map_base"])
            figures.append(Figure(f"{name}: {title}", path))
    if len(figures) == 2:
        path = stem.with_name(f"{stem.name}_moved.png")
        draw_moved(path, now, then)
        figures.append(Figure(f"{name}: how far the path has moved", path))
    return figures


def draw_moved(path: Path, now: dict[str, Column], then: dict[str, Column]) -> None:
    """A chart of the distance between the two paths over time."""
    from matplotlib import figure

    stamps_ns, ours, theirs = np.intersect1d(
        now["slam/end/stamps_ns"], then["slam/end/stamps_ns"], return_indices=True
    )
    apart_m = now["slam/end/T_map_base"][ours, :2] - then["slam/end/T_map_base"][theirs, :2]
    chart = figure.Figure(figsize=(9.0, 2.5), layout="constrained")
    axes = chart.subplots()
    axes.plot((stamps_ns - stamps_ns[:1]) / 1e9, np.hypot(*apart_m.T) * 1000.0, color="tab:orange")
    axes.set(xlabel="time [s]", ylabel="moved [mm]", ylim=(0.0, None))
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        chart.savefig(temporary, dpi=100)
