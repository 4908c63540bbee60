"""Compiling the kernels before the first scan."""

import dataclasses

import numpy as np

from nanorover.compiler import let_go_of_compiler
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.slam.changes import moved, seen_through
from nanorover.slam.global_search import GlobalSearch
from nanorover.slam.map_field import MapWalls
from nanorover.slam.params import SlamParams

STEPS = 8
ROOM_RANGE_M = 6.0
# In the last step the robot has turned by this many rays, which nothing foretold: that takes the wide search.
TURN_BEAMS = 25


def warm_up(params: SlamParams) -> None:
    """Drive a simulated robot through a small room, so that every kernel has run once.

    Takes well below a second where numba has the kernels cached, else as long as the compiler needs.
    """
    from nanorover.slam.mapper import Mapper

    mapper = Mapper(dataclasses.replace(params, max_range_m=ROOM_RANGE_M))  # a small window is enough
    bearings = np.linspace(-np.pi, np.pi, 180, endpoint=False)
    with np.errstate(divide="ignore"):
        room_m = np.minimum(3.0 / np.abs(np.cos(bearings)), 2.0 / np.abs(np.sin(bearings)))
    for k in range(STEPS):
        stamp_ns = (1 + k) * 100_000_000
        for after_ns in (0, 50_000_000):  # the scan's middle lies between two readings
            mapper.add_odometry(Odometry(stamp_ns + after_ns, np.array([0.3 * k, 0.0, 0.0])))
        mapper.add_scan(
            LaserScan(
                stamp_ns=stamp_ns,
                ranges_m=np.roll(room_m, TURN_BEAMS if k == STEPS - 1 else 0).astype(np.float32),
                angle_min_rad=-np.pi,
                angle_increment_rad=2 * np.pi / len(bearings),
                range_min_m=0.1,
                range_max_m=16.0,
                time_increment_s=1e-4,
            )
        )
    let_go_of_compiler()  # here too: what it took to load the first half is not what the other half takes
    mapper.loop_closer.rehearse()
    view = moved(mapper.graph.points[0], np.zeros(3))
    seen_through(view, view)
    mapper.health()
    mapper.trajectory()
    search = GlobalSearch(MapWalls(mapper.grid()), params.match_resolution_m, params.point_noise_m)
    search.places(mapper.graph.points[0].astype(np.float64))
    let_go_of_compiler()
