"""The judges' own error on fresh drawings: how many they tell, and how many of something else they take for one.

Each drawing is judged as drawn and after the starter's VAE, which every picture of a model has been through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.models import Vae, load_checkpoint
from app.starter import Scene, draw_scene
from app.starter.world import COLOURS, GROUNDS, PLACES, SUBJECTS, TIMES, Ground, Time
from benchmarks.training.figures import STRANGERS, Stranger
from benchmarks.training.judge import look_for
from benchmarks.training.styles import STYLES

SEED = 700_000
Through = Callable[[Image.Image], Image.Image]


def own_error(checkpoint: Path) -> list[str]:
    """Markdown: a row for each stranger and style, as drawn and after the checkpoint's VAE."""
    vae = load_checkpoint(checkpoint).vae
    rows = [
        "| | told of fresh drawings | ground and time right | of something else, taken for it |",
        "|---|---|---|---|",
    ]
    for stranger in STRANGERS.values():
        for name, through in _ways(stranger.name, vae):
            rows.append(_of_stranger(name, stranger, through))
    colours, pairs = tuple(COLOURS), tuple(product(GROUNDS, TIMES))
    flat = [draw_scene(Scene(SUBJECTS[n % 6], colours[n % 7], *pairs[n % 12]), SEED + n) for n in range(24)]
    for style in STYLES.values():
        for name, through in _ways(style.name, vae):
            told = sum(style.shows(through(style.apply(picture))) for picture in flat)
            others = [picture for one in STYLES.values() if one != style for picture in map(one.apply, flat)] + flat
            wrong = sum(style.shows(through(picture)) for picture in others)
            rows.append(f"| {name} | {told} of {len(flat)} | | {wrong} of {len(others)} |")
    return rows


def _ways(name: str, vae: Vae) -> Iterator[tuple[str, Through]]:
    yield name, lambda picture: picture
    yield f"{name}, after the VAE", lambda picture: after_vae(vae, picture)


@torch.inference_mode()
def after_vae(vae: Vae, picture: Image.Image) -> Image.Image:
    """Encoded and decoded again."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1
    levels = (vae.decode(vae.encode(pixels))[0].clamp(-1, 1) + 1) * 127.5
    return Image.fromarray(levels.round().byte().permute(1, 2, 0).numpy(), "RGB")


def _of_stranger(name: str, stranger: Stranger, through: Through) -> str:
    pairs: tuple[tuple[Ground, Time], ...] = tuple(product(GROUNDS, TIMES))
    told = right = wrong = others = 0
    for number, (ground, time) in enumerate(pairs * 2):
        scene = Scene(stranger.kind, "red", ground, time, PLACES[number % 3])
        seen = look_for(stranger, through(draw_scene(scene, SEED + number, stranger=stranger.build)))
        told += seen.stranger
        right += (seen.ground, seen.time) == (ground, time)
    for number, (subject, colour) in enumerate(product(SUBJECTS, stranger.colours)):
        ground, time = pairs[number % len(pairs)]
        ordinary = draw_scene(Scene(subject, colour, ground, time), SEED + number)
        wrong += look_for(stranger, through(ordinary)).stranger
        others += 1
    for other, (ground, time) in product(STRANGERS.values(), pairs[::2]):
        if other != stranger:
            picture = draw_scene(Scene(other.kind, "red", ground, time), SEED, stranger=other.build)
            wrong += look_for(stranger, through(picture)).stranger
            others += 1
    count = 2 * len(pairs)
    return f"| {name} | {told} of {count} | {right} of {count} | {wrong} of {others} |"
