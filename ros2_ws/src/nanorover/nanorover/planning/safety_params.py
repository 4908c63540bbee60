"""Parameters of the safety layer, and their check against the base that has to obey it."""

from dataclasses import dataclass

from nanorover.base.params import BaseParams
from nanorover.errors import InputError
from nanorover.params import param


@dataclass(frozen=True)
class SafetyParams:
    """When the robot must be slow and when it must stand; values in ``params/safety.yaml``."""

    rate_hz: float = param("decisions per second", "Hz", minimum=5.0, maximum=100.0)
    deceleration_m_s2: float = param(
        "braking that is relied upon; the base must brake at least so hard", "m/s²", minimum=0.05, maximum=20.0
    )
    angular_deceleration_rad_s2: float = param(
        "braking of turning that is relied upon", "rad/s²", minimum=0.05, maximum=100.0
    )
    reaction_s: float = param("from a decision to wheels that obey it", "s", minimum=0.0, maximum=1.0)
    end_margin_m: float = param("room kept before and behind the footprint", "m", minimum=0.0, maximum=1.0)
    side_margin_m: float = param("room kept beside the footprint", "m", minimum=0.0, maximum=1.0)
    slow_down_s: float = param(
        "speed is lowered so that contact is at least this far away", "s", minimum=0.0, maximum=10.0
    )
    returns_to_stop: int = param(
        "returns that make an obstacle; 1 believes every single beam", minimum=1, maximum=10
    )
    self_depth_m: float = param(
        "returns deeper than this within the footprint are the robot itself", "m", minimum=0.0, maximum=0.5
    )
    least_returns: int = param(
        "a scan with fewer returns is not believed; 0 for open fields", minimum=0, maximum=10_000
    )
    least_usable_share: float = param("a scan with a smaller share of beams that say anything is not believed",
                                      minimum=0.0, maximum=1.0)  # fmt: skip

    people_clearance_m: float = param(
        "the robot stops before a person comes nearer than this", "m", minimum=0.0, maximum=3.0
    )
    people_least_m: float = param("and does not move while one who walks is nearer", "m", minimum=0.0, maximum=3.0)
    people_wait_s: float = param(
        "but drives away from one who has stood there for so long, and nobody walked nearby",
        "s",
        minimum=0.0,
        maximum=60.0,
    )
    people_turn_s: float = param(
        "whoever walks may turn to the robot: so much of his way is kept free besides",
        "s",
        minimum=0.0,
        maximum=3.0,
    )
    people_slow_down_s: float = param(
        "speed is lowered so that a person is at least this far away in time", "s", minimum=0.0, maximum=10.0
    )
    people_horizon_s: float = param("how far people are predicted", "s", minimum=0.1, maximum=10.0)
    people_timeout_s: float = param("people not heard of for this long are gone", "s", minimum=0.1, maximum=10.0)

    command_timeout_s: float = param(
        "a command that was not repeated for this long is none", "s", minimum=0.05, maximum=2.0
    )
    teleop_hold_s: float = param(
        "after the last command of a person, autonomy stays shut out for this long",
        "s",
        minimum=0.05,
        maximum=60.0,
    )
    scan_timeout_s: float = param(
        "without another scan for this long the robot stands; what counts is the arrival, not the stamp",
        "s",
        minimum=0.05,
        maximum=2.0,
    )
    localized_autonomy: bool = param("autonomy needs a fresh, certain pose; false for reactive behaviours only")
    pose_timeout_s: float = param(
        "without another pose for this long autonomy stops; what counts is the arrival",
        "s",
        minimum=0.05,
        maximum=10.0,
    )
    lost_deviation_m: float = param(
        "a pose with a larger standard deviation counts as lost", "m", minimum=0.01, maximum=10.0
    )
    watched_nodes: tuple[str, ...] = param("nodes without whose diagnostics autonomy stops")
    heartbeat_timeout_s: float = param(
        "a watched node that is silent for this long is dead", "s", minimum=0.1, maximum=60.0
    )


def check_against_base(safety: SafetyParams, base: BaseParams) -> None:
    """Raise InputError where the base cannot do what the safety layer relies upon."""
    braking = {
        "deceleration_m_s2": "linear_deceleration_m_s2",
        "angular_deceleration_rad_s2": "angular_acceleration_rad_s2",
    }
    base.require("safety", safety, braking)
    if 1.0 / safety.rate_hz > base.command_timeout_s / 2.0:
        raise InputError(
            f"safety decides every {1.0 / safety.rate_hz:.3f} s, the base forgets a command after "
            f"{base.command_timeout_s:g} s",
            "raise rate_hz of the safety node, so that one lost message does not stop the robot",
        )
