"""What the parameters of several nodes say of the same thing must agree: no node can see that alone."""

from collections.abc import Mapping
from typing import Any

from nanorover.base.params import BaseParams
from nanorover.errors import InputError
from nanorover.params import part_of
from nanorover.planning import caution, motion, safety_params
from nanorover.planning.caution import CautionParams
from nanorover.planning.motion import MotionParams
from nanorover.planning.safety_params import SafetyParams

# Parameters that mean the same in every node that has them.
COMMON = (
    "map_frame",
    "odom_frame",
    "base_frame",
    "wheel_radius_m",
    "wheel_separation_m",
    "enable_stamped_cmd_vel",
)
# Parameters of two nodes that name the same frame.
FRAMES = (
    (("static_frames", "laser_frame"), ("lidar", "frame_id")),
    (("static_frames", "camera_optical_frame"), ("camera", "frame_id")),
)


def check_agreement(nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """InputError for parameters, node → name → value, of which each is good alone but not beside another's."""
    pairs = [
        ((first, name), (other, name))
        for name in COMMON
        for first, *others in [[node for node in nodes if name in nodes[node]] or [""]]
        for other in others
    ]
    for (node, name), (other, other_name) in (*pairs, *FRAMES):
        if not {node, other} <= set(nodes):
            continue
        value, other_value = nodes[node][name], nodes[other][other_name]
        if value != other_value:
            raise InputError(
                f"{name} of node {node} is {value!r}, {other_name} of node {other} is {other_value!r}",
                "both must be the same; in a parameter file the section '/**' sets a name for all nodes",
            )
    if "base" not in nodes:
        return
    base = part_of(BaseParams, nodes["base"], "node base")
    if "safety" in nodes:
        safety_params.check_against_base(part_of(SafetyParams, nodes["safety"], "node safety"), base)
    if "planner" in nodes:
        motion.check_against_base(part_of(MotionParams, nodes["planner"], "node planner"), base)
        caution.check_against_base(part_of(CautionParams, nodes["planner"], "node planner"), base)
