"""The things of the starter's world, each as a list of coloured outlines in a unit box.

x runs from -0.5 to 0.5, y from 0 (foot) to 1 (top); the caller scales the box. No pixels here.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from app.starter.world import Subject

Point = tuple[float, float]


class Part(NamedTuple):
    """One filled outline. `paint`: 'subject' (the colour that the caption names), a name of `NEUTRALS` or `COLOURS`."""

    paint: str
    tone: Literal["dark", "base", "light"]
    outline: list[Point]


class Figure(NamedTuple):
    """A thing ready to be drawn: its width and height as parts of the picture's shorter side."""

    width: float
    height: float
    floats: bool
    parts: list[Part]


def ellipse(x: float, y: float, radius_x: float, radius_y: float, corners: int = 28) -> list[Point]:
    """The outline of an upright ellipse around (x, y)."""
    turns = (2 * math.pi * corner / corners for corner in range(corners))
    return [(x + radius_x * math.cos(turn), y + radius_y * math.sin(turn)) for turn in turns]


def box(left: float, bottom: float, right: float, top: float) -> list[Point]:
    """The outline of an upright rectangle."""
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def _house(draw: np.random.Generator) -> list[Part]:
    roof = 0.56 + draw.uniform(-0.03, 0.03)
    door = draw.choice([-0.2, 0.0, 0.2])
    parts = [
        Part("slate", "base", box(0.2, 0.66, 0.32, 0.98)),
        Part("subject", "base", box(-0.42, 0.0, 0.42, roof + 0.02)),
        Part("subject", "dark", box(0.24, 0.0, 0.42, roof + 0.02)),
        Part("slate", "base", [(-0.5, roof), (0.5, roof), (0.06, 1.0), (-0.06, 1.0)]),
        Part("wood", "base", box(door - 0.08, 0.0, door + 0.08, 0.30)),
    ]
    for window in (-0.25, 0.25) if door == 0.0 else (-door,):
        parts.append(Part("cream", "base", box(window - 0.09, 0.18, window + 0.09, 0.38)))
    return parts


def _tree(draw: np.random.Generator) -> list[Part]:
    lean = draw.uniform(-0.03, 0.03)
    parts = [Part("wood", "base", box(-0.09, 0.0, 0.09, 0.26))]
    for bottom, top, half in ((0.18, 0.56, 0.5), (0.42, 0.78, 0.40), (0.66, 1.0, 0.29)):
        tip = (lean * top, top)
        parts.append(Part("subject", "base", [(-half, bottom), (half, bottom), tip]))
        parts.append(Part("subject", "dark", [(half * 0.2, bottom), (half, bottom), tip]))
    return parts


def _boat(draw: np.random.Generator) -> list[Part]:
    mast = draw.uniform(-0.05, 0.05)
    side = draw.choice([-1.0, 1.0])
    return [
        Part("wood", "base", box(mast - 0.018, 0.2, mast + 0.018, 1.0)),
        Part("cream", "base", [(mast + side * 0.03, 0.36), (mast + side * 0.40, 0.36), (mast + side * 0.03, 0.97)]),
        Part("white", "dark", [(mast - side * 0.03, 0.36), (mast - side * 0.28, 0.36), (mast - side * 0.03, 0.84)]),
        Part("subject", "base", [(-0.5, 0.30), (0.5, 0.30), (0.34, 0.0), (-0.34, 0.0)]),
        Part("subject", "dark", [(-0.40, 0.11), (0.40, 0.11), (0.34, 0.0), (-0.34, 0.0)]),
    ]


def _balloon(draw: np.random.Generator) -> list[Part]:
    middle, radius = 0.64, 0.36

    def envelope(half: float) -> list[Point]:
        bulb = [
            (half * math.cos(turn), middle + radius * math.sin(turn)) for turn in np.linspace(-0.5, math.pi + 0.5, 24)
        ]
        return [(half * 0.22, 0.20), *bulb, (-half * 0.22, 0.20)]

    return [
        Part("wood", "dark", [(-0.10, 0.21), (-0.085, 0.21), (-0.07, 0.1), (-0.085, 0.1)]),
        Part("wood", "dark", [(0.10, 0.21), (0.085, 0.21), (0.07, 0.1), (0.085, 0.1)]),
        Part("wood", "base", box(-0.12, 0.0, 0.12, 0.12)),
        Part("subject", "base", envelope(0.5)),
        Part("subject", "dark", envelope(0.34)),
        Part("subject", "light", envelope(0.16 + draw.uniform(-0.02, 0.02))),
    ]


def _star(draw: np.random.Generator) -> list[Part]:
    turn = draw.uniform(-0.12, 0.12)
    corners: list[Point] = []
    for corner in range(10):
        radius = 0.52 if corner % 2 == 0 else 0.24
        angle = math.pi / 2 + turn + corner * math.pi / 5
        corners.append((radius * math.cos(angle), 0.5 + radius * math.sin(angle)))
    parts = [Part("subject", "base", corners)]
    for point in range(0, 10, 2):
        parts.append(Part("subject", "light", [(0.0, 0.5), corners[point], corners[(point + 1) % 10]]))
    return parts


def _mountain(draw: np.random.Generator) -> list[Part]:
    peak = draw.uniform(-0.12, 0.02)
    second = 0.66 + draw.uniform(-0.06, 0.06)
    return [
        Part("subject", "dark", [(-0.06, 0.0), (0.5, 0.0), (0.24, second)]),
        Part("white", "dark", [(0.24, second), (0.335, second * 0.72), (0.27, second * 0.78), (0.15, second * 0.74)]),
        Part("subject", "base", [(-0.5, 0.0), (0.34, 0.0), (peak, 1.0)]),
        Part("subject", "dark", [(peak + 0.07, 0.0), (0.34, 0.0), (peak, 1.0)]),
        Part(
            "white",
            "base",
            [
                (peak, 1.0),
                (peak + (0.34 - peak) * 0.30, 0.70),
                (peak + 0.05, 0.78),
                (peak - 0.01, 0.67),
                (peak - 0.07, 0.78),
                (peak - (peak + 0.5) * 0.30, 0.70),
            ],
        ),
    ]


_BUILDERS = {
    "house": (_house, 0.56, 0.56, False),
    "tree": (_tree, 0.46, 0.68, False),
    "boat": (_boat, 0.64, 0.60, False),
    "balloon": (_balloon, 0.48, 0.68, True),
    "star": (_star, 0.58, 0.58, True),
    "mountain": (_mountain, 0.98, 0.56, False),
}


def figure(subject: Subject, draw: np.random.Generator) -> Figure:
    """The thing, with the small differences that `draw` gives to each one."""
    builder, width, height, floats = _BUILDERS[subject]
    size = draw.uniform(0.92, 1.08)
    return Figure(width * size, height * size, floats, builder(draw))
