"""Which topics of a bag are read as what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nanorover.errors import InputError
from nanorover.replay import messages as m


@dataclass(frozen=True)
class Role:
    """One kind of content: the message types it comes in and the topic name that is looked for first.

    With ``by_name`` a topic must end in that name, since its type alone says too little. What is ``latched`` was
    said once and arrives whenever a recorder joins, so its stamp says nothing of clocks.
    """

    name: str
    types: tuple[str, ...]
    topic: str
    by_name: bool = False
    latched: bool = False


ROLES = {
    role.name: role
    for role in (
        Role("scan", (m.SCAN,), "scan"),
        Role("odom", (m.ODOMETRY,), "odom"),
        Role("image", (m.COMPRESSED, m.IMAGE), "camera/image_raw/compressed"),
        Role("camera_info", (m.CAMERA_INFO,), "camera/camera_info"),
        Role("cmd_vel", (m.TWIST, m.TWIST_STAMPED), "cmd_vel", by_name=True),
        Role("truth_pose", (m.POSE,), "truth/pose", by_name=True),
        Role("truth_map", (m.GRID,), "truth/map", by_name=True, latched=True),
        Role("truth_objects", (m.MARKERS,), "truth/objects", by_name=True),
        Role("truth_boxes", (m.MARKERS,), "truth/boxes", by_name=True),
        Role("lidar_bytes", (m.BYTES,), "lidar/raw", by_name=True),
    )
}


def choose(
    topics: Mapping[str, str], counts: Mapping[str, int], named: Mapping[str, str], source: str
) -> dict[str, str]:
    """Role → topic, for the roles that the bag has; ``topics`` maps names to types.

    ``named`` holds the choices of the user. Among several topics of a type the one with the usual name wins,
    then one that is no depth, then the one with the most messages. Raises InputError for a named topic that is
    absent or of another type.
    """
    chosen: dict[str, str] = {}
    for role in ROLES.values():
        wanted = named.get(role.name)
        if wanted is not None:
            chosen[role.name] = _named(topics, role, wanted, source)
            continue
        if fitting := _fitting(topics, role):
            chosen[role.name] = min(
                fitting, key=lambda t: (not _is_called(t, role.topic), "depth" in t.lower(), -counts.get(t, 0), t)
            )
    return chosen


def not_chosen(topics: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, list[str]]:
    """Role → the topics that could have been chosen for it as well, for the roles that have such."""
    others = {name: [t for t in _fitting(topics, ROLES[name]) if t != topic] for name, topic in chosen.items()}
    return {name: sorted(left) for name, left in others.items() if left}


def _fitting(topics: Mapping[str, str], role: Role) -> list[str]:
    fitting = [topic for topic, msgtype in topics.items() if msgtype in role.types]
    return [topic for topic in fitting if _is_called(topic, role.topic)] if role.by_name else fitting


def _is_called(topic: str, name: str) -> bool:
    return f"/{topic}".endswith(f"/{name}")


def _named(topics: Mapping[str, str], role: Role, wanted: str, source: str) -> str:
    for topic, msgtype in topics.items():
        if topic.strip("/") == wanted.strip("/"):
            if msgtype in role.types:
                return topic
            raise InputError(
                f"{source}: topic {topic} is a {msgtype}", f"as {role.name} it must be a {' or '.join(role.types)}"
            )
    raise InputError(f"{source} has no topic {wanted}", listing(topics))


def parse_choices(choices: Iterable[str]) -> dict[str, str]:
    """Role → topic out of words such as ``scan=/lidar/front``; raises InputError for any other word."""
    chosen: dict[str, str] = {}
    for choice in choices:
        role, _, topic = choice.partition("=")
        if role not in ROLES or not topic:
            raise InputError(f"'{choice}' names no topic", f"write ROLE=TOPIC with a role of {', '.join(ROLES)}")
        chosen[role] = topic
    return chosen


def listing(topics: Mapping[str, str]) -> str:
    """The topics of a bag in a sentence."""
    if not topics:
        return "the recording has no topics at all"
    return "its topics: " + ", ".join(f"{topic} ({msgtype})" for topic, msgtype in sorted(topics.items()))
