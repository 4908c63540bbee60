"""The declared tables hang together."""

import ast
from pathlib import Path

from nanorover.tables import NODES, TOPICS

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_topic_of_a_node_is_declared():
    for node in NODES.values():
        for topic in (*node.publishes, *node.subscribes):
            assert topic in TOPICS, f"{node.name} names {topic}"


def test_sensor_drivers_offer_reliable_and_latched_topics_are_latched_on_both_sides():
    for topic in TOPICS.values():
        assert topic.publish.reliable or not topic.subscribe.reliable, topic.name
        assert topic.publish.transient_local == topic.subscribe.transient_local, topic.name


def test_the_installed_executables_are_the_nodes_of_the_table():
    source = (REPOSITORY / "ros2_ws/src/nanorover_nodes/setup.py").read_text()
    assigned = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert set(assigned["EXECUTABLES"]) == {node.executable for node in NODES.values()}
