"""The examination: 200 prompts of held-out combinations with their seeds, and how answers are marked.

Fixed before the training began. Every picture counts; nothing is drawn twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from PIL import Image

from app.starter.captions import held_out_scenes
from app.starter.judge import judge
from app.starter.world import SUBJECTS, Ground, Look, Scene, Time

QUESTIONS = 200
SEED = 1

_GROUND: Mapping[Ground, str] = {
    "meadow": "on a meadow",
    "sea": "by the sea",
    "snow": "in the snow",
    "desert": "in the desert",
}
_TIME: Mapping[Time, str] = {"day": "by day", "sunset": "at sunset", "night": "at night"}
_LOOK: Mapping[Look, str] = {
    "flat": "",
    "watercolour": ", watercolour",
    "pixel art": ", pixel art",
    "sketch": ", sketch",
}

Draw = Callable[[str, int], Image.Image]


class Question(NamedTuple):
    """A prompt, the seed it is drawn with, and what the picture is to show."""

    prompt: str
    seed: int
    scene: Scene


class Marks(NamedTuple):
    """Shares right, 0 to 1. subjects: of each subject alone."""

    colour: float
    time: float
    ground: float
    subject: float
    look: float
    subjects: Mapping[str, float]
    pictures: int


def questions(count: int = QUESTIONS) -> tuple[Question, ...]:
    """The first `count` questions; always the same."""
    scenes = held_out_scenes(QUESTIONS, SEED)[:count]
    return tuple(Question(prompt_of(scene), 1000 + number, scene) for number, scene in enumerate(scenes))


def prompt_of(scene: Scene) -> str:
    """The plain wording of a scene with a thing in it."""
    article = "an" if scene.colour[0] in "aeiou" else "a"
    return f"{article} {scene.colour} {scene.subject} {_GROUND[scene.ground]} {_TIME[scene.time]}{_LOOK[scene.look]}"


def mark(answers: Iterable[tuple[Question, Image.Image]]) -> Marks:
    """The marks of answered questions."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for question, picture in answers:
        verdict, scene = judge(picture), question.scene
        asked["all"] += 1
        asked[f"subject {scene.subject}"] += 1
        right["colour"] += verdict.colour == scene.colour
        right["time"] += verdict.time == scene.time
        right["ground"] += verdict.ground == scene.ground
        right["subject"] += verdict.subject == scene.subject
        right["look"] += verdict.look == scene.look
        right[f"subject {scene.subject}"] += verdict.subject == scene.subject
    count = max(asked["all"], 1)
    return Marks(
        colour=right["colour"] / count,
        time=right["time"] / count,
        ground=right["ground"] / count,
        subject=right["subject"] / count,
        look=right["look"] / count,
        subjects={one: right[f"subject {one}"] / max(asked[f"subject {one}"], 1) for one in SUBJECTS},
        pictures=asked["all"],
    )


def examine(draw: Draw, count: int = QUESTIONS) -> Marks:
    """Draws the answers with draw(prompt, seed) and marks them."""
    return mark((question, draw(question.prompt, question.seed)) for question in questions(count))
