"""Filling: what a new strip holds before it is drawn: the edge stretched, or noise shaped like the picture.

The noise is the picture's own texture as a stationary process: white noise convolved with a windowed piece of it, which
has that piece's power spectrum and the correlation of its colours (Galerne, Gousseau and Morel 2011), then brought to
its histogram.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .windows import Growth

Pixels = NDArray[np.float64]


def stretched(picture: NDArray[np.uint8], growth: Growth) -> NDArray[np.uint8]:
    """[H, W, 3] grown by a strip; its outermost pixels are repeated into it."""
    left, top = growth.offset
    width, height = growth.size
    right, bottom = width - left - picture.shape[1], height - top - picture.shape[0]
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)), mode="edge")


def shaped_noise(
    piece: Pixels, size: tuple[int, int], generator: np.random.Generator, falloff: float, variation: float
) -> Pixels:
    """Noise of size (width, height), [H, W, 3] in 0..255, with the spectrum, colours and levels of a piece [h, w, 3].

    falloff: exponent of the spectrum; 1 keeps it, 0 is white. variation: share of it that each colour has for itself.
    """
    width, height = size
    levels = piece[:height, :width]
    texton = np.zeros((height, width, 3))
    window = np.outer(_window(levels.shape[0]), _window(levels.shape[1]))[..., None]
    texton[: levels.shape[0], : levels.shape[1]] = (levels - levels.mean((0, 1))) * window
    spectrum = np.fft.fft2(texton, axes=(0, 1))
    strength = np.abs(spectrum)
    shape = np.divide(spectrum, strength, out=np.zeros_like(spectrum), where=strength > 0) * strength**falloff
    white = generator.standard_normal((height, width, 1))
    own = generator.standard_normal((height, width, 3))
    mixed = np.fft.fft2((1 - variation) * white + variation * own, axes=(0, 1))
    return _levels_like(np.fft.ifft2(shape * mixed, axes=(0, 1)).real, piece)


def faded(edge: Pixels, noise: Pixels, growth: Growth) -> Pixels:
    """A strip that begins as the stretched edge beside the picture and is all noise at half its width."""
    way = np.clip((np.arange(growth.pixels) + 0.5) / max(growth.pixels / 2, 1), 0, 1)
    way = way * way * (3 - 2 * way)
    if growth.direction in ("left", "up"):
        way = way[::-1]
    share = way[None, :, None] if growth.direction in ("left", "right") else way[:, None, None]
    return edge + (noise - edge) * share


def _window(length: int) -> NDArray[np.float64]:
    """Falls to nothing at both ends, so that they do not count as an edge of the texture."""
    return np.sin(np.pi * (np.arange(length) + 0.5) / length)


def _levels_like(noise: Pixels, piece: Pixels) -> Pixels:
    """The noise with each colour's levels in the places of the piece's: its darkest the darkest, and so on."""
    flat = np.empty_like(noise)
    for colour in range(3):
        wanted = np.sort(piece[..., colour], axis=None)
        ranks = np.empty(noise[..., colour].size)
        ranks[np.argsort(noise[..., colour], axis=None)] = np.linspace(0, wanted.size - 1, noise[..., colour].size)
        flat[..., colour] = np.interp(ranks, np.arange(wanted.size), wanted).reshape(noise.shape[:2])
    return flat
