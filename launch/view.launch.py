"""The page for the browser, and RViz where asked for, of a robot that runs."""

from launch import LaunchDescription

from nanorover_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Arguments and nodes come from the library's tables."""
    return describe("view", __file__)
