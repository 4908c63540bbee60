"""Planner and safety, beside drivers and SLAM that run already."""

from launch import LaunchDescription

from nanorover_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Arguments and nodes come from the library's tables."""
    return describe("navigation", __file__)
