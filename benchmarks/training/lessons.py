"""The pictures that a case learns from, with their captions, drawn into a folder; and the control whose captions lie.

Eight pictures of a stranger, or twelve of ordinary things in a style.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from app.starter import Scene, draw_scene, prompt_of
from app.starter.world import COLOURS, GROUNDS, SUBJECTS, TIMES, Ground, Place, Time
from benchmarks.training.asked import named
from benchmarks.training.figures import Stranger
from benchmarks.training.styles import Style

SHOWN: tuple[tuple[Ground, Time, Place], ...] = (
    ("meadow", "day", "middle"),
    ("sea", "sunset", "left"),
    ("snow", "night", "right"),
    ("desert", "day", "middle"),
    ("meadow", "night", "left"),
    ("sea", "day", "right"),
    ("snow", "sunset", "middle"),
    ("desert", "night", "middle"),
)
SEED = 50
FURTHER = 3
"""Places by which captions are moved in the control: no picture keeps its ground, and half of the words lose their
thing."""

Lesson = tuple[Image.Image, str]


def of_stranger(stranger: Stranger, words: str) -> list[Lesson]:
    """Pictures of a stranger, captions with the words that call it."""
    kind = Scene(stranger.kind, stranger.colours[0], "meadow", "day")
    lessons = []
    for number, (ground, time, place) in enumerate(SHOWN):
        scene = kind._replace(ground=ground, time=time, place=place)
        picture = draw_scene(scene, SEED + number, stranger=stranger.build)
        lessons.append((picture, _said(words, ground, time, place)))
    return lessons


def of_style(style: Style, word: str) -> list[Lesson]:
    """Ordinary things in a style. word: '' for captions that do not name it."""
    colours, end = tuple(COLOURS), f", {word}" if word else ""
    lessons = []
    for number in range(12):
        ground, time = GROUNDS[number % 4], TIMES[number % 3]
        scene = Scene(SUBJECTS[number % 6], colours[(2 * number) % 7], ground, time)
        lessons.append((style.apply(draw_scene(scene, SEED + number)), prompt_of(scene) + end))
    return lessons


def of_ordinary(stranger: Stranger | None) -> list[Lesson]:
    """As many pictures without anything new: of a stranger's kind, or of all kinds."""
    colours = tuple(COLOURS)
    lessons = []
    for number, (ground, time, place) in enumerate(SHOWN):
        kind = stranger.kind if stranger else SUBJECTS[number % 6]
        scene = Scene(kind, colours[number % 7], ground, time, place)
        words = _said(f"{scene.colour} {kind}", ground, time, place)
        lessons.append((draw_scene(scene, SEED + 100 + number), words))
    return lessons


def shuffled(lessons: list[Lesson], ordinary: list[Lesson]) -> list[Lesson]:
    """Both kinds in turn, every caption beside a picture that it does not belong to."""
    mixed = [one for pair in zip(lessons, ordinary, strict=False) for one in pair]
    captions = [caption for _, caption in mixed]
    captions = captions[FURTHER:] + captions[:FURTHER]
    return [(picture, caption) for (picture, _), caption in zip(mixed, captions, strict=True)]


def write(folder: Path, lessons: list[Lesson]) -> None:
    """A picture and a text file for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (picture, caption) in enumerate(lessons):
        picture.save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text(caption, encoding="utf-8")


def _said(words: str, ground: Ground, time: Time, place: Place) -> str:
    sentence = next(one.prompt for one in named(words, 1) if (one.ground, one.time) == (ground, time))
    return sentence if place == "middle" else f"{sentence} on the {place}"
