"""Checks of the transform tree: one parent each, no loop, everything mounted, in time."""

import math

import numpy as np

from nanorover.doctor.evidence import Edge, Evidence
from nanorover.doctor.findings import ERROR, WARN, Finding, ok_of
from nanorover.doctor.signals import CLOCK_TOLERANCE_NS, NS
from nanorover.geometry.frames import FrameTree, planar_pose

# A moving transform that arrives later than this makes every consumer wait.
LATE_S = 0.2
JUMP_M, JUMP_RAD = 0.5, 0.5


def tree(evidence: Evidence) -> list[Finding]:
    """The frames hang together as REP-105 says: no loop, one parent each, the lidar mounted."""
    found = []
    parents: dict[str, set[str]] = {}
    frames = FrameTree()
    for edge in evidence.edges:
        parents.setdefault(edge.child, set()).add(edge.parent)
        if not np.isfinite(edge.T_parent_child).all():
            mend = "a quaternion of length zero; look at who publishes it"
            return [Finding(ERROR, f"the transform {edge.parent} → {edge.child} is none", mend)]
        frames.set(edge.parent, edge.child, edge.T_parent_child)
    for child, found_parents in parents.items():
        if len(found_parents) > 1:
            mend = "one publisher per frame: switch one off (publish_tf of the base, or another node's)"
            named = " and ".join(sorted(found_parents))
            found.append(Finding(ERROR, f"the frame {child} has two parents, {named}", mend))
    if loop := _loop({child: next(iter(p)) for child, p in parents.items() if len(p) == 1}):
        mend = "a mounting is the wrong way round; compare with params/frames.yaml"
        found.append(Finding(ERROR, f"the frames form a loop: {' → '.join(loop)}", mend))
    wanted = {scan.frame_id for scan in evidence.scans}
    for frame in sorted(wanted):
        if frames.lookup("base_link", frame) is None:
            mend = f"start static_frames, or name the frame in params/frames.yaml as the driver does ('{frame}')"
            found.append(Finding(ERROR, f"there is no transform base_link → {frame}", mend))
    if evidence.odometry and not found and frames.lookup("odom", "base_link") is None:
        mend = "base: publish_tf true, or start the filter that shall publish it"
        found.append(Finding(ERROR, "there is no transform odom → base_link", mend))
    return found or ok_of(len(parents), "frames hang together")


def _loop(parents: dict[str, str]) -> list[str]:
    for start in parents:
        way = [start]
        while (parent := parents.get(way[-1])) is not None:
            if parent in way:
                return [*way[way.index(parent) :], parent]
            way.append(parent)
    return []


def transform_times(evidence: Evidence) -> list[Finding]:
    """Moving transforms come in time and do not jump."""
    moving: dict[tuple[str, str], list[Edge]] = {}
    for edge in evidence.edges:
        if not edge.static:
            moving.setdefault((edge.parent, edge.child), []).append(edge)
    found = []
    for (parent, child), edges in moving.items():
        stamps = np.array([edge.stamp_ns for edge in edges])
        if len(stamps) < 5:
            continue
        late_s = float(np.median([edge.received_ns - edge.stamp_ns for edge in edges])) / NS
        gap_s = float(np.diff(stamps).max()) / NS
        one_clock = abs(late_s) < CLOCK_TOLERANCE_NS / NS
        if one_clock and late_s > LATE_S:
            mend = "its publisher is overloaded or waits for a sensor; its diagnostics give the latency"
            found.append(Finding(WARN, f"{parent} → {child} arrives {late_s * 1000:.0f} ms late", mend))
        if gap_s > 1.0:
            mend = "everything that needs a pose stops there; see its publisher's log"
            found.append(Finding(WARN, f"{parent} → {child} is missing for {gap_s:.1f} s", mend))
        if (parent, child) == ("odom", "base_link") and (jump := _jump(edges)):
            mend = "two publishers of it, or a base controller that restarted: its counters began anew"
            found.append(Finding(ERROR, f"odom → base_link jumps by {jump}", mend))
    return found or ok_of(len(moving), "moving transforms come in time")


def _jump(edges: list[Edge]) -> str:
    poses = np.array([planar_pose(edge.T_parent_child)[0] for edge in edges])
    way_m = np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1)
    turn_rad = np.abs(np.angle(np.exp(1j * np.diff(poses[:, 2]))))
    if way_m.max() > JUMP_M:
        return f"{way_m.max():.1f} m"
    return f"{math.degrees(turn_rad.max()):.0f}°" if turn_rad.max() > JUMP_RAD else ""
