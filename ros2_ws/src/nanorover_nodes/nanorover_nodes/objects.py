"""Tracked objects as messages: typed ones for nodes, markers for eyes."""

import math

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from nanorover.fusion.objects import TrackedObject as LibraryObject
from nanorover_interfaces.msg import TrackedObject, TrackedObjects
from nanorover_nodes.convert import NS, pose_msg, stamp_ns_of, time_of

PERSON, PET, THING = ColorRGBA(r=0.9, g=0.2, b=0.2, a=0.8), ColorRGBA(r=0.9, g=0.6, b=0.1, a=0.8), ColorRGBA(
    r=0.2, g=0.5, b=0.9, a=0.8
)  # fmt: skip
COLOURS = {"person": PERSON, "dog": PET, "cat": PET, "moving": PET, "standing": PET}
HEIGHTS_M = {"person": 1.7, "dog": 0.5, "cat": 0.3}
SHOWN_AHEAD_S = 1.5


def objects_msg(objects: list[LibraryObject], stamp_ns: int, frame: str) -> TrackedObjects:
    """The typed message."""
    message = TrackedObjects()
    message.header.stamp, message.header.frame_id = time_of(stamp_ns), frame
    for o in objects:
        one = TrackedObject(id=o.id, class_id=o.class_id, score=float(o.score), radius_m=float(o.radius_m))
        one.pose.pose = pose_msg(np.array([*o.state[:2], math.atan2(o.state[3], o.state[2])]))
        one.velocity.twist.linear.x, one.velocity.twist.linear.y = float(o.state[2]), float(o.state[3])
        for target, block in ((one.pose, o.covariance[:2, :2]), (one.velocity, o.covariance[2:, 2:])):
            full = np.zeros((6, 6))
            full[:2, :2] = block
            target.covariance = full.ravel()
        one.seen_by_camera = bool(o.by_camera)
        message.objects.append(one)
    return message


def objects_of(message: TrackedObjects) -> list[LibraryObject]:
    """Back again."""
    stamp_ns = stamp_ns_of(message.header.stamp)
    found = []
    for one in message.objects:
        p, v = one.pose.pose.position, one.velocity.twist.linear
        covariance = np.zeros((4, 4))
        covariance[:2, :2] = np.asarray(one.pose.covariance).reshape(6, 6)[:2, :2]
        covariance[2:, 2:] = np.asarray(one.velocity.covariance).reshape(6, 6)[:2, :2]
        state = np.array([p.x, p.y, v.x, v.y])
        found.append(
            LibraryObject(
                one.id, one.class_id, one.score, stamp_ns, state, covariance, one.radius_m, one.seen_by_camera
            )
        )
    return found


def markers_msg(objects: list[LibraryObject], stamp_ns: int, frame: str) -> MarkerArray:
    """A cylinder, a name and an arrow of motion for each; everything earlier is deleted."""
    erase = Marker(action=Marker.DELETEALL)
    erase.header.frame_id = frame
    markers = [erase]
    for o in objects:
        colour = COLOURS.get(o.class_id, THING)
        height_m = HEIGHTS_M.get(o.class_id, 0.4)
        body = _marker(stamp_ns, frame, "body", o, Marker.CYLINDER, colour)
        body.pose.position.z = height_m / 2.0
        body.scale.x = body.scale.y = 2.0 * float(o.radius_m)
        body.scale.z = height_m
        name = _marker(stamp_ns, frame, "name", o, Marker.TEXT_VIEW_FACING, ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0))
        name.text, name.scale.z, name.pose.position.z = f"{o.class_id} {o.id}", 0.15, height_m + 0.15
        arrow = _marker(stamp_ns, frame, "motion", o, Marker.ARROW, colour)
        arrow.pose = pose_msg(np.zeros(3))
        ahead = o.state[:2] + SHOWN_AHEAD_S * o.state[2:]
        arrow.points = [Point(x=float(x), y=float(y), z=0.1) for x, y in (o.state[:2], ahead)]
        arrow.scale.x, arrow.scale.y = 0.04, 0.1
        markers += [body, name, arrow]
    return MarkerArray(markers=markers)


def _marker(stamp_ns: int, frame: str, space: str, o: LibraryObject, kind: int, colour: ColorRGBA) -> Marker:
    marker = Marker(ns=space, id=o.id, type=kind, action=Marker.ADD, color=colour)
    marker.header.stamp, marker.header.frame_id = time_of(stamp_ns), frame
    marker.pose = pose_msg(np.array([*o.state[:2], 0.0]))
    marker.lifetime.sec, marker.lifetime.nanosec = 1, NS // 2
    return marker
