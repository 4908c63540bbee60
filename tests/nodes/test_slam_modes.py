"""The SLAM node's modes and services as a real process, in a furnished building known exactly."""

import dataclasses

import numpy as np
import pytest
from lifecycle_msgs.srv import GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from slam_feed import Feed
from std_srvs.srv import Empty, SetBool

from nanorover.geometry.se2 import between, compose
from nanorover.mapping.map_files import load_map, save_map
from nanorover.sim.buildings import box
from nanorover.sim.flatland import G4, record
from nanorover.slam.localization_benchmark import World, mapped_from, scan_at, way_in
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import slam_params
from nanorover_interfaces.srv import FilePath, SetSlamMode
from nanorover_nodes.convert import NS, planar_covariance_of, pose_of, pose_with_covariance_msg, scan_msg

pytestmark = pytest.mark.nodes

PARAMS = slam_params()
STEP_NS = NS // 10
T_BASE_LASER = np.array(G4.T_base_laser)
TWO_SECONDS = 20  # scans
# An empty room that looks the same from two places each.
SYMMETRIC = np.array(box(0.0, 0.0, 6.0, 4.0))
CLICK = np.diag([0.1, 0.1, 0.05])


@dataclasses.dataclass
class Home:
    """A building, its map as yaml, and a graph of one room whose origin is where that drive began."""

    world: World
    map: str
    graph: str
    T_world_graph: np.ndarray

    def place(self, mapped: int) -> np.ndarray:
        """A free place in a mapped room, as the building has it."""
        return self.world.rooms.places(np.random.default_rng(1), int(self.world.mapped[mapped]), 1)[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(5)
    world = World.made(rng, PARAMS, size_m=14.0)
    way = way_in(world.rooms, int(world.mapped[0]), rng)
    mapper = Mapper(PARAMS)
    for step in record(world.rooms.walls, way, G4, None, rng):
        mapper.add_scan(step.scan)
    mapper.save(folder / "graph")
    return Home(world, str(save_map(world.grid, folder / "home")), str(folder / "graph"), way.poses[0])


@pytest.fixture(scope="module")
def symmetric_map(tmp_path_factory) -> str:
    grid = mapped_from(SYMMETRIC, np.zeros((1, 3)), PARAMS, np.random.default_rng(0))
    return str(save_map(grid, tmp_path_factory.mktemp("symmetric") / "room"))


class Robot(Feed):
    """A robot that stands where it is put; its wheels say that it never moves."""

    def __init__(self, graph, walls: np.ndarray, *arguments: str, started: bool = False) -> None:
        self.diagnostics, self.maps, self.tf = (graph.collect(t) for t in ("/diagnostics", "map", "/tf"))
        if not started:
            graph.start("slam", *[word for a in arguments for word in ("-p", a)])
            graph.bring_up("slam")
        super().__init__(graph)
        self.initial_poses = graph.offer("initialpose")
        self.mount(T_BASE_LASER)
        self.walls, self.rng, self.stamp_ns = walls, np.random.default_rng(2), 100 * NS

    def look(self, T_world_base: np.ndarray) -> None:
        self.stamp_ns += STEP_NS
        scan = dataclasses.replace(scan_at(self.walls, T_world_base, self.rng), stamp_ns=self.stamp_ns)
        self.send(scan, np.zeros(3))

    def look_until(self, T_world_base: np.ndarray, condition, most: int) -> int:
        """How many scans it took."""
        for count in range(1, most + 1):
            self.look(T_world_base)
            if condition():
                return count
        pytest.fail(f"not within {most} scans; {self.pose()}, {self.health()}")

    def pose(self) -> np.ndarray:
        return pose_of(self.poses[-1].pose.pose)

    def is_at(self, T_map_base: np.ndarray) -> bool:
        """At the place, and sure of it."""
        off = between(T_map_base, self.pose())
        return np.hypot(*off[:2]) < 0.1 and abs(off[2]) < 0.05 and self.is_sure()

    def is_sure(self) -> bool:
        return self.sigma_m() < 0.5

    def sigma_m(self) -> float:
        return float(np.sqrt(np.linalg.eigvalsh(planar_covariance_of(self.poses[-1])[:2, :2])[-1]))

    def click(self, T_map_base: np.ndarray, frame: str = "map") -> None:
        self.graph.wait_until(lambda: self.initial_poses.get_subscription_count() > 0, "slam hears initialpose")
        self.initial_poses.publish(pose_with_covariance_msg(self.stamp_ns, frame, T_map_base, CLICK))

    def health(self):
        return self.graph.health_of("slam", self.diagnostics)

    def says(self, level: bytes, words: str) -> None:
        self.diagnostics.clear()
        self.graph.wait_until(
            lambda: self.health() is not None and self.health().level == level and words in self.health().message,
            f"diagnostics with '{words}', level {level!r}",
        )

    def value(self, key: str) -> str:
        return next(v.value for v in self.health().values if v.key == key)

    def has_transform(self) -> bool:
        return any(t.header.frame_id == "map" for m in self.tf for t in m.transforms)

    def call(self, name: str, path: str) -> FilePath.Response:
        return self.graph.call(FilePath, f"slam/{name}", FilePath.Request(path=path))

    def set_mode(self, mode: str, path: str = "") -> SetSlamMode.Response:
        return self.graph.call(SetSlamMode, "slam/set_mode", SetSlamMode.Request(mode=mode, path=path))


OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"


def test_localization_lives_and_shows_its_map_before_the_first_scan(graph, home):
    arguments = ["mode:=localization", f"map:={home.map}", "map_period_s:=0.1"]
    robot = Robot(graph, home.world.rooms.walls, *arguments)
    graph.wait_until(lambda: robot.maps, "the map without a scan")
    robot.says(WARN, "no scan received")
    assert "callback_faults" not in {v.key for v in robot.health().values}


def test_found_without_a_click_kept_when_carried_away_and_lost_where_nothing_fits(graph, home):
    robot = Robot(graph, home.world.rooms.walls, "mode:=localization", f"map:={home.map}", "map_period_s:=0.2")
    here, there = home.place(0), home.place(-1)
    robot.says(WARN, "no scan")
    robot.look_until(here, lambda: robot.is_at(here), TWO_SECONDS)
    robot.says(OK, "localization")
    assert float(robot.value("confidence")) > 0.9
    robot.look_until(here, robot.has_transform, TWO_SECONDS)  # one a scan, and who listens late misses some
    graph.wait_until(lambda: robot.maps, "the saved map")
    cells = np.array(robot.maps[-1].data).reshape(robot.maps[-1].info.height, -1)
    assert (cells == load_map(home.map).cells).all()

    robot.look_until(there, lambda: robot.is_at(there), TWO_SECONDS)

    graph.call(Empty, "reinitialize_global_localization", Empty.Request())
    robot.tf.clear()
    robot.look(np.array([500.0, 0.0, 0.0]))  # an empty scan
    assert not robot.is_sure() and not robot.has_transform()
    robot.look_until(here, lambda: robot.is_at(here), TWO_SECONDS)

    robot.walls = np.array(box(0.0, 0.0, 1.3, 2.9) + box(0.3, 1.0, 0.3, 0.3, 0.4))
    robot.look_until(np.zeros(3), lambda: robot.sigma_m() > 10.0, TWO_SECONDS)
    robot.says(ERROR, "the place is not known")
    robot.tf.clear()
    robot.look(np.zeros(3))
    robot.says(ERROR, "the place is not known")
    assert not robot.has_transform(), "nobody drives by a place that is not known"


def test_a_room_that_looks_the_same_from_two_places_waits_for_a_click(graph, symmetric_map):
    robot = Robot(graph, SYMMETRIC, "mode:=localization", f"map:={symmetric_map}")
    here = np.array([1.0, 0.5, 0.3])
    for _ in range(12):
        robot.look(here)
        assert not robot.is_sure()
    robot.says(ERROR, "2 places in the map look like this")
    robot.click(here, frame="odom")
    robot.says(ERROR, "the place is not known")
    graph.wait_until(lambda: robot.value("refused: initialpose in frame 'odom'") == "1", "the refused click")
    off_by = compose(here, np.array([0.2, -0.15, 0.1]))
    robot.click(off_by)
    robot.look_until(here, lambda: robot.is_at(here), TWO_SECONDS)
    robot.says(OK, "localization")
    opposite = np.array([-1.0, -0.5, 0.3 - np.pi])
    robot.click(opposite)
    robot.look_until(here, lambda: robot.is_at(opposite), TWO_SECONDS)


def test_a_click_is_honoured_while_mapping(graph):
    walls = np.array(box(0.0, 0.0, 6.0, 4.0) + box(-2.0, 1.0, 0.8, 0.5))
    robot = Robot(graph, walls)
    robot.look_until(np.zeros(3), lambda: robot.is_at(np.zeros(3)), 3)
    there = np.array([-1.2, -1.0, 1.5])
    robot.click(there)
    robot.look_until(there, lambda: robot.is_at(there), TWO_SECONDS)


def test_modes_are_switched_with_the_map_and_the_place_kept(graph, home, tmp_path):
    robot = Robot(graph, home.world.rooms.walls, "map_period_s:=0.2")
    start = home.place(0)
    robot.look_until(start, lambda: robot.is_at(np.zeros(3)), 3)
    saved = robot.call("serialize_map", str(tmp_path / "own"))
    assert saved.success, saved.message

    answer = robot.set_mode("localization")
    assert answer.success, answer.message
    robot.look_until(start, lambda: robot.is_at(np.zeros(3)), 3)
    robot.says(OK, "localization")
    assert robot.set_mode("mapping").success
    robot.look_until(start, lambda: robot.is_at(np.zeros(3)), 3)

    refused = robot.set_mode("maping")
    assert not refused.success and "did you mean 'mapping'" in refused.message
    refused = robot.set_mode("lifelong", home.map)
    assert not refused.success and "needs its graph" in refused.message
    content = bytearray((tmp_path / "own").read_bytes())
    content[-100] ^= 0xFF
    (tmp_path / "broken").write_bytes(content)
    refused = robot.call("deserialize_map", str(tmp_path / "broken"))
    assert not refused.success and "damaged" in refused.message
    refused = robot.call("deserialize_map", str(tmp_path / "nothing"))
    assert not refused.success and "cannot read graph" in refused.message
    robot.look(start)
    robot.says(OK, "mapping")

    # A robot in another room begins with the saved graph of the first one, and finds itself when it comes there.
    answer = robot.set_mode("lifelong", home.graph)
    assert answer.success, answer.message
    expected = between(home.T_world_graph, start)
    robot.look_until(start, lambda: robot.is_at(expected), TWO_SECONDS)
    robot.says(OK, "lifelong")
    keyframes = int(robot.value("keyframes"))
    ahead = compose(start, np.array([0.0, 0.0, 0.6]))
    for part in (0.2, 0.4, 0.6, 0.8, 1.0):
        robot.look(compose(start, np.array([0.0, 0.0, 0.6 * part])))
    assert robot.is_at(between(home.T_world_graph, ahead))
    robot.says(OK, "lifelong")
    assert int(robot.value("keyframes")) >= keyframes
    assert robot.set_mode("localization", home.map).success
    refused = robot.set_mode("lifelong")
    assert not refused.success and "picture" in refused.message


def test_a_paused_node_leaves_scans_out(graph, home):
    robot = Robot(graph, home.world.rooms.walls)
    start = home.place(0)
    robot.look(start)
    assert graph.call(SetBool, "slam/pause", SetBool.Request(data=True)).success
    robot.says(WARN, "paused")
    before = robot.value("scans")
    robot.scans.publish(scan_msg(scan_at(robot.walls, start, robot.rng)))
    robot.says(WARN, "paused")
    assert robot.value("scans") == before
    assert graph.call(SetBool, "slam/pause", SetBool.Request(data=False)).success
    robot.look(start)
    robot.says(OK, "mapping")


def test_a_map_that_cannot_be_used_is_named_and_the_node_can_be_set_right(graph, home, tmp_path):
    (tmp_path / "graph").write_text("nothing of the kind")
    graph.start("slam", "-p", "mode:=localization", "-p", f"map:={tmp_path / 'graph'}")
    assert not graph.change_state("slam", "configure")
    assert "is no graph file" in graph.processes.log_path("slam").read_text()
    for name, value in (("map", ""), ("map", home.map)):
        text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=text)])
        assert graph.call(SetParameters, "slam/set_parameters", request).results[0].successful
        assert graph.change_state("slam", "configure") == bool(value)
    assert "localization needs a map" in graph.processes.log_path("slam").read_text()
    state = graph.call(GetState, "slam/get_state", GetState.Request()).current_state.label
    assert state == "inactive"


def test_the_robot_is_started_with_a_map_and_finds_itself(graph, home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    words = [
        "up",
        "--map",
        home.map,
        "--without",
        "drivers,perception,navigation",
        "--log-dir",
        str(tmp_path / "up"),
    ]
    graph.processes.start("up", ["-c", "from nanorover.cli import main; main()", *words])
    robot = Robot(graph, home.world.rooms.walls, started=True)
    here = home.place(0)
    robot.look_until(here, lambda: robot.is_at(here), TWO_SECONDS)
    robot.says(OK, "localization")
