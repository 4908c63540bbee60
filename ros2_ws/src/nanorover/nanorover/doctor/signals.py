"""Checks of scans, rates and clocks, of a recording or of the running robot."""

import math
from collections import Counter, defaultdict

import numpy as np

from nanorover.doctor.evidence import Evidence
from nanorover.doctor.findings import ERROR, NOTE, WARN, Finding, ok, ok_of, unseen
from nanorover.tables import TOPICS

NS = 1_000_000_000
FULL_TURN = 2 * math.pi

# Slower or faster than declared by more than this is worth a word.
RATE_TOLERANCE = 0.3
# Headers and arrivals further apart, or topics further apart from each other, are different clocks.
CLOCK_TOLERANCE_NS = 2 * NS


def scans(evidence: Evidence) -> list[Finding]:
    """Scans come, whole, with a constant number of beams and distances in them."""
    if not evidence.scans:
        mend = "is the lidar's node running? `nanorover status`; its log says what the device does"
        return [Finding(ERROR, "no scan arrives", mend)]
    found = []
    counts = Counter(len(scan.ranges_m) for scan in evidence.scans)
    if len(counts) > 1:
        shown = ", ".join(f"{n} beams {times} times" for n, times in counts.most_common(3))
        mend = "SLAM needs a constant count: use this project's driver, which resamples every revolution"
        found.append(Finding(ERROR, f"the beam count changes: {shown}", mend))
    span = evidence.scans[-1]
    covered = len(span.ranges_m) * abs(span.angle_increment_rad)
    if covered > FULL_TURN * 1.02:
        mend = "the driver's angle_increment does not fit its beam count"
        found.append(Finding(ERROR, f"a scan covers {math.degrees(covered):.0f}°, more than a turn", mend))
    finite = np.mean([np.isfinite(s.ranges_m).mean() if len(s.ranges_m) else 0.0 for s in evidence.scans])
    if finite < 0.1:
        mend = "is the lidar covered, or range_min_m too large? Look at the page or RViz"
        found.append(Finding(ERROR, f"only {finite:.0%} of the beams measure anything", mend))
    if span.time_increment_s == 0.0 and span.scan_time_s == 0.0:
        mend = "set them in the driver, so that motion during a revolution can be undone"
        found.append(Finding(NOTE, "scans say nothing about the time of their beams", mend))
    return found or ok(
        f"{len(evidence.scans)} scans of {counts.most_common(1)[0][0]} beams, {finite:.0%} measured"
    )


def rates(evidence: Evidence) -> list[Finding]:
    """Scan and odometry come as often as declared, without gaps."""
    found = []
    looked_at = 0
    declared = {"scan": TOPICS["scan"].rate_hz, "odom": TOPICS["odom"].rate_hz}
    for topic, pairs in evidence.clocks.items():
        expected_hz = declared.get(topic.lstrip("/").rsplit("/", 1)[-1])
        if expected_hz is None or len(pairs) < 10:
            continue
        looked_at += 1
        gaps_s = np.diff([stamp for stamp, _ in pairs]) / NS
        hz = 1.0 / max(float(np.median(gaps_s)), 1e-6)
        if hz < expected_hz * (1 - RATE_TOLERANCE):
            mend = "is the processor busy (`nanorover status`), the serial line slow, or the frequency set lower?"
            found.append(Finding(WARN, f"{topic} comes at {hz:.1f} Hz instead of {expected_hz:g}", mend))
        if (back := int((gaps_s < 0).sum())) > 0:
            mend = "two publishers of one topic, or a clock that was set back while driving"
            found.append(Finding(ERROR, f"the stamps of {topic} run backwards {back} times", mend))
        if gaps_s.max() > max(1.0, 10 / expected_hz):
            mend = "a cable, the power supply, or a processor that is overloaded"
            found.append(Finding(WARN, f"{topic} has a gap of {gaps_s.max():.1f} s", mend))
    return found or ok_of(looked_at, "topics come as often as declared")


def clocks(evidence: Evidence) -> list[Finding]:
    """All stamps come from one clock, those of moving transforms too."""
    stamps = defaultdict(list, evidence.clocks)
    for edge in evidence.edges:
        if not edge.static:
            stamps[f"{edge.parent} → {edge.child}"].append((edge.stamp_ns, edge.received_ns))
    offsets_ns = {
        topic: int(np.median([received - stamp for stamp, received in pairs]))
        for topic, pairs in stamps.items()
        if pairs
    }
    if len(offsets_ns) > 1:
        least, most = min(offsets_ns, key=offsets_ns.__getitem__), max(offsets_ns, key=offsets_ns.__getitem__)
        if offsets_ns[most] - offsets_ns[least] > CLOCK_TOLERANCE_NS:
            apart_s = (offsets_ns[most] - offsets_ns[least]) / NS
            mend = "use_sim_time must be the same for every node; machines need chrony; or one is overloaded"
            return [Finding(ERROR, f"{least} and {most} use clocks that are {apart_s:.0f} s apart", mend)]
    late = {topic: offset for topic, offset in offsets_ns.items() if abs(offset) > CLOCK_TOLERANCE_NS}
    if late and evidence.live and not evidence.uses_sim_time:
        topic = next(iter(late))
        mend = "a node runs with use_sim_time, or the clock of another machine differs: chrony"
        return [
            Finding(ERROR, f"the stamps of {topic} are {late[topic] / NS:.0f} s behind this machine's clock", mend)
        ]
    return ok("one clock") if offsets_ns else unseen()
