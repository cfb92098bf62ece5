"""The starter's small world: its things, colours, places, times and looks, and what training never sees.

Colours are RGB in 0..255. The judge reads pictures with the same tables that drew them.
"""

from typing import Literal, NamedTuple

Rgb = tuple[int, int, int]

Subject = Literal["house", "tree", "boat", "balloon", "star", "mountain"]
Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink"]
Ground = Literal["meadow", "sea", "snow", "desert"]
Time = Literal["day", "sunset", "night"]
Place = Literal["left", "middle", "right"]
Look = Literal["flat", "watercolour", "pixel art", "sketch"]

SUBJECTS: tuple[Subject, ...] = ("house", "tree", "boat", "balloon", "star", "mountain")
GROUNDS: tuple[Ground, ...] = ("meadow", "sea", "snow", "desert")
TIMES: tuple[Time, ...] = ("day", "sunset", "night")
PLACES: tuple[Place, ...] = ("left", "middle", "right")
LOOKS: tuple[Look, ...] = ("flat", "watercolour", "pixel art", "sketch")

COLOURS: dict[Colour, Rgb] = {
    "red": (208, 36, 40),
    "orange": (242, 126, 24),
    "yellow": (252, 208, 34),
    "green": (30, 136, 62),
    "blue": (36, 92, 214),
    "purple": (122, 50, 168),
    "pink": (240, 92, 168),
}

NEUTRALS: dict[str, Rgb] = {
    "wood": (112, 74, 48),
    "slate": (74, 70, 84),
    "cream": (255, 246, 224),
    "white": (250, 250, 252),
    "glow": (255, 236, 160),
}

# Top of the sky, its middle, and the horizon.
SKIES: dict[Time, tuple[Rgb, Rgb, Rgb]] = {
    "day": ((128, 196, 242), (176, 220, 248), (226, 243, 252)),
    "sunset": ((150, 122, 182), (244, 172, 160), (255, 224, 166)),
    "night": ((10, 16, 44), (20, 30, 66), (38, 52, 98)),
}

# Far strip and near ground, by daylight.
GROUND_COLOURS: dict[Ground, tuple[Rgb, Rgb]] = {
    "meadow": ((168, 212, 122), (142, 198, 96)),
    "sea": ((112, 190, 204), (78, 166, 190)),
    "snow": ((226, 236, 246), (246, 249, 253)),
    "desert": ((232, 202, 150), (242, 216, 168)),
}

# What the light does to everything that stands in it, as factors of red, green and blue.
GROUND_LIGHT: dict[Time, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.80, 0.78),
    "night": (0.36, 0.42, 0.58),
}
SUBJECT_LIGHT: dict[Time, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (0.99, 0.93, 0.92),
    "night": (0.86, 0.86, 0.92),
}

# Pairs that no training picture and no training caption shows: what the benchmark asks for.
HELD_OUT_COLOURS: frozenset[tuple[Subject, Colour]] = frozenset(
    {
        ("house", "blue"),
        ("tree", "pink"),
        ("boat", "yellow"),
        ("balloon", "purple"),
        ("star", "red"),
        ("mountain", "orange"),
    }
)
HELD_OUT_TIMES: frozenset[tuple[Subject, Time]] = frozenset({("tree", "night"), ("balloon", "sunset"), ("star", "day")})


class Scene(NamedTuple):
    """What one picture shows. `subject` None is a landscape without anything in it; then `colour` means nothing.

    moon: whether one stands in the sky; at night alone.
    """

    subject: Subject | None
    colour: Colour
    ground: Ground
    time: Time
    place: Place = "middle"
    look: Look = "flat"
    moon: bool = False

    @property
    def held_out(self) -> bool:
        """Whether the scene shows a pair that training never sees."""
        return (self.subject, self.colour) in HELD_OUT_COLOURS or (self.subject, self.time) in HELD_OUT_TIMES

    @property
    def lacking(self) -> "Scene":
        """The scene without its moon, or else without its thing: what inpainting begins with."""
        return self._replace(moon=False) if self.moon else self._replace(subject=None)


def shade(colour: Rgb, light: tuple[float, float, float], tone: Literal["dark", "base", "light"] = "base") -> Rgb:
    """`colour` under a light; 'dark' is the side away from it, 'light' the side towards it."""
    factor, towards_white = {"dark": (0.78, 0.0), "base": (1.0, 0.0), "light": (1.0, 0.24)}[tone]
    toned = [(channel * factor) * (1 - towards_white) + 255 * towards_white for channel in colour]
    red, green, blue = (round(channel * part) for channel, part in zip(toned, light, strict=True))
    return red, green, blue
