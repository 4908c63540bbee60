"""Compiling the kernels before the first cycle."""

import numpy as np

from nanorover import params
from nanorover.base.gate import STILL
from nanorover.fusion.fuse import Fusion
from nanorover.fusion.fusion_params import FusionParams
from nanorover.geometry.scan import LaserScan
from nanorover.mapping.grid import OccupancyGrid
from nanorover.planning.navigator import Navigator, Settings


def warm_up(settings: Settings) -> None:
    """Plan and drive in a small room of its own, so that every kernel has run once.

    Takes well below a second where numba has the kernels cached, else as long as the compiler needs.
    """
    navigator = Navigator(settings)
    pose = np.zeros(3)
    cells = np.zeros((200, 200), np.int8)
    cells[0] = 100
    navigator.on_map(OccupancyGrid(cells, 0.05, np.array([-5.0, -5.0, 0.0])), 0.0)
    ranges = np.full(90, 4.0, np.float32)
    ranges[44:47] = 1.0  # somebody to track
    fusion = Fusion(params.load(FusionParams, "fusion"))
    for stamp_ns in (1, 100_000_001):
        scan = LaserScan(stamp_ns, ranges, -np.pi, 2 * np.pi / 90, 0.1, 8.0)
        fusion.on_scan(scan, pose)
        navigator.on_scan(scan, pose, STILL, stamp_ns * 1e-9)
    navigator.follow(navigator.plan(pose, np.array([2.0, 1.0, 0.0])).path)
    navigator.drive(pose, STILL, 0)
