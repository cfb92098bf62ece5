"""Says in many wordings what a scene shows, and which scenes a training sees.

Sentences and comma-separated tags, synonyms, changing order, parts left out, words that mean nothing.
"""

import numpy as np

from app.starter.world import (
    COLOURS,
    GROUNDS,
    LOOKS,
    PLACES,
    SUBJECTS,
    TIMES,
    Colour,
    Ground,
    Look,
    Place,
    Scene,
    Subject,
    Time,
)
from app.training.randomness import numpy_generator

SUBJECT_WORDS: dict[Subject, tuple[str, ...]] = {
    "house": ("house", "house", "house", "little house", "cottage", "home"),
    "tree": ("tree", "tree", "tree", "fir tree", "pine tree", "fir"),
    "boat": ("boat", "boat", "boat", "sailing boat", "sailboat", "ship"),
    "balloon": ("balloon", "balloon", "hot air balloon", "hot-air balloon", "air balloon"),
    "star": ("star", "star", "star", "big star", "five-pointed star"),
    "mountain": ("mountain", "mountain", "mountain", "mountains", "mountain peak", "peak"),
}
COLOUR_WORDS: dict[Colour, tuple[str, ...]] = {
    "red": ("red", "red", "red", "red", "crimson", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow", "yellow", "yellow", "yellow", "golden"),
    "green": ("green", "green", "green", "green", "emerald"),
    "blue": ("blue",),
    "purple": ("purple", "purple", "purple", "purple", "violet"),
    "pink": ("pink",),
}
GROUND_WORDS: dict[Ground, tuple[str, ...]] = {
    "meadow": ("on a meadow", "in a meadow", "on the grass", "in the fields", "on a hill"),
    "sea": ("at sea", "on the sea", "by the sea", "on the ocean", "on the water"),
    "snow": ("in the snow", "in snow", "on a snowy hill", "in winter", "in a snowy landscape"),
    "desert": ("in the desert", "on the sand", "in a desert", "on sand dunes"),
}
GROUND_TAGS: dict[Ground, tuple[str, ...]] = {
    "meadow": ("meadow", "grass", "fields"),
    "sea": ("sea", "ocean", "water"),
    "snow": ("snow", "winter", "snowy"),
    "desert": ("desert", "sand", "dunes"),
}
TIME_WORDS: dict[Time, tuple[str, ...]] = {
    "day": ("by day", "in daylight", "on a sunny day", "in the daytime", "under a clear sky"),
    "sunset": ("at sunset", "at sunset", "at dusk", "in the evening", "under a sunset sky"),
    "night": ("at night", "at night", "by night", "under a night sky", "in the moonlight"),
}
TIME_TAGS: dict[Time, tuple[str, ...]] = {
    "day": ("day", "daylight", "sunny"),
    "sunset": ("sunset", "evening", "dusk"),
    "night": ("night", "night sky", "moonlight"),
}
PLACE_WORDS: dict[Place, tuple[str, ...]] = {
    "left": ("on the left", "at the left", "on the left side"),
    "middle": ("in the middle", "in the centre", "in the center"),
    "right": ("on the right", "at the right", "on the right side"),
}
LOOK_WORDS: dict[Look, tuple[str, ...]] = {
    "flat": ("flat illustration", "vector art", "flat style"),
    "watercolour": ("watercolour", "watercolor", "watercolour painting", "watercolor painting"),
    "pixel art": ("pixel art", "pixel art", "8-bit pixel art", "pixelated"),
    "sketch": ("sketch", "pencil sketch", "sketch drawing", "hand-drawn sketch"),
}
MOON_WORDS = (
    "with a moon",
    "with a moon",
    "and a moon",
    "with the moon in the sky",
    "with a crescent moon",
    "under the moon",
)
MOONS = 2 / 3
"""Share of the nights that have one: it is small, and a half taught too little of it."""
MOON_TAGS = ("a moon", "moon", "a moon", "the moon", "crescent moon", "a crescent moon")
FILLERS = (
    "masterpiece", "best quality", "highly detailed", "beautiful", "8k", "4k", "trending on artstation", "professional",
    "award winning", "sharp focus", "lovely", "amazing", "high resolution", "very", "wallpaper", "for my friend",
    "cute", "stunning", "intricate", "cinematic", "detailed background", "no humans", "scenery", "photo of",
    "concept art", "peaceful", "by greg", "anna", "of the world", "nice", "quality", "simple", "unreal engine", "hd",
    "soft light", "one",
)  # fmt: skip


def draw_training_scene(draw: np.random.Generator) -> Scene:
    """A scene that no held-out pair touches; every free combination is equally likely, flat is the usual look."""
    while True:
        subject: Subject | None = SUBJECTS[draw.integers(len(SUBJECTS))] if draw.random() > 0.05 else None
        scene = Scene(
            subject,
            tuple(COLOURS)[draw.integers(len(COLOURS))],
            GROUNDS[draw.integers(len(GROUNDS))],
            TIMES[draw.integers(len(TIMES))],
            PLACES[draw.choice(3, p=(0.25, 0.5, 0.25))],
            LOOKS[draw.choice(4, p=(0.4, 0.2, 0.2, 0.2))],
        )
        if not scene.held_out:
            return scene._replace(moon=scene.time == "night" and bool(draw.random() < MOONS))


def training_scene(seed: int, number: int) -> Scene:
    """What training picture `number` of a run's seed shows."""
    return draw_training_scene(numpy_generator(seed, "scene", number))


def draw_caption(scene: Scene, draw: np.random.Generator, empty: float = 0.0) -> str:
    """One of many captions of the scene; '' with probability `empty`, for classifier-free guidance."""
    if draw.random() < empty:
        return ""
    return (_tags if draw.random() < 0.3 else _sentence)(scene, draw)


def _one(words: tuple[str, ...], draw: np.random.Generator) -> str:
    return words[draw.integers(len(words))]


def _named(scene: Scene, draw: np.random.Generator, *, article: bool) -> str:
    if scene.subject is None:
        return _one(("a landscape", "landscape", "an empty landscape"), draw)
    colour = _one(COLOUR_WORDS[scene.colour], draw) if draw.random() < 0.95 else ""
    words = f"{colour} {_one(SUBJECT_WORDS[scene.subject], draw)}".strip()
    if not article or words.endswith("mountains"):
        return words
    return f"{_one(('the', 'an' if words[0] in 'aeiou' else 'a'), draw)} {words}" if draw.random() < 0.9 else words


def _parts(scene: Scene, draw: np.random.Generator, *, tags: bool) -> list[str]:
    """Ground, time, moon and place in random order; each is now and then left unsaid, the middle mostly.

    A moon is nearly always named, so that a sky of which none is said has none.
    """
    parts = []
    if draw.random() < 0.9:
        parts.append(_one((GROUND_TAGS if tags else GROUND_WORDS)[scene.ground], draw))
    if draw.random() < 0.92:
        parts.append(_one((TIME_TAGS if tags else TIME_WORDS)[scene.time], draw))
    if scene.moon and draw.random() < 0.95:
        parts.append(_one(MOON_TAGS if tags else MOON_WORDS, draw))
    if scene.subject is not None and draw.random() < (0.25 if scene.place == "middle" else 0.9):
        parts.append(_one(PLACE_WORDS[scene.place], draw))
    return [parts[index] for index in draw.permutation(len(parts))]


def _look(scene: Scene, draw: np.random.Generator) -> str:
    said = draw.random() < (0.2 if scene.look == "flat" else 0.95)
    return _one(LOOK_WORDS[scene.look], draw) if said else ""


def _fillers(draw: np.random.Generator) -> list[str]:
    count = int(draw.integers(1, 7)) if draw.random() < 0.3 else 0
    return [_one(FILLERS, draw) for _ in range(count)]


def _tags(scene: Scene, draw: np.random.Generator) -> str:
    tags = [_named(scene, draw, article=False), *_parts(scene, draw, tags=True), _look(scene, draw), *_fillers(draw)]
    tags = [tag for tag in tags if tag]
    return ", ".join(tags[index] for index in draw.permutation(len(tags)))


def _sentence(scene: Scene, draw: np.random.Generator) -> str:
    named, parts, look = _named(scene, draw, article=True), _parts(scene, draw, tags=False), _look(scene, draw)
    joint = _one((" ", " ", ", "), draw)
    front = scene.moon and draw.random() < 0.3
    if front:
        parts = [part for part in parts if part not in MOON_WORDS]
    if parts and draw.random() < 0.2:
        sentence = f"{parts[0]}, {named}" + "".join(joint + part for part in parts[1:])
    else:
        sentence = named + "".join(joint + part for part in parts)
    if front:
        sentence = f"{_one(MOON_TAGS, draw)}, {sentence}"
    if look:
        form = _one(("{look} of {text}", "{text}, {look}", "{look}, {text}", "{text}, {look} style"), draw)
        sentence = form.format(look=look, text=sentence)
    fillers = _fillers(draw)
    before = int(draw.integers(len(fillers) + 1))
    return ", ".join([*fillers[:before], sentence, *fillers[before:]])


def held_out_scenes(count: int, seed: int) -> list[Scene]:
    """`count` scenes of held-out pairs only, every subject about as often; the same for the same seed."""
    draw = np.random.default_rng([seed, 0x0DD])
    chosen: list[Scene] = []
    for index in range(count):
        subject = SUBJECTS[index % len(SUBJECTS)]
        look: Look = LOOKS[1 + (index // len(SUBJECTS)) % 3] if index % 10 >= 7 else "flat"
        while True:
            scene = Scene(
                subject,
                tuple(COLOURS)[draw.integers(len(COLOURS))],
                GROUNDS[draw.integers(len(GROUNDS))],
                TIMES[draw.integers(len(TIMES))],
                PLACES[draw.choice(3, p=(0.2, 0.6, 0.2))],
                look,
            )
            if scene.held_out:
                break
        chosen.append(scene)
    return chosen
