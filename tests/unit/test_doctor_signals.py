"""Each diagnosis of signals, provoked by robots that are built or set up wrongly."""

import math
from dataclasses import replace

import numpy as np
import pytest
from drives import PERIOD_NS, START_NS, Build, drive

from nanorover.doctor import frames, graph, motion, signals
from nanorover.doctor.evidence import Edge, Endpoint, Evidence, evidence_of
from nanorover.doctor.findings import ERROR, NOTE, OK, WARN, worst
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.tables import DRIVER, LATCHED, SENSOR, STATE

MOUNTING = np.array([0.05, 0.0, 0.0])


def planar(pose) -> np.ndarray:
    T = np.eye(4)
    c, s = math.cos(pose[2]), math.sin(pose[2])
    T[:2, :2] = [[c, -s], [s, c]]
    T[:2, 3] = pose[:2]
    return T


def edge(
    parent: str, child: str, pose=(0.0, 0.0, 0.0), i: int = 0, late_s: float = 0.01, static: bool = False
) -> Edge:
    stamp_ns = START_NS + i * PERIOD_NS
    return Edge(stamp_ns, stamp_ns + int(late_s * 1e9), parent, child, static, planar(pose))


def driven(build: Build | None = None, mounting=MOUNTING) -> Evidence:
    """What a healthy robot records on a drive, or one with another build."""
    scans, odometry = drive(build or Build())
    evidence = Evidence(scans=scans, odometry=odometry)
    evidence.edges = [edge("base_link", "laser", mounting, static=True)]
    evidence.edges += [edge("odom", "base_link", o.T_odom_base, i) for i, o in enumerate(odometry)]
    evidence.clocks = {
        "/scan": [(s.stamp_ns, s.stamp_ns + 110_000_000) for s in scans],
        "/odom": [
            (s.stamp_ns + k * PERIOD_NS // 2, s.stamp_ns + k * PERIOD_NS // 2) for s in scans for k in (0, 1)
        ],
    }
    return evidence


@pytest.fixture(scope="module")
def healthy() -> Evidence:
    return driven()


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def test_a_healthy_robot_has_no_finding(healthy):
    for look in (signals.scans, signals.rates, signals.clocks, frames.tree, frames.transform_times, motion.motion):
        assert worst(look(healthy)) in (OK, NOTE), look(healthy)
    assert only(motion.motion(healthy)).level == OK


def test_no_scan(healthy):
    assert "no scan arrives" in only(signals.scans(Evidence())).sentence
    assert only(motion.motion(Evidence())).level == NOTE


def test_a_beam_count_that_changes(healthy):
    scans = [replace(s, ranges_m=s.ranges_m[: 360 - i % 3]) for i, s in enumerate(healthy.scans)]
    found = signals.scans(Evidence(scans=scans))[0]
    assert found.level == ERROR and "360 beams" in found.sentence and "358 beams" in found.sentence


def test_more_than_a_turn_and_a_covered_lidar(healthy):
    wide = [replace(s, angle_increment_rad=s.angle_increment_rad * 1.5, scan_time_s=0.1) for s in healthy.scans]
    assert "covers 540°" in only(signals.scans(Evidence(scans=wide))).sentence
    blind = [replace(s, ranges_m=np.full(360, np.inf, np.float32), scan_time_s=0.1) for s in healthy.scans]
    assert "only 0% of the beams" in only(signals.scans(Evidence(scans=blind))).sentence


@pytest.mark.parametrize(
    ("build", "mounting", "level", "named", "mend"),
    [
        (Build(mirrored=True), MOUNTING, ERROR, "turns against", "mirrored"),
        (Build(turn_read=-1.0), MOUNTING, ERROR, "turns against", "wheel are swapped"),
        (
            Build(T_base_laser=np.array([0.05, 0, math.radians(20)])),
            MOUNTING,
            ERROR,
            "rotated by 20°",
            "laser_yaw_rad: 0.3",
        ),
        (Build(T_base_laser=np.array([0.05, 0, math.pi])), MOUNTING, ERROR, "driving back", "laser_yaw_rad: "),
        (Build(way_read=-1.0), MOUNTING, ERROR, "driving back", "odometry's sign"),
        (Build(way_read=1.2, turn_read=1.2), MOUNTING, WARN, "way is 1.20 of", "wheel_radius_m"),
        (Build(turn_read=0.85), MOUNTING, WARN, "turn is 0.85 of", "wheel_separation_m"),
    ],
    ids=[
        "mirrored scan",
        "swapped wheels",
        "turned lidar",
        "lidar backwards",
        "odometry sign",
        "wheel size",
        "wheel base",
    ],
)
def test_motion_that_does_not_fit(build, mounting, level, named, mend):
    found = only(motion.motion(driven(build, mounting)))
    assert found.level == level and named in found.sentence and mend in found.mend, found


def test_wheels_of_the_wrong_size_at_the_wrong_distance():
    size, base = motion.motion(driven(Build(way_read=1.2, turn_read=1.02)))
    assert "way is 1.20" in size.sentence and "turn is 0.85" in base.sentence


def test_an_upside_down_lidar_that_is_declared_so_is_well():
    mirrored = driven(Build(mirrored=True))
    T = planar(MOUNTING)
    T[1:3, 1:3] = -np.eye(2)  # turned about x by π
    mirrored.edges[0] = replace(mirrored.edges[0], T_parent_child=T)
    assert only(motion.motion(mirrored)).level == OK


def test_a_robot_that_stands_is_not_judged():
    evidence = driven()
    standing = replace(evidence.odometry[0])
    evidence.odometry = [replace(standing, stamp_ns=o.stamp_ns) for o in evidence.odometry]
    assert only(motion.motion(evidence)).level == NOTE


def test_rates_gaps_and_clocks_that_run_back(healthy):
    slow = Evidence(clocks={"/scan": healthy.clocks["/scan"][::3]})
    assert "3.3 Hz instead of 10" in only(signals.rates(slow)).sentence
    gap = Evidence(clocks={"/robot/scan": healthy.clocks["/scan"][:100] + healthy.clocks["/scan"][130:]})
    assert "gap of 3.1 s" in only(signals.rates(gap)).sentence
    back = Evidence(clocks={"/scan": healthy.clocks["/scan"][:100] + healthy.clocks["/scan"][50:]})
    assert "run backwards 1 times" in signals.rates(back)[0].sentence


def test_mixed_clocks(healthy):
    simulated = [(stamp - START_NS, received) for stamp, received in healthy.clocks["/scan"]]
    found = only(signals.clocks(Evidence(clocks=healthy.clocks | {"/scan": simulated})))
    assert found.level == ERROR and "/scan use clocks that are 1000 s apart" in found.sentence
    arm = Evidence(clocks=healthy.clocks, edges=[edge("base_link", "arm", late_s=3.0)])
    assert "base_link → arm use clocks that are 3 s apart" in only(signals.clocks(arm)).sentence
    assert "use_sim_time" in found.mend
    live = Evidence(clocks={"/scan": simulated}, live=True)
    assert "1000 s behind" in only(signals.clocks(live)).sentence
    live.uses_sim_time = True
    assert only(signals.clocks(live)).level == OK, "a simulation has its own time"


def test_frames_that_do_not_hang_together(healthy):
    scans = healthy.scans[:1]
    unmounted = Evidence(scans=scans, edges=[edge("odom", "base_link")])
    assert "no transform base_link → laser" in only(frames.tree(unmounted)).sentence
    no_odom = Evidence(scans=scans, odometry=healthy.odometry[:1], edges=[edge("base_link", "laser", static=True)])
    assert "no transform odom → base_link" in only(frames.tree(no_odom)).sentence
    two = Evidence(edges=[edge("odom", "base_link"), edge("map", "base_link")])
    found = frames.tree(two)
    assert "base_link has two parents, map and odom" in found[0].sentence and "one publisher" in found[0].mend
    loop = Evidence(edges=[edge("odom", "base_link"), edge("base_link", "laser"), edge("laser", "odom")])
    assert "form a loop" in only(frames.tree(loop)).sentence
    broken = replace(edge("odom", "base_link"), T_parent_child=np.full((4, 4), np.nan))
    assert "odom → base_link is none" in only(frames.tree(Evidence(edges=[broken]))).sentence


def test_transforms_that_come_late_stop_or_jump():
    late = [edge("map", "odom", i=i, late_s=0.6) for i in range(20)]
    assert "map → odom arrives 600 ms late" in only(frames.transform_times(Evidence(edges=late))).sentence
    missing = [edge("map", "odom", i=i) for i in (*range(10), *range(40, 50))]
    assert "missing for 3.1 s" in only(frames.transform_times(Evidence(edges=missing))).sentence
    jumping = [edge("odom", "base_link", (0.01 * i + (3.0 if i > 10 else 0), 0, 0), i) for i in range(20)]
    found = only(frames.transform_times(Evidence(edges=jumping)))
    assert "jumps by 3.0 m" in found.sentence and "restarted" in found.mend


def endpoint(topic: str, node: str, publishes: bool, qos, kind: str = "sensor_msgs/msg/LaserScan") -> Endpoint:
    return Endpoint(topic, kind, node, publishes, qos)


def test_subscriptions_that_get_nothing():
    best_effort = Evidence(
        endpoints=[endpoint("/scan", "/cheap", True, SENSOR), endpoint("/scan", "/rviz", False, DRIVER)]
    )
    found = only(graph.quality_of_service(best_effort))
    assert found.level == ERROR and "/rviz gets nothing of /scan from /cheap: reliability" in found.sentence
    volatile = Evidence(endpoints=[endpoint("/map", "/a", True, STATE), endpoint("/map", "/b", False, LATCHED)])
    assert "durability" in only(graph.quality_of_service(volatile)).sentence
    twist = [
        endpoint("/cmd_vel", "/nav", True, STATE, "geometry_msgs/msg/TwistStamped"),
        endpoint("/cmd_vel", "/base", False, STATE, "geometry_msgs/msg/Twist"),
    ]
    assert "enable_stamped_cmd_vel" in only(graph.quality_of_service(Evidence(endpoints=twist))).mend
    fits = Evidence(
        endpoints=[endpoint("/scan", "/lidar", True, DRIVER), endpoint("/scan", "/slam", False, SENSOR)]
    )
    assert only(graph.quality_of_service(fits)).level == OK


def test_a_graph_that_is_empty_or_has_two_masters():
    assert "no node" in only(graph.graph(Evidence())).sentence
    two = Evidence(endpoints=[endpoint("/cmd_vel", n, True, STATE) for n in ("/safety", "/joy")])
    assert "/cmd_vel has 2 publishers: /joy, /safety" in only(graph.graph(two)).sentence
    apart = [endpoint("/truth/map", "/simulator", True, LATCHED), endpoint("/map", "/slam", True, LATCHED)]
    assert only(graph.graph(Evidence(endpoints=apart))).level == OK


def test_nodes_that_are_unwell_or_silent():
    said = {"slam": ("OK", "mapping"), "base": ("ERROR", "no such device"), "camera": ("WARN", "drops")}
    found = graph.health(Evidence(health=said))
    assert [(f.level, f.sentence) for f in found] == [(ERROR, "base: no such device"), (WARN, "camera: drops")]
    assert only(graph.health(Evidence(health={"slam": ("OK", "mapping")}))).level == OK
    assert only(graph.health(Evidence())).level == WARN


def test_recordings_that_cannot_be_looked_at(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        evidence_of(tmp_path / "nothing")
    with pytest.raises(InputError):
        evidence_of(tmp_path)


def test_the_shipped_recording_is_healthy():
    from data import REPOSITORY

    evidence = evidence_of(REPOSITORY / "tests/recordings/apartment.mcap")
    assert isinstance(evidence.scans[0], LaserScan)
    for look in (signals.scans, signals.rates, signals.clocks, frames.tree, frames.transform_times, motion.motion):
        assert worst(look(evidence)) == OK, look(evidence)


@pytest.mark.parametrize(
    "look", [graph.quality_of_service, signals.rates, signals.clocks, frames.tree, frames.transform_times]
)
def test_where_there_is_nothing_nothing_is_called_well(look):
    assert [finding.level for finding in look(Evidence())] == [NOTE]
