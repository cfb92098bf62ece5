"""Tiny checkpoints with every tensor name of the original single-file layouts, for tests.

`write_tiny_checkpoint(path, family="SD1", seed=0, **widths)` is all a test needs. The names here are written down
from the layouts themselves and share nothing with `app.models.keys`, so that the two check each other.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

VOCABULARY = 49408
# The buffers of LDM's schedule in the order of its program; a file of SD1 or SD2 has all of them.
SCHEDULE = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
)  # fmt: skip
LENGTH = 77


@dataclass(frozen=True)
class Layout:
    """Widths of one tiny checkpoint. depths: transformer blocks per level of the U-Net, 0 for none.

    up_depths: of each block on the way up, coarsest level first, where they differ from the way down (SSD-1B).
    middle_depth: None for a middle of one residual block; middle: False for none.
    guidance_width: of LCM's extra input. second_*: of SDXL's OpenCLIP encoder, None: as the first.
    schedule: with the tables of the noise schedule that LDM keeps beside the weights.
    heads, groups: go into the file's metadata as 'easel.config' with `metadata=True`.
    """

    family: str = "SD1"
    channels: tuple[int, ...] = (32, 32, 64, 64)
    depths: tuple[int, ...] = (1, 1, 1, 0)
    middle_depth: int | None = 1
    up_depths: tuple[tuple[int, ...], ...] | None = None
    middle: bool = True
    layers: int = 2
    in_channels: int = 4
    linear: bool = False
    text_width: int = 32
    text_layers: int = 2
    second_width: int | None = None
    second_layers: int | None = None
    vocabulary: int = VOCABULARY
    vae_channels: tuple[int, ...] = (32, 32, 32, 32)
    vae_layers: int = 1
    heads: int | None = None
    groups: int | None = None
    text_heads: int | None = None
    size_numbers: int = 0
    guidance_width: int = 0
    schedule: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def context_width(self) -> int:
        """SDXL joins two text encoders; the others have one."""
        return self.text_width + self.open_clip_width if self.family == "SDXL" else self.text_width

    @property
    def open_clip_width(self) -> int:
        """Width of the OpenCLIP encoder where there is one."""
        return self.second_width or self.text_width

    @property
    def label_width(self) -> int:
        """Pooled vector and 256 sines and cosines for each size number; 0 where the family has neither."""
        return self.open_clip_width + 256 * self.size_numbers if self.size_numbers else 0


LAYOUTS = {
    "SD1": Layout(),
    "SD2": Layout("SD2", channels=(64, 64, 128, 128), linear=True),
    "SDXL": Layout("SDXL", channels=(64, 64, 128), depths=(0, 1, 2), middle_depth=2, linear=True, size_numbers=6),
    "SDXL refiner": Layout(
        "SDXL refiner", channels=(64, 64, 64, 128), depths=(0, 1, 1, 0), linear=True, size_numbers=5
    ),
}


def write_tiny_checkpoint(
    path: str | Path,
    family: str = "SD1",
    seed: int = 0,
    *,
    dtype: torch.dtype = torch.float16,
    metadata: dict[str, str] | None = None,
    markers: Sequence[str] = (),
    without: Sequence[str] = (),
    **widths: Any,
) -> Path:
    """Write a random checkpoint of about 10 MB and return its path.

    widths: any field of `Layout`. heads, groups and text_heads are written to the metadata when they are given.
    markers: empty tensors such as 'v_pred'. without: prefixes of tensors to leave out.
    """
    layout = tiny_layout(family, **widths)
    weights = original_weights(layout, seed)
    kept = {name: make for name, make in weights.makers.items() if not name.startswith(tuple(without))}
    for marker in markers:
        weights.shapes[marker] = (0,)
        kept[marker] = lambda: torch.zeros(0)
    shapes = {name: weights.shapes[name] for name in kept}
    write_safetensors(path, shapes, kept, dtype, {"format": "pt", **_config(layout), **(metadata or {})})
    return Path(path)


def write_safetensors(
    path: str | Path,
    shapes: Mapping[str, tuple[int, ...]],
    makers: Mapping[str, Callable[[], Tensor]],
    dtype: torch.dtype,
    metadata: Mapping[str, str],
) -> None:
    """Write tensors one by one, so that full-size files need no memory; 'position_ids' stay whole numbers."""
    word = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3"}[dtype]
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in sorted(makers, key=lambda name: (not name.endswith("position_ids"), name)):
        whole = name.endswith("position_ids")
        begin, end = end, end + math.prod(shapes[name]) * (8 if whole else dtype.itemsize)
        header[name] = {"dtype": "I64" if whole else word, "shape": list(shapes[name]), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with Path(path).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in list(header)[1:]:
            tensor = makers[name]()
            tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
            file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def tiny_layout(family: str = "SD1", **widths: Any) -> Layout:
    """The layout that `write_tiny_checkpoint` uses for these arguments."""
    return Layout(**{**LAYOUTS[family].__dict__, **widths})


def original_tensors(layout: Layout, seed: int = 0) -> dict[str, Tensor]:
    """Every tensor of the file, float32 (`position_ids` excepted)."""
    return {name: make() for name, make in original_weights(layout, seed).makers.items()}


def original_weights(layout: Layout, seed: int = 0) -> Weights:
    """Names and shapes of every tensor of the file, and what makes each one."""
    weights = Weights(seed)
    for name in SCHEDULE if layout.schedule else ():
        weights.random(name, 1000, scale=1.0)
    _unet(weights, layout, "model.diffusion_model.")
    _vae(weights, layout, "first_stage_model.")
    if layout.family == "SD1":
        _clip(weights, layout, "cond_stage_model.transformer.text_model.")
    elif layout.family == "SD2":
        _open_clip(weights, layout, "cond_stage_model.model.")
    elif layout.family == "SDXL":
        _clip(weights, layout, "conditioner.embedders.0.transformer.text_model.")
        _open_clip(weights, layout, "conditioner.embedders.1.model.")
    else:
        _open_clip(weights, layout, "conditioner.embedders.0.model.")
    return weights


def _config(layout: Layout) -> dict[str, str]:
    config: dict[str, Any] = dict(layout.extra)
    if layout.heads is not None:
        config.setdefault("unet", {})["num_attention_heads"] = layout.heads
    if layout.groups is not None:
        config.setdefault("unet", {})["norm_num_groups"] = layout.groups
        config.setdefault("vae", {})["norm_num_groups"] = layout.groups
    if layout.text_heads is not None:
        config["text"] = {"num_attention_heads": layout.text_heads}
    return {"easel.config": json.dumps(config)} if config else {}


class Weights:
    """Random tensors by name, made when asked for, scaled so that activations keep their size through the network."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.makers: dict[str, Callable[[], Tensor]] = {}

    def random(self, name: str, *shape: int, scale: float, mean: float = 0.0) -> None:
        def make() -> Tensor:
            generator = torch.Generator().manual_seed((zlib.crc32(name.encode()) + 7919 * self.seed) % 2**32)
            return torch.randn(shape, generator=generator).mul_(scale).add_(mean)

        self.put(name, shape, make)

    def put(self, name: str, shape: tuple[int, ...], make: Callable[[], Tensor]) -> None:
        self.shapes[name], self.makers[name] = shape, make

    def linear(self, name: str, inward: int, outward: int, bias: bool = True) -> None:
        self.random(f"{name}.weight", outward, inward, scale=1 / math.sqrt(inward))
        if bias:
            self.random(f"{name}.bias", outward, scale=0.05)

    def convolution(self, name: str, inward: int, outward: int, side: int) -> None:
        self.random(f"{name}.weight", outward, inward, side, side, scale=1 / math.sqrt(inward * side * side))
        self.random(f"{name}.bias", outward, scale=0.05)

    def norm(self, name: str, width: int) -> None:
        self.random(f"{name}.weight", width, scale=0.1, mean=1.0)
        self.random(f"{name}.bias", width, scale=0.1)


def _unet(weights: Weights, layout: Layout, prefix: str) -> None:
    first, time = layout.channels[0], 4 * layout.channels[0]

    def resnet(name: str, inward: int, outward: int) -> None:
        weights.norm(f"{name}.in_layers.0", inward)
        weights.convolution(f"{name}.in_layers.2", inward, outward, 3)
        weights.linear(f"{name}.emb_layers.1", time, outward)
        weights.norm(f"{name}.out_layers.0", outward)
        weights.convolution(f"{name}.out_layers.3", outward, outward, 3)
        if inward != outward:
            weights.convolution(f"{name}.skip_connection", inward, outward, 1)

    def transformer(name: str, width: int, depth: int) -> None:
        def projection(part: str) -> None:
            if layout.linear:
                weights.linear(f"{name}.{part}", width, width)
            else:
                weights.convolution(f"{name}.{part}", width, width, 1)

        weights.norm(f"{name}.norm", width)
        projection("proj_in")
        for number in range(depth):
            block = f"{name}.transformer_blocks.{number}"
            for attention, context in (("attn1", width), ("attn2", layout.context_width)):
                weights.linear(f"{block}.{attention}.to_q", width, width, bias=False)
                weights.linear(f"{block}.{attention}.to_k", context, width, bias=False)
                weights.linear(f"{block}.{attention}.to_v", context, width, bias=False)
                weights.linear(f"{block}.{attention}.to_out.0", width, width)
            weights.linear(f"{block}.ff.net.0.proj", width, 8 * width)
            weights.linear(f"{block}.ff.net.2", 4 * width, width)
            for norm in (1, 2, 3):
                weights.norm(f"{block}.norm{norm}", width)
        projection("proj_out")

    weights.linear(f"{prefix}time_embed.0", first, time)
    weights.linear(f"{prefix}time_embed.2", time, time)
    if layout.guidance_width:
        weights.linear(f"{prefix}time_embed.cond_proj", layout.guidance_width, first, bias=False)
    if layout.label_width:
        weights.linear(f"{prefix}label_emb.0.0", layout.label_width, time)
        weights.linear(f"{prefix}label_emb.0.2", time, time)
    up_depths = layout.up_depths or tuple((depth,) * (layout.layers + 1) for depth in reversed(layout.depths))
    weights.convolution(f"{prefix}input_blocks.0.0", layout.in_channels, first, 3)
    number, width, skips = 1, first, [first]
    for level, channels in enumerate(layout.channels):
        for _ in range(layout.layers):
            resnet(f"{prefix}input_blocks.{number}.0", width, channels)
            width = channels
            if layout.depths[level]:
                transformer(f"{prefix}input_blocks.{number}.1", width, layout.depths[level])
            skips.append(width)
            number += 1
        if level < len(layout.channels) - 1:
            weights.convolution(f"{prefix}input_blocks.{number}.0.op", width, width, 3)
            skips.append(width)
            number += 1
    if layout.middle:
        resnet(f"{prefix}middle_block.0", width, width)
    if layout.middle and layout.middle_depth is not None:
        transformer(f"{prefix}middle_block.1", width, layout.middle_depth)
        resnet(f"{prefix}middle_block.2", width, width)
    number = 0
    for level, channels in reversed(list(enumerate(layout.channels))):
        for layer, depth in enumerate(up_depths[len(layout.channels) - 1 - level]):
            resnet(f"{prefix}output_blocks.{number}.0", width + skips.pop(), channels)
            width, place = channels, 1
            if depth:
                transformer(f"{prefix}output_blocks.{number}.1", width, depth)
                place = 2
            if level and layer == layout.layers:
                weights.convolution(f"{prefix}output_blocks.{number}.{place}.conv", width, width, 3)
            number += 1
    weights.norm(f"{prefix}out.0", first)
    weights.convolution(f"{prefix}out.2", first, 4, 3)


def _vae(weights: Weights, layout: Layout, prefix: str) -> None:
    channels = layout.vae_channels

    def resnet(name: str, inward: int, outward: int) -> None:
        weights.norm(f"{name}.norm1", inward)
        weights.convolution(f"{name}.conv1", inward, outward, 3)
        weights.norm(f"{name}.norm2", outward)
        weights.convolution(f"{name}.conv2", outward, outward, 3)
        if inward != outward:
            weights.convolution(f"{name}.nin_shortcut", inward, outward, 1)

    def middle(name: str, width: int) -> None:
        resnet(f"{name}.block_1", width, width)
        weights.norm(f"{name}.attn_1.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            weights.convolution(f"{name}.attn_1.{part}", width, width, 1)
        resnet(f"{name}.block_2", width, width)

    encoder, decoder = f"{prefix}encoder", f"{prefix}decoder"
    weights.convolution(f"{encoder}.conv_in", 3, channels[0], 3)
    width = channels[0]
    for level, outward in enumerate(channels):
        for layer in range(layout.vae_layers):
            resnet(f"{encoder}.down.{level}.block.{layer}", width, outward)
            width = outward
        if level < len(channels) - 1:
            weights.convolution(f"{encoder}.down.{level}.downsample.conv", width, width, 3)
    middle(f"{encoder}.mid", width)
    weights.norm(f"{encoder}.norm_out", width)
    weights.convolution(f"{encoder}.conv_out", width, 8, 3)
    weights.convolution(f"{prefix}quant_conv", 8, 8, 1)
    weights.convolution(f"{prefix}post_quant_conv", 4, 4, 1)
    weights.convolution(f"{decoder}.conv_in", 4, width, 3)
    middle(f"{decoder}.mid", width)
    for level, outward in reversed(list(enumerate(channels))):
        for layer in range(layout.vae_layers + 1):
            resnet(f"{decoder}.up.{level}.block.{layer}", width, outward)
            width = outward
        if level:
            weights.convolution(f"{decoder}.up.{level}.upsample.conv", width, width, 3)
    weights.norm(f"{decoder}.norm_out", width)
    weights.convolution(f"{decoder}.conv_out", width, 3, 3)


def _clip(weights: Weights, layout: Layout, prefix: str) -> None:
    width = layout.text_width
    weights.random(f"{prefix}embeddings.token_embedding.weight", layout.vocabulary, width, scale=0.5)
    weights.random(f"{prefix}embeddings.position_embedding.weight", LENGTH, width, scale=0.2)
    weights.put(f"{prefix}embeddings.position_ids", (1, LENGTH), lambda: torch.arange(LENGTH)[None])
    for number in range(layout.text_layers):
        layer = f"{prefix}encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            weights.linear(f"{layer}.self_attn.{part}", width, width)
        weights.linear(f"{layer}.mlp.fc1", width, 4 * width)
        weights.linear(f"{layer}.mlp.fc2", 4 * width, width)
        weights.norm(f"{layer}.layer_norm1", width)
        weights.norm(f"{layer}.layer_norm2", width)
    weights.norm(f"{prefix}final_layer_norm", width)


def _open_clip(weights: Weights, layout: Layout, prefix: str) -> None:
    width = layout.open_clip_width
    weights.random(f"{prefix}token_embedding.weight", layout.vocabulary, width, scale=0.5)
    weights.random(f"{prefix}positional_embedding", LENGTH, width, scale=0.2)
    for number in range(layout.second_layers or layout.text_layers):
        layer = f"{prefix}transformer.resblocks.{number}"
        weights.random(f"{layer}.attn.in_proj_weight", 3 * width, width, scale=1 / math.sqrt(width))
        weights.random(f"{layer}.attn.in_proj_bias", 3 * width, scale=0.05)
        weights.linear(f"{layer}.attn.out_proj", width, width)
        weights.linear(f"{layer}.mlp.c_fc", width, 4 * width)
        weights.linear(f"{layer}.mlp.c_proj", 4 * width, width)
        weights.norm(f"{layer}.ln_1", width)
        weights.norm(f"{layer}.ln_2", width)
    weights.norm(f"{prefix}ln_final", width)
    weights.random(f"{prefix}text_projection", width, width, scale=1 / math.sqrt(width))
    weights.put(f"{prefix}logit_scale", (), lambda: torch.tensor(4.6052))
