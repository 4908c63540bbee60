"""Simple solids, of which everything in a simulated world is built."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Size = tuple[float, float, float]

# How a surface answers the lidar: matt as in the data sheet, black weakly, glass mostly not at all, a mirror
# shows the world behind itself.
SURFACES = ("matt", "black", "glass", "mirror")


@dataclass(frozen=True)
class Solid:
    """One primitive: ``box`` and ``ellipsoid`` by half sizes, ``cylinder`` upright by (radius, half height),
    ``sphere`` by (radius,). ``at_m`` is its centre, ``yaw_rad`` its turn about the vertical. ``texture`` names
    a pattern of the pictures, ``limb`` the moving part that it belongs to."""

    kind: str
    size_m: tuple[float, ...]
    at_m: tuple[float, float, float]
    colour: Colour
    surface: str = "matt"
    yaw_rad: float = 0.0
    texture: str = ""
    limb: str = ""

    def outline(self, height_m: float) -> NDArray[np.float64] | None:
        """The convex polygon ``(N, 2)``, counter-clockwise, where a plane at this height cuts the solid."""
        above = height_m - self.at_m[2]
        half = self.size_m
        if self.kind == "box":
            if abs(above) > half[2]:
                return None
            corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half[:2]
        else:
            radii = self._radii(above)
            if radii is None:
                return None
            turn = np.arange(48) * (2.0 * math.pi / 48)
            corners = np.column_stack([radii[0] * np.cos(turn), radii[1] * np.sin(turn)])
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return corners @ np.array([[c, s], [-s, c]]) + self.at_m[:2]

    def _radii(self, above: float) -> tuple[float, float] | None:
        """Half axes of the ellipse in the cut of a round solid."""
        if self.kind == "cylinder":
            return None if abs(above) > self.size_m[1] else (self.size_m[0], self.size_m[0])
        half = self.size_m if self.kind == "ellipsoid" else (self.size_m[0],) * 3
        if abs(above) >= half[2]:
            return None
        shrink = math.sqrt(1.0 - (above / half[2]) ** 2)
        return half[0] * shrink, half[1] * shrink

    def placed(self, x_m: float, y_m: float, yaw_rad: float) -> "Solid":
        """The same solid as part of a thing that stands at this place."""
        c, s = math.cos(yaw_rad), math.sin(yaw_rad)
        at = (x_m + c * self.at_m[0] - s * self.at_m[1], y_m + s * self.at_m[0] + c * self.at_m[1], self.at_m[2])
        return replace(self, at_m=at, yaw_rad=self.yaw_rad + yaw_rad)


def box(low: Size, high: Size, colour: Colour, **more: Any) -> Solid:
    """A box between two corners."""
    half = tuple((b - a) / 2.0 for a, b in zip(low, high, strict=True))
    middle = ((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, (low[2] + high[2]) / 2.0)
    return Solid("box", half, middle, colour, **more)


def rod(x: float, y: float, low: float, high: float, radius: float, colour: Colour, **more: Any) -> Solid:
    """An upright cylinder."""
    return Solid("cylinder", (radius, (high - low) / 2.0), (x, y, (low + high) / 2.0), colour, **more)


def blob(at: Size, half: Size, colour: Colour, **more: Any) -> Solid:
    """An ellipsoid."""
    return Solid("ellipsoid", half, at, colour, **more)


def shade(colour: Colour, factor: float) -> Colour:
    """A lighter (> 1) or darker (< 1) tone."""
    r, g, b = (min(1.0, max(0.0, c * factor)) for c in colour)
    return r, g, b
