"""Pictures of what a calibration leaves unexplained."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nanorover.calibration.motion import MotionFit
from nanorover.files import replacing

INK, FIT, PALE = "#1f4e79", "#d9480f", "#9db4c8"


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_motion(path: Path, fit: MotionFit) -> None:
    """The wheels' way and turn against the lidar's, and what is left of each step."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    way, turn, left = figure.subplots(1, 3)
    base, laser = fit.steps.base, fit.steps.laser
    ways = np.linalg.norm(base[:, :2], axis=1), np.linalg.norm(laser[:, :2], axis=1)
    straight = fit.steps.straight
    way.plot(ways[0][~straight], ways[1][~straight], ".", color=PALE, label="steps with a turn")
    way.plot(ways[0][straight], ways[1][straight], ".", color=INK, label="straight steps")
    _line(way, max(ways[0].max(initial=0.1), 0.1), fit.way_scale)
    way.set(xlabel="way by the wheels (m)", ylabel="way by the lidar (m)", title=_factor("way", fit.way_scale))
    turns = np.degrees(base[:, 2]), np.degrees(laser[:, 2])
    turn.plot(*turns, ".", color=INK)
    drift_deg = math.degrees(fit.drift_rad_m) if math.isfinite(fit.drift_rad_m) else 0.0
    reach = max(np.abs(turns[0]).max(initial=1.0), 1.0)
    _line(turn, reach, fit.turn_scale, from_=-reach, offset=drift_deg * base[:, 0].mean())
    side = f"; {abs(drift_deg):.1f}° per metre to the {'left' if drift_deg > 0 else 'right'}" if drift_deg else ""
    turn.set(
        xlabel="turn by the wheels (°)",
        ylabel="turn by the lidar (°)",
        title=_factor("turn", fit.turn_scale) + side,
    )
    time_s = (fit.steps.stamps_ns - fit.steps.stamps_ns[0]) / 1e9
    left.plot(time_s, 1000 * fit.residuals[:, 0], ".-", color=INK, lw=0.6, label="forward (mm)")
    left.plot(time_s, 1000 * fit.residuals[:, 1], ".-", color=FIT, lw=0.6, label="sideways (mm)")
    left.plot(time_s, 10 * np.degrees(fit.residuals[:, 2]), ".-", color=PALE, lw=0.6, label="turn (0.1°)")
    left.set(xlabel="time (s)", title=f"left unexplained: {1000 * fit.rms_m:.1f} mm per step")
    for axes in (way, turn, left):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    _save(figure, path)


def _factor(name: str, scale: float) -> str:
    return f"{name} × {scale:.4f}" if np.isfinite(scale) else f"{name}: not shown by this drive"


def _line(axes, reach: float, slope: float, from_: float = 0.0, offset: float = 0.0) -> None:
    ends = np.array([from_, reach])
    axes.plot(ends, ends, ":", color=PALE, label="as reported")
    if np.isfinite(slope):
        axes.plot(ends, slope * ends + offset, color=FIT, lw=1, label="fitted")


def draw_pixels(
    path: Path, residuals_px: Sequence[NDArray[np.float64]], corners_px: Sequence[NDArray[np.float64]], size: tuple
) -> None:
    """Where the board was seen in the picture, and how far each corner is from where the lens puts it."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    seen, left = figure.subplots(1, 2)
    for corners, residuals in zip(corners_px, residuals_px, strict=True):
        seen.quiver(
            *corners.T, *residuals.T, angles="xy", scale_units="xy", scale=0.02, width=0.002, color=INK, alpha=0.7
        )
        left.plot(*residuals.T, ".", ms=3, alpha=0.6)
    seen.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="equal", title="corners seen; arrows × 50", xlabel="px")
    rms = np.sqrt((np.concatenate(residuals_px) ** 2).sum(axis=1).mean())
    left.set(aspect="equal", title=f"left unexplained: {rms:.2f} px", xlabel="right (px)", ylabel="down (px)")
    left.grid(alpha=0.3)
    _save(figure, path)


def draw_distances(path: Path, before_m: NDArray[np.float64], after_m: NDArray[np.float64], title: str) -> None:
    """How far the lidar's points are from the board that the camera sees, before and after."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    reach = max(float(np.abs(np.concatenate((before_m, after_m))).max()), 0.01)
    bins = (np.linspace(-reach, reach, 61) * 1000).tolist()
    axes.hist(1000 * before_m, bins=bins, color=PALE, label=f"before: {_rms_mm(before_m):.1f} mm")
    axes.hist(1000 * after_m, bins=bins, color=FIT, alpha=0.8, label=f"after: {_rms_mm(after_m):.1f} mm")
    axes.set(xlabel="distance of a lidar point from the board (mm)", ylabel="points", title=title)
    axes.legend()
    axes.grid(alpha=0.3)
    _save(figure, path)


def _rms_mm(values_m: NDArray[np.float64]) -> float:
    return 1000 * float(np.sqrt((values_m**2).mean()))
