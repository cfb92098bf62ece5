"""Layers: which layers of a model a LoRA changes, under kohya's names for them.

kohya's choice: every linear layer and 1x1 convolution inside the U-Net's transformers; with convolutions also its
residual blocks and samplers; of text encoders attention and feed-forward. Knows names, not arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import nn

from app.models import LoadedModel
from app.models.keys import names_of, unet_sources

_IN_TRANSFORMER = re.compile(r"(^|\.)attentions\.\d+\.")
_IN_CONVOLUTIONS = re.compile(r"(^|\.)(resnets|downsamplers|upsamplers)\.\d+\.")
_IN_TEXT = re.compile(r"\.layers\.\d+\.(self_attn|mlp)\.")


class Layer(NamedTuple):
    """name: kohya's. spatial: a convolution larger than 1x1. text: number of the text encoder, None: the U-Net's."""

    name: str
    module: nn.Linear | nn.Conv2d
    spatial: bool
    text: int | None = None


def lora_layers(model: LoadedModel, *, convolutions: bool = False, text: bool = False) -> Iterator[Layer]:
    """The layers in the model's own order. text: those of its text encoders follow."""
    names = _unet_names(model)
    for name, module in model.unet.named_modules():
        chosen = _IN_TRANSFORMER.search(name) or (convolutions and _IN_CONVOLUTIONS.search(name))
        if chosen and isinstance(module, nn.Linear | nn.Conv2d):
            yield Layer(f"lora_unet_{names[name]}", module, _spatial(module))
    for number, encoder in enumerate(model.text_encoders) if text else ():
        prefix = "lora_te_" if len(model.text_encoders) == 1 else f"lora_te{number + 1}_"
        for name, module in encoder.transformer.named_modules():
            if isinstance(module, nn.Linear) and _IN_TEXT.search(f".{name}"):
                yield Layer(f"{prefix}text_model_{name.replace('.', '_')}", module, False, number)


def _unet_names(model: LoadedModel) -> Mapping[str, str]:
    """Name of a module -> as kohya's files have it: SDXL's in the original layout, the others' in diffusers'."""
    sources = unet_sources(names_of(model.unet), prefix="")
    original = model.family.name.startswith("SDXL")
    return {
        name.rpartition(".")[0]: (source.key if original else name).rpartition(".")[0].replace(".", "_")
        for name, source in sources.items()
    }


def _spatial(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
