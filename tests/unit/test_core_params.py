"""Parameters: every mistake is named with what is allowed."""

from dataclasses import dataclass

import pytest

from nanorover import params
from nanorover.errors import InputError
from nanorover.lidar.params import LidarParams
from nanorover.perception.params import DetectorParams


@dataclass(frozen=True)
class Example:
    rate_hz: float = params.param("how often", "Hz", minimum=1.0, maximum=20.0)
    beams: int = params.param("how many", minimum=1)
    mode: str = params.param("which", choices=("mapping", "localization"))
    extent_m: tuple[float, ...] = params.param("how far", "m", minimum=0.0)
    enabled: bool = params.param("whether")


GOOD = {"rate_hz": 10.0, "beams": 360, "mode": "mapping", "extent_m": [1.0, 2.0], "enabled": True}


def test_good_values_are_taken_and_integers_serve_as_floats():
    made = params.from_mapping(Example, GOOD | {"rate_hz": 10}, "test")
    assert made == Example(10.0, 360, "mapping", (1.0, 2.0), True)
    assert isinstance(made.rate_hz, float)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rate_hz": 0.5}, ("rate_hz", "0.5", "at least 1 and at most 20 Hz")),
        ({"rate_hz": float("nan")}, ("rate_hz", "nan")),
        ({"rate_hz": float("inf")}, ("rate_hz", "inf")),
        ({"rate_hz": "fast"}, ("rate_hz", "'fast'", "float")),
        ({"beams": 0}, ("beams", "at least 1")),
        ({"beams": True}, ("beams", "bool")),
        ({"beams": 1.5}, ("beams", "float")),
        ({"mode": "maping"}, ("mode", "one of mapping, localization")),
        ({"extent_m": [1.0, -2.0]}, ("extent_m", "at least 0 m")),
        ({"enabled": 1}, ("enabled", "bool")),
        ({"rate_hx": 1.0}, ("rate_hx", "did you mean 'rate_hz'?")),
    ],
)
def test_each_mistake_is_named(wrong, named):
    with pytest.raises(InputError) as caught:
        params.from_mapping(Example, GOOD | wrong, "file.yaml")
    for words in ("file.yaml", *named):
        assert words in str(caught.value)


def test_a_missing_value_is_named_with_its_meaning():
    with pytest.raises(InputError, match="'beams' is missing\n.*how many"):
        params.from_mapping(Example, {k: v for k, v in GOOD.items() if k != "beams"}, "file.yaml")


def test_a_parameter_file_is_read_as_ros_reads_it(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text(
        "/**: {ros__parameters: {use_sim_time: true, beams: 5}}\n"
        "lidar: {ros__parameters: {rate_hz: 7.0}}\n"
        "slam: {ros__parameters: {rate_hz: 9.0}}\n"
    )
    assert params.read_yaml(file, "lidar") == {"beams": 5, "rate_hz": 7.0}


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "", "a: [1\n", "lidar: 5\n", "lidar: {ros__parameters: 7}\n", "lidar: {rate_hz: 7.0}\n"]
)
def test_a_file_that_is_no_parameter_file_is_refused(tmp_path, text):
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match="robot.yaml"):
        params.read_yaml(file, "lidar")


def test_a_file_whose_only_part_is_mistyped_is_refused_and_one_of_another_node_is_not(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text("/rover7/detecter: {ros__parameters: {score_threshold: 0.9}}\n")
    with pytest.raises(InputError, match="unknown section 'detecter'\n.*did you mean 'detector'"):
        params.load(DetectorParams, "detector", file)
    for another in ("slam", "planner"):  # a parameter set, a node of several
        file.write_text(f"/rover7/{another}: {{ros__parameters: {{score_threshold: 0.9}}}}\n")
        assert params.load(DetectorParams, "detector", file) == params.load(DetectorParams, "detector")


def test_of_what_is_for_every_node_a_component_takes_what_it_has(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text("/**: {ros__parameters: {use_sim_time: true, enable_stamped_cmd_vel: true, port: /dev/x}}\n")
    assert params.load(LidarParams, "lidar", file).port == "/dev/x"
    assert params.load(DetectorParams, "detector", file) == params.load(DetectorParams, "detector")
    file.write_text("/**: {ros__parameters: {enable_stamped_cmd_val: true}}\n")
    with pytest.raises(InputError, match="'enable_stamped_cmd_val'\n.*did you mean 'enable_stamped_cmd_vel'"):
        params.load(DetectorParams, "detector", file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="absent.yaml"):
        params.read_yaml(tmp_path / "absent.yaml", "lidar")


def test_a_value_that_was_given_is_not_blamed_on_the_shipped_file():
    with pytest.raises(InputError, match="^as given: parameter 'score_threshold' is 7.0"):
        params.load(DetectorParams, "detector", score_threshold=7.0)
