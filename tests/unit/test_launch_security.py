"""The security policy says what the table says, and nothing more."""

import pytest
from typer.testing import CliRunner

from nanorover.bringup.plan import enclave_arguments
from nanorover.bringup.security import LIFECYCLE_SERVICES, policy
from nanorover.cli import security
from nanorover.tables import NODES, TOPICS

EVERYBODY = {"rosout", "/parameter_events", "/clock", "~/transition_event"}


def rights(node: str, action: str) -> set[str]:
    (profile,) = policy("alpha").findall(f"enclaves/enclave[@path='/nanorover/{node}']/profiles/profile")
    assert profile.attrib == {"ns": "/alpha", "node": node}
    return {item.text for item in profile.findall(f"*[@{action}='ALLOW']/*")}


@pytest.mark.parametrize("node", NODES)
def test_a_node_may_do_what_the_table_says(node):
    assert rights(node, "publish") - EVERYBODY == {TOPICS[n].name for n in NODES[node].publishes} - EVERYBODY
    assert rights(node, "subscribe") - EVERYBODY == {TOPICS[n].name for n in NODES[node].subscribes} - EVERYBODY
    assert {f"~/{name}" for name in LIFECYCLE_SERVICES} | set(NODES[node].serves) <= rights(node, "reply")
    assert rights(node, "request") == set(NODES[node].asks)
    assert rights(node, "execute") == set(NODES[node].acts)


def test_only_the_manager_may_change_states_and_only_the_base_chain_drives():
    assert "base/change_state" in rights("lifecycle_manager", "request")
    drives = {node for node in NODES if "cmd_vel" in rights(node, "publish")}
    assert "web" not in drives and "slam" not in drives


def test_nothing_is_allowed_by_wildcard():
    assert not [item.text for item in policy().iter() if item.text and "*" in item.text]


def test_the_command_writes_the_policy_and_nodes_take_their_enclave(tmp_path, monkeypatch):
    import typer

    app = typer.Typer()
    security.register(app)
    made = CliRunner().invoke(app, [str(tmp_path / "keys"), "--policy-only"])
    assert made.exit_code == 0, made.output
    assert (tmp_path / "keys" / "policy.xml").read_text().startswith("<?xml")
    assert enclave_arguments("slam") == []
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    assert enclave_arguments("slam") == ["--enclave", "/nanorover/slam"]
