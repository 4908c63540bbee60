"""Every recording there is, against its reference and the truth it carries.

After a wanted change: ``nanorover replay tests/recordings/*.mcap ../shared/data/bags/* --update-references``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from data import recording
from nanorover.replay.cases import Case, replay
from nanorover.sim.recordings import RECORDINGS

REFERENCES = Path(__file__).parent / "references"


@dataclass(frozen=True)
class Row:
    """One recording: where it lies, and what its figures against the truth may be at most or must be at least."""

    name: str
    path: Callable[[], Path]
    at_most: dict[str, float] = field(default_factory=dict)
    at_least: dict[str, float] = field(default_factory=dict)


def shared(name: str) -> Row:
    return Row(name, lambda: recording(f"bags/{name}"))


SHIPPED_AT_MOST = {
    "trans_rmse_m": 0.05,
    "trans_max_m": 0.15,
    "rot_rmse_deg": 1.0,
    "tracks_rmse_m": 0.4,
    "tracks_of_nothing": 0.6,
}
SHIPPED_AT_LEAST = {
    "iou_occupied": 0.7,
    "iou_free": 0.85,
    "coverage": 0.5,
    "clearance_m": 0.1,
    "way_clearance_m": 0.08,
    "detections_found": 0.5,
    "detections_right": 0.35,
    "walkers_tracked": 0.8,
}
# Three mirrors as tall as a wardrobe stand in the family's apartment. A lidar sees the room once more behind
# them, and the map has it there: free space where the walls are, and ways through it. For a second somebody's legs
# fill the picture before the others, who count as near and open all the same.
MIRRORED_AT_LEAST = {
    "family": SHIPPED_AT_LEAST | {"iou_occupied": 0.5, "way_clearance_m": 0.0, "walkers_tracked": 0.75}
}

ROWS = (
    *(
        Row(s.name, lambda path=s.path: path, SHIPPED_AT_MOST, MIRRORED_AT_LEAST.get(s.name, SHIPPED_AT_LEAST))
        for s in RECORDINGS
    ),
    shared("ozmehak_diffdrive_scan_wheels"),
    shared("ydlidar_static_2022-05-07.bag"),
    shared("hokuyo_people_leg_tracker_demo.bag"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_recording(row):
    result = replay(Case(row.path(), REFERENCES))
    assert result.status == "passed", f"{result.status}: {result.message}"
    for name, limit in row.at_most.items():
        assert result.truth[name] <= limit, name
    for name, limit in row.at_least.items():
        assert result.truth[name] >= limit, name


def test_a_lidar_that_stands_still_stays_where_it_is():
    result = replay(Case(recording("bags/ydlidar_static_2022-05-07.bag"), REFERENCES))
    assert abs(result.now["slam/T_map_base"][:, :2]).max() < 0.03
    assert abs(result.now["slam/T_map_base"][:, 2]).max() < 0.02


def test_people_who_walk_do_not_move_a_lidar_that_stands():
    result = replay(Case(recording("bags/hokuyo_people_leg_tracker_demo.bag"), REFERENCES))
    assert abs(result.now["slam/T_map_base"][:, :2]).max() < 0.05
