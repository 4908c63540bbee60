"""Scans and odometry → poses, now and then the map so far, and the whole map at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.mapping.grid import OccupancyGrid
from nanorover.slam.mapper import Mapper, ScanResult
from nanorover.slam.params import slam_params

MAP_PERIOD_NS = 2_000_000_000


@dataclass(frozen=True, eq=False)
class MapSoFar:
    """The occupancy grid of all scans up to ``stamp_ns``."""

    stamp_ns: int
    grid: OccupancyGrid


class SlamPart:
    """The mapper."""

    def __init__(self) -> None:
        self.mapper = Mapper(slam_params())
        self.mapper.warm_up()  # compiling is not part of the replay
        self._mapped_ns: int | None = None

    def take(self, record: LaserScan | Odometry) -> Iterator[ScanResult | MapSoFar]:
        if isinstance(record, Odometry):
            self.mapper.add_odometry(record)
            return
        yield self.mapper.add_scan(record)
        if self._mapped_ns is None or record.stamp_ns - self._mapped_ns >= MAP_PERIOD_NS:
            self._mapped_ns = record.stamp_ns
            yield MapSoFar(record.stamp_ns, self.mapper.grid())

    def finish(self) -> Mapping[str, Any]:
        self.mapper.finish()
        stamps_ns, T_map_base = self.mapper.trajectory()
        ends: dict[str, Any] = {"stamps_ns": stamps_ns, "T_map_base": T_map_base}
        if len(stamps_ns):
            grid = self.mapper.grid()
            ends |= {"cells": grid.cells.astype(np.int8), "resolution_m": grid.resolution_m}
            ends |= {"T_map_origin": grid.T_map_origin}
        return ends
