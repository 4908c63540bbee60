"""The check that needs a drive: does the lidar see the motion that the wheels report?"""

import math

import numpy as np

from nanorover.calibration.motion import fit_motion, steps_of
from nanorover.doctor.evidence import Evidence
from nanorover.doctor.findings import ERROR, NOTE, WARN, Finding, ok
from nanorover.errors import InputError
from nanorover.geometry.frames import FrameTree, planar_pose
from nanorover.geometry.se2 import wrap_angle

# The mounting is wrong, the wheels' size is wrong.
YAW_TOLERANCE_RAD, SCALE_TOLERANCE = math.radians(5.0), 0.06


def motion(evidence: Evidence) -> list[Finding]:
    """The lidar sees the motion that the wheels report: not mirrored, not turned, of the same size."""
    if not evidence.scans or not evidence.odometry:
        return [Finding(NOTE, "scan and odometry are not both there: motion cannot be compared")]
    frames = FrameTree()
    for edge in evidence.edges:
        frames.set(edge.parent, edge.child, edge.T_parent_child)
    T = frames.lookup("base_link", evidence.scans[0].frame_id)
    mounting, upside_down = (np.zeros(3), False) if T is None else planar_pose(T)
    seen = [scan.mounted(np.zeros(3), upside_down) for scan in evidence.scans]
    try:
        fit = fit_motion(steps_of(seen, evidence.odometry), mounting)
    except InputError as error:
        return [Finding(NOTE, f"mounting and wheels not checked: {error.args[0]}", error.hint)]
    found = []
    if fit.turn_scale < 0:
        roll = "0 where the lidar stands upright" if upside_down else "π where the lidar hangs upside down"
        mend = (
            f"turn it left by hand: if odometry turns left too, the scan is mirrored (laser_roll_rad: {roll}); "
            "else left and right wheel are swapped"
        )
        return [Finding(ERROR, "the scan turns against the odometry", mend)]
    wrong_rad = wrap_angle(fit.T_base_laser[2] - mounting[2])
    if abs(wrong_rad) > math.radians(150):
        mend = f"laser_yaw_rad: {fit.T_base_laser[2]:.3f}, or the odometry's sign: both wheels count backwards"
        found.append(Finding(ERROR, "driving ahead by the wheels is driving back by the scan", mend))
    elif abs(wrong_rad) > YAW_TOLERANCE_RAD:
        mend = f"laser_yaw_rad: {fit.T_base_laser[2]:.3f} (`nanorover calibrate lidar` says it exactly)"
        found.append(
            Finding(ERROR, f"the scan is rotated by {math.degrees(wrong_rad):.0f}° against the motion", mend)
        )
    # Wheels of the wrong size stretch the turn as much as the way: what is left is the distance between them.
    turn_scale = fit.turn_scale / fit.way_scale if math.isfinite(fit.way_scale) else fit.turn_scale
    for name, scale, parameter in (
        ("way", fit.way_scale, "wheel_radius_m, or ticks_per_revolution"),
        ("turn", turn_scale, "wheel_separation_m"),
    ):
        if math.isfinite(scale) and abs(scale - 1) > SCALE_TOLERANCE:
            mend = f"{parameter} is wrong: `nanorover calibrate wheels`"
            found.append(Finding(WARN, f"the odometry's {name} is {1 / scale:.2f} of what the scan sees", mend))
    return found or ok(
        f"scan and odometry agree ({fit.steps.way_m:.0f} m, {1000 * fit.rms_m:.0f} mm left per step)"
    )
