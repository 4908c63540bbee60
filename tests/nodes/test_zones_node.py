"""Keep-out zones through the real planner: asked for by services, shown to RViz, kept over a restart."""

import math
import time

import numpy as np
import pytest
from geometry_msgs.msg import Point32, Polygon
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker
from ways import least_gap_m

from nanorover.geometry.scan import Odometry
from nanorover.mapping.grid import OccupancyGrid
from nanorover.mapping.map_files import save_map
from nanorover.planning.zones import Zone, read
from nanorover_interfaces.srv import AddZone, FilePath, RemoveZone
from nanorover_nodes.convert import grid_msg, odometry_msg, transform_msg
from nanorover_nodes.zones import markers_msg, zones_of

pytestmark = pytest.mark.nodes

ROOM = OccupancyGrid(np.pad(np.zeros((80, 120), np.int8), 1, constant_values=100), 0.05, np.array([0.0, 0.0, 0.0]))
T_MAP_BASE = np.array([1.0, 2.0, 0.0])
ACROSS = [(2.6, 0.8), (3.4, 0.8), (3.4, 3.0), (2.6, 3.0)]


class Planned:
    """A planner that has the map of a room, and a robot that stands in it."""

    def __init__(self, graph, began_ns: int, *parameters: str) -> None:
        self.graph = graph
        self.arguments = [word for parameter in parameters for word in ("-p", parameter)]
        self.outputs = {topic: graph.offer(topic) for topic in ("map", "odom", "/tf")}
        self.shown = graph.collect("keep_out_zones")
        self.start()
        self.begin_map(began_ns)

    def start(self) -> None:
        self.graph.start("planner", *self.arguments)
        self.graph.bring_up("planner")

    def restart(self) -> None:
        """The planner dies and is started again; the map comes to it once more."""
        self.graph.processes.kill("planner")
        self.shown.clear()
        self.start()

    def begin_map(self, began_ns: int) -> None:
        """The map's frame began so many nanoseconds after 1970."""
        self.shown.clear()
        self.outputs["map"].publish(grid_msg(ROOM, 0, "map", began_ns))
        self.until(lambda: self.shown, "zones are shown")

    def until(self, condition, what: str) -> None:
        """Live until the condition holds."""
        self.graph.wait_until(lambda: self.live() or condition(), what)

    def live(self) -> None:
        stamp_ns = time.time_ns()
        self.outputs["odom"].publish(odometry_msg(Odometry(stamp_ns, T_MAP_BASE), "odom", "base_link"))
        edges = ("map", "odom", np.zeros(3)), ("odom", "base_link", T_MAP_BASE)
        self.outputs["/tf"].publish(TFMessage(transforms=[transform_msg(stamp_ns, *edge) for edge in edges]))

    def add(self, name: str, corners) -> AddZone.Response:
        polygon = Polygon(points=[Point32(x=float(x), y=float(y)) for x, y in corners])
        return self.graph.call(AddZone, "keep_out_zones/add", AddZone.Request(name=name, polygon=polygon))

    def until_shown(self, names: list[str]) -> None:
        def holds() -> bool:
            return bool(self.shown) and [z.name for z in zones_of(self.shown[-1])[0].values()] == names

        self.until(holds, f"shown are {names}")

    def least_gap_m(self) -> float:
        """How near the way from (1, 2) to (5, 2) comes to ACROSS."""
        return least_gap_m(self.graph.way_to(5.0, 2.0, self.live), ACROSS[0], ACROSS[2])


def test_zones_and_the_outlines_of_a_mask_come_back_out_of_their_markers():
    zones = {3: Zone("stairs", tuple(ACROSS)), 8: Zone("", ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))}
    mask = [[(5.0, 5.0), (6.0, 5.0), (6.0, 7.5)], [(0.25, 0.0), (0.5, 0.0), (0.5, 0.5)]]
    assert zones_of(markers_msg(zones, [np.array(outline) for outline in mask], "map")) == (zones, mask)
    assert zones_of(markers_msg({}, [], "map")) == ({}, [])


def test_a_zone_is_gone_round_at_once_shown_and_deleted(graph):
    planned = Planned(graph, 100)
    assert planned.least_gap_m() < 0.0
    answer = planned.add("stairs", ACROSS)
    assert answer.success and "'stairs' is shut, until the map is begun anew" in answer.message
    assert "stands in it" not in answer.message
    assert planned.least_gap_m() > 0.1
    planned.until_shown(["stairs"])
    outline, name = planned.shown[-1].markers[1:]
    assert (outline.type, name.type) == (Marker.LINE_STRIP, Marker.TEXT_VIEW_FACING)
    assert outline.header.frame_id == "map" and outline.pose.orientation.w == 1.0
    assert [(p.x, p.y) for p in outline.points] == [*ACROSS, ACROSS[0]]

    about = planned.add("", [(0.5, 1.5), (1.5, 1.5), (1.5, 2.5), (0.5, 2.5)])
    assert about.success and "the robot stands in it" in about.message
    planned.until_shown(["stairs", ""])
    remove = [graph.call(RemoveZone, "keep_out_zones/remove", RemoveZone.Request(id=n)) for n in (1, 2, 2)]
    assert [answer.success for answer in remove] == [True, True, False]
    planned.until_shown([])
    assert planned.least_gap_m() < 0.0


@pytest.mark.parametrize(
    ("name", "corners", "words"),
    [
        ("", ACROSS[:2], "2 corners"),
        ("", [ACROSS[0], ACROSS[2], ACROSS[1], ACROSS[3]], "crosses itself"),
        ("", [*ACROSS[:3], (math.nan, 1.0)], "finite"),
        ("", [(500.0, 0.0), (501.0, 0.0), (501.0, 1.0)], "outside the map"),
        ("x" * 50, ACROSS, "name"),
    ],
)
def test_nonsense_is_refused_with_the_reason_and_changes_nothing(zoned, name, corners, words):
    answer = zoned.add(name, corners)
    assert not answer.success and words in answer.message
    zoned.until_shown([])


@pytest.fixture
def zoned(graph):
    return Planned(graph, 100)


def test_zones_beside_the_map_outlive_a_restart_and_mean_nothing_in_another_map(graph, tmp_path):
    map_file = save_map(ROOM, tmp_path / "flat")
    run = tmp_path / "run"
    run.mkdir()
    of_file_ns = map_file.stat().st_mtime_ns
    planned = Planned(graph, of_file_ns, f"map:={map_file}", f"run_folder:={run}")
    assert "kept in flat.zones.yaml beside the map" in planned.add("stairs", ACROSS).message
    planned.restart()
    planned.until_shown(["stairs"])
    assert planned.least_gap_m() > 0.1

    planned.begin_map(100)  # a map that is made from here on
    planned.until_shown([])
    assert planned.add("for now", ACROSS).success
    planned.restart()
    planned.until_shown(["for now"])

    save_map(ROOM, map_file)  # written anew: the robot's frame is still the one that it had
    planned.begin_map(of_file_ns)
    planned.until_shown(["stairs"])
    planned.restart()
    planned.until_shown(["stairs"])


def test_zones_go_along_when_the_map_is_saved_and_opened(graph, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    planned = Planned(graph, 100, f"run_folder:={run}")
    flat = tmp_path / "flat"

    def ask(name: str, path) -> str:
        answer = graph.call(FilePath, f"keep_out_zones/{name}", FilePath.Request(path=str(path)))
        assert answer.success
        return answer.message

    assert ask("save", flat) == "", "there are none"
    planned.add("stairs", ACROSS)
    map_file = save_map(ROOM, flat)
    assert ask("save", flat) == f"keep-out zones written: {tmp_path / 'flat.zones.yaml'}"
    assert "flat.zones.yaml" in ask("open", map_file)
    planned.begin_map(map_file.stat().st_mtime_ns)
    planned.until_shown(["stairs"])
    planned.restart()
    planned.until_shown(["stairs"])

    planned.begin_map(200)
    planned.until_shown([])
    ask("save", map_file)
    assert read(tmp_path / "flat.zones.yaml") == [], "another map under the same name has none of them"


def test_a_damaged_file_is_said_and_left_as_it_is(graph, tmp_path):
    (tmp_path / "flat.zones.yaml").write_text("zones: [")
    graph.start("planner", "-p", f"map:={tmp_path / 'flat.yaml'}")
    diagnostics = graph.collect("/diagnostics")
    assert not graph.change_state("planner", "configure")

    def said() -> bool:
        health = graph.health_of("planner", diagnostics)
        return health is not None and "flat.zones.yaml are damaged" in health.message

    graph.wait_until(said, "the planner names the file")
    assert (tmp_path / "flat.zones.yaml").read_text() == "zones: ["
