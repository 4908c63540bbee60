"""Parameters of the costmaps."""

from dataclasses import dataclass

from nanorover.params import param


@dataclass(frozen=True)
class CostmapParams:
    """Sizes, ranges and the shape of the inflation; values in ``params/costmap.yaml``."""

    local_size_m: float = param("edge of the local map", "m", minimum=1.0, maximum=30.0)
    local_resolution_m: float = param("cell of the local map", "m", minimum=0.01, maximum=0.2)
    marking_range_m: float = param("returns farther away are not marked", "m", minimum=0.5, maximum=30.0)
    clearing_range_m: float = param("beams clear up to here", "m", minimum=0.5, maximum=30.0)
    forget_s: float = param(
        "an obstacle that was not seen for this long is gone", "s", minimum=0.5, maximum=3600.0
    )
    same_wall_m: float = param(
        "the static map adds nothing to the local one this near to what the lidar sees",
        "m",
        minimum=0.0,
        maximum=1.0,
    )
    inflation_radius_m: float = param(
        "distance to obstacles up to which cells cost", "m", minimum=0.05, maximum=3.0
    )
    inflation_rate_1_m: float = param(
        "how fast that cost falls with distance, exponentially", "1/m", minimum=0.1, maximum=50.0
    )
    occupied_from: int = param("map values from here on are obstacles", minimum=1, maximum=100)
    unknown_is_free: bool = param("plan through cells that the map does not know")
    keep_out_mask: str = param("map file whose dark cells must not be entered; empty for none")
    speed_mask: str = param("map file whose grey says the share of the full speed; empty for none")
