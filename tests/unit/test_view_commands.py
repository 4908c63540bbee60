"""What a person asks for in the browser: bounded, lapsing, one driver at a time, stop above all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanorover import params
from nanorover.planning.zones import Zone
from nanorover.view.access import network_token, page_address, refusal
from nanorover.view.commands import Commands, Wish
from nanorover.view.params import WebParams

PARAMS = params.load(WebParams, "web", max_linear_m_s=0.4, max_angular_rad_s=1.5, command_lapse_s=0.5)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def commands(clock):
    return Commands(PARAMS, clock)


def drive(linear, angular):
    return {"type": "drive", "linear": linear, "angular": angular}


def test_a_drive_command_lapses(commands, clock):
    assert commands.velocity() is None
    assert commands.take(1, drive(0.5, -1.0)) == ""
    assert commands.velocity() == pytest.approx((0.2, -1.5))
    clock.now_s += 0.49
    assert commands.velocity() is not None
    clock.now_s += 0.02
    assert commands.velocity() is None


def test_it_lapses_at_once_when_the_browser_leaves_but_not_when_another_does(commands):
    commands.take(1, drive(1, 0))
    commands.leave(2)
    assert commands.velocity() is not None
    commands.leave(1)
    assert commands.velocity() is None


def test_only_one_drives(commands, clock):
    commands.take(1, drive(1, 0))
    assert commands.take(2, drive(-1, 0)) == "somebody else is driving"
    assert commands.velocity() == pytest.approx((0.4, 0.0))
    clock.now_s += 0.6
    assert commands.take(2, drive(-1, 0)) == ""
    assert commands.velocity() == pytest.approx((-0.4, 0.0))


def test_everybody_stops_and_a_stop_takes_back_the_goal_that_waits(commands):
    commands.take(1, {"type": "goal", "x": 1, "y": 2, "yaw": 0})
    commands.take(1, drive(1, 0))
    assert commands.take(2, {"type": "stop"}) == ""
    assert commands.velocity() is None
    assert commands.wishes() == [Wish("stop")]
    assert commands.take(1, drive(1, 0)) == "stopped: release first"
    assert commands.take(1, {"type": "goal", "x": 1, "y": 2, "yaw": 0}) == "stopped: release first"
    assert commands.velocity() is None
    commands.take(1, {"type": "release"})
    assert commands.take(1, drive(1, 0)) == ""
    assert commands.wishes() == [Wish("release")]


def test_a_cancel_takes_back_the_goal_that_waits_and_stops_nothing_else(commands):
    commands.take(1, {"type": "pose", "x": 1, "y": 2, "yaw": 0})
    commands.take(1, {"type": "goal", "x": 1, "y": 2, "yaw": 0})
    assert commands.take(2, {"type": "cancel"}) == ""
    assert commands.wishes() == [Wish("pose", (1.0, 2.0, 0.0)), Wish("cancel")]
    assert commands.take(1, drive(1, 0)) == "" and not commands.stopped


TRIANGLE = [[0, 0], [1, 0], [0, 1.5]]


def test_a_zone_is_taken_as_drawn_also_while_the_robot_is_stopped(commands):
    assert commands.take(1, {"type": "add_zone", "name": " wet  paint", "corners": TRIANGLE}) == ""
    commands.take(1, {"type": "stop"})
    assert commands.take(2, {"type": "remove_zone", "number": 3}) == ""
    zone = Zone("wet paint", ((0.0, 0.0), (1.0, 0.0), (0.0, 1.5)))
    assert commands.wishes() == [Wish("add_zone", zone=zone), Wish("stop"), Wish("remove_zone", number=3)]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"type": "add_zone", "name": "", "corners": TRIANGLE[:2]}, "2 corners"),
        ({"type": "add_zone", "name": "", "corners": [*TRIANGLE, [1, 2], [0.2, 0]]}, "crosses itself"),
        ({"type": "add_zone", "name": "", "corners": [[0, 0], [1, 0], [0, float("inf")]]}, "finite"),
        ({"type": "add_zone", "corners": TRIANGLE}, "name"),
        ({"type": "add_zone", "name": ""}, "corner"),
        ({"type": "remove_zone", "number": "3"}, "number"),
        ({"type": "remove_zone", "number": 2**40}, "number"),
        ({"type": "remove_zone"}, "number"),
    ],
)
def test_a_zone_that_makes_no_sense_is_refused_in_one_line(commands, command, words):
    answer = commands.take(1, command)
    assert words in answer and "\n" not in answer
    assert commands.wishes() == []


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
kinds = st.sampled_from(
    ["drive", "goal", "pose", "cancel", "stop", "release", "add_zone", "remove_zone", "", 3, None]
)


@given(
    st.fixed_dictionaries(
        {"type": kinds},
        optional=dict.fromkeys(("linear", "angular", "x", "y", "yaw", "name", "corners", "number"), anything),
    )
)
def test_no_command_exceeds_the_limits_or_fails(command):
    commands = Commands(PARAMS, Clock())
    answer = commands.take(1, command)
    assert isinstance(answer, str)
    linear, angular = commands.velocity() or (0.0, 0.0)
    assert abs(linear) <= 0.4 and abs(angular) <= 1.5
    for wish in commands.wishes():
        assert all(abs(v) < 1e6 for v in wish.pose[:2])


@pytest.mark.parametrize(
    ("path", "host", "origin", "token", "refused"),
    [
        ("/socket", "127.0.0.1:8765", "http://127.0.0.1:8765", "", ""),
        ("/socket", "localhost:8765", None, "", ""),
        ("/socket", "[::1]:8765", "http://[::1]:8765", "", ""),
        ("/socket", "127.0.0.1:8765", "http://evil.example", "", "another site"),
        ("/socket", "evil.example:8765", "http://evil.example:8765", "", "only this machine"),
        ("/socket", "10.0.0.5:8765", "http://10.0.0.5:8765", "secret", "token"),
        ("/socket?token=", "10.0.0.5:8765", None, "secret", "token"),
        ("/socket?token=secre", "10.0.0.5:8765", None, "secret", "token"),
        ("/socket?token=söcret", "10.0.0.5:8765", None, "secret", "token"),
        ("/socket?token=secret", "10.0.0.5:8765", "http://10.0.0.5:8765", "secret", ""),
        ("/socket?token=secret", "10.0.0.5:8765", "http://evil.example", "secret", "another site"),
    ],
)
def test_who_may_speak_to_the_robot(path, host, origin, token, refused):
    reason = refusal(path, host, origin, token)
    assert (refused in reason) if refused else reason == ""


def test_the_token_is_made_once_and_read_by_its_owner_alone(tmp_path):
    path = tmp_path / "deep" / "token"
    token = network_token(path)
    assert len(token) >= 20 and network_token(path) == token
    assert path.stat().st_mode & 0o077 == 0
    assert page_address("10.1.2.3", 80, token) == f"http://10.1.2.3:80/?token={token}"
    assert page_address("::1", 80, "") == "http://[::1]:80/"
