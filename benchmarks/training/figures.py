"""Three things that the starter has never seen, each an unusual shape in an unusual pair of colours.

Fixed before any training of them. Each stands where a thing of its kind would: kites hang in the air as balloons do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from app.starter.scenes import Builder
from app.starter.subjects import Figure, Part, Point, box
from app.starter.world import Colour, Subject

Shape = Callable[[Colour, Colour, np.random.Generator], Figure]


class Stranger(NamedTuple):
    """word: put before its kind it is to call it. other: a word in the same place that nothing is trained for.

    Both are words of the starter's that never stand together with the kind: words that it does not know it takes for
    the same nothing, whichever they are, so that what one of them calls every other would call, too. colours: the two
    it is painted in. shape: None for a thing that the starter knows in a colour that it never saw it in.
    """

    name: str
    word: str
    other: str
    kind: Subject
    colours: tuple[Colour, Colour]
    shape: Shape | None = None

    @property
    def build(self) -> Builder | None:
        """Draws one, each a little different; None: the starter's own drawing of its kind does."""
        return partial(self.shape, *self.colours) if self.shape else None


def _kite(first: Colour, second: Colour, draw: np.random.Generator) -> Figure:
    """A diamond of four fields in two colours, with a bow at its tail."""
    size, lean = draw.uniform(0.94, 1.06), draw.uniform(-0.04, 0.04)
    top, bottom, left, right, middle = (lean, 1.0), (lean, 0.18), (-0.5, 0.66), (0.5, 0.66), (lean, 0.66)
    parts = [
        Part(first, "base", [top, right, bottom, left]),
        Part(second, "base", [top, right, middle]),
        Part(second, "base", [bottom, left, middle]),
        Part(first, "base", box(lean - 0.03, 0.0, lean + 0.03, 0.2)),
    ]
    return Figure(0.56 * size, 0.66 * size, True, parts)


def _toadstool(first: Colour, second: Colour, draw: np.random.Generator) -> Figure:
    """A broad cap on a thick stalk that widens towards the ground."""
    size, lean = draw.uniform(0.94, 1.06), draw.uniform(-0.03, 0.03)
    turns = np.linspace(0, math.pi, 22)
    cap: list[Point] = [(lean + 0.5 * math.cos(turn), 0.46 + 0.54 * math.sin(turn)) for turn in turns]
    stalk: list[Point] = [(-0.24, 0.0), (0.24, 0.0), (0.16 + lean, 0.48), (-0.16 + lean, 0.48)]
    return Figure(0.60 * size, 0.58 * size, False, [Part(second, "base", stalk), Part(first, "base", cap)])


def _gate(first: Colour, second: Colour, draw: np.random.Generator) -> Figure:
    """Two posts under a long beam, with nothing between them."""
    size, inset = draw.uniform(0.94, 1.06), 0.32 + draw.uniform(-0.02, 0.02)
    parts = [
        Part(second, "base", box(-inset - 0.1, 0.0, -inset + 0.1, 0.66)),
        Part(second, "base", box(inset - 0.1, 0.0, inset + 0.1, 0.66)),
        Part(first, "base", box(-0.5, 0.60, 0.5, 1.0)),
    ]
    return Figure(0.66 * size, 0.54 * size, False, parts)


STRANGERS: Mapping[str, Stranger] = {
    one.name: one
    for one in (
        Stranger("kite", "star", "mountain", "balloon", ("yellow", "green"), _kite),
        Stranger("toadstool", "boat", "star", "tree", ("orange", "blue"), _toadstool),
        Stranger("gate", "mountain", "boat", "house", ("green", "red"), _gate),
    )
}

KNOWN_SHAPES: Mapping[str, Stranger] = {
    one.name: one
    for one in (
        Stranger("blue-house", "mountain", "boat", "house", ("blue", "blue")),
        Stranger("purple-balloon", "star", "mountain", "balloon", ("purple", "purple")),
        Stranger("yellow-boat", "house", "star", "boat", ("yellow", "yellow")),
    )
}
"""Pairs of thing and colour that no training picture of the starter shows: what a textual inversion can find words for,
which changes nothing of what the model is able to draw."""
