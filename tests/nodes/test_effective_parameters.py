"""What the nodes' parameters are in the end, of all that may say so."""

from collections import Counter

import pytest

from nanorover import params
from nanorover.errors import InputError
from nanorover.tables import NODES
from nanorover_nodes.effective import component_of, effective

pytestmark = pytest.mark.nodes


@pytest.mark.parametrize("node", NODES)
def test_no_name_means_two_things_in_one_node(node):
    """A node's parameters share one namespace: of two sets with the same name one would be lost unsaid."""
    names = Counter(name for cls in component_of(node).PARAMS.values() for name in params.declared(cls))
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("base_node: {ros__parameters: {base_frame: base_footprint}}", "of node base is 'base_footprint'"),
        ("slam_node: {ros__parameters: {odom_frame: wheels}}", "odom_frame of node slam is 'wheels'"),
        ("web: {ros__parameters: {map_frame: world}}", "map_frame of node web is 'world'"),
        ("base_node: {ros__parameters: {enable_stamped_cmd_vel: true}}", "of node safety is False"),
        ("static_frames: {ros__parameters: {wheel_radius_m: 0.03}}", "wheel_radius_m of node base is 0.0325"),
        ("frames: {ros__parameters: {laser_frame: laser_link}}", "frame_id of node lidar is 'laser'"),
        ("camera: {ros__parameters: {frame_id: eye}}", "frame_id of node camera is 'eye'"),
        ("base: {ros__parameters: {linear_deceleration_m_s2: 0.5}}", "safety relies on deceleration_m_s2"),
        ("base: {ros__parameters: {max_linear_m_s: 0.2}}", "the planner relies on max_linear_m_s"),
        ("caution: {ros__parameters: {caution_deceleration_m_s2: 1.7}}", "caution relies on caution_deceleration"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(tmp_path, text, named):
    nodes = {name: {} for name in ("static_frames", "lidar", "base", "camera", "slam", "planner", "safety", "web")}
    effective(nodes, None)
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=named):
        effective(nodes, file)


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


def test_an_unknown_parameter_is_named_with_its_section(tmp_path):
    (tmp_path / "robot.yaml").write_text("base: {ros__parameters: {max_linear: 0.3}}")
    with pytest.raises(InputError, match="robot.yaml: base has no parameter .*max_linear"):
        effective({"static_frames": {}}, tmp_path / "robot.yaml")
