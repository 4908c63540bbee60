"""The robot in a simulated world."""

from launch import LaunchDescription

from nanorover_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Arguments and nodes come from the library's tables."""
    return describe("sim", __file__)
