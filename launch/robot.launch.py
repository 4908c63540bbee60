"""The whole robot: mountings, drivers, SLAM, detection, navigation."""

from launch import LaunchDescription

from nanorover_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Arguments and nodes come from the library's tables."""
    return describe("robot", __file__)
