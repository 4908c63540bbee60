"""How one thing of a class looks: size, colour and style drawn around what is usual."""

import colorsys

import numpy as np

from nanorover.sim.shapes import KINDS
from nanorover.sim.solids import Colour, Size

COLOURFUL = ("couch", "bed", "ball", "box", "chair", "plant", "bin")
ROUND = ("ball", "bottle", "plant", "bin", "lamp")
FURS = ((0.75, 0.48, 0.2), (0.25, 0.23, 0.22), (0.6, 0.58, 0.55), (0.85, 0.8, 0.72), (0.45, 0.3, 0.18))


def look(kind: str, rng: np.random.Generator) -> tuple[Size, Colour, str]:
    """Size (ahead, across, up), colour and style of one of a class."""
    usual = KINDS[kind]
    even = rng.uniform(0.85, 1.18)
    w, d, h = (round(float(s * even * rng.uniform(0.93, 1.07)), 3) for s in usual.size_m)
    if kind in ROUND:
        d = w
    if kind == "ball":
        h = w
    return (w, d, h), _colour(kind, rng), str(rng.choice(usual.styles))


def _colour(kind: str, rng: np.random.Generator) -> Colour:
    if kind == "person":  # of the clothes
        return _rgb(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.9))
    usual = FURS[int(rng.integers(len(FURS)))] if kind in ("cat", "dog") else KINDS[kind].colour
    hue, saturation, value = colorsys.rgb_to_hsv(*usual)
    if kind in COLOURFUL and rng.random() < 0.7:
        hue, saturation = rng.random(), rng.uniform(0.15, 0.75)
    value = min(0.95, max(0.12, value * rng.uniform(0.65, 1.3)))
    return _rgb((hue + rng.normal(0.0, 0.02)) % 1.0, saturation, value)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(float(r), 3), round(float(g), 3), round(float(b), 3)
