"""Recording of a robot that runs, beside it."""

from launch import LaunchDescription

from nanorover_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Arguments and nodes come from the library's tables."""
    return describe("record", __file__)
