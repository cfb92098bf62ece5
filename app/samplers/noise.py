"""One image's own noise: the first latent's and every later draw, the same alone and in any batch.

Seeds, sources (CPU, GPU, NV), variations, seed resize and ENSD act as in AUTOMATIC1111. Knows nothing of schedules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from app.samplers.brownian import BrownianTree, brownian_noise
from app.samplers.philox import PhiloxGenerator
from app.samplers.sampler import BrownianNoise

NEARLY_PARALLEL = 0.9995


@dataclass(frozen=True)
class NoiseOptions:
    """How an image's noise is made, apart from its seed and shape.

    source: CPU, GPU (the device's own generator) or NV (CUDA's numbers on any machine).
    variation_seed, variation_strength: a second noise mixed in, 0 to 1.
    resize_from: latent (height, width) for which the seed was found, in cells of 8 pixels; None or not positive: off.
    ensd: added to the seed for all draws after the first latent ("Eta noise seed delta"); 0 changes nothing.
    """

    source: str = "CPU"
    variation_seed: int = 0
    variation_strength: float = 0.0
    resize_from: tuple[int, int] | None = None
    ensd: int = 0


class _Stream(Protocol):
    def randn(self, shape: tuple[int, ...]) -> Tensor: ...


class _TorchStream:
    """torch's own generator on one device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._generator = torch.Generator(device).manual_seed(seed)

    def randn(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self._device)


class ImageNoise:
    """The stream of one image; implements `Noise`. Belongs to one row and one thread.

    seed: the image's own. shape: (C, h, w) of its latent. device: where the draws are wanted; a CPU or NV source
    draws on the CPU and copies.
    """

    def __init__(
        self,
        seed: int,
        shape: tuple[int, int, int],
        options: NoiseOptions | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._seed, self._shape = seed, shape
        self._options = NoiseOptions() if options is None else options
        if self._options.source not in ("CPU", "GPU", "NV"):
            raise ValueError(f"The noise source is CPU, GPU or NV, not {self._options.source!r}")
        self._device = torch.device(device)
        # As in A1111, Apple GPUs always take the CPU's numbers.
        own = self._options.source == "GPU" and self._device.type != "mps"
        self._draws_on = self._device if own else torch.device("cpu")
        self._stream = self._new_stream(seed)
        self._first: Tensor | None = None

    def first_noise(self) -> Tensor:
        """[1, C, h, w] float32: the noise of the initial latent, unit variance, the same at every call."""
        if self._first is None:
            self._first = self._first_draw()
            if self._options.ensd:
                self._stream = self._new_stream(self._seed + self._options.ensd)
        return self._first

    def next(self) -> Tensor:
        """[1, C, h, w] float32: the next draw after the first noise."""
        self.first_noise()
        return self._as_batch(self._stream.randn(self._shape))

    def brownian(self, sigma_min: float, sigma_max: float) -> BrownianNoise:
        """The path of the SDE samplers, of the image's seed alone; ENSD and variation do not touch it."""
        tree = BrownianTree(self._seed, self._shape, sigma_min, sigma_max, self._seeded_draw)
        noise = brownian_noise(tree)
        return lambda sigma, sigma_next: self._as_batch(noise(sigma, sigma_next))

    def _first_draw(self) -> Tensor:
        options = self._options
        found_at = self._shape
        if options.resize_from is not None and min(options.resize_from) > 0:
            found_at = (self._shape[0], *options.resize_from)
        # A noise of another size comes from a generator of its own: the image's own then fills the frame.
        stream = self._stream if found_at == self._shape else self._new_stream(self._seed)
        noise = stream.randn(found_at)
        if options.variation_strength:
            variation = self._seeded_draw(options.variation_seed, found_at)
            noise = slerp(options.variation_strength, noise, variation)
        if found_at != self._shape:
            noise = paste_centre(noise, self._stream.randn(self._shape))
        return self._as_batch(noise)

    def _new_stream(self, seed: int) -> _Stream:
        return PhiloxGenerator(seed) if self._options.source == "NV" else _TorchStream(seed, self._draws_on)

    def _seeded_draw(self, seed: int, shape: tuple[int, ...]) -> Tensor:
        return self._new_stream(seed).randn(shape)

    def _as_batch(self, noise: Tensor) -> Tensor:
        return noise[None].to(self._device)


def slerp(share: float, low: Tensor, high: Tensor) -> Tensor:
    """Spherical mix of two noises [C, h, w]; share 0 is low, 1 is high.

    As in A1111 the angle is taken along the rows (dimension 1), one per channel and column, and nearly parallel noises
    are mixed linearly with the shares the other way round: published seeds depend on both.
    """
    low_unit = low / torch.linalg.vector_norm(low, dim=1, keepdim=True)
    high_unit = high / torch.linalg.vector_norm(high, dim=1, keepdim=True)
    dot = (low_unit * high_unit).sum(1)
    if dot.mean() > NEARLY_PARALLEL:
        return low * share + high * (1 - share)
    angle = torch.acos(dot)
    sine = torch.sin(angle)
    low_share = (torch.sin((1.0 - share) * angle) / sine).unsqueeze(1)
    high_share = (torch.sin(share * angle) / sine).unsqueeze(1)
    return low_share * low + high_share * high


def paste_centre(small: Tensor, frame: Tensor) -> Tensor:
    """`frame` with `small` laid over its centre, each [C, h, w]; what is larger than the frame is cut equally."""
    result = frame.clone()
    spans = []
    for axis in (1, 2):
        offset = (frame.shape[axis] - small.shape[axis]) // 2
        length = small.shape[axis] if offset >= 0 else small.shape[axis] + 2 * offset
        spans.append((slice(max(offset, 0), max(offset, 0) + length), slice(max(-offset, 0), max(-offset, 0) + length)))
    (to_rows, from_rows), (to_columns, from_columns) = spans
    result[:, to_rows, to_columns] = small[:, from_rows, from_columns]
    return result
