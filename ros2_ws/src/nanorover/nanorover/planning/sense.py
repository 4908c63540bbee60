"""What a scan means to the navigator: objects first, obstacles then."""

from nanorover.fusion.fuse import Fusion
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import Pose
from nanorover.planning.navigator import Navigator
from nanorover.planning.scan_points import velocity_over


def sense(
    navigator: Navigator, fusion: Fusion, scan: LaserScan, T_map_first: Pose, T_map_last: Pose, now_s: float
) -> None:
    """Take a scan whose first and last ray were measured from these poses of the base."""
    velocity = velocity_over(scan, T_map_first, T_map_last)
    walls = navigator.wall_distance_m if navigator.world is not None else None
    objects = fusion.on_scan(scan, T_map_first, velocity, walls)
    navigator.on_objects(objects, fusion.tracker.unsure())
    jumps = navigator.jumps
    navigator.on_scan(scan, T_map_first, velocity, now_s)
    if navigator.jumps > jumps:  # tracks from before the jump are elsewhere now
        fusion.clear()
        navigator.on_objects([])
