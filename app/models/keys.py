"""Keys: the original single-file tensor names of each module parameter, and back.

Maps are derived from the modules' own structure, so they hold for any number of levels and layers.
The original names are those of CompVis' LDM, Stability's sgm and OpenCLIP.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from app.models.families import TextEncoderFacts

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
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


def unet_sources(unet: Any, prefix: str = "model.diffusion_model.") -> dict[str, Source]:
    """Source of every parameter of diffusers' UNet2DConditionModel."""
    modules = dict(_unet_modules(unet))
    return {name: Source(prefix + _rename(name, modules)) for name, _ in unet.named_parameters()}


def vae_sources(vae: Any, prefix: str = "first_stage_model.") -> dict[str, Source]:
    """Source of every parameter of diffusers' AutoencoderKL."""
    modules = dict(_vae_modules(vae))
    return {name: Source(prefix + _rename(name, modules)) for name, _ in vae.named_parameters()}


def text_sources(names: Iterable[str], facts: TextEncoderFacts, keys: Container[str] = ()) -> dict[str, Source]:
    """Source of every parameter of a text encoder, named as `TextEncoder.named_parameters` does.

    keys: those of the file at hand, whose dialect is then followed: early SD1 files lack the 'text_model.' that
    transformers added later, and some converters keep transformers' orientation of the projection.
    """
    if facts.layout == "clip":
        old = f"{facts.prefix}embeddings.token_embedding.weight" in keys
        return {name: Source(facts.prefix + (name.removeprefix("text_model.") if old else name)) for name in names}
    sources = {name: _open_clip_source(name, facts.prefix) for name in names}
    if f"{facts.prefix}text_projection.weight" in keys:
        sources["text_projection.weight"] = Source(f"{facts.prefix}text_projection.weight")
    return sources


def _rename(name: str, modules: Mapping[str, str]) -> str:
    head = name
    while head not in modules:
        head, dot, _ = head.rpartition(".")
        if not dot:
            raise KeyError(f"no original name is known for {name}")
    return modules[head] + name[len(head) :]


def _unet_modules(unet: Any) -> Iterator[tuple[str, str]]:
    """diffusers' module name and LDM's; blocks of all levels are numbered through in LDM."""
    yield from (("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"))
    yield from (("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"))
    yield from (("conv_in", "input_blocks.0.0"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"))
    number = 1
    for level, block in enumerate(unet.down_blocks):
        for layer in range(len(block.resnets)):
            yield from _resnet(f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0")
            yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{number}.1"
            number += 1
        if block.downsamplers:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    place = 0
    for layer in range(len(unet.mid_block.resnets)):
        yield from _resnet(f"mid_block.resnets.{layer}", f"middle_block.{place}")
        place += 1
        if layer < len(getattr(unet.mid_block, "attentions", ())):
            yield f"mid_block.attentions.{layer}", f"middle_block.{place}"
            place += 1
    number = 0
    for level, block in enumerate(unet.up_blocks):
        for layer in range(len(block.resnets)):
            yield from _resnet(f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{number}.0")
            yield f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{number}.1"
            number += 1
        if block.upsamplers:
            place = 2 if getattr(block, "attentions", ()) else 1
            yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{number - 1}.{place}.conv"


def _resnet(name: str, original: str) -> Iterator[tuple[str, str]]:
    for part, original_part in _RESNET.items():
        yield f"{name}.{part}", f"{original}.{original_part}"


def _vae_modules(vae: Any) -> Iterator[tuple[str, str]]:
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
    for level, block in enumerate(vae.encoder.down_blocks):
        for layer in range(len(block.resnets)):
            yield from _vae_resnet(
                f"encoder.down_blocks.{level}.resnets.{layer}", f"encoder.down.{level}.block.{layer}"
            )
        yield f"encoder.down_blocks.{level}.downsamplers.0.conv", f"encoder.down.{level}.downsample.conv"
    levels = len(vae.decoder.up_blocks)
    for level, block in enumerate(vae.decoder.up_blocks):
        original = f"decoder.up.{levels - 1 - level}"
        for layer in range(len(block.resnets)):
            yield from _vae_resnet(f"decoder.up_blocks.{level}.resnets.{layer}", f"{original}.block.{layer}")
        yield f"decoder.up_blocks.{level}.upsamplers.0.conv", f"{original}.upsample.conv"


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
