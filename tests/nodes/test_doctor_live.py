"""The doctor looks at a running graph: a cheap driver with the wrong quality of service is named."""

import json
import subprocess
import sys

import pytest
from sensor_msgs.msg import LaserScan as LaserScanMsg

from nanorover.tables import DRIVER, SENSOR
from nanorover_nodes.declared_topics import qos_profile

pytestmark = pytest.mark.nodes

DOCTOR = [sys.executable, "-c", "from nanorover.cli import main; main()", "doctor", "--json"]


def test_a_running_graph_is_looked_at(graph):
    diagnostics = graph.collect("/diagnostics")
    graph.start("static_frames")
    graph.bring_up("static_frames")
    cheap = graph.node.create_publisher(LaserScanMsg, "scan", qos_profile(SENSOR))
    graph.node.create_subscription(LaserScanMsg, "scan", lambda _: None, qos_profile(DRIVER))
    graph.wait_until(lambda: graph.health_of("static_frames", diagnostics), "a heartbeat")
    with subprocess.Popen([*DOCTOR, "--live", "--seconds", "8"], stdout=subprocess.PIPE, text=True) as doctor:
        scan = LaserScanMsg(angle_min=-3.14, angle_increment=0.0174, range_min=0.1, range_max=12.0)
        scan.header.frame_id, scan.ranges = "laser", [1.0] * 360

        def ended() -> bool:
            scan.header.stamp = graph.node.get_clock().now().to_msg()
            cheap.publish(scan)
            return doctor.poll() is not None

        graph.wait_until(ended, "the doctor has looked", timeout_s=60.0)
        report = json.loads(doctor.stdout.read())
    assert doctor.returncode == 1 and report["errors"] >= 1
    live = {(row["check"], row["level"]): row["sentence"] for row in report["findings"] if row["of"] == "live"}
    assert "/test gets nothing of /scan from /test: reliability" in live["quality of service", "error"]
    assert live.get(("health", "ok")) == "1 nodes are well", live
    assert ("scans", "ok") in live or ("scans", "note") in live
    assert ("frames", "ok") in live, {k: v for k, v in live.items() if k[0] == "frames"}
