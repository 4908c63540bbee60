"""Messages of a detector in library terms; apart from the other conversions, for they need OpenCV."""

from vision_msgs.msg import Detection2DArray

from nanorover.fusion.measurements import Detection


def detections_of(message: Detection2DArray) -> list[Detection]:
    """The boxes with the likeliest hypothesis of each; a box without any is left out."""
    found = []
    for one in message.detections:
        if one.results:
            best = max(one.results, key=lambda r: r.hypothesis.score).hypothesis
            x, y = one.bbox.center.position.x, one.bbox.center.position.y
            half_x, half_y = one.bbox.size_x / 2.0, one.bbox.size_y / 2.0
            box_px = (x - half_x, y - half_y, x + half_x, y + half_y)
            found.append(Detection(best.class_id, float(best.score), box_px))
    return found
