"""The driver's bytes → scans."""

from collections.abc import Iterator, Mapping
from typing import Any

from nanorover.geometry.frames import FrameTree, planar_pose
from nanorover.geometry.scan import LaserScan
from nanorover.lidar.params import LidarParams
from nanorover.lidar.stream import LidarStream
from nanorover.params import load
from nanorover.replay.records import BASE_FRAME, LidarBytes, StaticTransform


class LidarPart:
    """The driver without its port."""

    def __init__(self) -> None:
        self.stream = LidarStream(load(LidarParams, "lidar"))
        self.frames = FrameTree()

    def take(self, record: LidarBytes | StaticTransform) -> Iterator[LaserScan]:
        if isinstance(record, StaticTransform):
            self.frames.set(record.parent, record.child, record.T_parent_child)
            return
        for revolution in self.stream.feed(record.data, record.stamp_ns):
            T = self.frames.lookup(BASE_FRAME, revolution.scan.frame_id)
            yield revolution.scan if T is None else revolution.scan.mounted(*planar_pose(T))

    def finish(self) -> Mapping[str, Any]:
        return {"scans": self.stream.counts.revolutions, "lost_samples": self.stream.counts.lost_samples}
