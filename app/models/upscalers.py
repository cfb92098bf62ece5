"""Upscalers: Lanczos, Nearest and network files of any kind that spandrel knows, by A1111's rules of size.

Knows pixels and files; which upscalers there are is the library's, which are in memory the engine's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.models.device import is_out_of_memory
from app.models.spandrel_file import spandrel_network
from app.models.spandrel_import import spandrel
from app.models.tiles import in_tiles
from app.schema.errors import NotFiniteResult, OutOfMemory, UnsupportedModel

TILE, OVERLAP = 192, 8
"""A1111's tiles, in pixels of the smaller picture."""
SMALLEST_TILE = 32
MOST_RUNS = 3
"""How often one upscaler is put on a picture before Lanczos does the rest, as in A1111."""
MULTIPLE = 8

Tell = Callable[[int, int], None]
"""Is told tiles done and tiles in all."""


class Upscaler(Protocol):
    """Makes a picture larger by its own factor."""

    def __call__(self, pixels: Tensor, factor: float, tell: Tell) -> Tensor:
        """[3, H, W] uint8 -> the same, larger. factor: what is wanted in the end, for those that have none."""
        ...


@dataclass(frozen=True)
class Resampling:
    """Plain resizing. filter: Pillow's."""

    filter: Image.Resampling

    def __call__(self, pixels: Tensor, factor: float, tell: Tell) -> Tensor:
        """As in `Upscaler`."""
        height, width = (int(side * factor) for side in pixels.shape[1:])
        return resized(pixels, width, height, self.filter)


PLAIN: Mapping[str, Upscaler] = {
    "Lanczos": Resampling(Image.Resampling.LANCZOS),
    "Nearest": Resampling(Image.Resampling.NEAREST),
}


class FileUpscaler:
    """A network from a file. scale: its factor. One thread.

    tile, overlap: in pixels; when memory runs out, the tile is halved and stays so.
    """

    def __init__(self, descriptor: Any, name: str, *, tile: int = TILE, overlap: int = OVERLAP) -> None:
        self._descriptor = descriptor
        self.name = name
        self.scale: int = descriptor.scale
        inside = descriptor.tiling == spandrel().ModelTiling.INTERNAL
        self._tile = 0 if inside else tile
        self._overlap = overlap

    def __call__(self, pixels: Tensor, factor: float, tell: Tell) -> Tensor:
        """As in `Upscaler`. Raises OutOfMemory, NotFiniteResult."""
        while True:
            answer = self._attempt(pixels, tell)
            if answer is not None:
                return answer
            smaller = min(self._tile or max(pixels.shape[1:]), max(pixels.shape[1:])) // 2
            if smaller < SMALLEST_TILE:
                raise OutOfMemory(
                    f"The device has not enough memory for the upscaler {self.name}.",
                    field="upscaler",
                    hint="Choose a smaller one, or close other programs that use the device.",
                )
            self._tile = smaller

    def _attempt(self, pixels: Tensor, tell: Tell) -> Tensor | None:
        try:
            return in_tiles(pixels, self.scale, self._run, tile=self._tile, overlap=self._overlap, progress=tell)
        except Exception as error:
            if is_out_of_memory(error):
                return None
            raise

    def _run(self, part: Tensor) -> Tensor:
        with torch.inference_mode():
            picture = part.to(self._descriptor.device, self._descriptor.dtype)[None] / 255
            if self._descriptor.input_channels == 1:
                picture = picture.mean(dim=1, keepdim=True)
            answer = self._descriptor(picture)[0].float()
            if not bool(torch.isfinite(answer).all()):
                raise NotFiniteResult(
                    f"The upscaler {self.name} gave values that are not numbers.",
                    hint="Choose another; its file is broken.",
                )
            levels = answer.expand(3, -1, -1).mul(255).round().to(torch.uint8).cpu()
        # A copy of the tile, not of the whole picture: what is made in that mode cannot be changed outside of it.
        return levels.clone()


def load_upscaler(path: str | Path, device: torch.device) -> FileUpscaler:
    """The network of a file, in float32. Raises ModelNotFound, BrokenModelFile, UnsafeModelFile; UnsupportedModel for
    one that is no upscaler; NotServedYet where spandrel is not installed."""
    path = Path(path)
    unknown = UnsupportedModel(
        f"{path.name} is no upscaler of a kind that is known.",
        field="upscaler",
        hint="ESRGAN, Real-ESRGAN, SwinIR, DAT, HAT, SCUNet and their kin are read.",
    )
    descriptor = spandrel_network(path, device, "an upscaler", unknown)
    if not isinstance(descriptor, spandrel().ImageModelDescriptor) or descriptor.purpose == "FaceSR":
        raise UnsupportedModel(f"{path.name} does not make whole pictures larger.", field="upscaler")
    return FileUpscaler(descriptor, path.name)


def enlarged(
    pixels: Tensor, width: int, height: int, upscaler: Upscaler | None, tell: Tell = lambda done, total: None
) -> Tensor:
    """[3, H, W] uint8 at width x height, stretched where the proportions differ.

    A1111's rule: where it has to grow, the upscaler is put on it until it is large enough, three times at most, and
    Lanczos brings it to whole multiples of 8 and then to the size. None: Lanczos alone.
    """
    factor = max(height / pixels.shape[1], width / pixels.shape[2])
    if upscaler is not None and factor > 1:
        high, wide = (int(side * factor) // MULTIPLE * MULTIPLE for side in pixels.shape[1:])
        for _ in range(MOST_RUNS):
            before = tuple(pixels.shape)
            if before[1] >= high and before[2] >= wide:
                break
            pixels = upscaler(pixels, factor, tell)
            if tuple(pixels.shape) == before:
                break
        pixels = resized(pixels, wide, high)
    return resized(pixels, width, height)


def resized(pixels: Tensor, width: int, height: int, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> Tensor:
    """[3, H, W] uint8 at another size."""
    if tuple(pixels.shape[1:]) == (height, width):
        return pixels
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    picture = picture.resize((max(width, 1), max(height, 1)), resampling)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
