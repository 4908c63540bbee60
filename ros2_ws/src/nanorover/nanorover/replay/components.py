"""The robot's components for the graph: one small class and one declared row each.

A further component is added by a class with ``take`` and ``finish`` and its row in ``ROWS``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nanorover.geometry.frames import FrameTree, planar_pose
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.lidar.params import LidarParams
from nanorover.lidar.stream import LidarStream
from nanorover.params import load
from nanorover.replay.graph import Row
from nanorover.replay.records import LidarBytes, StaticTransform
from nanorover.slam.mapper import Mapper, ScanResult
from nanorover.slam.params import slam_params

BASE_FRAME = "base_link"


class LidarPart:
    """The driver's bytes → scans."""

    def __init__(self) -> None:
        self.stream = LidarStream(load(LidarParams, "lidar"))
        self.frames = FrameTree()

    def take(self, record: LidarBytes | StaticTransform) -> Iterator[LaserScan]:
        if isinstance(record, StaticTransform):
            self.frames.set(record.parent, record.child, record.T_parent_child)
            return
        for revolution in self.stream.feed(record.data, record.stamp_ns):
            T = self.frames.lookup(BASE_FRAME, revolution.scan.frame_id)
            if T is None:
                yield revolution.scan
            else:
                yield replace(revolution.scan, T_base_laser=planar_pose(T)[0])

    def finish(self) -> Mapping[str, Any]:
        return {"scans": self.stream.counts.revolutions, "lost_samples": self.stream.counts.lost_samples}


class SlamPart:
    """Scans and odometry → poses, and a map at the end."""

    def __init__(self) -> None:
        self.mapper = Mapper(slam_params())
        self.mapper.warm_up()  # compiling is not part of the replay

    def take(self, record: LaserScan | Odometry) -> Iterator[ScanResult]:
        if isinstance(record, Odometry):
            self.mapper.add_odometry(record)
        else:
            yield self.mapper.add_scan(record)

    def finish(self) -> Mapping[str, Any]:
        self.mapper.finish()
        stamps_ns, T_map_base = self.mapper.trajectory()
        ends: dict[str, Any] = {"stamps_ns": stamps_ns, "T_map_base": T_map_base}
        if len(stamps_ns):
            grid = self.mapper.grid()
            ends |= {"cells": grid.cells.astype(np.int8), "resolution_m": grid.resolution_m}
            ends |= {"T_map_origin": grid.T_map_origin}
        return ends


# In the order in which data flows. Tolerances allow for another processor's rounding; on one machine two runs
# are equal to the bit.
ROWS = (
    Row(
        "lidar",
        LidarPart,
        inputs=(LidarBytes, StaticTransform),
        outputs=("ranges_m", "time_increment_s", "scan_time_s"),
        replaces=(LaserScan,),
        tolerance={"ranges_m": 1e-5, "time_increment_s": 1e-9, "scan_time_s": 1e-9},
    ),
    Row(
        "slam",
        SlamPart,
        inputs=(LaserScan, Odometry),
        outputs=("T_map_base", "covariance", "quality", "reason", "is_keyframe"),
        tolerance={"T_map_base": 1e-4, "covariance": 1e-6, "quality": 1e-3, "T_map_origin": 1e-9},
        allowed_share={"cells": 1e-3},
    ),
)
