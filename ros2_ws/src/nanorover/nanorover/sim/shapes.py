"""Things that stand and walk in a simulated world, built from simple solids.

Each class is a small function that puts boxes, cylinders, spheres and ellipsoids together. One list of
solids serves the physics, the rays of the lidar, the pictures of the camera and the true map.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from nanorover.errors import InputError
from nanorover.sim.solids import Colour, Size, Solid, blob, box, rod, shade

DARK: Colour = (0.13, 0.13, 0.14)
METAL: Colour = (0.55, 0.56, 0.58)
LEAF: Colour = (0.16, 0.45, 0.18)


def _legs(w: float, d: float, top: float, thick: float, colour: Colour) -> list[Solid]:
    x, y = w / 2 - thick, d / 2 - thick
    return [rod(sx * x, sy * y, 0.0, top, thick / 2, colour) for sx in (-1, 1) for sy in (-1, 1)]


def _person(size: Size, colour: Colour, style: str) -> list[Solid]:
    d, w, h = size  # x is ahead, so the shoulders lie along y
    skin: Colour = (0.87, 0.67, 0.53) if style != "dark" else (0.45, 0.3, 0.22)
    hair: Colour = (0.22, 0.14, 0.08)
    trousers: Colour = (0.16, 0.2, 0.33)
    hip, neck = 0.48 * h, 0.83 * h
    solids = []
    for limb, side in (("left", 1), ("right", -1)):
        y = side * 0.2 * w
        solids += [
            rod(0.0, y, 0.05, hip, 0.055, trousers, limb=limb),
            blob((0.05, y, 0.05), (0.13, 0.055, 0.05), DARK, limb=limb),
        ]
        arm = side * 0.44 * w
        solids += [
            blob((0.0, arm, 0.66 * h), (0.05, 0.05, 0.17 * h), shade(colour, 0.9)),
            blob((0.03, arm, 0.48 * h), (0.04, 0.04, 0.05), skin),
        ]
    return [
        *solids,
        blob((0.0, 0.0, hip + 0.02), (0.11, 0.36 * w, 0.12), trousers),
        blob((0.0, 0.0, (hip + neck) / 2), (0.5 * d, 0.4 * w, 0.21 * h), colour),
        rod(0.0, 0.0, neck - 0.06, neck + 0.05, 0.05, skin),
        blob((0.01, 0.0, 0.92 * h), (0.09, 0.08, 0.08 * h), skin),
        blob((-0.02, 0.0, 0.945 * h), (0.095, 0.088, 0.065 * h), hair),
    ]


def _pet(size: Size, colour: Colour, *, ears_up: bool, muzzle: float) -> list[Solid]:
    """A standing four-legged animal that looks along x."""
    length, w, h = size
    belly = 0.5 * h
    x, y = 0.3 * length, 0.3 * w
    solids = [rod(sx * x, sy * y, 0.0, belly, 0.13 * w, shade(colour, 0.85)) for sx in (-1, 1) for sy in (-1, 1)]
    head = 0.21 * h
    head_x, head_z = 0.46 * length, h - head
    ear_z = h - 0.3 * head if ears_up else h - 0.9 * head
    solids += [
        blob((0.0, 0.0, 0.62 * h), (0.42 * length, 0.45 * w, 0.2 * h), colour),
        blob((0.38 * length, 0.0, 0.72 * h), (0.11 * length, 0.26 * w, 0.17 * h), colour),
        blob((head_x, 0.0, head_z), (0.15 * length, 0.36 * w, head), colour),
        blob(
            (head_x + muzzle, 0.0, head_z - 0.3 * head), (0.1 * length, 0.2 * w, 0.42 * head), shade(colour, 1.2)
        ),
        blob((head_x + muzzle + 0.09 * length, 0.0, head_z - 0.2 * head), (0.02, 0.02, 0.018), DARK),
        blob((-0.47 * length, 0.0, 0.78 * h), (0.12 * length, 0.04, 0.16 * h), shade(colour, 0.85)),
    ]
    for side in (-1, 1):
        ear = (0.03, 0.03, 0.4 * head) if ears_up else (0.045, 0.025, 0.6 * head)
        solids.append(blob((head_x - 0.03, side * 0.3 * w, ear_z), ear, shade(colour, 0.7)))
        solids.append(blob((head_x + 0.11 * length, side * 0.16 * w, head_z + 0.25 * head), (0.012,) * 3, DARK))
    return solids


def _cat(size: Size, colour: Colour, style: str) -> list[Solid]:
    return _pet(size, colour, ears_up=True, muzzle=0.1 * size[0])


def _dog(size: Size, colour: Colour, style: str) -> list[Solid]:
    return _pet(size, colour, ears_up=style == "pointed", muzzle=0.18 * size[0])


def _chair(size: Size, colour: Colour, style: str) -> list[Solid]:
    d, w, h = size  # one sits looking along x, so the back is at -x
    seat = 0.5 * h
    back = box(
        (-d / 2, -w / 2, seat + 0.08), (-d / 2 + 0.04, w / 2, h), colour, texture="wood" * (style == "wood")
    )
    if style == "office":
        star = [
            Solid("box", (0.28, 0.022, 0.02), (0.0, 0.0, 0.08), DARK, yaw_rad=k * math.pi / 5) for k in range(5)
        ]
        tips = [(0.27 * math.cos(k * 0.4 * math.pi), 0.27 * math.sin(k * 0.4 * math.pi)) for k in range(5)]
        castors = [Solid("sphere", (0.035,), (x, y, 0.035), DARK) for x, y in tips]
        arms = [
            box((-0.15, s * w / 2 - 0.03, seat + 0.15), (0.12, s * w / 2 + 0.03, seat + 0.19), DARK)
            for s in (-1, 1)
        ]
        return [
            *star, *castors, *arms,
            rod(0.0, 0.0, 0.08, seat, 0.03, METAL),
            box((-d / 2, -w / 2, seat - 0.04), (d / 2, w / 2, seat + 0.04), colour),
            replace(back, size_m=(0.035, w / 2, (h - seat - 0.08) / 2)),
        ]  # fmt: skip
    posts = [rod(-d / 2 + 0.02, s * (w / 2 - 0.02), seat, h, 0.018, shade(colour, 0.8)) for s in (-1, 1)]
    return [
        *_legs(d, w, seat, 0.04, shade(colour, 0.75)),
        *posts,
        box(
            (-d / 2, -w / 2, seat - 0.03), (d / 2, w / 2, seat + 0.02), colour, texture="wood" * (style == "wood")
        ),
        back,
    ]


def _table(size: Size, colour: Colour, style: str) -> list[Solid]:
    w, d, h = size
    if style == "round":
        return [
            rod(0.0, 0.0, h - 0.035, h, w / 2, colour, texture="wood"),
            rod(0.0, 0.0, 0.03, h - 0.03, 0.045, shade(colour, 0.7)),
            rod(0.0, 0.0, 0.0, 0.03, 0.3 * w, shade(colour, 0.7)),
        ]
    surface = "glass" if style == "glass" else "matt"
    top = box((-w / 2, -d / 2, h - 0.035), (w / 2, d / 2, h), colour, surface=surface, texture="wood")
    apron = box(
        (-w / 2 + 0.05, -d / 2 + 0.05, h - 0.1), (w / 2 - 0.05, d / 2 - 0.05, h - 0.03), shade(colour, 0.8)
    )
    return [top, *([] if style == "glass" else [apron]), *_legs(w, d, h - 0.03, 0.07, shade(colour, 0.75))]


def _couch(size: Size, colour: Colour, style: str) -> list[Solid]:
    d, w, h = size
    arm = 0.18
    cushions = 2 if w < 1.9 else 3
    wide = (w - 2 * arm) / cushions
    seats = []
    for k in range(cushions):
        y = -w / 2 + arm + (k + 0.5) * wide
        seats.append(Solid("box", ((d - 0.22) / 2, wide / 2 - 0.01, 0.08), (0.09, y, 0.4), shade(colour, 1.12)))
        seats.append(Solid("box", (0.07, wide / 2 - 0.02, 0.16), (-d / 2 + 0.25, y, 0.6), shade(colour, 1.12)))
    return [
        box((-d / 2, -w / 2 + arm, 0.05), (d / 2 - 0.02, w / 2 - arm, 0.32), shade(colour, 0.85)),
        box((-d / 2, -w / 2, 0.05), (-d / 2 + 0.18, w / 2, h), colour),
        box((-d / 2, -w / 2, 0.05), (d / 2, -w / 2 + arm, 0.58), colour),
        box((-d / 2, w / 2 - arm, 0.05), (d / 2, w / 2, 0.58), colour),
        *seats,
    ]


def _bed(size: Size, colour: Colour, style: str) -> list[Solid]:
    length, w, h = size  # the head end is at -x
    white: Colour = (0.93, 0.92, 0.89)
    pillows = [blob((-length / 2 + 0.35, s * w / 4, h + 0.03), (0.2, 0.19 * w, 0.08), white) for s in (-1, 1)]
    return [
        box((-length / 2, -w / 2, 0.08), (length / 2, w / 2, 0.3), (0.45, 0.32, 0.2), texture="wood"),
        box((-length / 2 + 0.03, -w / 2 + 0.03, 0.3), (length / 2 - 0.03, w / 2 - 0.03, h), white),
        box((-length / 2 + 0.75, -w / 2 + 0.01, 0.26), (length / 2 - 0.01, w / 2 - 0.01, h + 0.05), colour),
        box((-length / 2, -w / 2, 0.0), (-length / 2 + 0.06, w / 2, 0.95), (0.4, 0.28, 0.17), texture="wood"),
        *pillows,
    ]


def _plant(size: Size, colour: Colour, style: str) -> list[Solid]:
    w, _, h = size
    pot = 0.3 * h
    solids = [
        rod(0.0, 0.0, 0.0, pot, 0.34 * w, colour),
        rod(0.0, 0.0, pot - 0.02, pot + 0.015, 0.38 * w, shade(colour, 1.15)),
        rod(0.0, 0.0, pot, 0.7 * h, 0.015, (0.36, 0.25, 0.14)),
    ]
    for k in range(9):
        turn, layer = k * 2.4, k % 3
        reach = (0.3 - 0.06 * layer) * w
        at = (reach * math.cos(turn), reach * math.sin(turn), h * (0.52 + 0.16 * layer))
        leaf = blob(at, (0.26 * w, 0.12 * w, 0.13 * h), shade(LEAF, 0.75 + 0.07 * k))
        solids.append(replace(leaf, yaw_rad=turn))
    return solids


def _ball(size: Size, colour: Colour, style: str) -> list[Solid]:
    r = size[0] / 2
    return [Solid("sphere", (r,), (0.0, 0.0, r), colour, texture="ball")]


def _bottle(size: Size, colour: Colour, style: str) -> list[Solid]:
    r, h = size[0] / 2, size[2]
    return [
        rod(0.0, 0.0, 0.0, 0.62 * h, r, colour),
        blob((0.0, 0.0, 0.62 * h), (r, r, 0.16 * h), colour),
        rod(0.0, 0.0, 0.62 * h, 0.93 * h, 0.36 * r, colour),
        rod(0.0, 0.0, 0.93 * h, h, 0.42 * r, (0.85, 0.8, 0.75)),
        rod(0.0, 0.0, 0.18 * h, 0.46 * h, 1.02 * r, (0.92, 0.9, 0.84)),
    ]


def _box(size: Size, colour: Colour, style: str) -> list[Solid]:
    w, d, h = size
    tape = shade(colour, 0.72)
    return [
        box((-w / 2, -d / 2, 0.0), (w / 2, d / 2, h), colour),
        box((-w / 2 - 0.003, -0.025, 0.55 * h), (w / 2 + 0.003, 0.025, h + 0.003), tape),
    ]


def _tv(size: Size, colour: Colour, style: str) -> list[Solid]:
    d, w, h = size  # the screen looks along x and stands on a low board
    board, deep = 0.45, 0.2
    return [
        box((-deep, -w / 2 - 0.15, 0.04), (deep, w / 2 + 0.15, board), colour, texture="wood"),
        box((-0.05, -0.18, board), (0.09, 0.18, board + 0.02), DARK),
        rod(0.0, 0.0, board, board + 0.08, 0.025, DARK),
        box((-d / 2, -w / 2, board + 0.07), (d / 2, w / 2, h), DARK, surface="black"),
        box(
            (d / 2, -w / 2 + 0.02, board + 0.09),
            (d / 2 + 0.004, w / 2 - 0.02, h - 0.02),
            (0.05, 0.07, 0.12),
            surface="black",
        ),
    ]  # fmt: skip


def _cabinet(size: Size, colour: Colour, style: str) -> list[Solid]:
    d, w, h = size  # the doors look along x
    surface = "mirror" if style == "mirror" else "black" if style == "black" else "matt"
    front: Colour = DARK if style == "black" else shade(colour, 1.08)
    doors = max(1, round(w / 0.5))
    wide = w / doors
    solids = [box((-d / 2, -w / 2, 0.0), (d / 2 - 0.02, w / 2, h), DARK if style == "black" else colour,
                  surface="black" if style == "black" else "matt", texture="wood")]  # fmt: skip
    for k in range(doors):
        y = -w / 2 + k * wide
        low, high = (d / 2 - 0.02, y + 0.008, 0.06), (d / 2, y + wide - 0.008, h - 0.02)
        solids.append(box(low, high, front, surface=surface))
        solids.append(rod(d / 2 + 0.012, y + wide - 0.06, 0.42 * h, 0.58 * h, 0.008, METAL))
    return solids


def _shelf(size: Size, colour: Colour, style: str) -> list[Solid]:
    d, w, h = size
    solids = [
        box((-d / 2, -w / 2, 0.0), (-d / 2 + 0.02, w / 2, h), shade(colour, 0.85)),
        box((-d / 2, -w / 2, 0.0), (d / 2, -w / 2 + 0.03, h), colour, texture="wood"),
        box((-d / 2, w / 2 - 0.03, 0.0), (d / 2, w / 2, h), colour, texture="wood"),
    ]
    boards = max(2, round(h / 0.36))
    books: list[Colour] = [
        (0.62, 0.2, 0.18),
        (0.2, 0.33, 0.55),
        (0.75, 0.65, 0.4),
        (0.25, 0.42, 0.3),
        (0.5, 0.5, 0.52),
    ]
    for k in range(boards + 1):
        z = 0.04 + k * (h - 0.06) / boards
        solids.append(box((-d / 2, -w / 2, z - 0.012), (d / 2, w / 2, z + 0.012), colour, texture="wood"))
        if k < boards:
            fill = (0.35 + 0.17 * ((k * 7) % 4)) * (w - 0.08)
            low, high = (-d / 2 + 0.03, -w / 2 + 0.04, z + 0.012), (d / 2 - 0.05, -w / 2 + 0.04 + fill, z + 0.25)
            solids.append(box(low, high, books[k % len(books)]))
    return solids


def _lamp(size: Size, colour: Colour, style: str) -> list[Solid]:
    w, _, h = size
    return [
        rod(0.0, 0.0, 0.0, 0.03, 0.14, DARK),
        rod(0.0, 0.0, 0.03, h - 0.2, 0.014, METAL),
        rod(0.0, 0.0, h - 0.32, h, w / 2, colour),
    ]


def _screen(size: Size, colour: Colour, style: str) -> list[Solid]:
    """A free-standing glass panel in a thin frame."""
    w, d, h = size
    return [
        box((-w / 2 + 0.03, -d / 2, 0.08), (w / 2 - 0.03, d / 2, h), (0.75, 0.85, 0.88), surface="glass"),
        *(rod(s * (w / 2 - 0.02), 0.0, 0.0, h, 0.02, METAL) for s in (-1, 1)),
    ]


def _bin(size: Size, colour: Colour, style: str) -> list[Solid]:
    w, _, h = size
    return [
        rod(
            0.0,
            0.0,
            0.0,
            h,
            w / 2,
            DARK if style == "black" else colour,
            surface="black" * (style == "black") or "matt",
        )
    ]


@dataclass(frozen=True)
class Kind:
    """A class of things: how it is built, its usual size (x ahead, y, z) and colour, its styles."""

    build: Callable[[Size, Colour, str], list[Solid]]
    size_m: Size
    colour: Colour
    styles: tuple[str, ...] = ("plain",)
    detectable: bool = True


KINDS: dict[str, Kind] = {
    "person": Kind(_person, (0.26, 0.5, 1.72), (0.65, 0.2, 0.2), ("plain", "dark")),
    "cat": Kind(_cat, (0.42, 0.16, 0.3), (0.8, 0.5, 0.2)),
    "dog": Kind(_dog, (0.72, 0.24, 0.55), (0.55, 0.38, 0.22), ("plain", "pointed")),
    "chair": Kind(_chair, (0.44, 0.44, 0.92), (0.6, 0.42, 0.25), ("plain", "wood", "office")),
    "table": Kind(_table, (1.3, 0.8, 0.74), (0.62, 0.45, 0.28), ("plain", "round", "glass")),
    "couch": Kind(_couch, (0.9, 1.9, 0.82), (0.35, 0.42, 0.5)),
    "bed": Kind(_bed, (2.05, 1.5, 0.5), (0.3, 0.4, 0.6)),
    "plant": Kind(_plant, (0.45, 0.45, 1.0), (0.72, 0.4, 0.28)),
    "ball": Kind(_ball, (0.24, 0.24, 0.24), (0.9, 0.35, 0.12)),
    "bottle": Kind(_bottle, (0.09, 0.09, 0.31), (0.12, 0.42, 0.2)),
    "box": Kind(_box, (0.45, 0.36, 0.34), (0.72, 0.55, 0.36)),
    "tv": Kind(_tv, (0.05, 1.1, 1.15), (0.42, 0.3, 0.2)),
    "cabinet": Kind(_cabinet, (0.5, 1.2, 1.1), (0.85, 0.83, 0.78), ("plain", "black", "mirror"), False),
    "shelf": Kind(_shelf, (0.3, 0.9, 1.8), (0.66, 0.5, 0.34), detectable=False),
    "lamp": Kind(_lamp, (0.36, 0.36, 1.55), (0.95, 0.88, 0.7), detectable=False),
    "screen": Kind(_screen, (1.4, 0.02, 1.8), (0.75, 0.85, 0.88), detectable=False),
    "bin": Kind(_bin, (0.3, 0.3, 0.4), (0.5, 0.53, 0.55), ("plain", "black"), False),
}

# What the detector can know, in the order of its labels.
CLASSES = tuple(name for name, kind in KINDS.items() if kind.detectable)


def solids_of(name: str, size_m: Size | None, colour: Colour | None, style: str) -> list[Solid]:
    """The solids of a thing at the origin that looks along x; raises InputError for an unknown class or style."""
    kind = KINDS.get(name)
    if kind is None:
        raise InputError(f"no class of things is called '{name}'", "known: " + ", ".join(KINDS))
    style = style or kind.styles[0]
    if style not in kind.styles:
        raise InputError(f"a {name} has no style '{style}'", "known: " + ", ".join(kind.styles))
    return kind.build(size_m or kind.size_m, colour or kind.colour, style)
