"""Keys: the original single-file tensor names of each module parameter, and back.

Maps are derived from the names alone, a module's or a file's, so they hold for any number of levels and layers.
The original names are those of CompVis' LDM, Stability's sgm and OpenCLIP.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from app.models.families import TextEncoderFacts

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    # As diffusers named them before its version 0.18; many folders still do.
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
_OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_THIRDS = {"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}


class Source(NamedTuple):
    """Where a parameter lies in a file. third: 0, 1, 2 of a tensor that holds query, key and value stacked."""

    key: str
    third: int | None = None
    transposed: bool = False


def names_of(module: Any) -> list[str]:
    """Names of a module's parameters."""
    return [name for name, _ in module.named_parameters()]


def unet_sources(names: Iterable[str], prefix: str = "model.diffusion_model.") -> dict[str, Source]:
    """Source of every parameter of a U-Net that is named as in diffusers. Names that it cannot have are left out."""
    return _sources(names, _unet_modules, prefix)


def vae_sources(names: Iterable[str], prefix: str = "first_stage_model.") -> dict[str, Source]:
    """Source of every parameter of a VAE that is named as in diffusers. Names that it cannot have are left out."""
    return _sources(names, _vae_modules, prefix)


def text_sources(names: Iterable[str], facts: TextEncoderFacts, keys: Container[str] = ()) -> dict[str, Source]:
    """Source of every parameter of a text encoder, named as `TextEncoder.named_parameters` does.

    keys: those of the file at hand, whose dialect is then followed: early SD1 files lack the 'text_model.' that
    transformers added later, files from diffusers name OpenCLIP's encoders as transformers does, and some converters
    keep transformers' orientation of the projection.
    """
    dialect = text_dialect(facts, keys)
    if dialect == "old clip":
        return {name: Source(facts.prefix + name.removeprefix("text_model.")) for name in names}
    if dialect == "clip":
        return {name: Source(facts.prefix + name) for name in names}
    sources = {name: _open_clip_source(name, facts.prefix) for name in names}
    if f"{facts.prefix}text_projection.weight" in keys:
        sources["text_projection.weight"] = Source(f"{facts.prefix}text_projection.weight")
    return sources


def text_dialect(facts: TextEncoderFacts, keys: Container[str]) -> Literal["clip", "old clip", "open_clip"]:
    """How a file names an encoder: as transformers does, as it did once, or as OpenCLIP; else as is usual."""
    if f"{facts.prefix}embeddings.token_embedding.weight" in keys:
        return "old clip"
    if f"{facts.prefix}text_model.embeddings.token_embedding.weight" in keys:
        return "clip"
    return facts.layout


class _Tree:
    """Which modules there are, told from the names of their parameters."""

    def __init__(self, names: Iterable[str]) -> None:
        self._modules: set[str] = set()
        for name in names:
            while "." in name:
                name = name.rpartition(".")[0]
                if name in self._modules:
                    break
                self._modules.add(name)

    def has(self, name: str) -> bool:
        return name in self._modules

    def count(self, name: str) -> int:
        """Length of a list of modules."""
        number = 0
        while f"{name}.{number}" in self._modules:
            number += 1
        return number


def _sources(
    names: Iterable[str], modules_of: Callable[[_Tree], Iterator[tuple[str, str]]], prefix: str
) -> dict[str, Source]:
    names = list(names)
    modules = dict(modules_of(_Tree(names)))
    sources = {}
    for name in names:
        head = name
        while head and head not in modules:
            head = head.rpartition(".")[0]
        if head:
            sources[name] = Source(prefix + modules[head] + name[len(head) :])
    return sources


def _unet_modules(tree: _Tree) -> Iterator[tuple[str, str]]:
    """diffusers' module name and LDM's; blocks of all levels are numbered through in LDM."""
    yield from (("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"))
    # LCM's input for the guidance scale has no name in the original layout: diffusers' own is kept there.
    yield "time_embedding.cond_proj", "time_embed.cond_proj"
    yield from (("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"))
    yield from (("conv_in", "input_blocks.0.0"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"))
    number = 1
    for level in range(tree.count("down_blocks")):
        block = f"down_blocks.{level}"
        for layer in range(tree.count(f"{block}.resnets")):
            yield from _resnet(f"{block}.resnets.{layer}", f"input_blocks.{number}.0")
            yield f"{block}.attentions.{layer}", f"input_blocks.{number}.1"
            number += 1
        if tree.has(f"{block}.downsamplers"):
            yield f"{block}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    place = 0
    for layer in range(tree.count("mid_block.resnets")):
        yield from _resnet(f"mid_block.resnets.{layer}", f"middle_block.{place}")
        place += 1
        if tree.has(f"mid_block.attentions.{layer}"):
            yield f"mid_block.attentions.{layer}", f"middle_block.{place}"
            place += 1
    number = 0
    for level in range(tree.count("up_blocks")):
        block = f"up_blocks.{level}"
        for layer in range(tree.count(f"{block}.resnets")):
            yield from _resnet(f"{block}.resnets.{layer}", f"output_blocks.{number}.0")
            yield f"{block}.attentions.{layer}", f"output_blocks.{number}.1"
            number += 1
        if tree.has(f"{block}.upsamplers"):
            place = 2 if tree.has(f"{block}.attentions") else 1
            yield f"{block}.upsamplers.0.conv", f"output_blocks.{number - 1}.{place}.conv"


def _resnet(name: str, original: str) -> Iterator[tuple[str, str]]:
    for part, original_part in _RESNET.items():
        yield f"{name}.{part}", f"{original}.{original_part}"


def _vae_modules(tree: _Tree) -> Iterator[tuple[str, str]]:
    """diffusers' module name and LDM's; LDM numbers the decoder's levels from the finest, diffusers backwards."""
    yield from (("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv"))
    for half in ("encoder", "decoder"):
        yield f"{half}.conv_in", f"{half}.conv_in"
        yield f"{half}.conv_norm_out", f"{half}.norm_out"
        yield f"{half}.conv_out", f"{half}.conv_out"
        yield from _vae_resnet(f"{half}.mid_block.resnets.0", f"{half}.mid.block_1")
        yield from _vae_resnet(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2")
        for part, original in _VAE_ATTENTION.items():
            yield f"{half}.mid_block.attentions.0.{part}", f"{half}.mid.attn_1.{original}"
    levels = tree.count("encoder.down_blocks")
    for level in range(levels):
        block = f"encoder.down_blocks.{level}"
        for layer in range(tree.count(f"{block}.resnets")):
            yield from _vae_resnet(f"{block}.resnets.{layer}", f"encoder.down.{level}.block.{layer}")
        yield f"{block}.downsamplers.0.conv", f"encoder.down.{level}.downsample.conv"
    levels = tree.count("decoder.up_blocks")
    for level in range(levels):
        block, original = f"decoder.up_blocks.{level}", f"decoder.up.{levels - 1 - level}"
        for layer in range(tree.count(f"{block}.resnets")):
            yield from _vae_resnet(f"{block}.resnets.{layer}", f"{original}.block.{layer}")
        yield f"{block}.upsamplers.0.conv", f"{original}.upsample.conv"


def _vae_resnet(name: str, original: str) -> Iterator[tuple[str, str]]:
    yield name, original
    yield f"{name}.conv_shortcut", f"{original}.nin_shortcut"


def _open_clip_source(name: str, prefix: str) -> Source:
    """OpenCLIP stacks query, key and value into one tensor, and multiplies by its projection from the right."""
    if name == "text_projection.weight":
        return Source(prefix + "text_projection", transposed=True)
    name = name.removeprefix("text_model.")
    plain = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    if name in plain:
        return Source(prefix + plain[name])
    _, _, layer, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    block = f"{prefix}transformer.resblocks.{layer}."
    if part in _THIRDS:
        return Source(f"{block}attn.in_proj_{kind}", third=_THIRDS[part])
    return Source(f"{block}{_OPEN_CLIP_LAYER[part]}.{kind}")
