from pathlib import Path

from setuptools import find_packages, setup

NAME = "nanorover"


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below ``folder``, to be installed under the same name in the package's share folder."""
    files = [file for file in sorted(Path(folder).rglob("*")) if file.is_file()]
    return [(f"share/{NAME}/{file.parent}", [str(file)]) for file in files]


setup(
    name=NAME,
    version="0.1.0",
    description="Lidar, SLAM, perception and planning for a small rover, on plain arrays",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        "nanorover": ["params/*.yaml", "sim/scenes/*.yaml", "fastdds.xml", "bringup/*.xacro", "view/page/*"]
    },
    # `models` is a link to the folder at the top of the repository.
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *tree("models/weights"),
        *tree("models/public"),
    ],
    python_requires=">=3.10",
    # The lock file in scripts/ pins these; here stands only what the library needs to exist.
    install_requires=[
        "numpy",
        "numba",
        "scipy",
        "opencv-python-headless",
        "pillow",
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
