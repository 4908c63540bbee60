"""A recording played into SLAM and detection."""

from launch import LaunchDescription

from nanorover_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Arguments and nodes come from the library's tables."""
    return describe("replay", __file__)
