"""A node that takes messages only when it looks, and that a flood does not keep from everything else."""

import pytest
from geometry_msgs.msg import PoseStamped
from std_msgs.msg import Bool

pytestmark = pytest.mark.nodes

# Answers every message with another one to itself: whoever takes until none is left never comes back.
PROBE = """
from nanorover_nodes.process import run
from nanorover_nodes.patient import PatientComponent

class Probe(PatientComponent):
    def __init__(self):
        super().__init__("probe")
        self.looks, self.heard_count, self.looking = 0, 0, False
    def configure(self):
        self.output = self.offer("e_stop")
        self.listen("e_stop", self.echo)
        self.put_off = [self.listen("goal_pose", self.late)]
        self.timer = self.create_timer(0.05, self.look)
    def look(self):
        self.looking = True
        self.hear(but=() if self.looks % 20 == 19 else self.put_off)
        self.looking = False
        self.looks += 1
        print("look", self.looks, self.heard_count, flush=True)
    def echo(self, message):
        assert self.looking, "woken by a message"
        self.heard_count += 1
        self.output.publish(message)
    def late(self, message):
        print("late", self.looks, flush=True)

run(Probe)
"""


def test_messages_wait_until_it_looks_and_a_flood_does_not_hold_it(graph):
    graph.processes.start("probe", ["-c", PROBE])
    graph.bring_up("probe")
    stop, goal = graph.offer("e_stop"), graph.offer("goal_pose")
    graph.wait_until(lambda: stop.get_subscription_count() and goal.get_subscription_count(), "it listens")
    stop.publish(Bool(data=True))

    def said(word: str) -> list[list[int]]:
        lines = graph.processes.log_path("probe").read_text().splitlines()
        return [[int(number) for number in line.split()[1:]] for line in lines if line.startswith(word)]

    def looks() -> list[list[int]]:
        return said("look")

    graph.wait_until(lambda: looks() and looks()[-1][1] > 30, "it hears its own echo")
    before = looks()[-1][0]
    graph.wait_until(lambda: looks()[-1][0] > before + 5, "it looks again", timeout_s=10.0)
    assert "woken by a message" not in graph.processes.log_path("probe").read_text()

    for _ in range(3):
        count = len(said("late"))
        goal.publish(PoseStamped())
        graph.wait_until(lambda count=count: len(said("late")) > count, "what was put off is heard too")
    assert {look % 20 for (look,) in said("late")} == {19}
