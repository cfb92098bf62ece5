"""The judge: tells from the pixels of a 128-pixel picture what it shows, without any learning.

Colours are compared with the tables that drew the pictures, shapes with silhouettes drawn by the same code. Its own
error is measured on fresh drawings; a verdict is worth no more than that.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from app.starter.looks import look_of, on_paper
from app.starter.scenes import draw_scene
from app.starter.world import (
    COLOURS,
    GROUNDS,
    LOOKS,
    SUBJECT_LIGHT,
    SUBJECTS,
    TIMES,
    Colour,
    Ground,
    Look,
    Place,
    Scene,
    Subject,
    Time,
    shade,
)

SKY_ROWS = slice(8, 26)
GROUND_ROWS = slice(106, 120)
COLUMNS = slice(10, 118)
SILHOUETTE = 24
VARIANTS = 10
NEAR = 62.0
SMALLEST_AREA = 0.012
TEMPLATE_SEED = 77_000


class Verdict(NamedTuple):
    """What a picture shows. subject and colour are None where no thing is found."""

    subject: Subject | None
    colour: Colour | None
    ground: Ground
    time: Time
    place: Place | None
    look: Look


def judge(picture: Image.Image) -> Verdict:
    """The verdict on an RGB picture of any size; it is read at 128 x 128 pixels."""
    pixels = np.asarray(picture.convert("RGB").resize((128, 128), Image.Resampling.BOX), dtype=np.float32)
    time, ground = surroundings(pixels)
    look = look_of(picture)
    colour, mask = _thing(pixels, time, ground, look)
    if colour is None:
        return Verdict(None, None, ground, time, None, look)
    columns = np.flatnonzero(mask.sum(0) > 2)
    centre = float(columns.mean()) / 128 if len(columns) else 0.5
    place: Place = "left" if centre < 0.42 else "right" if centre > 0.58 else "middle"
    return Verdict(_subject(mask), colour, ground, time, place, look)


def _features(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median colour of the sky and of the foreground."""
    sky = np.median(pixels[SKY_ROWS, COLUMNS].reshape(-1, 3), axis=0)
    near = np.median(pixels[GROUND_ROWS, COLUMNS].reshape(-1, 3), axis=0)
    return sky, near


@cache
def _landscapes(time: Time, ground: Ground, look: Look) -> tuple[np.ndarray, ...]:
    """Empty landscapes, each [128, 128, 3]."""
    scene = Scene(None, "red", ground, time, "middle", look)
    return tuple(np.asarray(draw_scene(scene, TEMPLATE_SEED + n), dtype=np.float32) for n in range(3))


@cache
def _references() -> dict[tuple[Time, Ground, Look], np.ndarray]:
    """Mean features [2, 3] of empty landscapes, by time, ground and look."""
    keys = [(time, ground, look) for time in TIMES for ground in GROUNDS for look in LOOKS]
    return {key: np.mean([np.stack(_features(one)) for one in _landscapes(*key)], axis=0) for key in keys}


def landscape_distance(pixels: np.ndarray, time: Time, ground: Ground, look: Look) -> np.ndarray:
    """[128, 128] distance of each pixel to the nearest colour of the empty landscape within a few rows."""
    rows = np.concatenate([np.median(one[:, COLUMNS], axis=1)[None] for one in _landscapes(time, ground, look)])
    distance = np.full(pixels.shape[:2], np.inf)
    for landscape in rows:
        for shift in range(-6, 7, 2):
            moved = np.roll(landscape, shift, axis=0)[:, None]
            distance = np.minimum(distance, np.linalg.norm(pixels - moved, axis=-1))
    return distance


def surroundings(pixels: np.ndarray) -> tuple[Time, Ground]:
    """The time and ground whose empty landscape is nearest. pixels: [128, 128, 3] float, 0..255."""
    seen = np.stack(_features(pixels))
    distance = {key: float(np.linalg.norm(seen - reference)) for key, reference in _references().items()}
    time, ground, _ = min(distance, key=lambda key: distance[key])
    return time, ground


def _thing(pixels: np.ndarray, time: Time, ground: Ground, look: Look) -> tuple[Colour | None, np.ndarray]:
    """The colour that covers most of what is not landscape, and where. Mask: [128, 128] bool."""
    distances = np.stack([colour_distance(pixels, colour, time, look) for colour in COLOURS])
    nearest, background = distances.argmin(0), landscape_distance(pixels, time, ground, look)
    thing = (distances.min(0) < NEAR) & (distances.min(0) < background)
    best: tuple[float, Colour | None, np.ndarray] = (0.0, None, np.zeros(pixels.shape[:2], dtype=bool))
    for number, colour in enumerate(COLOURS):
        mask = largest(thing & (nearest == number))
        area = float(mask.mean())
        if area > best[0]:
            best = (area, colour, mask)
    return (best[1], best[2]) if best[0] >= SMALLEST_AREA else (None, best[2])


def colour_distance(pixels: np.ndarray, colour: Colour, time: Time, look: Look) -> np.ndarray:
    """Distance of each pixel to the nearest tone of a colour in the light of a time: hue counts, brightness less."""
    tones = np.array([shade(COLOURS[colour], SUBJECT_LIGHT[time], tone) for tone in ("dark", "base", "light")])
    best = np.full(pixels.shape[:2], np.inf)
    for tone in on_paper(tones.astype(np.float32), look):
        difference = pixels - tone
        brightness = difference.mean(-1)
        hue = np.linalg.norm(difference - brightness[..., None], axis=-1)
        best = np.minimum(best, np.hypot(1.35 * hue, 0.5 * brightness))
    return best


def largest(mask: np.ndarray, crack: int = 2) -> np.ndarray:
    """The connected part of a mask with most pixels, holes and cracks of about `crack` pixels to each side closed."""
    from scipy import ndimage  # noqa: PLC0415 - takes a while, and only the judge needs it

    closed = ndimage.binary_closing(mask, iterations=crack)
    labels, count = ndimage.label(closed)
    if count == 0:
        return np.zeros_like(mask)
    sizes = ndimage.sum_labels(closed, labels, range(1, count + 1))
    found: np.ndarray = labels == 1 + int(np.argmax(sizes))
    return found


def _silhouette(mask: np.ndarray) -> np.ndarray:
    """[24, 25]: the mask cut to its box and scaled, with the box's proportion in an extra column."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = Image.fromarray((cut * 255).astype(np.uint8)).resize((SILHOUETTE, SILHOUETTE), Image.Resampling.BOX)
    proportion = np.clip(np.log2(cut.shape[0] / cut.shape[1]), -1.5, 1.5) / 3 + 0.5
    return np.concatenate([np.asarray(small) / 255.0, np.full((SILHOUETTE, 1), proportion)], axis=1)


@cache
def _templates() -> tuple[tuple[Subject, np.ndarray], ...]:
    found = []
    for subject in SUBJECTS:
        for look in LOOKS:
            for number in range(VARIANTS if look == "flat" else 4):
                colour: Colour = "red" if number % 2 else "blue"
                scene = Scene(subject, colour, "meadow", "day", "middle", look)
                pixels = np.asarray(draw_scene(scene, TEMPLATE_SEED + number), dtype=np.float32)
                seen, mask = _thing(pixels, "day", "meadow", look)
                if seen == colour:
                    found.append((subject, _silhouette(mask)))
    return tuple(found)


def _subject(mask: np.ndarray) -> Subject:
    seen = _silhouette(mask)

    def difference(template: np.ndarray) -> float:
        return float(np.abs(seen - template)[:, :-1].mean() + 0.6 * abs(seen[0, -1] - template[0, -1]))

    return min(_templates(), key=lambda entry: difference(entry[1]))[0]
