"""Parameters of the page in the browser; their values stand in ``params/web.yaml``."""

from dataclasses import dataclass

from nanorover.params import param


@dataclass(frozen=True)
class WebParams:
    """Where the page is served, how often it is renewed, and how fast a person may drive."""

    host: str = param("address to listen on; 127.0.0.1 for this machine alone, 0.0.0.0 for the network")
    port: int = param("TCP port; 0 takes a free one", minimum=0, maximum=65535)
    rate_hz: float = param("how often pose and plan are sent", "Hz", minimum=1.0, maximum=20.0)
    picture_rate_hz: float = param("camera pictures sent at most this often", "Hz", minimum=0.5, maximum=60.0)
    max_linear_m_s: float = param("speed at full deflection", "m/s", minimum=0.05, maximum=2.0)
    max_angular_rad_s: float = param("turning speed at full deflection", "rad/s", minimum=0.1, maximum=6.0)
    command_lapse_s: float = param(
        "a drive command counts for this long; the page repeats it while it is held", "s", minimum=0.2, maximum=2.0
    )
    heartbeat_timeout_s: float = param(
        "a node not heard for this long is shown as stale", "s", minimum=1.5, maximum=60.0
    )
    map_frame: str = param("frame of the map")
    base_frame: str = param("frame of the robot's base")
