"""The web server against real sockets: who gets in, what a slow browser gets, what happens when it leaves."""

import json
import math
import socket as socket_module
import struct
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.planning.zones import Zone
from nanorover.view.access import network_token
from nanorover.view.scene import map_frame, scan_frame, thinned, zones_frame
from nanorover.view.server import FILES, KINDS, WebServer, frame


class Robot:
    def __init__(self) -> None:
        self.commands: list[tuple[int, dict]] = []
        self.left: list[int] = []

    def take(self, client: int, command: dict) -> str:
        self.commands.append((client, command))
        return "not now" if command["type"] == "goal" else ""


@pytest.fixture
def robot():
    return Robot()


@pytest.fixture
def server(robot):
    made = WebServer("127.0.0.1", 0, "", robot.take, robot.left.append)
    made.start()
    yield made
    made.stop()


def parse(data: bytes) -> tuple[str, dict, bytes]:
    number, length = struct.unpack_from("<BI", data)
    header = json.loads(data[5 : 5 + length], parse_constant=pytest.fail)
    return list(KINDS)[number], header, data[5 + length :]


def wait_for(condition, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_page_and_nothing_else_is_served(server):
    for path, (_, content_type) in FILES.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5.0) as answer:
            assert answer.headers["Content-Type"] == content_type
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.read()
    for path in ("/../params.py", "/server.py", "/nothing"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5.0)


def test_frames_go_out_commands_come_in_and_leaving_is_noticed(server, robot):
    server.put("map", {"width": 3}, b"png", keep=True)
    server.flush()
    with connect(f"ws://127.0.0.1:{server.port}/socket") as socket:
        assert parse(socket.recv(timeout=5.0)) == ("map", {"width": 3}, b"png")
        server.put("state", {"pose": None})
        server.flush()
        assert parse(socket.recv(timeout=5.0)) == ("state", {"pose": None}, b"")
        socket.send(json.dumps({"type": "goal", "x": 1}))
        assert parse(socket.recv(timeout=5.0)) == ("notice", {"text": "not now"}, b"")
        for nonsense in ("", "[]", "3", "{", b"\xff\x00"):
            socket.send(nonsense)
        socket.send(json.dumps({"type": "stop"}))
        wait_for(lambda: len(robot.commands) == 7)
        assert [c["type"] for _, c in robot.commands] == ["goal", "", "", "", "", "", "stop"]
        assert server.watched and robot.left == []
    wait_for(lambda: robot.left == [1])
    assert not server.watched


def test_what_is_not_a_number_reaches_the_browser_as_null():
    data = frame("state", {"battery": {"percentage": math.nan, "voltage": 12.0}, "pose": [1.0, -math.inf]})
    assert parse(data)[1] == {"battery": {"percentage": None, "voltage": 12.0}, "pose": [1.0, None]}


def test_a_slow_browser_gets_the_newest_picture_not_a_queue(server):
    picture = b"x" * 300_000
    with connect(f"ws://127.0.0.1:{server.port}/socket", max_size=None, max_queue=1) as socket:
        wait_for(lambda: server.watched)
        for number in range(200):
            server.put("picture", {"number": number}, picture)
            server.flush()
        seen = []
        while not seen or seen[-1] != 199:
            seen.append(parse(socket.recv(timeout=5.0))[1]["number"])
        assert len(seen) < 100, "it fell behind, so it skipped"
        assert seen == sorted(seen)


def test_the_network_needs_a_token(robot):
    with pytest.raises(InputError, match="without a token"):
        WebServer("0.0.0.0", 0, "", robot.take, robot.left.append)
    server = WebServer("0.0.0.0", 0, "secret", robot.take, robot.left.append)
    server.start()
    try:
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://127.0.0.1:{server.port}/socket?token=wrong")
        with connect(f"ws://127.0.0.1:{server.port}/socket?token=secret") as socket:
            socket.ping().wait(5.0)
    finally:
        server.stop()


def test_another_site_in_the_same_browser_is_refused(server):
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{server.port}/socket", origin="http://evil.example")


def test_a_browser_that_fell_asleep_does_not_hold_the_end(robot):
    server = WebServer("127.0.0.1", 0, "", robot.take, robot.left.append)
    server.start()
    with socket_module.create_connection(("127.0.0.1", server.port)) as asleep:
        asleep.sendall(
            f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        wait_for(lambda: server.watched)
        began_s = time.monotonic()
        server.stop()
        assert time.monotonic() - began_s < 2.5


def test_a_token_that_was_half_written_is_made_anew(tmp_path):
    path = tmp_path / "view-token"
    path.touch()
    token = network_token(path)
    assert len(token) > 15 and network_token(path) == token


def test_a_port_that_is_taken_is_named(server, robot):
    second = WebServer("127.0.0.1", server.port, "", robot.take, robot.left.append)
    with pytest.raises(InputError, match=f"127.0.0.1:{server.port}(.|\n)*choose another port"):
        second.start()


def test_an_address_that_is_not_this_machines_is_no_matter_of_the_port(robot):
    page = WebServer("192.0.2.1", 0, "token", robot.take, robot.left.append)
    with pytest.raises(InputError, match="192.0.2.1(.|\n)*name an address of this machine"):
        page.start()


def test_a_map_reaches_the_browser_top_row_first():
    cells = np.array([[-1, 0, 100], [0, 50, -1]], np.int8)
    header, png = map_frame(cells, 0.05, np.array([-1.0, 2.0, 0.0]))
    assert header == {"width": 3, "height": 2, "resolution": 0.05, "origin": [-1.0, 2.0, 0.0]}
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.tolist() == [[0, 50, 255], [255, 0, 100]]


def test_a_scan_reaches_the_browser_as_millimetres_without_what_was_not_hit():
    ranges_m = np.array([1.0, np.inf, np.nan, 0.01, 2.0, 99.0], np.float32)
    scan = LaserScan(0, ranges_m, 0.0, np.pi / 4, 0.1, 16.0)
    header, payload = scan_frame(scan, np.array([1.0, 2.0, 0.5]))
    assert header == {"pose": [1.0, 2.0, 0.5]}
    assert np.frombuffer(payload, "<i2").reshape(-1, 2).tolist() == [[1000, 0], [-2000, 0]]


def test_zones_reach_the_browser_with_their_numbers_in_whole_millimetres():
    zone = Zone("wet paint", ((0.1000004, 2.0), (1, 0), (0, 1)))
    assert zones_frame({7: zone}, [[(0.0, 0.0004), (1.0, 0.0), (1.0, 1.0)]], "there is no planner") == {
        "zones": [{"number": 7, "name": "wet paint", "corners": [[0.1, 2.0], [1.0, 0.0], [0.0, 1.0]]}],
        "mask": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]],
        "undrawable": "there is no planner",
    }


def test_a_long_line_is_thinned_with_both_ends_kept():
    line = np.column_stack((np.arange(5000.0), np.zeros(5000)))
    thin = thinned(line)
    assert len(thin) == 400 and thin[0] == [0.0, 0.0] and thin[-1] == [4999.0, 0.0]
    assert thinned(line[:0]) == []
