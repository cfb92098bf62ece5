"""Draws the pictures that the starter model learns from: a seed and a `Scene` in, an RGB picture out.

Drawn at twice the size and averaged down, so that edges are smooth. The same scene and seed give the same bytes.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from app.starter.looks import OUTLINED, with_look
from app.starter.subjects import Figure, Point, ellipse, figure
from app.starter.world import COLOURS, GROUND_COLOURS, GROUND_LIGHT, NEUTRALS, SKIES, SUBJECT_LIGHT, Rgb, Scene, shade

Builder = Callable[[np.random.Generator], Figure]

SUPERSAMPLING = 2
PLACE_X = {"left": 0.32, "middle": 0.5, "right": 0.68}
ISLAND: Rgb = (236, 210, 158)
INK: Rgb = (52, 46, 60)
PAINTS: dict[str, Rgb] = {**NEUTRALS, **{str(colour): rgb for colour, rgb in COLOURS.items()}}


class Canvas:
    """A picture under way, `width` x `height` in final pixels, drawn `SUPERSAMPLING` times larger."""

    def __init__(self, scene: Scene, width: int, height: int, draw: np.random.Generator) -> None:
        """The sky alone; `draw` decides horizon, centre and light."""
        self.scene = scene
        self.width, self.height = width * SUPERSAMPLING, height * SUPERSAMPLING
        self.short = min(self.width, self.height)
        self.random = draw
        self.horizon = self.height * (0.63 + draw.uniform(-0.025, 0.025))
        centre = PLACE_X[scene.place] + draw.uniform(-0.025, 0.025)
        self.centre = self.width * centre
        self.light_x = self.width * _away_from(scene, draw)
        self.moon_y = self.height * (0.22 + draw.uniform(-0.03, 0.03))
        self.image = Image.fromarray(_sky(scene, self.width, self.height, self.horizon), "RGB")
        self.pen = ImageDraw.Draw(self.image)

    def fill(self, outline: list[Point], colour: Rgb, *, inked: bool = False) -> None:
        """One area within an outline of canvas pixels; `inked`: with a contour in the looks that have them."""
        self.pen.polygon(outline, fill=colour)
        if inked and self.scene.look in OUTLINED:
            self.pen.line([*outline, outline[0]], fill=INK, width=round(self.short * 0.012), joint="curve")

    def disc(self, x: float, y: float, radius: float, colour: Rgb) -> None:
        """A full circle, in canvas pixels."""
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def draw_scene(
    scene: Scene, seed: int, width: int = 128, height: int = 128, *, stranger: Builder | None = None
) -> Image.Image:
    """The picture, `width` x `height` RGB; `seed` decides everything that the scene leaves open.

    stranger: a thing that the world does not have, drawn where the scene's subject would stand.
    """
    draw = np.random.default_rng([seed, 0x5CE7E])
    canvas = Canvas(scene, width, height, draw)
    _lights(canvas)
    _ground(canvas)
    if scene.subject is not None:
        _place_subject(canvas, stranger(draw) if stranger else figure(scene.subject, draw))
    return with_look(canvas.image, scene.look, SUPERSAMPLING, draw)


def _away_from(scene: Scene, draw: np.random.Generator) -> float:
    """Where sun or moon stand: on the side that the subject leaves free."""
    side = {"left": 1.0, "right": -1.0}.get(scene.place) or float(draw.choice([-1.0, 1.0]))
    return 0.5 + side * draw.uniform(*((0.27, 0.31) if scene.time == "night" else (0.32, 0.38)))


def _sky(scene: Scene, width: int, height: int, horizon: float) -> np.ndarray:
    stops = np.array(SKIES[scene.time], dtype=np.float32)
    rows = np.clip(np.arange(height) / horizon, 0.0, 1.0)
    column = np.stack([np.interp(rows, (0.0, 0.55, 1.0), stops[:, channel]) for channel in range(3)], axis=1)
    return np.ascontiguousarray(np.repeat(column[:, None, :], width, axis=1).round().astype(np.uint8))


def _lights(canvas: Canvas) -> None:
    """Sun and clouds, the setting sun, or stars and perhaps the moon."""
    draw, short, time = canvas.random, canvas.short, canvas.scene.time
    if time == "day":
        height = canvas.height * 0.15
        canvas.disc(canvas.light_x, height, short * 0.105, (236, 240, 214))
        canvas.disc(canvas.light_x, height, short * 0.075, (255, 246, 196))
        for _ in range(int(draw.integers(1, 3))):
            _cloud(canvas, draw.uniform(0.1, 0.9) * canvas.width, draw.uniform(0.12, 0.36) * canvas.height)
    elif time == "sunset":
        canvas.disc(canvas.light_x, canvas.horizon - short * 0.03, short * 0.17, (255, 226, 176))
        canvas.disc(canvas.light_x, canvas.horizon - short * 0.03, short * 0.125, (255, 246, 214))
    else:
        for _ in range(int(draw.integers(14, 22))):
            x, y = draw.uniform(0, canvas.width), draw.uniform(0, canvas.horizon * 0.9)
            canvas.disc(x, y, short * draw.uniform(0.006, 0.011), (226, 226, 206))
        if canvas.scene.moon:
            _moon(canvas)


def _moon(canvas: Canvas) -> None:
    """A crescent where the sun would be. With one anywhere in the sky, a caption's moon came to nothing in training:
    what stands at any of a hundred places is faint at each, and a caption that names it explains next to nothing."""
    x, y, radius = canvas.light_x, canvas.moon_y, canvas.short * 0.085
    canvas.disc(x, y, radius, (252, 244, 208))
    top = SKIES["night"][0]
    canvas.disc(x + radius * 0.5, y - radius * 0.25, radius * 0.85, (top[0] + 3, top[1] + 4, top[2] + 6))


def _cloud(canvas: Canvas, x: float, y: float) -> None:
    size = canvas.short * canvas.random.uniform(0.05, 0.075)
    for offset, lift, scale in ((-1.3, 0.0, 0.7), (-0.3, -0.4, 1.0), (0.8, -0.1, 0.85), (1.7, 0.15, 0.55)):
        outline = ellipse(x + offset * size, y + lift * size, size * scale * 1.15, size * scale * 0.75)
        canvas.fill(outline, (250, 252, 254))


def _ground(canvas: Canvas) -> None:
    scene, width, height, horizon = canvas.scene, canvas.width, canvas.height, canvas.horizon
    light = GROUND_LIGHT[scene.time]
    far, near = (shade(colour, light) for colour in GROUND_COLOURS[scene.ground])
    if scene.ground == "sea":
        canvas.fill([(0, horizon), (width, horizon), (width, height), (0, height)], far, inked=True)
        level = horizon + (height - horizon) * 0.42
        canvas.fill([(0, level), (width, level), (width, height), (0, height)], near)
        _glitter(canvas, far)
        return
    canvas.fill(_rolling(canvas, horizon, 0.030), far, inked=True)
    canvas.fill(_rolling(canvas, horizon + (height - horizon) * 0.34, 0.035), near, inked=True)


def _rolling(canvas: Canvas, level: float, swing: float) -> list[Point]:
    """Everything below a soft hill line around `level`."""
    phase, waves = canvas.random.uniform(0, 2 * math.pi), canvas.random.uniform(0.7, 1.2)
    steps = np.linspace(0, 1, 25)
    line = [
        (float(step) * canvas.width, level + canvas.short * swing * math.sin(phase + step * waves * 2 * math.pi))
        for step in steps
    ]
    return [*line, (canvas.width, canvas.height), (0, canvas.height)]


def _glitter(canvas: Canvas, far: Rgb) -> None:
    """Waves, and the light of sun or moon on the water."""
    draw, short = canvas.random, canvas.short
    depth = canvas.height - canvas.horizon
    for _ in range(7):
        x, y = draw.uniform(0, canvas.width), canvas.horizon + depth * draw.uniform(0.45, 0.97)
        half = short * draw.uniform(0.05, 0.10)
        canvas.fill(ellipse(x, y, half, short * 0.007), far)
    halves = [short * (0.03 + 0.014 * row) * draw.uniform(0.8, 1.2) for row in range(6)]
    places = [draw.uniform(-0.01, 0.01) * short for _ in halves]
    if canvas.scene.time == "night" and not canvas.scene.moon:
        return
    shine = {"day": (226, 242, 240), "sunset": (255, 232, 190), "night": (150, 160, 170)}[canvas.scene.time]
    for row, (half, place) in enumerate(zip(halves, places, strict=True)):
        y = canvas.horizon + depth * (0.06 + 0.16 * row)
        canvas.fill(ellipse(canvas.light_x + place, y, half, short * 0.009), shine)


def _place_subject(canvas: Canvas, thing: Figure) -> None:
    scene, short = canvas.scene, canvas.short
    light, ground_light = SUBJECT_LIGHT[scene.time], GROUND_LIGHT[scene.time]
    width, height = thing.width * short, thing.height * short
    if thing.floats:
        foot = canvas.height * (0.43 + canvas.random.uniform(-0.02, 0.02)) + height / 2
    elif scene.subject == "mountain":
        foot = canvas.horizon + (canvas.height - canvas.horizon) * 0.36
    else:
        foot = canvas.horizon + (canvas.height - canvas.horizon) * 0.55
    if not thing.floats:
        _stand(canvas, foot, width, ground_light)
    for part in thing.parts:
        paint = PAINTS[scene.colour if part.paint == "subject" else part.paint]
        if part.paint == "cream" and scene.time == "night" and scene.subject == "house":
            paint = NEUTRALS["glow"]
        outline = [(canvas.centre + x * width, foot - y * height) for x, y in part.outline]
        canvas.fill(outline, shade(paint, light, part.tone), inked=part.tone == "base")


def _stand(canvas: Canvas, foot: float, width: float, light: tuple[float, float, float]) -> None:
    """What a thing stands on: its shadow, an island in the sea, or a boat's mirror image in the water."""
    scene, short = canvas.scene, canvas.short
    if scene.ground == "sea" and scene.subject == "boat":
        mirror = shade(COLOURS[scene.colour], tuple(0.72 * part for part in light), "base")  # type: ignore[arg-type]
        for row, half in enumerate((0.34, 0.26, 0.16)):
            canvas.fill(ellipse(canvas.centre, foot + short * (0.02 + 0.03 * row), half * width, short * 0.012), mirror)
        return
    if scene.ground == "sea":
        canvas.fill(ellipse(canvas.centre, foot, width * 0.66, short * 0.055), shade(ISLAND, light))
        return
    dark = shade(GROUND_COLOURS[scene.ground][1], light, "dark")
    canvas.fill(ellipse(canvas.centre, foot, width * 0.54, short * 0.032), dark)
