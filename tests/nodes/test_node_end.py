"""What every node does when it is asked for a transition that it does not have, and when it is told to end."""

import os
import signal
import subprocess
import sys

import pytest
from geometry_msgs.msg import Twist

from nanorover_nodes import lifecycle
from nanorover_nodes.declared_topics import hear_declared

pytestmark = pytest.mark.nodes

# Speaks only when it is deactivated, as the planner and the safety node do: "stand still".
PROBE = """
from geometry_msgs.msg import Twist
from nanorover_nodes.component import Component
from nanorover_nodes.process import run

class Probe(Component):
    def __init__(self):
        super().__init__("probe")
    def configure(self):
        self.output = self.offer("cmd_vel_nav")
        self.every(0.05, self.look)
    def look(self):
        if self.output.get_subscription_count():
            print("somebody listens", flush=True)
    def deactivate(self):
        self.output.publish(Twist())
        print("said", flush=True)
    def cleanup(self):
        print("cleaned up", flush=True)

run(Probe)
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_shall_end_has_its_last_word(graph, sign):
    heard: list[Twist] = []
    subscription = hear_declared(graph.node, "cmd_vel_nav", heard.append)
    graph.processes.start("probe", ["-c", PROBE])
    graph.bring_up("probe")
    log = graph.processes.log_path("probe")
    graph.wait_until(lambda: "somebody listens" in log.read_text(), "each knows of the other")
    graph.wait_until(lambda: subscription.get_publisher_count() == 1, "each is joined to the other")
    os.kill(graph.processes.pid("probe"), sign)
    ended = lifecycle.wait_until(graph.node, lambda: graph.processes.exit_code("probe") is not None, 20.0)
    assert ended and graph.processes.exit_code("probe") == 0, log.read_text()
    assert lifecycle.wait_until(graph.node, lambda: heard, 5.0), "the last word was not heard"
    assert log.read_text().endswith("listens\nsaid\ncleaned up\n")
    assert lifecycle.wait_until(graph.node, lambda: not graph.node.count_publishers("cmd_vel_nav"), 20.0)


def test_a_transition_that_does_not_exist_is_refused_and_ends_nothing(graph):
    graph.processes.start("probe", ["-c", PROBE])
    assert not graph.change_state("probe", "activate"), "it is not configured"
    graph.bring_up("probe")
    assert not graph.change_state("probe", "configure"), "it is active"
    assert graph.processes.exit_code("probe") is None


def test_a_node_that_is_told_to_end_while_it_is_made_says_nothing(domain):
    early = "import os, signal; from nanorover_nodes.process import run\n"
    early += "run(lambda: os.kill(os.getpid(), signal.SIGTERM))"
    ended = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
