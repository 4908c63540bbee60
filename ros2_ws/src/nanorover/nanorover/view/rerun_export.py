"""A recording as a rerun file: scans, pictures and detections over time, the robot by its wheels, the true map."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.fusion.detections import detections_of
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose, compose, transform_points
from nanorover.replay.bag_log import BagLog
from nanorover.replay.logs import Log, open_log
from nanorover.replay.records import Picture, Record, TruePose
from nanorover.replay.storage import UndecodableError, open_storages
from nanorover.tables import TOPICS
from nanorover.view.scene import hits_m

TIMELINE = "robot"


def export(recording: Path, path: Path) -> dict[str, int]:
    """Write ``path`` (.rrd) and return how many records of each kind went in.

    Raises InputError where rerun-sdk is missing, the recording cannot be read or the file cannot be written.
    """
    try:
        import rerun
    except ImportError as error:
        raise InputError("the export needs the package rerun-sdk", "./scripts/setup view installs it") from error
    log = open_log(recording)
    counts: Counter[str] = Counter()
    with replacing(path) as temporary, rerun.RecordingStream("nanorover") as stream:
        stream.save(temporary, default_blueprint=layout(rerun, "world"))
        scene = _Scene(rerun, stream)
        for record in log:
            if scene.show(record):
                counts[type(record).__name__] += 1
        for detections in _detections_of(log):
            scene.show_detections(detections)
            counts["Detections"] += 1
        stream.flush()
        stream.disconnect()
    if not counts:
        raise InputError(f"{recording} holds nothing that can be shown", "; ".join(log.problems.lines()))
    return dict(counts)


def _detections_of(log: Log) -> Iterator[Any]:
    """The recorded answers of a detector, as messages; they are no records, which are what the parts take."""
    if not isinstance(log, BagLog):
        return
    with ExitStack() as stack:
        for storage in open_storages(log.path, log.problems, stack):
            for raw in storage.messages():
                if raw.type == TOPICS["detections"].type:
                    try:
                        yield storage.decode(raw)
                    except UndecodableError as error:
                        log.problems.add("message that cannot be decoded skipped", f"{raw.place}: {error}")


class _Scene:
    """Places records in the odometry's frame, or in the map's where the true pose is recorded."""

    def __init__(self, rerun, stream) -> None:
        self._rerun, self._stream = rerun, stream
        self._T_world_base: Pose = np.zeros(3)
        self._driven: list[tuple[float, float]] = []
        self._truth_known = False

    def show(self, record: Record) -> bool:
        """Log one record; False where there is nothing to see in it."""
        self._stream.set_time(TIMELINE, timestamp=record.stamp_ns / 1e9)
        if isinstance(record, TruePose):
            if not self._truth_known:
                self._driven.clear()  # what came before stood in the odometry's frame
            self._truth_known = True
            self._move(record.T_map_base)
        elif isinstance(record, Odometry):
            if not self._truth_known:
                self._move(record.T_odom_base)
        elif isinstance(record, LaserScan):
            self._scan(record)
        elif isinstance(record, Picture):
            media_type = "image/png" if record.encoding == "png" else "image/jpeg"
            data = record.data if record.compressed else record.jpeg
            self._stream.log("camera", self._rerun.EncodedImage(contents=data, media_type=media_type))
        else:
            return False
        return True

    def show_detections(self, message: Any) -> None:
        """Boxes with label and score over the picture of the same stamp; none clears those before."""
        stamp = message.header.stamp
        self._stream.set_time(TIMELINE, timestamp=stamp.sec + stamp.nanosec / 1e9)
        found = detections_of(message)
        boxes_px = np.array([seen.box_px for seen in found]).reshape(-1, 4)
        drawn = self._rerun.Boxes2D(
            mins=boxes_px[:, :2],
            sizes=boxes_px[:, 2:] - boxes_px[:, :2],
            labels=[f"{seen.class_id} {seen.score:.2f}" for seen in found],
        )
        self._stream.log("camera/detections", drawn)

    def _move(self, T_world_base: Pose) -> None:
        self._T_world_base = T_world_base
        x, y, yaw = T_world_base
        self._driven.append((x, -y))  # rerun's y points down
        vector = [[0.4 * np.cos(yaw), -0.4 * np.sin(yaw)]]
        self._stream.log("world/robot", self._rerun.Arrows2D(origins=[[x, -y]], vectors=vector))
        if len(self._driven) % 10 == 0:
            self._stream.log("world/driven", self._rerun.LineStrips2D([self._driven]))

    def _scan(self, scan: LaserScan) -> None:
        seen = seen_points(scan, self._T_world_base)
        self._stream.log("world/scan", self._rerun.Points2D(seen, radii=0.02, colors=[[55, 224, 208]]))


def layout(rerun, world: str):
    """What the viewer shows: everything below ``world`` in one view, the camera beside it."""
    views = rerun.blueprint
    shown = [views.Spatial2DView(origin=f"/{name}", name=name) for name in (world, "camera")]
    return views.Blueprint(views.Horizontal(*shown, column_shares=[2, 1]), collapse_panels=True)


def seen_points(scan: LaserScan, T_world_base: Pose) -> NDArray[np.float64]:
    """The hits of a scan (N, 2) in the world as rerun draws it, whose y points down."""
    return transform_points(compose(T_world_base, scan.T_base_laser), hits_m(scan)) * (1.0, -1.0)
