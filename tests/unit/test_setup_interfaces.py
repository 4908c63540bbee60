"""The standard message packages built here are the real ones, field by field: equal type hashes (REP-2016)."""

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from data import REPOSITORY

COMPAT = REPOSITORY / "ros2_ws" / "src" / "compat"

# First half of the hashes of vision_msgs 4.1.1, as Humble and Jazzy have it.
VISION_MSGS = {
    "BoundingBox2D": "008eacbb0cf8f26e",
    "BoundingBox2DArray": "2464e82838009386",
    "BoundingBox3D": "bbb73a65c163d7f9",
    "BoundingBox3DArray": "a81938db9576b10c",
    "Classification": "f74db28d0eaef3af",
    "Detection2D": "0d12b69df5c593b3",
    "Detection2DArray": "214274120007f4a6",
    "Detection3D": "ddd703be132ab0b6",
    "Detection3DArray": "793f5eab9595ac1c",
    "LabelInfo": "3d37df4015cdf660",
    "ObjectHypothesis": "51da43cec11c0195",
    "ObjectHypothesisWithPose": "41c12344c0396c48",
    "Point2D": "eab0e83f44ab4de9",
    "Pose2D": "b0b5d1d7b4c20dd4",
    "VisionClass": "1e4a11f0fed50b56",
    "VisionInfo": "95d3116a17484ad9",
}


def store_with(package: str) -> Typestore:
    """The standard types, and those defined in ``compat/<package>``."""
    types = {}
    for file in sorted((COMPAT / package / "msg").glob("*.msg")):
        types.update(get_types_from_msg(file.read_text(), f"{package}/msg/{file.stem}"))
    store = get_typestore(Stores.EMPTY)
    standard = get_typestore(Stores.ROS2_JAZZY).fielddefs
    store.register({name: fields for name, fields in standard.items() if not name.startswith(f"{package}/")})
    store.register(types)
    return store


def test_vision_msgs_are_the_real_ones():
    store = store_with("vision_msgs")
    defined = {file.stem for file in (COMPAT / "vision_msgs" / "msg").glob("*.msg")}
    assert defined == set(VISION_MSGS)
    for name, expected in VISION_MSGS.items():
        assert store.hash_rihs01(f"vision_msgs/msg/{name}").startswith(f"RIHS01_{expected}"), name


@pytest.mark.parametrize("name", ["TFMessage", "TF2Error"])
def test_tf2_msgs_are_the_real_ones(name: str):
    standard = get_typestore(Stores.ROS2_JAZZY)
    ours = store_with("tf2_msgs")
    assert ours.hash_rihs01(f"tf2_msgs/msg/{name}") == standard.hash_rihs01(f"tf2_msgs/msg/{name}")
    assert ours.fielddefs[f"tf2_msgs/msg/{name}"] == standard.fielddefs[f"tf2_msgs/msg/{name}"]
