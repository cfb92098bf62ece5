"""Shapes: the architecture of U-Net, VAE and text encoders, read from names and shapes alone.

Works on the original single-file names without their prefix. What shapes cannot say (group counts, heads) is
not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.schema.errors import BrokenModelFile, UnsupportedModel

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class UNetShape:
    """Architecture of a U-Net.

    channels: of each level, finest first. down_depths: transformer blocks after each residual block, per level;
    up_depths: the same for the way up, coarsest level first, one block more per level. middle_depth: None when
    the middle is a single residual block; middle: False when there is none at all. label_width: of the extra vector
    added to the time embedding, guidance_width: of the guidance scale's (LCM); 0: none.
    """

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    down_depths: tuple[tuple[int, ...], ...]
    middle_depth: int | None
    up_depths: tuple[tuple[int, ...], ...]
    context_width: int
    linear_projection: bool
    label_width: int
    middle: bool = True
    guidance_width: int = 0


@dataclass(frozen=True)
class VaeShape:
    """Architecture of a VAE. channels: of each level, finest first. layers: residual blocks per encoder level."""

    channels: tuple[int, ...]
    layers: int
    latent_channels: int
    middle_attention: bool
    quant_conv: bool
    post_quant_conv: bool


@dataclass(frozen=True)
class TextShape:
    """Architecture of a text encoder. projection: width of the pooled vector, 0: the file has no projection."""

    width: int
    layers: int
    feed_forward: int
    vocabulary: int
    length: int
    projection: int


def below(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    """The tensors whose names begin with the prefix, without it."""
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def unet_shape(shapes: Shapes) -> UNetShape:
    """Architecture of a U-Net from names such as 'input_blocks.1.0.in_layers.2.weight'.

    Raises BrokenModelFile naming the first tensor that is missing, UnsupportedModel for a layout that is none of
    Stable Diffusion's.
    """
    first = _need(shapes, "input_blocks.0.0.weight", 4)
    time = _need(shapes, "time_embed.0.weight", 2)
    if time != (4 * first[0], first[0]):
        raise UnsupportedModel(f"The U-Net's time_embed.0.weight is {list(time)}; {[4 * first[0], first[0]]} is known.")
    channels: list[int] = []
    down: list[tuple[int, ...]] = []
    level: list[int] = []
    for number in range(1, _blocks(shapes, "input_blocks")):
        block = f"input_blocks.{number}"
        if f"{block}.0.op.weight" in shapes:
            down.append(tuple(level))
            level = []
            continue
        width = _need(shapes, f"{block}.0.in_layers.2.weight", 4)[0]
        if not level:
            channels.append(width)
        elif width != channels[-1]:
            raise UnsupportedModel(f"The U-Net changes its width within a level, at {block}.")
        level.append(_depth(shapes, f"{block}.1"))
    down.append(tuple(level))
    up: list[tuple[int, ...]] = []
    level = []
    for number in range(_blocks(shapes, "output_blocks")):
        block = f"output_blocks.{number}"
        _need(shapes, f"{block}.0.in_layers.2.weight", 4)
        level.append(_depth(shapes, f"{block}.1"))
        if f"{block}.1.conv.weight" in shapes or f"{block}.2.conv.weight" in shapes:
            up.append(tuple(level))
            level = []
    up.append(tuple(level))
    if not channels or len(up) != len(down) or [len(u) - 1 for u in up] != [len(d) for d in reversed(down)]:
        raise UnsupportedModel(f"The U-Net's way down {down} and its way up {up} do not belong together.")
    for depths in (*down, *up):
        if 0 in depths and any(depths):
            raise UnsupportedModel(f"The U-Net has attention in some blocks of a level only: {depths}.")
    readers = [name for name in shapes if name.endswith("attn2.to_k.weight")]
    if not readers:
        raise UnsupportedModel("The U-Net has no cross-attention, so it cannot follow a prompt.")
    projection = next((len(shape) for name, shape in shapes.items() if name.endswith(".proj_in.weight")), 0)
    if projection not in (2, 4):
        raise BrokenModelFile("The U-Net has no usable tensor named *.proj_in.weight.")
    middle_depth, last = _middle(shapes), down[-1][0] if down[-1] else 0
    if middle_depth == 0 or (last and middle_depth not in (None, last)):
        raise UnsupportedModel(
            f"It has {middle_depth} transformer blocks in its middle and {last} in the level before: an unknown layout."
        )
    return UNetShape(
        in_channels=first[1],
        out_channels=_need(shapes, "out.2.weight", 4)[0],
        channels=tuple(channels),
        down_depths=tuple(down),
        middle_depth=middle_depth,
        up_depths=tuple(up),
        context_width=_need(shapes, readers[0], 2)[1],
        linear_projection=projection == 2,
        label_width=_width(shapes, "label_emb.0.0.weight"),
        middle=any(name.startswith("middle_block.") for name in shapes),
        guidance_width=_width(shapes, "time_embed.cond_proj.weight"),
    )


def vae_shape(shapes: Shapes) -> VaeShape:
    """Architecture of a VAE from names such as 'encoder.down.0.block.0.conv1.weight'. Raises BrokenModelFile."""
    channels: list[int] = []
    while f"encoder.down.{len(channels)}.block.0.conv1.weight" in shapes:
        channels.append(_need(shapes, f"encoder.down.{len(channels)}.block.0.conv1.weight", 4)[0])
    if not channels:
        raise BrokenModelFile("The VAE lacks the tensor encoder.down.0.block.0.conv1.weight.")
    layers = 0
    while f"encoder.down.0.block.{layers}.conv1.weight" in shapes:
        layers += 1
    return VaeShape(
        channels=tuple(channels),
        layers=layers,
        latent_channels=_need(shapes, "decoder.conv_in.weight", 4)[1],
        middle_attention="decoder.mid.attn_1.q.weight" in shapes,
        quant_conv="quant_conv.weight" in shapes,
        post_quant_conv="post_quant_conv.weight" in shapes,
    )


def clip_shape(shapes: Shapes) -> TextShape:
    """Architecture of a text encoder with transformers' names ('embeddings.token_embedding.weight').

    A 'text_model.' before them is not expected; 'text_projection.weight' is where there is a projection.
    """
    layers = 0
    while f"encoder.layers.{layers}.mlp.fc1.weight" in shapes:
        layers += 1
    feed_forward = _need(shapes, "encoder.layers.0.mlp.fc1.weight", 2)[0]
    vocabulary, width = _need(shapes, "embeddings.token_embedding.weight", 2)
    length = _need(shapes, "embeddings.position_embedding.weight", 2)[0]
    projection = _need(shapes, "text_projection.weight", 2)[0] if "text_projection.weight" in shapes else 0
    return TextShape(width, layers, feed_forward, vocabulary, length, projection)


def open_clip_shape(shapes: Shapes) -> TextShape:
    """Architecture of a text encoder with OpenCLIP's names ('transformer.resblocks.0.mlp.c_fc.weight')."""
    layers = 0
    while f"transformer.resblocks.{layers}.mlp.c_fc.weight" in shapes:
        layers += 1
    feed_forward = _need(shapes, "transformer.resblocks.0.mlp.c_fc.weight", 2)[0]
    vocabulary, width = _need(shapes, "token_embedding.weight", 2)
    length = _need(shapes, "positional_embedding", 2)[0]
    projection = 0
    if "text_projection" in shapes:
        projection = _need(shapes, "text_projection", 2)[1]
    elif "text_projection.weight" in shapes:
        projection = _need(shapes, "text_projection.weight", 2)[0]
    return TextShape(width, layers, feed_forward, vocabulary, length, projection)


def _need(shapes: Shapes, name: str, dimensions: int) -> tuple[int, ...]:
    if name not in shapes:
        raise BrokenModelFile(f"The tensor {name} is missing.")
    if len(shapes[name]) != dimensions:
        raise BrokenModelFile(
            f"The tensor {name} has shape {list(shapes[name])}; {dimensions} dimensions are expected."
        )
    return shapes[name]


def _width(shapes: Shapes, name: str) -> int:
    """How wide the input of an optional linear layer is; 0 when the layer is not there."""
    return _need(shapes, name, 2)[1] if name in shapes else 0


def _blocks(shapes: Shapes, list_name: str) -> int:
    """How many entries 'input_blocks' or 'output_blocks' has; a gap in between is found by the caller."""
    numbers = [name.split(".")[1] for name in shapes if name.startswith(list_name + ".")]
    return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1


def _depth(shapes: Shapes, block: str) -> int:
    depth = 0
    while f"{block}.transformer_blocks.{depth}.norm1.weight" in shapes:
        depth += 1
    return depth


def _middle(shapes: Shapes) -> int | None:
    if not any(name.startswith("middle_block.") for name in shapes):
        return None
    _need(shapes, "middle_block.0.in_layers.2.weight", 4)
    if "middle_block.1.norm.weight" in shapes:
        return _depth(shapes, "middle_block.1")
    return 0 if "middle_block.1.in_layers.2.weight" in shapes else None
