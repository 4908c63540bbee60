from pathlib import Path

from setuptools import setup

NAME = "nanorover_bringup"


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below ``folder``, to be installed under the same name in the package's share folder."""
    files = [
        file for file in sorted(Path(folder).rglob("*")) if file.is_file() and "__pycache__" not in file.parts
    ]
    return [(f"share/{NAME}/{file.parent}", [str(file)]) for file in files]


setup(
    name=NAME,
    version="0.1.0",
    description="Launch files of Nanorover",
    license="Apache-2.0",
    packages=[NAME],
    # `launch` is a link to the folder at the top of the repository.
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *tree("launch"),
    ],
    python_requires=">=3.10",
    zip_safe=False,
)
