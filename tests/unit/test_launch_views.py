"""The RViz and Foxglove configurations ask for topics that exist, with a quality of service that matches."""

import json
from pathlib import Path

import pytest
import yaml

from nanorover.tables import TOPICS, Qos

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
RVIZ = yaml.safe_load((LAUNCH / "rviz" / "nanorover.rviz").read_text())["Visualization Manager"]

MESSAGE = {
    "Map": "nav_msgs/msg/OccupancyGrid",
    "LaserScan": "sensor_msgs/msg/LaserScan",
    "Path": "nav_msgs/msg/Path",
    "PoseWithCovariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "Image": "sensor_msgs/msg/Image",
    "RobotModel": "std_msgs/msg/String",
    "SetInitialPose": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "SetGoal": "geometry_msgs/msg/PoseStamped",
}


def matches(publisher: Qos, subscriber: Qos) -> bool:
    """Whether DDS connects the two."""
    return (publisher.reliable or not subscriber.reliable) and (
        publisher.transient_local or not subscriber.transient_local
    )


def qos(topic: dict) -> Qos:
    return Qos(
        topic["Depth"],
        reliable=topic["Reliability Policy"] == "Reliable",
        transient_local=topic["Durability Policy"] == "Transient Local",
    )


def asked(items: list[dict]) -> list[tuple[str, dict]]:
    return [
        (item["Class"].split("/")[1], topic)
        for item in items
        for key in ("Topic", "Description Topic")
        if (topic := item.get(key))
    ]


@pytest.mark.parametrize(("display", "topic"), asked(RVIZ["Displays"]))
def test_what_rviz_shows_reaches_it(display, topic):
    declared = TOPICS[topic["Value"]]
    assert declared.type == MESSAGE[display]
    assert matches(declared.publish, qos(topic)), topic["Value"]
    assert declared.publish.transient_local == qos(topic).transient_local, "a latched topic would come too late"


@pytest.mark.parametrize(("tool", "topic"), asked(RVIZ["Tools"]))
def test_what_rviz_asks_for_reaches_the_robot(tool, topic):
    declared = TOPICS[topic["Value"]]
    assert declared.type == MESSAGE[tool]
    assert matches(qos(topic), declared.subscribe)


def test_rviz_shows_what_a_person_looks_for():
    shown = {topic["Value"] for _, topic in asked(RVIZ["Displays"])}
    maps = {"map", "global_costmap/costmap", "local_costmap/costmap"}
    assert maps | {"robot_description", "scan", "plan", "path", "pose"} <= shown
    assert {"objects/markers", "keep_out_zones", "detections/image"} <= shown
    assert {tool for tool, _ in asked(RVIZ["Tools"])} == {"SetInitialPose", "SetGoal"}
    assert RVIZ["Global Options"]["Fixed Frame"] == "map"


def test_the_foxglove_layout_names_topics_that_exist():
    layout = json.loads((LAUNCH / "foxglove" / "nanorover.json").read_text())
    panels = layout["configById"]
    topics = [*panels["3D!map"]["topics"], *panels["3D!map"]["publish"].values()]
    topics += [panels["Teleop!drive"]["topic"], panels["DiagnosticSummary!health"]["topicToRender"]]
    topics += panels["Image!camera"]["imageMode"].values()
    topics += [path["value"].split(".")[0] for path in panels["Plot!speed"]["paths"]]
    known = {"/" + name.lstrip("/") for name in TOPICS}
    assert {t for t in topics if isinstance(t, str) and t.startswith("/")} <= known

    def panels_of(part) -> set[str]:
        return {part} if isinstance(part, str) else panels_of(part["first"]) | panels_of(part["second"])

    assert panels_of(layout["layout"]) == set(panels)
