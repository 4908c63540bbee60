"""The robot's components for the graph: one declared row each, in the order in which data flows.

A further component is added by a class with ``take`` and ``finish`` in ``parts`` and its row here.
"""

from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.graph import Row
from nanorover.replay.parts.detector import Detections, DetectorPart, Seen
from nanorover.replay.parts.fusion import FusionPart, Tracks
from nanorover.replay.parts.lidar import LidarPart
from nanorover.replay.parts.planner import Planned, PlannerPart
from nanorover.replay.parts.slam import MapSoFar, SlamPart
from nanorover.replay.records import CameraInfo, LidarBytes, Picture, StaticTransform
from nanorover.slam.mapper import ScanResult

# Tolerances allow for another processor's rounding, and shares for a detection that lies at the threshold there;
# on one machine two runs are equal to the bit.
ROWS = (
    Row(
        "lidar",
        LidarPart,
        inputs=(LidarBytes, StaticTransform),
        output=LaserScan,
        replaces=(LaserScan,),
        tolerance={"ranges_m": 1e-5, "time_increment_s": 1e-9, "scan_time_s": 1e-9},
    ),
    Row(
        "slam",
        SlamPart,
        inputs=(LaserScan, Odometry),
        output=ScanResult,
        tolerance={"T_map_base": 1e-4, "covariance": 1e-6, "quality": 1e-3, "T_map_origin": 1e-9},
        allowed_share={"cells": 1e-3},
    ),
    Row(
        "detector",
        DetectorPart,
        inputs=(Picture,),
        output=Seen,
        tolerance={"score": 1e-3, "box_px": 0.1},
        allowed_share={"stamp_ns": 0.02},
    ),
    Row(
        "fusion",
        FusionPart,
        inputs=(LaserScan, Odometry, ScanResult, MapSoFar, Detections, CameraInfo, StaticTransform),
        output=TrackedObject,
        ignored=("covariance",),
        tolerance={"state": 1e-3, "radius_m": 1e-3, "score": 1e-3},
        allowed_share={"stamp_ns": 0.02, "state": 0.01},
    ),
    Row(
        "planner",
        PlannerPart,
        inputs=(LaserScan, Odometry, ScanResult, MapSoFar, Tracks),
        output=Planned,
        ignored=("reason",),
        tolerance={"length_m": 0.02, "way_m": 0.06, "linear_m_s": 0.02, "angular_rad_s": 0.05},
    ),
)
