"""TinyDecoder: a small decoder (TAESD) that turns latents into pictures in a fraction of the VAE's time.

For previews: close to the picture, not the picture. Reads the author's files and diffusers'; which file belongs to a
family is told by its name alone, since nothing in it says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from app.files import Identity
from app.models.checkpoint_file import open_weights
from app.models.families import Family
from app.models.weights import Weights
from app.schema.errors import BrokenModelFile, UnsupportedModel

# The author's network begins with a clamp, which takes the number 0; diffusers keeps it outside of the list.
_AUTHORS = re.compile(r"(?:taesd_decoder\.)?(\d+)\.(.+)")
_DIFFUSERS = re.compile(r"decoder\.layers\.(\d+)\.(.+)")
_BLOCK = "conv.0.weight"


@dataclass(eq=False)
class TinyDecoder:
    """A decoder on a device. module: diffusers' DecoderTiny. pixels_per_latent: how much larger the picture is."""

    module: Any
    file: Identity
    pixels_per_latent: int

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Tensor:
        """[n, 4, h, w] latent of the U-Net -> [n, 3, 8h, 8w] float32 in -1..1."""
        weight = next(self.module.parameters())
        pixels: Tensor = self.module(latent.to(weight.device, weight.dtype))
        return pixels.float().clamp(-1, 1)

    def picture(self, latent: Tensor) -> Image.Image:
        """[4, h, w] or [1, 4, h, w] latent of the U-Net -> RGB picture of 8w x 8h pixels; not-a-number becomes grey."""
        pixels = self.decode(latent.detach().reshape(1, *latent.shape[-3:]))[0].nan_to_num(0.0)
        bytes_ = pixels.permute(1, 2, 0).add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)
        return Image.fromarray(bytes_.numpy())


def load_tiny_decoder(
    path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> TinyDecoder:
    """Load a TAESD decoder (github.com/madebyollin/taesd), safetensors or pickled.

    Raises ModelNotFound, BrokenModelFile, UnsafeModelFile; UnsupportedModel for a file that is none.
    """
    file = open_weights(path)
    names = _layer_names(file)
    layers = {number: {rest for key, rest in names if key == number} for number, _ in names}
    blocks, upsamplings, widths = _structure(file, names, layers)
    from diffusers.models.autoencoders.vae import DecoderTiny  # noqa: PLC0415 - takes seconds, as in `build`

    with torch.device("meta"):
        module = DecoderTiny(widths[0], 3, tuple(blocks), (widths[1],) * len(blocks), 2, "relu", "nearest")
    state = {f"layers.{number}.{rest}": file.tensor(key) for (number, rest), key in names.items()}
    missing = {name: value.shape for name, value in module.state_dict().items() if name not in state}
    wrong = [name for name, value in module.state_dict().items() if name in state and state[name].shape != value.shape]
    if missing or wrong:
        raise BrokenModelFile(f"{file.path.name} lacks tensors of its decoder or has wrong ones: {[*missing, *wrong]}.")
    known = module.state_dict().keys()
    module.load_state_dict({n: t.to(device, dtype) for n, t in state.items() if n in known}, assign=True)
    return TinyDecoder(module.eval().requires_grad_(False), file.identity, 2**upsamplings)


def tiny_decoder_for(family: Family, files: Iterable[Path]) -> Path | None:
    """The first file named as a decoder of the family's latents ('taesd_decoder', 'taesdxl_decoder'), or None.

    files: those of the library's kind 'vae approximation'; an encoder's file is none.
    """
    wanted = "taesdxl" if "XL" in family.name else "taesd"
    for path in files:
        word = re.split(r"[^a-z0-9]", path.name.lower())[0]
        if word == wanted and "encoder" not in path.name.lower().replace("decoder", ""):
            return path
    return None


def _layer_names(file: Weights) -> dict[tuple[int, str], str]:
    """Number of the layer, from 0, and the rest of the name -> name in the file."""
    of_diffusers = "decoder.layers.0.weight" in file.shapes
    pattern, first = (_DIFFUSERS, 0) if of_diffusers else (_AUTHORS, 1)
    found = {name: pattern.fullmatch(name) for name in file.shapes}
    return {(int(match[1]) - first, match[2]): name for name, match in found.items() if match is not None}


def _structure(
    file: Weights, names: Mapping[tuple[int, str], str], layers: Mapping[int, set[str]]
) -> tuple[list[int], int, tuple[int, int]]:
    """Blocks of each level, number of doublings, and the channels of latent and network."""
    first = file.shapes.get(names.get((0, "weight"), ""), ())
    if len(first) != 4 or not any(_BLOCK in rests for rests in layers.values()) or first[1] not in (4, 16):
        raise UnsupportedModel(f"{file.path.name} is no TAESD decoder.", hint="Put taesd_decoder.safetensors there.")
    blocks = [0]
    # Layer 1 is an activation without weights; a level ends with its doubling (no weights) and a convolution.
    for number in sorted(layers)[1:-1]:
        if _BLOCK in layers[number]:
            blocks[-1] += 1
        else:
            blocks.append(0)
    return blocks, len(blocks) - 1, (first[1], first[0])
