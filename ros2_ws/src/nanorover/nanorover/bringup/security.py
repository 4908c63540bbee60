"""The SROS2 policy of the robot, made from the node table: every node may do what the table says, nothing else.

The form is that of the ROS 2 security policy, version 0.2.0 (the ROS 2 design article "Access Control Policies").
"""

from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

from nanorover.files import replacing
from nanorover.tables import NODES, TOPICS, Node

ENCLAVES = "/nanorover"
MANAGER = "lifecycle_manager"

# What every rclpy node offers and uses beside its own topics.
PARAMETER_SERVICES = (
    "describe_parameters",
    "get_parameter_types",
    "get_parameters",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
    "get_type_description",
)
LIFECYCLE_SERVICES = (
    "change_state",
    "get_state",
    "get_available_states",
    "get_available_transitions",
    "get_transition_graph",
)


def enclave_of(node: str) -> str:
    """The enclave in which a node runs."""
    return f"{ENCLAVES}/{node}"


def policy(namespace: str = "") -> ElementTree.Element:
    """The policy of all nodes of the table and of the lifecycle manager."""
    root = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(root, "enclaves")
    ns = "/" + namespace.strip("/")
    for node in NODES.values():
        _add_node(enclaves, node, ns)
    _add_manager(enclaves, ns)
    ElementTree.indent(root)
    return root


def write_policy(path: Path, namespace: str = "") -> None:
    """Write the policy file. Raises InputError where it cannot be written."""
    with replacing(path) as temporary:
        ElementTree.ElementTree(policy(namespace)).write(temporary, encoding="utf-8", xml_declaration=True)


def _add_node(enclaves: ElementTree.Element, node: Node, namespace: str) -> None:
    profile = _profile(enclaves, node.name, namespace)
    offered = PARAMETER_SERVICES + (LIFECYCLE_SERVICES if node.lifecycle else ())
    _rules(profile, "services", "reply", "service", [*(f"~/{name}" for name in offered), *node.serves])
    _rules(profile, "services", "request", "service", node.asks)
    _rules(profile, "actions", "execute", "action", node.acts)
    events = ["~/transition_event"] if node.lifecycle else []
    _rules(
        profile, "topics", "publish", "topic", [*_names(node.publishes), "rosout", "/parameter_events", *events]
    )
    _rules(profile, "topics", "subscribe", "topic", [*_names(node.subscribes), "/clock", "/parameter_events"])


def _add_manager(enclaves: ElementTree.Element, namespace: str) -> None:
    profile = _profile(enclaves, MANAGER, namespace)
    asked = [
        f"{node.name}/{name}"
        for node in NODES.values()
        if node.lifecycle
        for name in ("change_state", "get_state")
    ]
    _rules(profile, "services", "request", "service", asked)
    _rules(profile, "services", "reply", "service", [f"~/{name}" for name in PARAMETER_SERVICES])
    _rules(profile, "topics", "publish", "topic", ["rosout", "/parameter_events"])
    _rules(profile, "topics", "subscribe", "topic", ["/diagnostics", "/clock", "/parameter_events"])


def _profile(enclaves: ElementTree.Element, node: str, namespace: str) -> ElementTree.Element:
    enclave = ElementTree.SubElement(enclaves, "enclave", path=enclave_of(node))
    profiles = ElementTree.SubElement(enclave, "profiles")
    return ElementTree.SubElement(profiles, "profile", ns=namespace, node=node)


def _names(topics: tuple[str, ...]) -> list[str]:
    return [TOPICS[topic].name for topic in topics]


def _rules(profile: ElementTree.Element, group: str, action: str, kind: str, names: Collection[str]) -> None:
    if not names:
        return
    rules = ElementTree.SubElement(profile, group, {action: "ALLOW"})
    for name in sorted(set(names)):
        ElementTree.SubElement(rules, kind).text = name
