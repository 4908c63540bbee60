from setuptools import find_packages, setup

# A test compares these with the node table.
EXECUTABLES = (
    "simulator",
    "static_frames",
    "lidar",
    "base",
    "camera",
    "record",
    "slam",
    "detector",
    "playback",
    "planner",
    "safety",
    "web",
)

setup(
    name="nanorover_nodes",
    version="0.1.0",
    description="ROS 2 lifecycle nodes of Nanorover: a thin coat over the library",
    license="Apache-2.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/nanorover_nodes"]),
        ("share/nanorover_nodes", ["package.xml"]),
    ],
    python_requires=">=3.10",
    install_requires=["nanorover"],
    entry_points={"console_scripts": [f"{name} = nanorover_nodes.{name}:main" for name in EXECUTABLES]},
    zip_safe=False,
)
