"""Keep-out zones as markers, which RViz shows and the page reads."""

from collections.abc import Iterable, Mapping

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from nanorover.planning.zones import Zone
from nanorover_nodes.convert import pose_msg

# Namespaces of the markers: zones and their names carry the same id.
OUTLINE, NAME, MASK = "zone", "name", "mask"
RED, WHITE = ColorRGBA(r=1.0, g=0.3, b=0.3, a=1.0), ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
LINE_M, LETTERS_M = 0.04, 0.2


def markers_msg(zones: Mapping[int, Zone], mask_m: Iterable[NDArray[np.float64]], frame: str) -> MarkerArray:
    """Closed outlines of zones by their numbers, their names, outlines ``(N, 2)`` of the mask; earlier ones go."""
    message = MarkerArray(markers=[Marker(action=Marker.DELETEALL)])
    for number, zone in zones.items():
        corners = np.array(zone.corners_m)
        message.markers.append(_outline(OUTLINE, number, corners))
        if zone.name:
            name = Marker(ns=NAME, id=number, type=Marker.TEXT_VIEW_FACING, color=WHITE, text=zone.name)
            name.pose = pose_msg(np.array([*corners.mean(axis=0), 0.0]))
            name.scale.z = LETTERS_M
            message.markers.append(name)
    message.markers += [_outline(MASK, number, outline) for number, outline in enumerate(mask_m)]
    for marker in message.markers:
        marker.header.frame_id = frame
    return message


def _outline(space: str, number: int, corners: NDArray[np.float64]) -> Marker:
    marker = Marker(ns=space, id=number, type=Marker.LINE_STRIP, color=RED, pose=pose_msg(np.zeros(3)))
    marker.scale.x = LINE_M
    marker.points = [Point(x=float(x), y=float(y)) for x, y in [*corners, corners[0]]]
    return marker


def zones_of(message: MarkerArray) -> tuple[dict[int, Zone], list[list[tuple[float, float]]]]:
    """Back again: zones by their numbers, and the mask's outlines, without the corner that closes them."""
    names = {marker.id: marker.text for marker in message.markers if marker.ns == NAME}
    corners = {
        (marker.ns, marker.id): [(point.x, point.y) for point in marker.points[:-1]]
        for marker in message.markers
        if marker.ns in (OUTLINE, MASK)
    }
    zones = {n: Zone(names.get(n, ""), tuple(found)) for (space, n), found in corners.items() if space == OUTLINE}
    return zones, [found for (space, _), found in corners.items() if space == MASK]
