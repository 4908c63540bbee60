"""What the ROS packages import of others stands in their package.xml: rosdep and colcon go by that."""

import ast
import re
import xml.etree.ElementTree as ET

import pytest

from data import REPOSITORY

# Names that only ROS packages have; what comes from pip is in the lock files.
OF_ROS = re.compile(r".*_(msgs|srvs|interfaces)|rclpy|launch(_ros)?|ament_.*|tf2.*|nanorover(_.*)?")


@pytest.mark.parametrize("name", ["nanorover", "nanorover_nodes", "nanorover_bringup"])
def test_what_is_imported_is_declared(name):
    folder = REPOSITORY / "ros2_ws" / "src" / name
    imported = {
        module.split(".")[0] for path in folder.rglob("*.py") for module in imports(ast.parse(path.read_text()))
    }
    declared = {tag.text for tag in ET.parse(folder / "package.xml").getroot() if tag.tag.endswith("depend")}
    wanted = {module for module in imported if OF_ROS.fullmatch(module)} - {name, "nanorover_models"}
    assert wanted <= declared


def imports(tree: ast.Module) -> list[str]:
    """Names of the modules that a file imports, also within functions."""
    return [
        module
        for node in ast.walk(tree)
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom) and node.module
            else []
        )
    ]
