"""Scans, poses and detections → tracked objects."""

from collections.abc import Iterator, Mapping
from typing import Any

from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.fusion.measurements import Camera, Detection
from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.frames import FrameTree
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.params import load
from nanorover.planning.navigator import Navigator, load_settings
from nanorover.planning.warm_up import warm_up
from nanorover.replay.graph import Several
from nanorover.replay.parts.detector import Detections
from nanorover.replay.parts.motion import Motion
from nanorover.replay.parts.slam import MapSoFar
from nanorover.replay.records import BASE_FRAME, CameraInfo, StaticTransform
from nanorover.slam.mapper import ScanResult


class Tracks(Several):
    """What is tracked now: ``TrackedObject``."""


class FusionPart:
    """Fusion and tracker. Of a navigator only the map is used: what a map knows is not tracked."""

    def __init__(self) -> None:
        self.fusion = Fusion(load(FusionParams, "fusion"))
        self.known = Navigator(load_settings())
        self.motion = Motion()
        self.frames = FrameTree()
        self._ids: set[int] = set()
        warm_up(load_settings())

    def take(self, record: Any) -> Iterator[Tracks]:
        fusion = self.fusion
        if isinstance(record, LaserScan):
            T_map_base = fusion.pose_at(record.stamp_ns)
            if T_map_base is not None:
                found = fusion.on_scan(record, T_map_base, self.motion.velocity, self.known.wall_distance_m)
                yield self._tracks(record.stamp_ns, found)
        elif isinstance(record, Detections):
            detections = []
            for seen in record.things:
                x0, y0, x1, y1 = (float(v) for v in seen.box_px)
                detections.append(Detection(seen.class_id, seen.score, (x0, y0, x1, y1)))
            yield self._tracks(record.stamp_ns, fusion.on_detections(detections, record.stamp_ns))
        elif isinstance(record, ScanResult):
            fusion.on_pose(record.stamp_ns, record.T_map_base)
        elif isinstance(record, MapSoFar):
            self.known.on_map(record.grid, record.stamp_ns / 1e9)
        elif isinstance(record, Odometry):
            self.motion.take(record)
        elif isinstance(record, StaticTransform):
            self.frames.set(record.parent, record.child, record.T_parent_child)
        elif isinstance(record, CameraInfo):
            T_base_optical = self.frames.lookup(BASE_FRAME, record.frame_id)
            if T_base_optical is not None:
                fusion.camera = Camera(record, T_base_optical)

    def _tracks(self, stamp_ns: int, found: list[TrackedObject]) -> Tracks:
        self._ids |= {thing.id for thing in found}
        return Tracks(stamp_ns, tuple(found))

    def finish(self) -> Mapping[str, Any]:
        return {"objects": len(self._ids)}
