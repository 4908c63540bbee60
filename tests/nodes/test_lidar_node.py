"""The lidar node as a real process, reading an emulated G4 on a pseudo terminal."""

import math
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lidar_rig import ROOM
from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import LaserScan
from std_srvs.srv import Trigger

from nanorover.lidar.emulator import G4
from nanorover.lidar.faults import Fault
from nanorover.lidar.packets import PacketDecoder
from nanorover.lidar.pty_server import PtyServer
from nanorover_nodes.convert import stamp_ns_of

pytestmark = pytest.mark.nodes


@pytest.fixture
def server(tmp_path):
    with PtyServer(G4(ROOM), link=tmp_path / "g4") as running:
        yield running


def start_lidar(graph, server, *arguments: str) -> None:
    graph.start("lidar", "-p", f"port:={server.path}", *arguments)
    graph.bring_up("lidar")


def level_of(status) -> bytes:
    return status.level if status else b""


def test_scans_points_bytes_and_health(graph, server):
    scans, points, raw = graph.collect("scan"), graph.collect("points"), graph.collect("lidar/raw")
    diagnostics, reliable = graph.collect("/diagnostics"), []
    graph.node.create_subscription(LaserScan, "scan", reliable.append, qos_profile_system_default)
    start_lidar(
        graph, server, "-p", "publish_points:=true", "-p", "publish_raw:=true", "-p", "frequency_hz:=8.0",
        "-p", "frame_id:=front_laser", "-p", "ignored_sectors_deg:='-5:5'",
    )  # fmt: skip
    graph.wait_until(lambda: len(scans) > 8 and len(points) > 3 and reliable, "scans, points, and RViz's defaults")
    scan, now_ns = scans[-1], time.time_ns()
    assert scan.header.frame_id == "front_laser" and {len(s.ranges) for s in scans} == {1125}
    assert scan.angle_min == pytest.approx(-math.pi) and scan.time_increment < 0
    assert scan.scan_time == pytest.approx(0.125, rel=0.03)
    assert (scan.range_min, scan.range_max) == pytest.approx((0.28, 16.0))
    assert 0 < now_ns - stamp_ns_of(scan.header.stamp) < 2e9
    ranges_m = np.array(scan.ranges)
    bearing_rad = scan.angle_min + np.arange(1125) * scan.angle_increment
    assert np.isnan(ranges_m[np.abs(bearing_rad) < math.radians(4.9)]).all()
    seen = np.isfinite(ranges_m)
    error_m = np.abs(ranges_m - ROOM.ranges(np.zeros(1125), -bearing_rad))[seen]
    assert seen.mean() > 0.95 and np.median(error_m) < 0.01

    cloud = points[-1]
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "intensity", "time"]
    xyzit = np.frombuffer(cloud.data, "<f4").reshape(-1, 5)
    assert len(xyzit) == cloud.width == pytest.approx(1125, rel=0.03)
    heading = np.arctan2(xyzit[:, 1], xyzit[:, 0])
    error_m = np.hypot(xyzit[:, 0], xyzit[:, 1]) - ROOM.ranges(np.zeros(len(heading)), -heading.astype(float))
    assert np.median(np.abs(error_m)) < 0.002
    # in the order of time, over one revolution that ends about where ray 0 is
    assert (np.diff(xyzit[:, 4]) > 0).all() and xyzit[-1, 4] - xyzit[0, 4] == pytest.approx(0.125, rel=0.05)

    decoder = PacketDecoder()
    for piece in raw:
        decoder.feed(bytes(piece.data))
    assert decoder.packets > 100 and decoder.bad_checksums == 0

    graph.wait_until(lambda: level_of(graph.health_of("lidar", diagnostics)) == DiagnosticStatus.OK, "well")
    values = {value.key: value.value for value in graph.health_of("lidar", diagnostics).values}
    assert float(values["scan_rate_hz"]) == pytest.approx(8.0, abs=0.5)
    assert {"bad_checksums", "dropped_packets", "reconnects", "latency_ms", "device"} <= set(values)


def test_services_and_lifecycle_stop_the_motor(graph, server):
    scans, diagnostics = graph.collect("scan"), graph.collect("/diagnostics")
    graph.start("lidar", "-p", f"port:={server.path}")
    assert graph.change_state("lidar", "configure") and not server.g4.scanning
    refused = graph.call(Trigger, "start_scan", Trigger.Request())
    assert not refused.success and "not active" in refused.message
    assert graph.change_state("lidar", "activate")
    graph.wait_until(lambda: scans, "scans")
    assert graph.call(Trigger, "stop_scan", Trigger.Request()).success and not server.g4.scanning
    assert graph.call(Trigger, "stop_scan", Trigger.Request()).success, "asking twice is no fault"
    graph.wait_until(
        lambda: (h := graph.health_of("lidar", diagnostics)) and "stopped by stop_scan" in h.message, "it says so"
    )
    count = len(scans)
    assert graph.call(Trigger, "start_scan", Trigger.Request()).success
    graph.wait_until(lambda: len(scans) > count + 2, "scans again")
    assert graph.change_state("lidar", "deactivate") and not server.g4.scanning
    assert graph.change_state("lidar", "activate")
    graph.wait_until(lambda: server.g4.scanning, "it scans again")
    graph.processes.stop()
    assert not server.g4.scanning, "the end of the process stops the motor"


def test_a_fault_is_said_and_mended(graph, tmp_path):
    with PtyServer(G4(ROOM), link=tmp_path / "g4") as server:
        scans, diagnostics = graph.collect("scan"), graph.collect("/diagnostics")
        start_lidar(graph, server)
        graph.wait_until(lambda: scans, "scans")
        at_s = server.device_s() + 0.5
        server.g4.add_fault(Fault("disconnect", at_s, 2.0))
        graph.wait_until(
            lambda: level_of(graph.health_of("lidar", diagnostics)) == DiagnosticStatus.ERROR, "an error is said"
        )
        graph.wait_until(
            lambda: (h := graph.health_of("lidar", diagnostics))
            and h.level == DiagnosticStatus.WARN and "vanished" in h.message,
            "well again",
        )  # fmt: skip
        count = len(scans)
        graph.wait_until(lambda: len(scans) > count + 3, "scans again")


def test_without_a_lidar_the_node_stays_unconfigured_and_says_why(graph, tmp_path):
    diagnostics = graph.collect("/diagnostics")
    graph.start("lidar", "-p", f"port:={tmp_path}/nothing")
    assert not graph.change_state("lidar", "configure")
    graph.wait_until(
        lambda: (h := graph.health_of("lidar", diagnostics)) and "there is no port" in h.message, "the reason"
    )
    assert graph.health_of("lidar", diagnostics).level == DiagnosticStatus.ERROR
