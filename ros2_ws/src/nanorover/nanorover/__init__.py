"""Nanorover: lidar, SLAM, perception and planning for a small rover, on plain arrays.

The library never imports ROS; the nodes in ``nanorover_nodes`` are a thin coat over it.
"""

__version__ = "0.1.0"
