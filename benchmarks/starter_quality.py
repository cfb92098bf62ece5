"""How well the starter draws what it has never seen: 200 prompts, judged by pixels, as one table.

`python -m benchmarks.starter_quality [FILE] [--questions N] [--grid PATH]`. Every picture counts. Beside the marks
stand those of as many fresh drawings, which is the judge's own error. Give the control, trained on shuffled captions,
as FILE to see it fail.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from PIL import Image

from app.setup.start import set_quiet
from app.starter import QUESTIONS, Question, draw_scene, mark, questions
from app.starter.looks import look_of
from app.starter.world import GROUNDS, LOOKS, SUBJECTS, TIMES
from benchmarks.artist import Artist
from benchmarks.contact_sheet import contact_sheet

STARTER = Path(__file__).resolve().parents[1] / "models" / "Stable-diffusion" / "starter.safetensors"
STEPS = 20
FRESH = 5_000_000
SEEDS = 20
MANY_SEEDS = "a red house on a meadow by day"
FILLERS = ", masterpiece, best quality, highly detailed, 8k, trending on artstation"
STRANGERS = ", volumetric lighting, bokeh, octane render, elegant, matte painting"
"""Words that no training caption has; FILLERS all stand in some."""
FILLED = 20
ON = {"meadow": "on a meadow", "sea": "by the sea", "snow": "in the snow", "desert": "in the desert"}
AT = {"day": "by day", "sunset": "at sunset", "night": "at night"}


class Line(NamedTuple):
    """One line of the table. least, most: what `model` is to reach or to stay below; None: only told."""

    name: str
    model: float
    judge: float | None = None
    least: float | None = None
    most: float | None = None
    share: bool = True


def main() -> None:
    """Draws, judges and prints; writes the sheet where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=STARTER)
    parser.add_argument("--questions", type=int, choices=range(1, QUESTIONS + 1), default=QUESTIONS, metavar="N")
    parser.add_argument("--grid", type=Path, help="write a sheet of 32 pictures there (PNG)")
    parser.add_argument("--device", help="as torch names it [the best there is]")
    arguments = parser.parse_args()
    set_quiet(os.environ)
    artist = Artist(arguments.file, steps=STEPS, device=arguments.device)
    if arguments.grid:
        prompts = list(sheet_prompts())
        contact_sheet(artist.draw(prompts), [prompt for prompt, _ in prompts], columns=8).save(arguments.grid)
    lines = [*examination(artist, questions(arguments.questions)), *variety(artist)]
    print("\n".join([heading(artist, arguments.questions), "", *table(lines)]))


def sheet_prompts() -> Iterable[tuple[str, int]]:
    """The first 24 questions as they come, then the landscapes at sunset and at night: none chosen by its looks."""
    yield from ((question.prompt, question.seed) for question in questions(24))
    for number, (time, ground) in enumerate(product(TIMES[1:], GROUNDS)):
        yield f"a landscape {ON[ground]} {AT[time]}", 3000 + number


def examination(artist: Artist, asked: Sequence[Question]) -> list[Line]:
    """The marks of the model's answers beside those of fresh drawings of the same scenes."""
    drawn = artist.draw((question.prompt, question.seed) for question in asked)
    fresh = [draw_scene(question.scene, FRESH + question.seed) for question in asked]
    model, judge = (mark(zip(asked, pictures, strict=True)) for pictures in (drawn, fresh))
    subjects = [subject for subject in SUBJECTS if any(question.scene.subject == subject for question in asked)]
    looks = [look for look in LOOKS if any(question.scene.look == look for question in asked)]
    return [
        Line("colour", model.colour, judge.colour, least=0.95),
        Line("time of day", model.time, judge.time, least=0.95),
        Line("ground", model.ground, judge.ground, least=0.95),
        Line("object", model.subject, judge.subject, least=0.80),
        *(Line(f"object: {one}", model.subjects[one], judge.subjects[one], least=0.60) for one in subjects),
        Line("look", model.look, judge.look),
        *(Line(f"look: {one}", told(one, asked, drawn), told(one, asked, fresh), least=0.90) for one in looks),
    ]


def told(look: str, asked: Sequence[Question], pictures: Sequence[Image.Image]) -> float:
    """The share of the pictures of a look that the pixel statistic tells."""
    pairs = zip(asked, pictures, strict=True)
    return statistics.fmean(look_of(picture) == look for question, picture in pairs if question.scene.look == look)


def variety(artist: Artist) -> list[Line]:
    """How far apart seeds are, and what words that mean nothing do, as RMSE of pixel levels (0 to 255)."""
    seeds = artist.draw((MANY_SEEDS, seed) for seed in range(1, SEEDS + 1))
    nearest = min(rmse(one, other) for one, other in combinations(seeds, 2))
    asked = [(question.prompt, question.seed) for question in questions(FILLED)]
    filled, strange = (
        [
            rmse(plain, other)
            for plain, other in zip(
                artist.draw(asked), artist.draw((prompt + words, seed) for prompt, seed in asked), strict=True
            )
        ]
        for words in (FILLERS, STRANGERS)
    )
    return [
        Line(f"{SEEDS} seeds of one prompt: RMSE of the nearest pair", nearest, least=10, share=False),
        Line(f"filler words: mean RMSE of {FILLED} pairs", statistics.fmean(filled), most=20, share=False),
        Line("filler words: largest RMSE", max(filled), share=False),
        Line("words never trained: mean RMSE", statistics.fmean(strange), most=20, share=False),
        Line("words never trained: largest RMSE", max(strange), share=False),
    ]


def rmse(one: Image.Image, other: Image.Image) -> float:
    """Root of the mean squared difference of all pixel levels."""
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return float(np.sqrt(np.mean(difference**2)))


def heading(artist: Artist, asked: int) -> str:
    """What was measured, where and when, in two sentences."""
    settings, file = artist.settings, artist.file
    memory = round(psutil.virtual_memory().total / 2**30)
    size = f"{settings['width']}x{settings['height']}"
    asks = [f"CFG {settings['cfg_scale']:g}"] if "cfg_scale" in settings else []
    asks = [settings["sampler"], *asks] if "sampler" in settings else asks
    return (
        f"`{Path(file.path).name}` ({file.size / 1e6:.1f} MB, sha256 {artist.sha256[:10]}), {asked} held-out prompts, "
        f"{', '.join([size, f'{STEPS} steps', *asks, settings['precision']])}. "
        f"{date.today()}, {os.cpu_count()} cores ({platform.machine()}), {memory} GB, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}, torch {version('torch')}: "
        f"{artist.seconds / max(artist.pictures, 1):.2f} s a picture over {artist.pictures} pictures with the loading, "
        f"{artist.memory / 2**20:.0f} MB of memory at most."
    )


def table(lines: Sequence[Line]) -> list[str]:
    """Markdown, a row for each line."""
    rows = ["| | model | judge, on fresh drawings | wanted | reached |", "|---|---|---|---|---|"]
    for line in lines:
        judge = "" if line.judge is None else shown(line.judge, line.share)
        wanted = reached = ""
        if line.least is not None:
            wanted = f"at least {shown(line.least, line.share)}"
            reached = "yes" if line.model >= line.least else "no"
        elif line.most is not None:
            wanted = f"below {shown(line.most, line.share)}"
            reached = "yes" if line.model < line.most else "no"
        rows.append(f"| {line.name} | {shown(line.model, line.share)} | {judge} | {wanted} | {reached} |")
    return rows


def shown(value: float, share: bool) -> str:
    """A share as per cent, anything else with one decimal."""
    return f"{100 * value:.1f} %" if share else f"{value:.1f}"


if __name__ == "__main__":
    main()
