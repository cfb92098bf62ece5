"""Architecture: what the empty modules are built from, out of shapes, metadata and family.

The last word on heads, groups and widths; reads no weights and builds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from app.files import CHECKPOINT, recognise
from app.models.families import FAMILIES, Family, TextEncoderFacts
from app.models.file_facts import FileFacts
from app.models.keys import text_dialect
from app.models.shapes import (
    TextShape,
    UNetShape,
    VaeShape,
    below,
    clip_shape,
    open_clip_shape,
    unet_shape,
    vae_shape,
)
from app.models.text_parts import Shaped, TextPart
from app.models.weights import Weights
from app.schema.errors import BrokenModelFile, UnsupportedModel

Made = TypeVar("Made")


class Architecture(NamedTuple):
    """Everything the empty modules are built from; models of equal architecture can take each other's weights."""

    unet: UNetShape
    heads: tuple[int, ...]
    unet_groups: int
    vae: VaeShape | None
    vae_groups: int
    scaling_factor: float
    texts: tuple[tuple[TextShape, TextEncoderFacts], ...]


def family_of(file: Weights) -> Family:
    """The family of a checkpoint. Raises UnsupportedModel for another kind of file or an unknown family."""
    found = recognise({name: Shaped(shape) for name, shape in file.shapes.items()}, file.metadata)
    name = file.path.name
    if found.kind != CHECKPOINT:
        raise UnsupportedModel(f"{name} is no checkpoint; it looks like: {found.kind}.", hint="Choose another file.")
    family = file.family or found.family
    if family not in FAMILIES or found.variant in ("depth", "unclip"):
        raise UnsupportedModel(
            f"{name} is a model of the family {family} {found.variant}".rstrip() + ", which cannot be run here.",
            hint=f"Choose a checkpoint of {', '.join(FAMILIES)}.",
        )
    if "edm_mean" in file.shapes or "edm_vpred.sigma_max" in file.shapes:
        raise UnsupportedModel(f"{name} was trained with the EDM noise schedule, which cannot be run here.")
    return FAMILIES[family]


def architecture_of(
    file: Weights, family: Family, facts: FileFacts, parts: Sequence[TextPart], needs_vae: bool
) -> Architecture:
    """Everything the modules are built from. Raises BrokenModelFile or UnsupportedModel naming the part at fault."""
    unet = within(file, "U-Net", lambda: unet_shape(below(file.shapes, family.unet_prefix)))
    if unet.in_channels not in (unet.out_channels, 2 * unet.out_channels, 2 * unet.out_channels + 1):
        raise UnsupportedModel(
            f"The U-Net of {file.path.name} reads {unet.in_channels} channels. Known are {unet.out_channels}, "
            f"{2 * unet.out_channels} (instruct-pix2pix) and {2 * unet.out_channels + 1} (inpainting)."
        )
    texts = tuple(_text(part, usual) for part, usual in zip(parts, family.text_encoders, strict=True))
    width = sum(shape.width for shape, _ in texts)
    if width != unet.context_width:
        lenders = sorted({part.file.path.name for part in parts} - {file.path.name})
        raise BrokenModelFile(
            f"{file.path.name}: the U-Net reads text {unet.context_width} wide, its text encoders write {width}.",
            hint=f"Take them from another file than {', '.join(lenders)}."
            if lenders
            else "The file mixes parts of different models.",
        )
    vae_tensors = below(file.shapes, family.vae_prefix)
    if needs_vae and not vae_tensors:
        raise UnsupportedModel(f"{file.path.name} holds no VAE.", hint="Choose a VAE file for it.")
    vae = within(file, "VAE", lambda: vae_shape(vae_tensors)) if needs_vae else None
    return Architecture(
        unet,
        _heads(file, family, facts, unet.channels),
        norm_groups(file, "U-Net", unet.channels, facts.unet_norm_groups, family.norm_groups),
        vae,
        norm_groups(file, "VAE", vae.channels if vae else (), facts.vae_norm_groups, family.norm_groups),
        family.scaling_factor,
        texts,
    )


def within(file: Weights, part: str, read: Callable[[], Made]) -> Made:
    """Run a reader of shapes and say in its errors which file and part they are about."""
    try:
        return read()
    except (BrokenModelFile, UnsupportedModel) as error:
        raise type(error)(f"{part} of {file.path.name}: {error.message}", hint=error.hint) from None


def _text(part: TextPart, usual: TextEncoderFacts) -> tuple[TextShape, TextEncoderFacts]:
    """Shape and facts of one text encoder as its file has it."""
    file, heads = part.file, part.heads
    tensors = below(file.shapes, usual.prefix)
    transformers_names = text_dialect(usual, file.shapes) != "open_clip"
    if transformers_names:
        tensors |= below(tensors, "text_model.")
        shape = within(file, "Text encoder", lambda: clip_shape(tensors))
    else:
        shape = within(file, "Text encoder", lambda: open_clip_shape(tensors))
    if usual.layout == "clip":
        shape = replace(shape, projection=0)  # some files carry one; the family has no use for it
    if heads is None:
        heads = usual.heads if shape.width == usual.width else max(1, shape.width // 64)
    if shape.width % heads:
        raise BrokenModelFile(f"{file.path.name}: a text encoder {shape.width} wide cannot have {heads} heads.")
    if usual.pooled and not shape.projection:
        raise BrokenModelFile(f"{file.path.name} lacks the tensor {usual.prefix}text_projection.")
    # diffusers drops the layer that SD2 never uses and reads the last: so do files made from there, one layer less.
    of_diffusers = transformers_names and usual.layout == "open_clip" and not usual.pooled
    dropped = usual.hidden_layer == -2 and shape.layers == usual.layers - 1 and shape.width == usual.width
    return shape, replace(
        usual,
        width=shape.width,
        layers=shape.layers,
        heads=heads,
        length=shape.length,
        activation=part.activation or usual.activation,
        hidden_layer=-1 if dropped or of_diffusers else usual.hidden_layer,
    )


def _heads(file: Weights, family: Family, facts: FileFacts, channels: tuple[int, ...]) -> tuple[int, ...]:
    heads: tuple[int, ...]
    head_width = facts.unet_head_width or (0 if facts.unet_heads else family.head_width)
    if head_width:
        heads = tuple(max(1, width // head_width) for width in channels)
    elif isinstance(facts.unet_heads, tuple):
        heads = facts.unet_heads
    else:
        heads = (facts.unet_heads or family.heads,) * len(channels)
    if len(heads) != len(channels) or any(width % count for width, count in zip(channels, heads, strict=True)):
        raise BrokenModelFile(f"U-Net of {file.path.name}: {heads} heads do not fit the levels' channels {channels}.")
    return heads


def norm_groups(file: Weights, part: str, channels: tuple[int, ...], said: int | None, usual: int) -> int:
    """Groups of the group norms: what the file says, else what is usual. Raises BrokenModelFile if they do not fit."""
    groups = said or usual
    if any(width % groups for width in channels):
        raise BrokenModelFile(
            f"{part} of {file.path.name}: channels {channels} do not divide into {groups} groups.",
            hint="" if said else "The number of groups is not visible in the tensors; the file's metadata must say it.",
        )
    return groups


def as_in_file(family: Family, architecture: Architecture) -> Family:
    """The family's row with the widths that this file has."""
    texts = architecture.texts
    pooled = next((shape.projection for shape, facts in texts if facts.pooled), 0)
    found = replace(
        family,
        text_encoders=tuple(facts for _, facts in texts),
        context_width=architecture.unet.context_width,
        pooled_width=pooled,
        latent_channels=architecture.unet.out_channels,
        norm_groups=architecture.unet_groups,
        pixels_per_latent=2 ** (len(architecture.vae.channels) - 1) if architecture.vae else family.pixels_per_latent,
    )
    return family if found == family else found
