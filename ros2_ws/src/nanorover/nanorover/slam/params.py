"""The parameters of mapping and localization; their values stand in ``params/slam.yaml``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanorover.params import load, param


@dataclass(frozen=True)
class SlamParams:
    """One set for every robot and building: what depends on a sensor is learnt while driving."""

    map_resolution_m: float = param("cell of the occupancy map", "m", minimum=0.01, maximum=0.5)
    match_resolution_m: float = param("cell of the map that scans are matched to", "m", minimum=0.02, maximum=0.2)
    point_spacing_m: float = param(
        "least distance of neighbouring points of a scan", "m", minimum=0.01, maximum=0.5
    )
    max_range_m: float = param("rays longer than this are not used", "m", minimum=1.0, maximum=80.0)
    point_noise_m: float = param(
        "standard deviation of one matched point, neighbours' dependence included", "m", minimum=0.005, maximum=0.5
    )
    keyframe_distance_m: float = param("a keyframe at least this often", "m", minimum=0.05, maximum=5.0)
    keyframe_angle_rad: float = param("and after turning by this much", "rad", minimum=0.05, maximum=3.2)
    local_path_m: float = param(
        "keyframes within this way driven form the local map", "m", minimum=2.0, maximum=200.0
    )
    good_match: float = param("part of a scan that the map must explain in a good match", minimum=0.1, maximum=1.0)
    poor_match: float = param("below this part the match is refused", minimum=0.05, maximum=1.0)


def slam_params(params_file: Path | None = None, **overrides: Any) -> SlamParams:
    """The shipped parameters, changed by a parameter file and by ``overrides``."""
    return load(SlamParams, "slam", params_file, **overrides)
