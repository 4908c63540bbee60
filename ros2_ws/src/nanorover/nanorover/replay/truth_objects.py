"""Detections, tracks and plans of a run against what was really there, where a simulated drive says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanorover.geometry.se2 import Pose, transform_points
from nanorover.replay.graph import Column
from nanorover.replay.records import CameraInfo, TrueBoxes, TrueMap, TrueObjects
from nanorover.replay.truth import least_distance_m

LEAST_IOU = 0.5
# A track farther than this from everything true is of nothing.
NEAR_M = 0.6
WALKERS = ("person", "cat", "dog")
# Walkers this near, with nothing between, count as those that should be tracked.
IN_REACH_M = 2.5


@dataclass(frozen=True)
class DetectionFigures:
    """Of the things that can fairly be seen the share that is found; of what is said the share that is right."""

    detections_found: float
    detections_right: float


@dataclass(frozen=True)
class TrackFigures:
    """Root mean square distance of tracks to the walkers they are of (None where there is no such track), the
    share of near and open walkers that are tracked, and the share of tracks with nothing true beneath them."""

    tracks_rmse_m: float | None
    walkers_tracked: float
    tracks_of_nothing: float


def detection_figures(
    detector: Mapping[str, Column], truth: Sequence[TrueBoxes], camera: CameraInfo
) -> DetectionFigures | None:
    """Matched per picture and class, the surest first, by overlap; None where no picture has its truth.

    Boxes that are not fair count neither when they are found nor when they are not.
    """
    found = right = said = fair = 0
    for boxes in truth:
        rows = np.flatnonzero(detector["stamp_ns"] == boxes.stamp_ns)
        true_px = boxes.boxes_m * np.tile(np.diag(camera.K)[:2], 2) + np.tile(camera.K[:2, 2], 2) + 0.5
        free = np.ones(len(true_px), bool)
        fair += int(boxes.fair.sum())
        for row in rows[np.argsort(-detector["score"][rows], kind="stable")]:
            same = free & (np.array(boxes.kinds) == detector["class_id"][row])
            overlap = np.where(same, _overlaps(detector["box_px"][row], true_px), 0.0)
            best = int(np.argmax(overlap)) if len(overlap) else -1
            if best >= 0 and overlap[best] >= LEAST_IOU:
                free[best] = False
                if not boxes.fair[best]:
                    continue
                found += 1
                right += 1
            said += 1
    if not truth or not fair:
        return None
    return DetectionFigures(found / fair, right / said if said else 1.0)


def _overlaps(box: NDArray[np.float32], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box ``(4,)`` with others ``(N, 4)``."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return np.asarray(shared / ((box[2:] - box[:2]).prod() + areas - shared))


class Whereabouts:
    """Where every true thing is at any time."""

    def __init__(self, truth: Sequence[TrueObjects]) -> None:
        said: dict[str, list[tuple[int, Pose]]] = {}
        self.kinds: dict[str, str] = {}
        for objects in truth:
            for name, kind, pose in zip(objects.names, objects.kinds, objects.T_map_object, strict=True):
                said.setdefault(name, []).append((objects.stamp_ns, pose))
                self.kinds[name] = kind
        self._ways = {
            name: (np.array([stamp for stamp, _ in way]), np.array([pose for _, pose in way]))
            for name, way in said.items()
        }

    def at(self, name: str, stamps_ns: Column) -> NDArray[np.float64]:
        """Its places ``(N, 2)`` at these times, straight between what was said."""
        known_ns, poses = self._ways[name]
        times = (stamps_ns - known_ns[0]) / 1e9
        return np.column_stack([np.interp(times, (known_ns - known_ns[0]) / 1e9, poses[:, k]) for k in (0, 1)])


def track_figures(
    fusion: Mapping[str, Column],
    scans_ns: Column,
    true_poses: NDArray[np.float64],
    truth: Sequence[TrueObjects],
    true_map: TrueMap,
    T_true_estimated: Pose,
) -> TrackFigures | None:
    """Judged at the scans ``scans_ns``, where the base was at ``true_poses`` ``(N, 3)``; None without walkers."""
    things = Whereabouts(truth)
    walkers = [name for name, kind in things.kinds.items() if kind in WALKERS]
    if not walkers or not len(fusion["stamp_ns"]):
        return None
    stamps_ns = fusion["stamp_ns"]
    at_m = transform_points(T_true_estimated, np.ascontiguousarray(fusion["state"][:, :2]))
    away_m = {name: np.hypot(*(things.at(name, stamps_ns) - at_m).T) for name in things.kinds}
    nearest_m = np.min(list(away_m.values()), axis=0)
    of_walker_m = np.min([away_m[name] for name in walkers], axis=0)
    errors_m = of_walker_m[of_walker_m < NEAR_M]
    expected = tracked = 0
    for name in walkers:
        walker_m = things.at(name, scans_ns)
        open_m = np.hypot(*(walker_m - true_poses[:, :2]).T) < IN_REACH_M
        for k in np.flatnonzero(open_m):
            if not _sees(true_map, true_poses[k, :2], walker_m[k]):
                continue
            expected += 1
            tracked += bool((away_m[name][stamps_ns == scans_ns[k]] < NEAR_M).any())
    return TrackFigures(
        float(np.sqrt((errors_m**2).mean())) if len(errors_m) else None,
        tracked / expected if expected else 1.0,
        float((nearest_m > NEAR_M).mean()),
    )


def _sees(true_map: TrueMap, eye_m: NDArray[np.float64], thing_m: NDArray[np.float64]) -> bool:
    """Whether nothing of the map lies between two places."""
    steps = np.linspace(0.0, 1.0, 2 + int(np.hypot(*(thing_m - eye_m)) / true_map.resolution_m))[:, None]
    return bool((least_distance_m(true_map, eye_m + steps * (thing_m - eye_m)) or 0.0) > 0.0)


def way_clearance_m(ways_m: Column, true_map: TrueMap, T_true_estimated: Pose) -> float | None:
    """The least distance of planned ways ``(N, W, 2)`` to anything in the true map; None without a plan."""
    points_m = ways_m.reshape(-1, 2).astype(np.float64)
    points_m = points_m[np.isfinite(points_m).all(axis=1)]
    return least_distance_m(true_map, transform_points(T_true_estimated, points_m)) if len(points_m) else None
