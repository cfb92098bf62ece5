"""What is asked of a model before and after a training: prompts with their seeds, fixed beforehand, none chosen.

The twelve pairs of ground and time are asked for twice each; training pictures show eight of them.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from app.starter import Scene, prompt_of
from app.starter.world import COLOURS, GROUNDS, LOOKS, SUBJECTS, TIMES, Colour, Ground, Subject, Time
from benchmarks.training.figures import Stranger

PAIRS = tuple(product(GROUNDS, TIMES))
ROUNDS = 2
SEED, ORDINARY_SEED = 20_000, 30_000
NEW_WORD = "sks"
"""What calls a textual inversion: a token that no caption of the starter has."""
UNKNOWN_WORD = "olis"
"""A token that neither the starter nor any training here has seen."""


class Asked(NamedTuple):
    """A prompt, the seed it is drawn with, and what its words ask for. subject: None for what the starter does not
    know, or in a style; colour: None for any."""

    prompt: str
    seed: int
    ground: Ground
    time: Time
    subject: Subject | None = None
    colour: Colour | None = None


def named(words: str, rounds: int = ROUNDS) -> tuple[Asked, ...]:
    """What is called `words`, on every ground at every time."""
    return tuple(
        Asked(_sentence(words, ground, time), SEED + 100 * turn + number, ground, time)
        for turn in range(rounds)
        for number, (ground, time) in enumerate(PAIRS)
    )


def other_word(stranger: Stranger) -> tuple[Asked, ...]:
    """The same once, with words that nothing was trained for: one that the starter knows, and one that it does not."""
    known, unknown = (named(f"{word} {stranger.kind}", rounds=1) for word in (stranger.other, UNKNOWN_WORD))
    return (*known[::2], *unknown[1::2])


def without_word(kind: Subject) -> tuple[Asked, ...]:
    """Ordinary ones of a kind, half of them with a colour."""
    colours = tuple(COLOURS)
    found = []
    for number, (ground, time) in enumerate(PAIRS):
        colour = colours[number % len(colours)] if number % 2 else None
        words = _sentence(f"{colour} {kind}" if colour else kind, ground, time)
        found.append(Asked(words, ORDINARY_SEED + number, ground, time, kind, colour))
    return tuple(found)


def unrelated(kind: Subject | None) -> tuple[Asked, ...]:
    """Six things of other kinds."""
    colours, others = tuple(COLOURS), [one for one in SUBJECTS if one != kind]
    found = []
    for number, (ground, time) in enumerate(PAIRS[::2]):
        colour, subject = colours[(3 * number) % len(colours)], others[number % len(others)]
        words = _sentence(f"{colour} {subject}", ground, time)
        found.append(Asked(words, ORDINARY_SEED + 500 + number, ground, time, subject, colour))
    return tuple(found)


def in_style(word: str) -> tuple[Asked, ...]:
    """Ordinary things in a style, on every ground at every time; '' for a style that needs no word."""
    colours = tuple(COLOURS)
    end = f", {word}" if word else ""
    return tuple(
        Asked(
            prompt_of(Scene(SUBJECTS[number % 6], colours[number % 7], ground, time)) + end, SEED + number, ground, time
        )
        for number, (ground, time) in enumerate(PAIRS * ROUNDS)
    )


def of(stranger: Stranger, method: str) -> str:
    """What calls a stranger: a textual inversion's word stands for all of it, any other is put before its kind."""
    return NEW_WORD if method == "textual_inversion" else f"{stranger.word} {stranger.kind}"


def _sentence(words: str, ground: Ground, time: Time) -> str:
    """`prompt_of`'s wording."""
    scene = Scene(SUBJECTS[0], "red", ground, time, "middle", LOOKS[0])
    article = "an" if words[0] in "aeiou" else "a"
    return prompt_of(scene).replace(f"a red {SUBJECTS[0]}", f"{article} {words}")
