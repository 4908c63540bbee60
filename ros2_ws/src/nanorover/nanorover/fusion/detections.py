"""A detector's message in terms of the library."""

from typing import Any

from nanorover.fusion.measurements import Detection


def detections_of(message: Any) -> list[Detection]:
    """The boxes of a ``Detection2DArray``, of ROS or of a recording, with the likeliest hypothesis of each.

    A box without any is left out.
    """
    found = []
    for one in message.detections:
        if len(one.results):
            best = max(one.results, key=lambda r: r.hypothesis.score).hypothesis
            centre = getattr(one.bbox.center, "position", one.bbox.center)  # vision_msgs moved it at Humble
            half_x, half_y = one.bbox.size_x / 2.0, one.bbox.size_y / 2.0
            box_px = (centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y)
            found.append(Detection(best.class_id, float(best.score), box_px))
    return found
