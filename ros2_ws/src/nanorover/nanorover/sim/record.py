"""Recordings of simulated drives, with the truth in them, from nothing but a seed."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from nanorover.errors import InputError
from nanorover.files import replacing, writing
from nanorover.geometry.frames import transform_of
from nanorover.geometry.scan import Odometry
from nanorover.geometry.se2 import quaternion_of_yaw
from nanorover.replay.messages import Encoder
from nanorover.replay.records import Record, StaticTransform
from nanorover.replay.writer import BagWriter
from nanorover.sim.floorplan import scene_of
from nanorover.sim.mission import pilot_of
from nanorover.sim.rover import EPOCH_NS, Rover
from nanorover.sim.simulation import Score, Simulation


@dataclass(frozen=True)
class Drive:
    """What to record: ``world`` as ``floorplan.scene_of`` takes it, ``seed`` for the robot and its noise, who
    drives, for how long at most (simulated), and how many pictures per second (0 for none)."""

    world: str
    seed: int
    mission: str
    duration_s: float
    camera_hz: float


@dataclass(frozen=True)
class Recorded:
    """What a recording came to."""

    path: Path
    duration_s: float
    bytes: int
    score: Score


def record(drive: Drive, out: Path, progress: Callable[[float], None] = lambda _: None) -> Recorded:
    """Make a drive and write what the robot publishes, and the truth, as a rosbag2 folder (mcap, zstd).

    Where ``out`` ends in ``.mcap`` it is that one file instead of a folder. The same drive gives the same bytes.
    ``progress`` is called with the simulated seconds. Raises InputError where ``out`` exists, for an unknown world
    or mission, where the robot starts inside something, and for a full disk.
    """
    if out.suffix == ".mcap":
        return _as_file(drive, out, progress)
    scene = scene_of(drive.world)
    simulation = Simulation(scene, drive.seed)
    rover = Rover(simulation, pilot_of(drive.mission, scene, drive.seed), camera_hz=drive.camera_hz)
    with writing(out), BagWriter(out) as bag:
        for mounting in rover.mountings():
            bag.write(mounting)
        bag.write(rover.true_map())
        moving = MovingFrame(bag)
        for item in rover.run(drive.duration_s):
            # A scan is published once its last ray is measured: that is now, not at its stamp.
            bag.write(item, EPOCH_NS + simulation.now_ns)
            moving.follow(item)
            progress(simulation.now_s)
    simulation.close()
    size = sum(file.stat().st_size for file in out.iterdir())
    return Recorded(out, simulation.now_s, size, simulation.score)


def _as_file(drive: Drive, out: Path, progress: Callable[[float], None]) -> Recorded:
    if out.exists():
        raise InputError(f"{out} exists already", "choose another name; a recording is never overwritten")
    with replacing(out) as temporary, tempfile.TemporaryDirectory(dir=out.parent) as folder:
        recorded = record(drive, Path(folder) / out.stem, progress)
        (recorded.path / f"{out.stem}_0.mcap").replace(temporary)
    return replace(recorded, path=out, bytes=out.stat().st_size)


class MovingFrame:
    """Writes odom → base_link beside the odometry, as the base's node does."""

    def __init__(self, bag: BagWriter) -> None:
        self._bag, self._encoder = bag, Encoder()

    def follow(self, item: Record) -> None:
        """Take any record; odometry becomes a transform."""
        if not isinstance(item, Odometry):
            return
        x, y, yaw = (float(v) for v in item.T_odom_base)
        T = transform_of((x, y, 0.0), quaternion_of_yaw(yaw))
        _, msgtype, data = self._encoder.encode(StaticTransform(item.stamp_ns, "odom", "base_link", T))
        self._bag.write_raw("/tf", msgtype, data, item.stamp_ns)
