"""What the nodes' parameters are in the end, of all that may say so."""

from collections import Counter

import pytest

from nanorover import params
from nanorover.tables import NODES
from nanorover_nodes.effective import component_of, effective

pytestmark = pytest.mark.nodes


@pytest.mark.parametrize("node", NODES)
def test_no_name_means_two_things_in_one_node(node):
    """A node's parameters share one namespace: of two sets with the same name one would be lost unsaid."""
    names = Counter(name for cls in component_of(node).PARAMS.values() for name in params.declared(cls))
    assert [name for name, times in names.items() if times > 1] == []


def test_every_section_of_a_file_reaches_its_own_set(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text(
        "motion: {ros__parameters: {deceleration_m_s2: 0.6}}\n"
        "caution: {ros__parameters: {caution_deceleration_m_s2: 0.7}}\n"
        "/**: {ros__parameters: {lost_deviation_m: 0.4}}\n"
        "safety: {ros__parameters: {lost_deviation_m: 0.3}}\n"
    )
    found = effective({"planner": {"goal_yaw_rad": 0.2}, "safety": {}}, file)
    planner, safety = found["planner"], found["safety"]
    assert (planner["deceleration_m_s2"], planner["caution_deceleration_m_s2"]) == (0.6, 0.7)
    assert (planner["goal_yaw_rad"], planner["lost_deviation_m"]) == (0.2, 0.4)
    assert safety["lost_deviation_m"] == 0.3  # a section comes after what is for all
    assert (
        safety["deceleration_m_s2"]
        == params.read_yaml(params.FOLDER / "safety.yaml", "safety")["deceleration_m_s2"]
    )
