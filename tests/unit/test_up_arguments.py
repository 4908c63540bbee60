"""The arguments of a start: named as Nav2 names them, refused with the name, the value and what is allowed."""

from pathlib import Path

import numpy as np
import pytest

from nanorover.bringup import arguments
from nanorover.bringup.plan import chosen_nodes, managed_nodes, plan
from nanorover.errors import InputError
from nanorover.mapping.grid import OccupancyGrid
from nanorover.mapping.map_files import save_map
from nanorover.tables import GROUPS, MODES, NODES

NAV2 = {
    "namespace", "use_sim_time", "params_file", "map", "slam", "autostart", "use_respawn", "log_level", "use_rviz",
}  # fmt: skip


def drawn_map(path: Path) -> Path:
    """A map of a small room, at ``path``."""
    cells = np.zeros((20, 20), np.int8)
    cells[[0, -1]] = cells[:, [0, -1]] = 100
    return save_map(OccupancyGrid(cells, 0.05, np.zeros(3)), path)


def test_every_mode_takes_the_arguments_of_nav2_and_the_robots_own():
    for mode in MODES:
        assert NAV2 | {"port", "camera", "model"} <= set(arguments.of_mode(mode)), mode


def test_an_argument_is_written_in_any_of_three_ways():
    words = ["map:=a.yaml", "--use-sim-time", "true", "--log_level=debug", "namespace:="]
    assert arguments.split(words) == {
        "map": "a.yaml",
        "use_sim_time": "true",
        "log_level": "debug",
        "namespace": "",
    }


@pytest.mark.parametrize("words", [["map"], ["--map"], [":=x"], ["map:=a", "=3"]])
def test_a_word_that_is_no_argument_is_named(words):
    with pytest.raises(InputError, match=f"'{words[-1]}'"):
        arguments.split(words)


@pytest.mark.parametrize(
    ("mode", "given", "named"),
    [
        ("robot", {"mapp": "x"}, ["'mapp'", "did you mean 'map'"]),
        ("robot", {"bag": "x"}, ["'bag'"]),
        ("robot", {"slam": "maybe"}, ["slam is 'maybe'", "auto, true, false"]),
        ("robot", {"log_level": "loud"}, ["log_level is 'loud'", "debug, info"]),
        ("robot", {"map": "/nowhere.yaml"}, ["map", "/nowhere.yaml"]),
        ("robot", {"params_file": "/nowhere.yaml"}, ["params_file", "/nowhere.yaml"]),
        ("robot", {"without": "camra"}, ["'camra'"]),
        ("robot", {"slam": "false"}, ["localization needs a map"]),
        ("localization", {}, ["localization needs a map"]),
        ("replay", {"rate": "fast"}, ["rate is 'fast'", "number"]),
        ("view", {"view_port": "http"}, ["view_port is 'http'", "number"]),
        ("robbot", {}, ["unknown mode 'robbot'", "did you mean 'robot'"]),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(mode, given, named):
    with pytest.raises(InputError) as refusal:
        arguments.check(mode, given)
    for words in named:
        assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("mode", "argument", "named"),
    [
        ("sim", "world:=nowhere.yaml", "nowhere.yaml"),
        ("robot", "camera:=/dev/video77", "no camera /dev/video77"),
        ("robot", "model:=roover", "roover"),
        ("robot", "model:=/nowhere.onnx", "/nowhere.onnx"),
    ],
)
def test_what_is_asked_for_and_is_not_there_is_refused_before_the_start(mode, argument, named):
    node = {"world": "simulator", "camera": "camera", "model": "detector"}[argument.split(":=")[0]]
    given = arguments.split([argument]) | {"without": ",".join(name for name in NODES if name != node)}
    with pytest.raises(InputError, match=named):
        plan(mode, arguments.check(mode, given))


@pytest.mark.parametrize(
    ("node", "given", "named"),
    [
        ("slam", ["map:=empty.yaml"], "node slam: {here}/empty.yaml is no map"),
        ("slam", ["map:=folder"], "{here}/folder: Is a directory"),
        ("slam", ["map:=blind.yaml"], "picture {here}/blind.pgm: No such file"),
        ("slam", ["map:=good.yaml", "slam_mode:=mapping"], "is a picture of a map, mapping needs its graph"),
        ("planner", ["params_file:=robot.yaml"], "node planner: cannot read map {here}/nowhere.yaml"),
        ("planner", ["map:=good.yaml"], "node planner: the keep-out zones {here}/good.zones.yaml are damaged: it"),
        ("playback", ["bag:=notes.txt"], "node playback: {here}/notes.txt is no recording"),
    ],
)
def test_a_file_that_its_node_could_not_use_is_refused_before_the_start(tmp_path, monkeypatch, node, given, named):
    monkeypatch.chdir(tmp_path)
    Path("empty.yaml").touch()
    Path("folder").mkdir()
    Path("blind.yaml").write_text("image: blind.pgm\nresolution: 0.05\norigin: [0, 0, 0]\n")
    drawn_map(Path("good.yaml"))
    Path("good.zones.yaml").write_text("zones: 3")
    Path("robot.yaml").write_text(f"planner: {{ros__parameters: {{keep_out_mask: {tmp_path}/nowhere.yaml}}}}\n")
    Path("notes.txt").write_text("no bag")
    mode = "replay" if node == "playback" else "robot"
    others = {"without": ",".join(name for name in NODES if name != node)}
    with pytest.raises(InputError) as refusal:
        plan(mode, arguments.check(mode, arguments.split(given) | others))
    assert named.format(here=tmp_path) in str(refusal.value)


def test_values_come_checked(tmp_path):
    file = tmp_path / "p.yaml"
    file.touch()
    values = arguments.check("view", {"use_sim_time": "True", "params_file": str(file), "view_port": "80"})
    assert (values["use_sim_time"], values["params_file"], values["view_port"]) == (True, file, 80)
    assert values["without"] == () and values["namespace"] == ""


def test_a_mode_is_the_nodes_of_its_groups_in_the_order_of_the_table():
    for mode, groups in MODES.items():
        assert set(groups) <= set(GROUPS)
        values = {"view": False, "without": (), "elsewhere": ()}
        members = [node for node in NODES.values() if node.group in groups]
        replaced = {name for node in members for name in node.replaces}
        expected = [node.name for node in members if node.name not in replaced]
        assert [node.name for node in chosen_nodes(mode, values)] == expected
    with_page = chosen_nodes("robot", {"view": True, "without": ("drivers", "slam"), "elsewhere": ()})
    names = {node.name for node in with_page}
    assert "web" in names and "static_frames" in names and not names & {"base", "slam"}


def test_a_node_that_runs_elsewhere_is_looked_after_but_not_started():
    values = arguments.check("robot", {"without": "drivers,slam,navigation", "elsewhere": "perception"})
    assert managed_nodes("robot", values) == ["static_frames", "detector"]
    assert [planned.node.name for planned in plan("robot", values)] == ["static_frames"]


def test_nodes_that_keep_notes_learn_where_this_start_keeps_its_files(tmp_path):
    planned = plan("navigation", arguments.check("navigation", {}))
    folders = {p.node.name: p.parameters_in(tmp_path).get("run_folder") for p in planned}
    assert folders == dict.fromkeys(folders, str(tmp_path))


def test_every_node_belongs_to_a_group_and_its_arguments_are_declared():
    for node in NODES.values():
        assert node.group in GROUPS, node.name
        assert set(node.arguments) <= set(arguments.ARGUMENTS), node.name


@pytest.mark.parametrize(
    ("mode", "given", "slam_mode"),
    [
        ("robot", {}, ""),
        ("robot", {"map": "MAP"}, "localization"),
        ("slam", {"map": "MAP", "slam": "False"}, "localization"),
        ("localization", {"map": "MAP"}, "localization"),
        ("slam", {"map": "MAP", "slam": "true"}, "mapping"),
        ("slam", {"map": "MAP", "slam_mode": "lifelong"}, "lifelong"),
    ],
)
def test_a_map_given_is_localized_in(tmp_path, mode, given, slam_mode):
    file = tmp_path / "office.yaml"
    file.touch()
    given = {name: str(file) if value == "MAP" else value for name, value in given.items()}
    assert arguments.check(mode, given)["slam_mode"] == slam_mode


def test_map_and_mode_reach_the_node(tmp_path):
    file = drawn_map(tmp_path / "office.yaml")
    planned = plan("localization", arguments.check("localization", {"map": str(file)}))
    assert [p.node.name for p in planned] == ["slam"]
    assert (planned[0].parameters["mode"], planned[0].parameters["map"]) == ("localization", str(file))
