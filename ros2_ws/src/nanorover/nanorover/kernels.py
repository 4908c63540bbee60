"""Compile what the robot's nodes need, once: ``python -m nanorover.kernels``.

numba keeps compiled kernels beside their sources. Without this the first start of a node compiles them, which
takes half a minute on a quick machine and minutes on a Jetson Nano.
"""

from nanorover.planning import warm_up as planning
from nanorover.planning.navigator import load_settings
from nanorover.slam import warm_up as slam
from nanorover.slam.params import slam_params


def compile_kernels() -> None:
    """Run every kernel of mapping and planning once."""
    slam.warm_up(slam_params())
    planning.warm_up(load_settings())


if __name__ == "__main__":
    compile_kernels()
