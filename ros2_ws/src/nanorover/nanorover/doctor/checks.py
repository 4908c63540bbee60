"""Every check of the doctor beside that of the packages, in the order in which a person wants to read them."""

from nanorover.doctor import frames, graph, machine, motion, signals
from nanorover.doctor.findings import Check

MACHINE = (
    Check("graphics", machine.graphics),
    Check("ports", machine.serial_ports),
    Check("lidar", machine.lidar),
    Check("base", machine.base),
    Check("disk", machine.disk),
    Check("cache", machine.caches),
    Check("clock", machine.clock),
    Check("temperature", machine.temperature),
    Check("power", machine.power_mode),
    Check("discovery", machine.discovery),
)
SIGNALS = (
    Check("scans", signals.scans),
    Check("rates", signals.rates),
    Check("clocks", signals.clocks),
    Check("frames", frames.tree),
    Check("transforms", frames.transform_times),
    Check("motion", motion.motion),
)
# Only a running robot shows these.
GRAPH = (
    Check("graph", graph.graph),
    Check("health", graph.health),
    Check("quality of service", graph.quality_of_service),
)
