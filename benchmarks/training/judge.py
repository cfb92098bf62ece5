"""Tells by pixels whether a picture shows a stranger: by the outline of what is there and where its two colours lie.

Works at 128 x 128 on flat pictures. Knows the strangers' drawings and those of the starter's own things, nothing else.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from app.starter.judge import colour_distance, judge, landscape_distance, largest, surroundings
from app.starter.scenes import draw_scene
from app.starter.world import SUBJECTS, Colour, Ground, Scene, Time
from benchmarks.training.figures import STRANGERS, Stranger

SIDE = 24
NEAR = 62.0
SMALLEST_AREA = 0.02
LEAST_SHARE = 0.12
MOST_DIFFERENCE = 0.5
CRACK = 5
"""Where two colours meet, a VAE makes a third of them: some pixels there are of neither."""
TEMPLATE_SEED = 88_000
VARIANTS = 8


class Seen(NamedTuple):
    """stranger: whether it is there. time, ground: around it."""

    stranger: bool
    time: Time
    ground: Ground


class Layout(NamedTuple):
    """cells: [24, 24, 2], how much of each of two colours lies where in the thing's box. proportion: height to width
    as a logarithm. shares: of both colours in the thing."""

    cells: np.ndarray
    proportion: float
    shares: tuple[float, float]


def look_for(stranger: Stranger, picture: Image.Image) -> Seen:
    """What a picture of any size shows."""
    pixels = np.asarray(picture.convert("RGB").resize((128, 128), Image.Resampling.BOX), dtype=np.float32)
    time, ground = surroundings(pixels)
    if stranger.shape is None:
        verdict = judge(picture)
        return Seen((verdict.subject, verdict.colour) == (stranger.kind, stranger.colours[0]), time, ground)
    layout = layout_of(pixels, time, ground, stranger.colours)
    return Seen(layout is not None and _is(stranger, layout), time, ground)


def layout_of(pixels: np.ndarray, time: Time, ground: Ground, colours: tuple[Colour, Colour]) -> Layout | None:
    """The largest thing in a picture that is painted in two colours alone; None where there is no such thing."""
    distances = [colour_distance(pixels, colour, time, "flat") for colour in colours]
    nearest = np.minimum(*distances)
    near = (nearest < NEAR) & (nearest < landscape_distance(pixels, time, ground, "flat"))
    painted = [near & (distance == nearest) for distance in distances]
    thing = largest(painted[0] | painted[1], crack=CRACK)
    if thing.mean() < SMALLEST_AREA:
        return None
    rows, columns = np.flatnonzero(thing.any(1)), np.flatnonzero(thing.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cells = np.stack([_small((thing & paint)[box]) for paint in painted], axis=-1)
    first, second = (float((thing & paint).sum() / thing.sum()) for paint in painted)
    return Layout(cells, float(np.log2(len(rows) / len(columns))), (first, second))


def _small(mask: np.ndarray) -> np.ndarray:
    cut = Image.fromarray((mask * 255).astype(np.uint8))
    return np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32) / 255


def _is(stranger: Stranger, layout: Layout) -> bool:
    """Both colours are there, no drawing of anything else is nearer, and one of its own is near enough."""
    if min(layout.shares) < LEAST_SHARE:
        return False
    own, others = (
        min(difference(layout, template) for name, template in _templates(stranger.name) if (name != "") == mine)
        for mine in (True, False)
    )
    return own < others and own < MOST_DIFFERENCE


def difference(one: Layout, other: Layout) -> float:
    """0 for equal ones."""
    cells = float(np.abs(one.cells - other.cells).sum(-1).mean())
    return cells + 0.2 * min(abs(one.proportion - other.proportion), 1.5)


@cache
def _templates(name: str) -> tuple[tuple[str, Layout], ...]:
    """Drawings of a stranger under its name, and under '' those of everything else in its colours."""
    stranger = STRANGERS[name]
    drawn = [(name, Scene(stranger.kind, "red", "meadow", "day"), stranger.build)] * VARIANTS
    drawn += [
        ("", Scene(subject, colour, "meadow", "day"), None)
        for subject in SUBJECTS
        for colour in stranger.colours
        for _ in range(2)
    ]
    drawn += [("", Scene(one.kind, "red", "meadow", "day"), one.build) for one in STRANGERS.values() if one != stranger]
    found = []
    for number, (label, scene, build) in enumerate(drawn):
        pixels = np.asarray(draw_scene(scene, TEMPLATE_SEED + number, stranger=build), dtype=np.float32)
        layout = layout_of(pixels, scene.time, scene.ground, stranger.colours)
        if layout is not None:
            found.append((label, layout))
    return tuple(found)
