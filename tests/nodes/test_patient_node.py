"""A node that takes messages only when it looks, and that a flood does not keep from everything else."""

import pytest
from std_msgs.msg import Bool

pytestmark = pytest.mark.nodes

# Answers every message with another one to itself: whoever takes until none is left never comes back.
PROBE = """
from nanorover_nodes.component import run
from nanorover_nodes.patient import PatientComponent

class Probe(PatientComponent):
    def __init__(self):
        super().__init__("probe")
        self.looks, self.heard_count, self.looking = 0, 0, False
    def configure(self):
        self.output = self.offer("e_stop")
        self.listen("e_stop", self.echo)
        self.timer = self.create_timer(0.05, self.look)
    def look(self):
        self.looking = True
        self.hear()
        self.looking = False
        self.looks += 1
        print("look", self.looks, self.heard_count, flush=True)
    def echo(self, message):
        assert self.looking, "woken by a message"
        self.heard_count += 1
        self.output.publish(message)

run(Probe)
"""


def test_messages_wait_until_it_looks_and_a_flood_does_not_hold_it(graph):
    graph.processes.start("probe", ["-c", PROBE])
    graph.bring_up("probe")
    stop = graph.offer("e_stop")
    graph.wait_until(stop.get_subscription_count, "it listens")
    stop.publish(Bool(data=True))

    def looks() -> list[tuple[int, int]]:
        lines = graph.processes.log_path("probe").read_text().splitlines()
        return [(int(line.split()[1]), int(line.split()[2])) for line in lines if line.startswith("look")]

    graph.wait_until(lambda: looks() and looks()[-1][1] > 30, "it hears its own echo")
    before = looks()[-1][0]
    graph.wait_until(lambda: looks()[-1][0] > before + 5, "it looks again", timeout_s=10.0)
    assert "woken by a message" not in graph.processes.log_path("probe").read_text()
