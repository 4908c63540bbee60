"""The page in a real browser, served by the real node, of a robot that other nodes see."""

import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from browser import Page, chromium
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from shown_robot import ShownRobot
from ways import least_gap_m
from websockets.sync.client import connect

from nanorover.planning.zones import read
from nanorover_nodes.convert import pose_of

pytestmark = pytest.mark.nodes

# Where to keep pictures of the page for a person to look at; nowhere if not set.
PICTURES = os.environ.get("NANOROVER_TEST_PICTURES")


# The names of what shares some of the screen with an element, or that it is not wholly on it.
COVERED = """((element) => {
  const of = (e) => e.getBoundingClientRect(), a = of(element);
  if (a.left < 0 || a.top < 0 || a.right > innerWidth || a.bottom > innerHeight) return 'off the screen';
  return ['camera', 'drive', 'stop', 'follow', 'fit', 'health-button'].filter((id) => {
    const b = of(document.getElementById(id));
    return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  }).join(' ');
})"""


class Shown:
    """The page and the robot behind it."""

    def __init__(self, graph, page: Page, address: str) -> None:
        self.graph, self.page, self.address = graph, page, address
        self.robot = ShownRobot(graph)
        self.robot.wait_for_listener()
        self.robot.publish_still()
        self.alive()

    def alive(self) -> None:
        """One moment in the life of the robot."""
        self.robot.publish_moment()
        self.robot.publish_health()
        self.robot.publish_battery()
        self.graph.wait_until(lambda: True, "a moment passes")

    def wait_for(self, condition: str) -> None:
        self.page.wait_for(condition, meanwhile=self.alive)

    def picture(self, name: str) -> None:
        if PICTURES:
            self.page.screenshot(Path(PICTURES) / name)

    def screen_of(self, x: float, y: float) -> tuple[float, float]:
        """Where the page draws a point of the map."""
        return tuple(self.page.value(f"document.getElementById('map').view.toScreen({x}, {y})"))


@pytest.fixture
def address(graph, tmp_path) -> str:
    """The page, served by the node."""
    graph.start("web", "-p", "port:=0", "-p", "command_lapse_s:=0.3")
    graph.bring_up("web")
    log = graph.processes.log_path("web")
    graph.wait_until(lambda: "the page: " in log.read_text(), "the node says where the page is")
    return log.read_text().split("the page: ")[1].split()[0]


@pytest.fixture
def shown(graph, address, tmp_path):
    with chromium(tmp_path / "browser") as page:
        page.size(1280, 800)
        page.open(address)
        made = Shown(graph, page, address)
        made.wait_for("document.body.dataset.connection === 'open'")
        yield made
        assert page.errors == []


def test_the_page_shows_the_robot_and_a_click_becomes_a_goal(shown, graph):
    page = shown.page
    goals, poses = graph.collect("goal_pose"), graph.collect("initialpose")
    shown.wait_for("document.body.dataset.map === '160x120'")
    shown.wait_for("+document.body.dataset.scan > 700")
    shown.wait_for("document.body.dataset.picture === '320x240' && document.body.dataset.boxes === '1'")
    shown.wait_for("document.body.dataset.objects === '1'")
    shown.wait_for("document.getElementById('battery').textContent === '11.9 V'")
    shown.wait_for("document.querySelectorAll('#health li').length >= 5")
    shown.wait_for("document.getElementById('pose').textContent.startsWith('x -1.00 m')")
    levels = "[...document.querySelectorAll('#health li')].map(l => l.firstChild.data + '=' + l.dataset.level)"
    shown.wait_for(f"{levels}.includes('web=ok')")
    assert page.value(levels) == ["base=error", "camera=warn", "lidar=ok", "safety=warn", "slam=ok", "web=ok"]
    assert page.value("document.getElementById('health-button').textContent") == "1 of 6 nodes unwell"
    assert page.value("document.getElementById('held').innerText") == "safety: obstacle in 0.3 s"
    shown.picture("desktop.png")

    page.click("fit")
    left, top, right, bottom = *shown.screen_of(-4.0, 3.0), *shown.screen_of(4.0, -3.0)
    assert left > page.value("document.getElementById('drive').getBoundingClientRect().right")
    assert right < page.value("document.querySelector('aside').getBoundingClientRect().left")
    assert 48 < top < bottom < 800
    shown.wait_for(
        "(bar => bar.innerText.endsWith(' m')"
        f" && Math.abs(bar.offsetWidth - parseFloat(bar.innerText) * {(right - left) / 8.0}) < 1"
        ")(document.getElementById('scale'))"
    )
    shown.picture("fitted.png")

    # The wall at x = 3.5 m is drawn where the map says: bright there, dark beside it.
    u, v = shown.screen_of(3.525, 0.0)
    pixel = "document.getElementById('map').getContext('2d').getImageData({u}, {v}, 1, 1).data[0]"
    assert page.value(pixel.format(u=round(u), v=round(v))) > 180
    assert page.value(pixel.format(u=round(u) - 30, v=round(v))) < 80

    failure = DiagnosticStatus(name="/planner", message="goal_pose failed: there is no way to it")
    graph.offer("/diagnostics").publish(DiagnosticArray(status=[failure]))
    shown.wait_for("document.getElementById('notice').innerText === 'goal_pose failed: there is no way to it'")

    cancels = graph.collect("cancel")
    assert page.value("document.getElementById('cancel').disabled"), "nothing is to be cancelled"
    busy = DiagnosticStatus(name="/planner", values=[KeyValue(key="task", value="explore")])
    graph.offer("/diagnostics").publish(DiagnosticArray(status=[busy]))
    shown.wait_for("!document.getElementById('cancel').disabled")
    page.click("cancel")
    graph.wait_until(lambda: cancels, "the robot hears of it")

    place_on_map(page, "goal", shown.screen_of(1.0, 0.25), heading_px=(0, -60))
    graph.wait_until(lambda: goals, "a goal")
    assert goals[-1].header.frame_id == "map"
    assert pose_of(goals[-1].pose) == pytest.approx([1.0, 0.25, math.pi / 2], abs=0.02)
    place_on_map(page, "pose", shown.screen_of(-2.0, -1.0), heading_px=(-60, 0))
    graph.wait_until(lambda: poses, "a pose")
    assert pose_of(poses[-1].pose.pose)[:2] == pytest.approx([-2.0, -1.0], abs=0.02)
    assert abs(pose_of(poses[-1].pose.pose)[2]) == pytest.approx(math.pi, abs=0.02)
    assert page.value("document.body.dataset.tool") == "look", "one click gives one goal"


def test_labels_of_boxes_lie_in_the_picture_and_not_over_one_another(shown):
    page, size = shown.page, (20.0, 40.0)
    at = (310.0, 120.0), (312.0, 121.0), (308.0, 119.0), (10.0, 5.0)
    shown.robot.boxes = [("potted plant", 0.9, middle, size) for middle in at]
    shown.wait_for(
        "document.body.dataset.boxes === '4' && document.getElementById('picture').labels?.length === 4"
    )
    labels = page.value("document.getElementById('picture').labels")
    for n, a in enumerate(labels):
        assert 0 <= a["left"] <= 320 - a["width"] and 0 <= a["top"] <= 240 - a["height"]
        for b in labels[:n]:
            beside = a["left"] >= b["left"] + b["width"] or b["left"] >= a["left"] + a["width"]
            assert beside or abs(a["top"] - b["top"]) >= a["height"]
    shown.picture("labels.png")


def test_a_robot_at_the_origin_is_at_no_negative_zero(shown):
    shown.robot.T_map_base = np.array([-0.001, -0.002, 0.0])
    shown.wait_for("document.getElementById('pose').innerText === 'x 0.00 m y 0.00 m 0°'")


def place_on_map(page: Page, tool: str, at: tuple[float, float], heading_px: tuple[float, float]) -> None:
    page.value(f"document.querySelector('nav [data-tool={tool}]').click()")
    page.mouse("Pressed", *at)
    page.mouse("Moved", at[0] + heading_px[0], at[1] + heading_px[1])
    page.mouse("Released", at[0] + heading_px[0], at[1] + heading_px[1])


def test_driving_lasts_while_a_key_is_held_and_the_connection_stands(shown, graph):
    page, driven, stops = shown.page, graph.collect("cmd_vel_teleop"), graph.collect("e_stop")
    page.key("keyDown", "KeyW")
    graph.wait_until(lambda: len(driven) > 5, "the key drives")
    assert driven[-1].linear.x == pytest.approx(0.2), "half of 0.4 m/s, as the slider stands"
    assert driven[-1].angular.z == 0.0
    page.key("keyUp", "KeyW")
    graph.wait_until(lambda: driven[-1].linear.x == 0.0, "letting go stops")
    graph.wait_until(lambda: quiet(graph, driven), "nothing more is asked for")

    x, y = page.middle_of("stick")
    page.mouse("Pressed", x, y)
    page.mouse("Moved", x - 200, y)
    graph.wait_until(lambda: driven[-1].angular.z > 0.7, "the stick turns left")
    page.call(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
    )
    page.open("about:blank")  # the connection is gone while the stick is held
    graph.wait_until(lambda: driven[-1].angular.z == 0.0, "the command lapses")
    assert stops == []


GAMEPAD = """navigator.getGamepads = () => [null, {
  axes: [0.05, -1], buttons: Array.from({length: 12}, (_, i) => ({pressed: window.shoulder && i === 5}))}]"""


def test_a_gamepad_drives_only_while_its_shoulder_button_is_held(shown, graph):
    page, driven = shown.page, graph.collect("cmd_vel_teleop")
    page.value(GAMEPAD)
    assert quiet(graph, driven) and driven == []
    page.value("window.shoulder = true")
    graph.wait_until(lambda: len(driven) > 3, "it drives")
    assert (driven[-1].linear.x, driven[-1].angular.z) == (pytest.approx(0.2), 0.0), (
        "a stick that leans is at rest"
    )
    page.value("window.shoulder = false")
    graph.wait_until(lambda: driven[-1].linear.x == 0.0, "letting go stops")


def quiet(graph, messages: list) -> bool:
    """Whether nothing comes for a while that would bring five messages."""
    before = len(messages)
    passed = []
    timer = graph.node.create_timer(0.3, lambda: passed.append(True))
    graph.wait_until(lambda: passed, "time passes")
    graph.node.destroy_timer(timer)
    return len(messages) == before


def test_stop_stops_and_holds_until_it_is_released(shown, graph):
    page, driven, stops, goals = shown.page, *(graph.collect(t) for t in ("cmd_vel_teleop", "e_stop", "goal_pose"))
    page.key("keyDown", "KeyW")
    graph.wait_until(lambda: driven and driven[-1].linear.x > 0, "it drives")
    page.click("stop")
    graph.wait_until(lambda: stops and stops[-1].data, "the stop arrives")
    graph.wait_until(lambda: driven[-1].linear.x == 0.0, "and the driving ends, although the key is held")
    shown.wait_for("document.body.hasAttribute('data-stopped')")
    shown.wait_for("document.getElementById('notice').textContent === 'stopped: release first'")
    page.key("keyUp", "KeyW")
    place_on_map(page, "goal", shown.screen_of(1.0, 0.25), (50, 0))
    assert quiet(graph, goals) and goals == []
    shown.picture("stopped.png")
    assert all(m.data for m in stops), "pressing again must not release"
    page.click("release")
    graph.wait_until(lambda: not stops[-1].data, "the release arrives")
    shown.wait_for("!document.body.hasAttribute('data-stopped')")


def test_a_page_that_comes_after_the_stop_knows_of_it(shown):
    shown.robot.stopped = True
    shown.wait_for("document.body.hasAttribute('data-stopped')")
    shown.wait_for("!document.getElementById('release').hidden")


def test_what_is_asked_of_a_page_that_is_not_active_moves_nothing_later_but_stop_holds(graph, address):
    goals, stops = graph.collect("goal_pose"), graph.collect("e_stop")
    graph.wait_until(lambda: graph.node.count_publishers("e_stop"), "the page's node is seen")
    with connect(address.replace("http", "ws").rstrip("/") + "/socket") as socket:
        assert graph.change_state("web", "deactivate")
        socket.send('{"type": "goal", "x": 1, "y": 1, "yaw": 0}')
        while b"not ready" not in socket.recv(timeout=20.0):
            pass
        socket.send('{"type": "stop"}')
        assert graph.change_state("web", "activate")
        graph.wait_until(lambda: any(m.data for m in stops), "the stop is carried")
        socket.send('{"type": "release"}')
        graph.wait_until(lambda: not stops[-1].data, "the release is carried")

        def asked_again() -> list:
            """Refused until the node has heard its own release."""
            socket.send('{"type": "goal", "x": 2, "y": 2, "yaw": 0}')
            with suppress(TimeoutError):
                socket.recv(timeout=0.05)
            return goals

        graph.wait_until(asked_again, "the goal is carried")
    assert {goal.pose.position.x for goal in goals} == {2.0}


def test_it_fits_a_phone_and_stop_is_in_reach(shown, graph):
    page, stops = shown.page, graph.collect("e_stop")
    page.size(390, 844, phone=True)
    page.open(shown.address)
    shown.wait_for(
        "document.body.dataset.connection === 'open' && document.body.dataset.map && document.body.dataset.boxes"
    )
    assert page.value("document.documentElement.scrollWidth") <= 390
    for element in ("stop", "stick", "health-button", "follow"):
        x, y = page.middle_of(element)
        assert 0 < x < 390 and 0 < y < 844, element
        top = page.value(f"document.elementFromPoint({x}, {y}).closest('#{element}') !== null")
        assert top, f"{element} is covered"
    right = "document.getElementById('health-button').getBoundingClientRect().right"
    assert page.value(right) <= 390, "all of what is said of the nodes can be read"
    shown.picture("phone.png")
    for width, height in ((390, 844), (844, 390)):
        page.size(width, height, phone=True)
        page.value("document.querySelector('nav [data-tool=goal]').click()")
        covering = f"{COVERED}(document.getElementById('hint'))"
        shown.wait_for(f"{covering} === ''")
        shown.picture(f"phone_goal_{width}.png")
        page.value("document.querySelector('nav [data-tool=look]').click()")
    page.click("health-button")
    shown.wait_for("document.querySelectorAll('#health li').length >= 5")
    assert page.value(f"{COVERED}(document.getElementById('health'))") == ""
    assert page.value("document.getElementById('health').clientHeight") > 120, "some nodes are seen at once"
    shown.picture("phone_health_844.png")
    page.click("health-button")
    page.size(390, 844, phone=True)
    page.click("health-button")
    shown.wait_for("document.querySelectorAll('#health li').length >= 5")
    shown.picture("phone_health.png")
    x, y = page.middle_of("stop")
    touch = {"touchPoints": [{"x": x, "y": y}]}
    page.call("Input.dispatchTouchEvent", type="touchStart", **touch)
    graph.wait_until(lambda: stops and stops[-1].data, "the stop arrives at the touch")


# A strip before the door through which the straight way from the robot to the other room leads.
STRIP = [(-0.6, -0.8), (0.0, -0.8), (0.0, 1.2), (-0.6, 1.2)]
SAYS = "document.getElementById('zone-says').innerText"
BEGINS = f"{SAYS}.startsWith('Tap the corners')"


def tap(page: Page, at: tuple[float, float]) -> None:
    page.mouse("Moved", *at)
    page.mouse("Pressed", *at)
    page.mouse("Released", *at)


def draw(shown: Shown, corners) -> None:
    """Tap the corners of a zone, and the first one again."""
    shown.page.value("document.querySelector('nav [data-tool=zone]').click()")
    shown.wait_for(BEGINS)
    for corner in [*corners, corners[0]]:
        tap(shown.page, shown.screen_of(*corner))


@pytest.fixture
def planned(shown, graph, tmp_path):
    """The page beside a real planner, whose map is a file's."""
    graph.start("planner", "-p", f"map:={tmp_path / 'flat.yaml'}")
    graph.bring_up("planner")
    shown.wait_for("document.body.dataset.zones === '0'")
    shown.page.click("fit")
    return shown


def test_a_zone_that_is_drawn_is_gone_round_outlives_a_restart_and_can_be_deleted(planned, graph, tmp_path):
    page, file = planned.page, tmp_path / "flat.zones.yaml"

    def way() -> np.ndarray:
        return graph.way_to(2.0, 0.0, planned.robot.publish_moment)

    straight = way()
    assert least_gap_m(straight, STRIP[0], STRIP[2]) < 0.0
    draw(planned, STRIP)
    assert page.value(SAYS) == "The robot shall keep out of this."
    planned.picture("zone_closed.png")
    page.click("zone-name")
    page.call("Input.insertText", text="wet paint")
    driven, stops = graph.collect("cmd_vel_teleop"), graph.collect("e_stop")
    for code in ("Space", "KeyW"):  # which stop and drive elsewhere
        page.key("keyDown", code)
        page.key("keyUp", code)
    page.click("zone-save")
    planned.wait_for("document.body.dataset.zones === '1' && document.body.dataset.tool === 'look'")
    said = "document.getElementById('notice').innerText"
    planned.wait_for(f"{said} === \"the zone 'wet paint' is shut, kept in {file.name} beside the map\"")
    assert driven == [] and stops == []
    (zone,) = read(file)
    assert zone.name.startswith("wet paint")
    np.testing.assert_allclose(zone.corners_m, STRIP, atol=0.02)
    assert least_gap_m(way(), STRIP[0], STRIP[2]) > 0.1
    hatched = [pixel_at(planned, -0.3 + dx, 0.6) for dx in np.linspace(0.0, 0.2, 12)]
    assert max(red - blue for red, _, blue in hatched) > 60, "stripes"
    assert max(red - blue for red, _, blue in (pixel_at(planned, -3.0, y) for y in (1.0, 1.1, 1.2))) < 20
    planned.picture("zone.png")

    assert graph.change_state("planner", "deactivate") and graph.change_state("planner", "cleanup")
    page.value("document.querySelector('nav [data-tool=zone]').click()")
    planned.wait_for(f"{SAYS} === 'Zones cannot be changed: no planner runs that would keep out of them.'")
    planned.picture("zone_no_planner.png")
    graph.bring_up("planner")
    planned.wait_for(BEGINS)
    assert page.value("document.body.dataset.zones") == "1"
    assert least_gap_m(way(), STRIP[0], STRIP[2]) > 0.1
    tap(page, planned.screen_of(-0.3, 0.2))
    planned.wait_for(f"{SAYS}.includes('wet paint')")
    planned.picture("zone_chosen.png")
    page.click("zone-delete")
    planned.wait_for("document.body.dataset.zones === '0'")
    assert read(file) == []
    np.testing.assert_allclose(way(), straight, atol=0.05)


def pixel_at(shown: Shown, x: float, y: float) -> list[int]:
    u, v = (round(value) for value in shown.screen_of(x, y))
    canvas = "document.getElementById('map').getContext('2d')"
    return shown.page.value(f"[...{canvas}.getImageData({u}, {v}, 1, 1).data.slice(0, 3)]")


def test_a_zone_that_makes_no_sense_is_refused_and_can_be_mended(planned):
    page = planned.page
    a, b, c, d = STRIP
    draw(planned, [a, c, b, d])
    page.click("zone-save")
    planned.wait_for("document.getElementById('notice').innerText.startsWith('the outline of the zone crosses')")
    planned.picture("zone_crossing.png")
    for _ in range(4):  # it is open again, and three corners are gone
        page.click("zone-undo")
    for corner in (b, c, d):
        tap(page, planned.screen_of(*corner))
    page.click("zone-close")
    page.click("zone-save")
    planned.wait_for("document.body.dataset.zones === '1'")
    assert page.value("document.getElementById('map').view.zones[0].name") == ""

    draw(planned, [(1.5, 1.0), (2.0, 1.0), (2.0, 1.5)])
    page.click("zone-leave")
    planned.wait_for(BEGINS)
    assert page.value("document.getElementById('map').view.draft.corners") == []
    page.value("document.getElementById('zone-leave').click()")
    assert page.value("document.body.dataset.tool") == "look"
    assert page.value("document.body.dataset.zones") == "1"


def test_without_a_planner_the_page_says_why_no_zone_is_drawn(shown):
    page = shown.page
    page.value("document.querySelector('nav [data-tool=zone]').click()")
    shown.wait_for(f"{SAYS} === 'Zones cannot be changed: no planner runs that would keep out of them.'")
    tap(page, shown.screen_of(0.0, 0.5))
    assert page.value("document.getElementById('map').view.draft.corners") == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (375, 667), (844, 390)])
def test_a_zone_is_drawn_with_a_finger(planned, width, height):
    page = planned.page
    page.size(width, height, phone=True)
    page.open(planned.address)
    planned.wait_for("document.body.dataset.map && document.body.dataset.zones === '0'")
    page.value("document.getElementById('fit').click()")
    page.value("document.querySelector('nav [data-tool=zone]').click()")
    planned.wait_for(BEGINS)
    u, v = planned.screen_of(0.0, 0.0)
    finger(page, [(u, v), (u + 30, v - 20)])  # drags the map
    assert planned.screen_of(0.0, 0.0) == pytest.approx((u + 30, v - 20), abs=1.0)
    for corner in STRIP:
        finger(page, [planned.screen_of(*corner)])
    assert page.value(f"{COVERED}(document.getElementById('zone'))") == ""
    planned.picture(f"zone_phone_open_{width}.png")
    finger(page, [planned.screen_of(*STRIP[0])])
    assert page.value(f"{COVERED}(document.getElementById('zone'))") == ""
    planned.picture(f"zone_phone_{width}.png")
    finger(page, [page.middle_of("zone-save")])
    planned.wait_for("document.body.dataset.zones === '1'")
    (zone,) = page.value("document.getElementById('map').view.zones")
    np.testing.assert_allclose(zone["corners"], STRIP, atol=0.05)


def finger(page: Page, way: list[tuple[float, float]]) -> None:
    """A finger comes down, goes along and leaves."""
    for kind, (x, y) in zip(["touchStart", *["touchMove"] * (len(way) - 1)], way, strict=True):
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
