"""Latents: a training's pictures, encoded once and kept on the disk, with masks and size numbers.

The mean of the VAE's answer, so that the same pictures give the same latents in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.functional import interpolate

from app.files.whole_file import write_whole
from app.models import Vae
from app.schema.errors import NotFiniteResult, TrainingProblem
from app.training.data import Placed, Placing


class Cached(NamedTuple):
    """One picture as it is learnt from.

    latent: [C, h, w] float32 on the CPU. mask: [1, h, w] float32 with a mean above 0, or None for everything.
    numbers: by the names of `Family.size_numbers`.
    """

    latent: Tensor
    mask: Tensor | None
    numbers: dict[str, float]


class LatentStore:
    """Latents on the disk, so that a run that goes on has its pictures at once.

    folder: made where it is missing. encoder: names the VAE and its precision; another one's latents are not found.
    """

    def __init__(self, folder: Path, encoder: str) -> None:
        self._folder = folder
        self._encoder = encoder

    def latent(self, placed: Placed, mirrored: bool, encode: Callable[[], Tensor]) -> Tensor:
        """The latent of a picture in its bucket: as kept, else encoded and kept. Raises DiskFull, CannotWrite."""
        told = f"{self._encoder}/{placed.placing}/{mirrored}/".encode()
        return self.kept(told + placed.sample.path.read_bytes(), encode)

    def kept(self, told: bytes, make: Callable[[], Tensor]) -> Tensor:
        """The latent of all that is told of it: as kept, else made and kept. Raises DiskFull, CannotWrite."""
        path = self._folder / f"{hashlib.sha256(told).hexdigest()[:32]}.safetensors"
        try:
            return load_file(path)["latent"]
        except (OSError, SafetensorError, KeyError):
            latent = make()
            write_whole(path, save({"latent": latent}))
            return latent


@torch.no_grad()
def encode_pictures(
    pictures: Sequence[Placed],
    vae: Vae,
    *,
    flip: bool = False,
    store: LatentStore | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[tuple[Cached, ...], ...]:
    """For each picture its cached form, with `flip` its mirrored one after it.

    report(done, total): after each. Raises TrainingProblem naming a picture that gives no numbers or whose mask is
    black.
    """
    cached = []
    for number, one in enumerate(pictures):
        cached.append(tuple(_encoded(one, vae, mirrored, store) for mirrored in ((False, True) if flip else (False,))))
        report(number + 1, len(pictures))
    return tuple(cached)


def read_pixels(placed: Placed, mirrored: bool = False) -> Tensor:
    """[3, h, w] float32 in -1..1: the picture as its bucket cuts it. What is transparent lies on white."""
    with Image.open(placed.sample.path) as opened:
        picture: Image.Image = ImageOps.exif_transpose(opened)
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            clear = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
        pixels = _cut(picture.convert("RGB"), placed.placing, mirrored)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1


def _encoded(placed: Placed, vae: Vae, mirrored: bool, store: LatentStore | None) -> Cached:
    name, placing = placed.sample.path.name, placed.placing

    def encode() -> Tensor:
        return vae.encode(read_pixels(placed, mirrored)[None])[0].float().cpu().contiguous()

    try:
        latent = encode() if store is None else store.latent(placed, mirrored, encode)
    except NotFiniteResult as error:
        raise TrainingProblem(
            f"The VAE gives no valid numbers for {name}.",
            field="data",
            hint="Take the picture out, or choose another VAE.",
        ) from error
    scaled_width, bucket = placing.scaled[0], placing.bucket
    left = scaled_width - bucket.width - placing.left if mirrored else placing.left
    numbers = {
        "height": placed.sample.height,
        "width": placed.sample.width,
        "crop_top": placing.top,
        "crop_left": left,
        "target_height": bucket.height,
        "target_width": bucket.width,
    }
    mask = None
    if (white := read_mask(placed, mirrored)) is not None:
        mask = torch.from_numpy(white)[None, None].float() / 255
        mask = interpolate(mask, size=tuple(latent.shape[-2:]), mode="area")[0]
    return Cached(latent, mask, {key: float(value) for key, value in numbers.items()})


def read_mask(placed: Placed, mirrored: bool = False) -> np.ndarray | None:
    """[height, width] of its bucket, 0 to 255, white where the loss counts; None where all of it does.

    Raises TrainingProblem for one that covers nothing.
    """
    sample = placed.sample
    if sample.mask is None:
        return None
    with Image.open(sample.mask) as opened:
        seen = ImageOps.exif_transpose(opened)
        # A picture that is its own mask counts where it is not transparent.
        own = sample.mask == sample.path
        white = _cut(seen.convert("RGBA").getchannel("A") if own else seen.convert("L"), placed.placing, mirrored)
    if not white.any():
        hint = "Take it out: all of it is transparent." if own else "Paint it white where it is to be learnt."
        raise TrainingProblem(f"The mask of {sample.path.name} covers nothing.", field="masked_loss", hint=hint)
    return white


def _cut(picture: Image.Image, placing: Placing, mirrored: bool) -> np.ndarray:
    left, top = placing.left, placing.top
    box = (left, top, left + placing.bucket.width, top + placing.bucket.height)
    cut = picture.resize(placing.scaled, Image.Resampling.LANCZOS).crop(box)
    return np.array(ImageOps.mirror(cut) if mirrored else cut)
