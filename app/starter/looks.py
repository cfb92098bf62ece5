"""The four looks of a picture (flat, watercolour, pixel art, sketch), and the pixel statistic that tells each one.

Works on whole pictures; knows nothing of what they show.
"""

import numpy as np
from PIL import Image, ImageFilter

from app.starter.world import Look, Rgb

OUTLINED: frozenset[Look] = frozenset({"sketch"})
PAPER: Rgb = (250, 247, 240)
INK_STRENGTH: dict[Look, float] = {"flat": 1.0, "watercolour": 0.88, "pixel art": 1.0, "sketch": 0.70}
PIXEL = 4
PIXEL_STEP = 32
"""Levels from colour to colour of pixel art's palette; a 2 x 2 pattern of pixels stands for what lies between."""
PATTERN = np.array([[1, 5], [7, 3]], dtype=np.float32)[..., None] / 8
MARGIN = 7
HATCH_PERIOD = 20
"""Pixels along a row from stroke to stroke. Not 8: cells of a latent that are all alike cannot be drawn differently."""


def on_paper(colours: np.ndarray, look: Look) -> np.ndarray:
    """`colours` [..., 3] as the look's paint shows them on its paper."""
    paper = np.array(PAPER, dtype=np.float32)
    return paper + (colours.astype(np.float32) - paper) * INK_STRENGTH[look]


def with_look(large: Image.Image, look: Look, supersampling: int, draw: np.random.Generator) -> Image.Image:
    """The finished picture from one drawn `supersampling` times too large."""
    if look == "pixel art":
        return _pixel_art(large.reduce(supersampling * PIXEL))
    picture = large.reduce(supersampling)
    if look == "watercolour":
        return _watercolour(picture, draw)
    if look == "sketch":
        return _sketch(picture)
    return picture


def _pixel_art(small: Image.Image) -> Image.Image:
    """Few colours in large pixels, those between them by ordered dithering (Bayer 1973).

    A pattern fills one cell of the latent, so that each cell tells this look from the others.
    """
    pixels = np.asarray(small, dtype=np.float32)
    height, width = pixels.shape[:2]
    pattern = np.tile(PATTERN, ((height + 1) // 2, (width + 1) // 2, 1))[:height, :width]
    coarse = _picture(np.floor(pixels / PIXEL_STEP + pattern) * PIXEL_STEP)
    return coarse.resize((width * PIXEL, height * PIXEL), Image.Resampling.NEAREST)


def _watercolour(picture: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Uneven pigment, darker rims where colours meet, and the paper left white in a ragged margin."""
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32)
    ink = np.array(PAPER, dtype=np.float32) - on_paper(soft, "watercolour")
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(2.5)), dtype=np.float32)
    rims = np.clip(np.abs(soft - blurred).mean(axis=2, keepdims=True) / 90, 0, 0.35)
    height, width = ink.shape[:2]
    pigment = 1 + 0.16 * _clouds(draw, width, height, 7) + rims
    edge = np.minimum.reduce(
        [
            np.arange(width)[None, :].repeat(height, 0),
            np.arange(width)[None, ::-1].repeat(height, 0),
            np.arange(height)[:, None].repeat(width, 1),
            np.arange(height)[::-1, None].repeat(width, 1),
        ]
    )
    painted = np.clip((edge - MARGIN + 2.2 * _clouds(draw, width, height, 12)[..., 0]) / 1.5, 0, 1)[..., None]
    return _picture(np.array(PAPER, dtype=np.float32) - ink * pigment * painted)


def _sketch(picture: Image.Image) -> Image.Image:
    """Thin wash on paper under soft strokes from lower left to upper right, the darker the stronger."""
    wash = on_paper(np.asarray(picture), "sketch")
    height, width = wash.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    stroke = 0.5 + 0.5 * np.cos(2 * np.pi * (rows + columns) / HATCH_PERIOD)[..., None]
    depth = 24 + 0.12 * (255 - wash.mean(axis=2, keepdims=True))
    return _picture(wash - stroke * depth)


def _clouds(draw: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    """Smooth noise of about unit size, [height, width, 1]."""
    coarse = Image.fromarray(draw.normal(size=(cells, cells)).astype(np.float32), "F")
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))[..., None]


def _picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8), "RGB")


def look_of(picture: Image.Image) -> Look:
    """The look that the pixel statistics show.

    pixel art: neighbours inside 4-pixel cells hardly differ, compared with neighbours across cell borders;
    watercolour: the outermost two rows and columns are paper; sketch: less change along the hatching than across it.
    """
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    steps = np.abs(np.diff(pixels.mean(axis=2), axis=1))
    borders = (np.arange(steps.shape[1]) + 1) % PIXEL == 0
    if steps[:, ~borders].mean() < 0.45 * steps[:, borders].mean():
        return "pixel art"
    rim = np.concatenate([pixels[:2].reshape(-1, 3), pixels[:, :2].reshape(-1, 3), pixels[:, -2:].reshape(-1, 3)])
    if np.abs(rim - PAPER).mean() < 14:
        return "watercolour"
    grey = pixels.mean(axis=2)
    along, across = np.abs(grey[1:, :-1] - grey[:-1, 1:]), np.abs(grey[1:, 1:] - grey[:-1, :-1])
    if np.median(along) < 0.6 * np.median(across) and np.median(across) > 2.5:
        return "sketch"
    return "flat"
