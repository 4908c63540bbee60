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
    scan = LaserScan(1, ranges, -np.pi, 2 * np.pi / 90, 0.1, 8.0)
    navigator.on_scan(scan, pose, STILL, 0.0)
    Fusion(params.load(FusionParams, "fusion")).on_scan(scan, pose)
    navigator.follow(navigator.plan(pose, np.array([2.0, 1.0, 0.0])).path)
    navigator.drive(pose, STILL, 0)
