"""Checks of the running graph: who publishes what to whom, and how the nodes are."""

from collections import defaultdict

from nanorover.doctor.evidence import Evidence
from nanorover.doctor.findings import ERROR, WARN, Finding, ok, ok_of
from nanorover.tables import Qos

# Two who say these contradict each other.
ONE_PUBLISHER = {"scan", "odom", "map", "cmd_vel"}


def quality_of_service(evidence: Evidence) -> list[Finding]:
    """Every subscription gets what is published."""
    found = []
    for subscription in (e for e in evidence.endpoints if not e.publishes):
        for publisher in (e for e in evidence.endpoints if e.publishes and e.topic == subscription.topic):
            if reason := _mismatch(publisher.qos, subscription.qos):
                mend = f"set {reason} on both sides, as the topic table has it"
                sentence = (
                    f"{subscription.node} gets nothing of {subscription.topic} from {publisher.node}: {reason}"
                )
                found.append(Finding(ERROR, sentence, mend))
            elif publisher.type != subscription.type:
                mend = (
                    "Twist or TwistStamped? enable_stamped_cmd_vel of the base"
                    if "Twist" in publisher.type
                    else ""
                )
                sentence = (
                    f"{subscription.topic} is {publisher.type} from {publisher.node}, {subscription.node} wants"
                )
                found.append(Finding(ERROR, f"{sentence} {subscription.type}", mend or "one topic has one type"))
    return found or ok_of(len(evidence.endpoints), "publishers and subscriptions fit")


def _mismatch(publisher: Qos, subscription: Qos) -> str:
    if subscription.reliable and not publisher.reliable:
        return "reliability"
    return "durability" if subscription.transient_local and not publisher.transient_local else ""


def graph(evidence: Evidence) -> list[Finding]:
    """One publisher per state of each robot."""
    found = []
    if not evidence.endpoints:
        mend = "is it up (`nanorover status`)? The same ROS_DOMAIN_ID, discovery range and user as here?"
        return [Finding(ERROR, "no node of the robot can be seen", mend)]
    publishers: dict[str, list[str]] = defaultdict(list)
    for endpoint in evidence.endpoints:
        if endpoint.publishes and endpoint.topic.rsplit("/", 1)[-1] in ONE_PUBLISHER:
            publishers[endpoint.topic].append(endpoint.node)
    for topic, nodes in publishers.items():
        if len(nodes) > 1:
            mend = "stop one of them; teleop goes to cmd_vel_teleop, which safety lets through"
            sentence = f"{topic} has {len(nodes)} publishers: {', '.join(sorted(nodes))}"
            found.append(Finding(ERROR, sentence, mend))
    return found or ok("one publisher for each state")


def health(evidence: Evidence) -> list[Finding]:
    """What the nodes say of themselves."""
    levels = {"ERROR": ERROR, "STALE": WARN, "WARN": WARN}
    found = [
        Finding(levels[level], f"{name}: {message}", "its log: `nanorover status` names the folder")
        for name, (level, message) in sorted(evidence.health.items())
        if level in levels
    ]
    if not evidence.health:
        return [Finding(WARN, "no node says how it is", "nodes of this project do so once a second: are they up?")]
    return found or ok(f"{len(evidence.health)} nodes are well")
