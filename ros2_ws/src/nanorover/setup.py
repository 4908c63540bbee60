from setuptools import find_packages, setup

setup(
    name="nanorover",
    version="0.1.0",
    description="Lidar, SLAM, perception and planning for a small rover, on plain arrays",
    license="Apache-2.0",
    packages=find_packages(exclude=["test"]),
    package_data={
        "nanorover": ["params/*.yaml", "sim/scenes/*.yaml", "fastdds.xml", "bringup/*.xacro", "view/page/*"]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/nanorover"]),
        ("share/nanorover", ["package.xml"]),
    ],
    python_requires=">=3.10",
    # The lock file in scripts/ pins these; here stands only what the library needs to exist.
    install_requires=[
        "numpy",
        "numba",
        "scipy",
        "opencv-python-headless",
        "pyserial",
        "typer",
        "rich",
        "PyYAML",
        "xacro",
        "websockets",
    ],
    entry_points={"console_scripts": ["nanorover = nanorover.cli:main"]},
    zip_safe=False,
)
