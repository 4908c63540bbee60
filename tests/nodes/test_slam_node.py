"""The SLAM node as a real process: scans in, map, tf, pose and path out, against a room known exactly."""

import math

import numpy as np
import pytest
import yaml
from lifecycle_msgs.srv import GetState
from slam_feed import Feed

from nanorover.geometry.scan import LaserScan
from nanorover.mapping.map_files import load_map
from nanorover_interfaces.srv import FilePath
from nanorover_nodes.convert import (
    NS,
    pose_of,
    scan_msg,
    stamp_ns_of,
    transform_msg,
    transform_of_msg,
)

pytestmark = pytest.mark.nodes

# A room of 6 × 4 m around the origin; the robot starts at the origin looking along +x.
HALF_X_M, HALF_Y_M = 3.0, 2.0
BEARINGS_RAD = np.linspace(-math.pi, math.pi, 360, endpoint=False)
T_BASE_LASER = np.array([0.1, 0.0, 0.0])


def room_ranges_m(T_room_laser: np.ndarray) -> np.ndarray:
    """Exact distances to the walls of the empty room."""
    x, y, yaw = T_room_laser
    c, s = np.cos(BEARINGS_RAD + yaw), np.sin(BEARINGS_RAD + yaw)
    with np.errstate(divide="ignore"):
        to_x = np.where(c > 0, (HALF_X_M - x) / c, (-HALF_X_M - x) / c)
        to_y = np.where(s > 0, (HALF_Y_M - y) / s, (-HALF_Y_M - y) / s)
    return np.minimum(to_x, to_y).astype(np.float32)


def scan_at(stamp_ns: int, T_room_base: np.ndarray, ranges_m: np.ndarray | None = None) -> LaserScan:
    """The scan that a laser at ``T_BASE_LASER`` takes of the room."""
    x, y, yaw = T_room_base
    laser = np.array([x + T_BASE_LASER[0] * math.cos(yaw), y + T_BASE_LASER[0] * math.sin(yaw), yaw])
    return LaserScan(
        stamp_ns=stamp_ns,
        ranges_m=room_ranges_m(laser) if ranges_m is None else ranges_m,
        angle_min_rad=-math.pi,
        angle_increment_rad=2 * math.pi / 360,
        range_min_m=0.1,
        range_max_m=16.0,
        T_base_laser=T_BASE_LASER,
    )


def drive(steps: int) -> list[tuple[int, np.ndarray]]:
    """A gentle arc through the room at 10 Hz: stamps and true poses."""
    poses, pose = [], np.zeros(3)
    for i in range(steps):
        poses.append((100 * NS + i * NS // 10, pose.copy()))
        pose += [0.03 * math.cos(pose[2]), 0.03 * math.sin(pose[2]), 0.02]
    return poses


class Drive(Feed):
    """A feed of the room."""

    def mount_laser(self) -> None:
        self.mount(T_BASE_LASER)

    def send_from(self, stamp_ns: int, T_room_base: np.ndarray, with_odometry: bool = True) -> None:
        read = T_room_base * [1.05, 1.05, 1.0]  # wheels that read 5 % long
        self.send(scan_at(stamp_ns, T_room_base), read if with_odometry else None)


def start_slam(graph, *arguments: str) -> Drive:
    graph.start("slam", *arguments)
    graph.bring_up("slam")
    made = Drive(graph)
    made.mount_laser()
    return made


@pytest.mark.parametrize("with_odometry", [True, False])
def test_a_drive_through_a_known_room(graph, tmp_path, with_odometry):
    maps, paths, transforms = graph.collect("map"), graph.collect("path"), graph.collect("/tf")
    diagnostics = graph.collect("/diagnostics")
    drive_ = start_slam(graph, "-p", "map_period_s:=0.2", "-p", f"use_odometry:={str(with_odometry).lower()}")
    steps = drive(40)
    for stamp_ns, T_room_base in steps:
        drive_.send_from(stamp_ns, T_room_base, with_odometry)

    last_ns, truth = steps[-1]
    assert [stamp_ns_of(m.header.stamp) for m in drive_.poses] == [stamp_ns for stamp_ns, _ in steps]
    estimate = pose_of(drive_.poses[-1].pose.pose)
    assert estimate[:2] == pytest.approx(truth[:2], abs=0.03)
    assert estimate[2] == pytest.approx(truth[2], abs=math.radians(1.0))
    covariance = np.array(drive_.poses[-1].pose.covariance).reshape(6, 6)
    assert (np.diag(covariance)[[0, 1, 5]] > 0).all()
    assert np.sqrt(np.diag(covariance)[:2]).max() < 0.2

    # map → odom, together with odom → base, must give the same pose.
    graph.wait_until(
        lambda: transforms and stamp_ns_of(transforms[-1].transforms[0].header.stamp) > last_ns,
        "the transform of the last scan",
    )
    newest = {(t.header.frame_id, t.child_frame_id): transform_of_msg(t) for m in transforms for t in m.transforms}
    T_odom_base = newest.get(("odom", "base_link"))
    if with_odometry:
        assert T_odom_base is None, "the base owns odom → base_link"
        T_odom_base = transform_of_msg(transform_msg(0, "odom", "base_link", truth * [1.05, 1.05, 1.0]))
    T_map_base = newest[("map", "odom")] @ T_odom_base
    assert T_map_base[:2, 3] == pytest.approx(estimate[:2], abs=1e-3)

    graph.wait_until(lambda: maps and stamp_ns_of(maps[-1].header.stamp) == last_ns, "the newest map")
    graph.wait_until(lambda: paths and len(paths[-1].poses) == len(steps), "the whole path")
    assert occupied_bounds_m(maps[-1]) == pytest.approx([-HALF_X_M, HALF_X_M, -HALF_Y_M, HALF_Y_M], abs=0.1)

    assert graph.call(FilePath, "slam/save_map", FilePath.Request(path=str(tmp_path / "room"))).success
    saved = load_map(tmp_path / "room.yaml")
    assert saved.cells.shape == (maps[-1].info.height, maps[-1].info.width)
    assert yaml.safe_load((tmp_path / "room.yaml").read_text())["image"] == "room.pgm"
    assert graph.call(FilePath, "slam/serialize_map", FilePath.Request(path=str(tmp_path / "graph"))).success

    graph.wait_until(lambda: ok(graph.health_of("slam", diagnostics)), "slam says it is fine")


def ok(status) -> bool:
    return status is not None and status.level == b"\x00"


def occupied_bounds_m(grid) -> list[float]:
    """Least and greatest x, then y, of the occupied cells, in the frame of the map."""
    cells = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    rows, columns = np.nonzero(cells > 65)
    origin, resolution_m = grid.info.origin.position, grid.info.resolution
    x, y = origin.x + (columns + 0.5) * resolution_m, origin.y + (rows + 0.5) * resolution_m
    return [x.min(), x.max(), y.min(), y.max()]


def test_a_session_says_when_it_began_and_that_it_was_not_the_first(graph, tmp_path):
    """Who drives by the map hears of another frame before a place in it."""
    diagnostics = graph.collect("/diagnostics")

    def session(*arguments: str) -> list:
        maps, transforms = graph.collect("map"), graph.collect("/tf")
        drive_ = start_slam(graph, "-p", f"run_folder:={tmp_path}", "-p", "map_period_s:=0.1", *arguments)
        for stamp_ns, T_room_base in drive(8):
            drive_.send_from(stamp_ns, T_room_base)
        graph.wait_until(lambda: len(maps) > 1, "maps")
        first_ns, tolerance_ns = stamp_ns_of(maps[0].header.stamp), NS // 10
        assert first_ns < min(stamp_ns_of(t.header.stamp) for m in transforms for t in m.transforms) - tolerance_ns
        diagnostics.clear()
        graph.wait_until(lambda: graph.health_of("slam", diagnostics), "slam says how it is")
        return list(maps)

    def began(maps: list) -> set[int]:
        return {stamp_ns_of(m.info.map_load_time) for m in maps}

    first = session()
    assert ok(graph.health_of("slam", diagnostics))
    assert graph.call(FilePath, "slam/save_map", FilePath.Request(path=str(tmp_path / "room"))).success
    graph.processes.kill("slam")
    second = session()
    assert "mapping began anew" in graph.health_of("slam", diagnostics).message
    assert len(began(first)) == 1 and len(began(second)) == 1 and began(first) != began(second)
    graph.processes.kill("slam")
    saved = graph.collect("map")
    start_slam(graph, "-p", "mode:=localization", "-p", f"map:={tmp_path / 'room.yaml'}")
    graph.wait_until(lambda: saved, "the saved map")
    assert began(saved) == {(tmp_path / "room.yaml").stat().st_mtime_ns}


def test_a_map_is_latched_for_who_comes_late(graph):
    drive_ = start_slam(graph, "-p", "map_period_s:=0.1")
    for stamp_ns, T_room_base in drive(5):
        drive_.send_from(stamp_ns, T_room_base)
    early = graph.collect("map")
    graph.wait_until(lambda: early, "a map")
    late = graph.collect("map")
    graph.wait_until(lambda: late, "the latched map")


def test_scans_without_a_mounting_are_refused_with_the_reason(graph):
    diagnostics = graph.collect("/diagnostics")
    graph.start("slam")
    graph.bring_up("slam")
    drive_ = Drive(graph)

    def refused() -> bool:
        drive_.scans.publish(scan_msg(scan_at(NS, np.zeros(3))))
        status = graph.health_of("slam", diagnostics)
        return status is not None and "no transform base_link → laser" in status.message

    graph.wait_until(refused, "the reason in the diagnostics")
    assert drive_.poses == []
    drive_.mount_laser()

    def refused_otherwise() -> bool:
        message = scan_msg(scan_at(NS, np.zeros(3)))
        message.angle_increment = 0.0
        drive_.scans.publish(message)
        return "all rays in one direction" in graph.health_of("slam", diagnostics).message

    graph.wait_until(refused_otherwise, "the new reason, not the first one")


def test_bad_scans_cost_nothing_but_themselves(graph):
    drive_ = start_slam(graph)
    steps = drive(30)
    for stamp_ns, T_room_base in steps[:10]:
        drive_.send_from(stamp_ns, T_room_base)
    bad = [
        np.full(360, np.nan, np.float32),
        np.full(360, np.inf, np.float32),
        np.zeros(0, np.float32),
        np.full(7, 1.0, np.float32),
        np.full(360, -np.inf, np.float32),
    ]
    for ranges_m in bad:
        drive_.scans.publish(scan_msg(scan_at(steps[9][0] + 1, steps[9][1], ranges_m)))
    for stamp_ns, T_room_base in steps[10:]:
        before = len(drive_.poses)
        drive_.send_from(stamp_ns, T_room_base)
        graph.wait_until(
            lambda stamp_ns=stamp_ns: stamp_ns in [stamp_ns_of(m.header.stamp) for m in drive_.poses],
            f"the pose of {stamp_ns}",
        )
        assert len(drive_.poses) > before
    assert pose_of(drive_.poses[-1].pose.pose)[:2] == pytest.approx(steps[-1][1][:2], abs=0.03)


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("map_period_s:=0.0", ("map_period_s", "at least 0.1")),
        ("map_perod_s:=1.0", ("map_perod_s", "did you mean 'map_period_s'")),
        ("map_frame:=3", ("map_frame", "str")),
    ],
)
def test_a_bad_parameter_is_named_and_the_node_stays_unconfigured(graph, argument, named):
    graph.start("slam", "-p", argument)
    assert not graph.change_state("slam", "configure")
    state = graph.call(GetState, "slam/get_state", GetState.Request()).current_state.label
    assert state == "unconfigured"
    log = graph.processes.log_path("slam").read_text()
    for words in named:
        assert words in log


def test_a_service_that_fails_says_why(graph, tmp_path):
    start_slam(graph)
    response = graph.call(FilePath, "slam/save_map", FilePath.Request(path=str(tmp_path / "early")))
    assert not response.success
    assert "no map yet" in response.message


def test_it_can_be_stopped_and_started_again(graph):
    drive_ = start_slam(graph)
    steps = drive(20)
    for stamp_ns, T_room_base in steps[:5]:
        drive_.send_from(stamp_ns, T_room_base)
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert graph.change_state("slam", transition), transition
    again = Drive(graph)
    again.mount_laser()
    for stamp_ns, T_room_base in steps[5:10]:
        again.send_from(stamp_ns, T_room_base)
