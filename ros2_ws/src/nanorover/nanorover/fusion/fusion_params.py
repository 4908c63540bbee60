"""Parameters of fusion and tracking."""

from dataclasses import dataclass

from nanorover.errors import InputError
from nanorover.params import param


@dataclass(frozen=True)
class FusionParams:
    """Values in ``params/fusion.yaml``."""

    cluster_gap_m: float = param(
        "neighbouring returns farther apart belong to two things", "m", minimum=0.01, maximum=1.0
    )
    cluster_gap_per_m: float = param("this much more per metre of range", minimum=0.0, maximum=0.5)
    legs_apart_m: float = param("leg-sized clusters within this are one walker", "m", minimum=0.0, maximum=1.5)
    walker_deviation_m: float = param(
        "standard deviation of a walker's middle from that of the legs seen", "m", minimum=0.005, maximum=1.0
    )
    widest_mover_m: float = param("wider clusters do not move by themselves", "m", minimum=0.1, maximum=3.0)
    fusion_range_m: float = param("the lidar's clusters are used up to here", "m", minimum=0.5, maximum=30.0)
    off_map_m: float = param(
        "a return this far from the map's walls is not the map's", "m", minimum=0.02, maximum=2.0
    )
    off_map_share: float = param("share of such returns that makes a cluster new", minimum=0.0, maximum=1.0)

    camera_time_offset_s: float = param(
        "how much later the camera's stamps are than its exposure", "s", minimum=-1.0, maximum=1.0
    )
    bearing_deviation_rad: float = param("standard deviation of a box's edge", "rad", minimum=0.001, maximum=0.5)
    scan_match_deviation_m: float = param("that of a place taken from the scan", "m", minimum=0.005, maximum=1.0)
    size_deviation_share: float = param("that of a range taken from the box's height", minimum=0.01, maximum=1.0)
    horizon_deviation_px: float = param(
        "that of the lower edge of a box, and of the camera's pitch, in pixels", minimum=0.5, maximum=100.0
    )
    known_classes: tuple[str, ...] = param("classes whose size is known; others are left out")
    heights_m: tuple[float, ...] = param("their heights", "m", minimum=0.02, maximum=5.0)
    radii_m: tuple[float, ...] = param("their radii on the floor", "m", minimum=0.02, maximum=3.0)

    acceleration_deviation_m_s2: float = param(
        "how hard things change their motion", "m/s²", minimum=0.05, maximum=20.0
    )
    birth_hits: int = param("measurements that make a track", minimum=1, maximum=20)
    birth_misses: int = param("misses in a row that end a track not yet made", minimum=0, maximum=20)
    keep_s: float = param(
        "a moving track without measurements lives on for this long", "s", minimum=0.1, maximum=30.0
    )
    keep_standing_s: float = param("a standing one for this long", "s", minimum=0.1, maximum=600.0)
    gate_sigmas: float = param("measurements farther off are not the track's", minimum=1.0, maximum=10.0)
    mover_speed_m_s: float = param(
        "faster things that no camera named are 'moving'", "m/s", minimum=0.05, maximum=3.0
    )
    mover_way_m: float = param("once they have gone this far", "m", minimum=0.05, maximum=5.0)
    mover_entries: int = param("and come to free space this often", minimum=0, maximum=100)
    mover_sure_way_m: float = param("what has gone this far walks for sure", "m", minimum=0.1, maximum=10.0)
    mover_memory_s: float = param(
        "and counts as walking until it has stood for this long, then as standing", "s", minimum=0.1, maximum=600.0
    )
    mover_doubt_s: float = param("the same, for what went less far", "s", minimum=0.1, maximum=600.0)
    greatest_speed_m_s: float = param("nothing tracked is faster", "m/s", minimum=0.5, maximum=20.0)
    vote_memory: float = param("weight of the older votes for a class per new one", minimum=0.0, maximum=1.0)

    def size(self, class_id: str) -> tuple[float, float] | None:
        """Height and radius of a class in metres, if it is known."""
        if class_id not in self.known_classes:
            return None
        i = self.known_classes.index(class_id)
        return self.heights_m[i], self.radii_m[i]

    def check(self) -> None:
        """Raise InputError where the lists do not fit each other."""
        if not len(self.known_classes) == len(self.heights_m) == len(self.radii_m):
            raise InputError(
                f"fusion: {len(self.known_classes)} classes, {len(self.heights_m)} heights, "
                f"{len(self.radii_m)} radii",
                "every class needs one entry in each list",
            )
