"""The judges' own error on fresh drawings: how many they tell, and how many of something else they take for one."""

from __future__ import annotations

from itertools import product

from app.starter import Scene, draw_scene
from app.starter.world import GROUNDS, PLACES, SUBJECTS, TIMES
from benchmarks.training.figures import STRANGERS
from benchmarks.training.judge import look_for
from benchmarks.training.styles import STYLES

SEED = 700_000


def own_error() -> list[str]:
    """Markdown: a row for each stranger and style."""
    rows = [
        "| | told of fresh drawings | ground and time right | of something else, taken for it |",
        "|---|---|---|---|",
    ]
    pairs = tuple(product(GROUNDS, TIMES))
    for stranger in STRANGERS.values():
        told = right = wrong = others = 0
        for number, (ground, time) in enumerate(pairs * 2):
            scene = Scene(stranger.kind, "red", ground, time, PLACES[number % 3])
            seen = look_for(stranger, draw_scene(scene, SEED + number, stranger=stranger.build))
            told += seen.stranger
            right += (seen.ground, seen.time) == (ground, time)
        for number, (subject, colour) in enumerate(product(SUBJECTS, stranger.colours)):
            ground, time = pairs[number % len(pairs)]
            wrong += look_for(stranger, draw_scene(Scene(subject, colour, ground, time), SEED + number)).stranger
            others += 1
        for other, (ground, time) in product(STRANGERS.values(), pairs[::2]):
            if other != stranger:
                picture = draw_scene(Scene(other.kind, "red", ground, time), SEED, stranger=other.build)
                wrong += look_for(stranger, picture).stranger
                others += 1
        count = 2 * len(pairs)
        rows.append(f"| {stranger.name} | {told} of {count} | {right} of {count} | {wrong} of {others} |")
    flat = [draw_scene(Scene(SUBJECTS[n % 6], "blue", *pairs[n % 12]), SEED + n) for n in range(24)]
    for style in STYLES.values():
        told = sum(style.shows(style.apply(picture)) for picture in flat)
        others = [picture for one in STYLES.values() if one != style for picture in map(one.apply, flat)] + flat
        wrong = sum(style.shows(picture) for picture in others)
        rows.append(f"| {style.name} | {told} of {len(flat)} | | {wrong} of {len(others)} |")
    return rows
