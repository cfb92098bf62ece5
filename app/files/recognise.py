"""Recognise: kind and family of a model file, from names, shapes and metadata alone.

The order of the tests is A1111's (a1111-facts 6.6). Knows no weights, no folders and no file names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from app.files.folders import (
    CHECKPOINT,
    CONTROLNET,
    EMBEDDING,
    FACE_RESTORER,
    HYPERNETWORK,
    LORA,
    UPSCALER,
    VAE,
    VAE_APPROXIMATION,
)
from app.files.prediction import MODELSPEC_KEYS, V_MARKER, prediction_word

# Raised whenever an answer of this file may change, so that remembered answers are asked for again.
RECOGNITION_VERSION = 8

SD1 = "SD1"
SD2 = "SD2"
SDXL = "SDXL"
SDXL_REFINER = "SDXL refiner"
SD3 = "SD3"
FLUX = "Flux"
UNKNOWN = "unknown"
UNET = "unet"
TEXT_ENCODER = "text encoder"

_UNET_PREFIX = "model.diffusion_model."
# A trainer's averaged weights, whose names have lost their dots; in some files they are the only ones.
_AVERAGED = "model_ema.diffusion_model"
_FAMILY_OF_WIDTH = {768: SD1, 1024: SD2, 2048: SDXL, 1280: SDXL_REFINER}


class Shaped(Protocol):
    """Anything with a shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its dimensions."""
        ...


class Recognised(NamedTuple):
    """What a file holds.

    kind: a kind of `folders`, or 'unet', 'text encoder', 'unknown'. family: as named in `app.models.families`, "" when
    nothing tells. variant: 'inpaint' (9 channels), 'pix2pix' (8), 'depth', 'unclip', 'SSD-1B'; of a VAE 'taesd' or
    'taesd encoder'; of a text encoder 'CLIP-L', 'OpenCLIP-H', 'OpenCLIP-G' or 'T5'; of a face restorer 'GFPGAN',
    'GFPGAN 1.0' (with layers that only its own program has) or 'CodeFormer'; else "".
    prediction: 'epsilon', 'v' or "" (not knowable from names and metadata). parts: of a checkpoint or U-Net, those
    that are inside ('unet', 'vae', 'text encoder', 'ema').
    """

    kind: str
    family: str = ""
    variant: str = ""
    prediction: str = ""
    parts: tuple[str, ...] = ()


Tensors = Mapping[str, Shaped]


def recognise(tensors: Tensors, metadata: Mapping[str, str]) -> Recognised:
    """What names, shapes and metadata tell; kind 'unknown' when they tell nothing. Never raises."""
    lora = _is_lora(tensors)  # some name their layers as checkpoints do
    first = ("input_blocks.0.0.weight", f"{_UNET_PREFIX}input_blocks.0.0.weight", "unet.conv_in.weight")
    if any(name in tensors for name in first) or (_any(tensors, _UNET_PREFIX, _AVERAGED) and not lora):
        return _checkpoint(tensors, metadata)
    if lora:
        return Recognised(LORA, _lora_family(tensors, metadata))
    for test in (_control, _vae, _diffusers_unet, _text_encoder, _hypernetwork, _embedding, _upscaler, _face_restorer):
        found = test(tensors)
        if found is not None:
            return found
    return Recognised(UNKNOWN)


def _any(names: Iterable[str], *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in names)


def _size(tensors: Tensors, name: str, dimension: int) -> int:
    """One size of a tensor, or 0 when it is not there."""
    tensor = tensors.get(name)
    return tensor.shape[dimension] if tensor is not None and len(tensor.shape) > dimension else 0


def _checkpoint(tensors: Tensors, metadata: Mapping[str, str]) -> Recognised:
    prefix = _UNET_PREFIX if _any(tensors, _UNET_PREFIX) else ""
    firsts = (f"{prefix}input_blocks.0.0.weight", "unet.conv_in.weight", f"{_AVERAGED}input_blocks00weight")
    channels = next(filter(None, (_size(tensors, name, 1) for name in firsts)), 0)
    family, variant = _checkpoint_family(tensors, prefix)
    if not variant and channels == 9:
        variant = "inpaint"
    elif not variant and channels == 8:
        variant = "pix2pix"
    parts = tuple(
        part
        for part, prefixes in (
            ("unet", (f"{prefix}input_blocks.", f"{prefix}x_embedder.", f"{prefix}double_blocks.", "unet.")),
            ("vae", ("first_stage_model.", "vae.")),
            ("text encoder", ("cond_stage_model.", "conditioner.embedders.", "text_encoder")),
            ("ema", ("model_ema.",)),
        )
        if _any(tensors, *prefixes)
    )
    return Recognised(CHECKPOINT, family, variant, _prediction(tensors, metadata), parts)


def _checkpoint_family(tensors: Tensors, prefix: str) -> tuple[str, str]:
    if _any(tensors, f"{prefix}double_blocks."):
        return FLUX, ""
    if f"{prefix}x_embedder.proj.weight" in tensors:
        return SD3, ""
    width = _context_width(tensors, prefix)
    if "conditioner.embedders.1.model.ln_final.weight" in tensors or width == 2048:
        small = not _any(tensors, f"{prefix}middle_block.1.transformer_blocks.")
        return SDXL, "SSD-1B" if small and _any(tensors, f"{prefix}middle_block.") else ""
    if "conditioner.embedders.0.model.ln_final.weight" in tensors:
        if _size(tensors, "conditioner.embedders.0.model.ln_final.weight", 0) == 1024:
            return SD2, ""
        return SDXL_REFINER, ""
    if "depth_model.model.pretrained.act_postprocess3.0.project.0.bias" in tensors:
        return SD2, "depth"
    if "embedder.model.ln_final.weight" in tensors:
        return SD2, "unclip"
    if "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight" in tensors:
        return SD2, ""
    if _any(tensors, "cond_stage_model.roberta."):
        return "AltDiffusion", ""
    if not _any(tensors, "cond_stage_model.") and width in _FAMILY_OF_WIDTH:
        return _FAMILY_OF_WIDTH[width], ""
    return SD1, ""


def _context_width(tensors: Tensors, prefix: str) -> int:
    """Width of the text that cross-attention reads: 768 SD1, 1024 SD2, 2048 SDXL, 1280 refiner; 0 when not found."""
    for name in tensors:
        plain = name.startswith((prefix, "unet.")) and name.endswith(".attn2.to_k.weight")
        if plain or (name.startswith(_AVERAGED) and name.endswith("attn2to_kweight")):
            return _size(tensors, name, 1)
    return 0


def _prediction(tensors: Tensors, metadata: Mapping[str, str]) -> str:
    said = (prediction_word(metadata.get(key, "")) for key in MODELSPEC_KEYS)
    return next(filter(None, said), "v" if V_MARKER in tensors else "")


_LORA_PARTS = re.compile(
    r"[._]lora(_linear_layer)?\.(up|down)\.weight$|"
    r"\.(lora_(up|down|mid)\.weight|lora_[AB]\.(default\.)?weight|hada_w[12]_[ab]|lokr_w[12](_[ab])?"
    r"|oft_blocks|oft_diag|on_input|a1\.weight|w_norm|diff|dora_scale|alpha)$"
)


def _is_lora(tensors: Tensors) -> bool:
    return any(_LORA_PARTS.search(name) for name in tensors)


_CONTEXT_LAYER = re.compile(r"attn2[._](to_k|to_v|processor\.to_k_lora|processor\.to_v_lora)")
# Tensors of a pair whose second size is the width of the layer's input.
_INPUT_SIDE = (
    "lora_down.weight",
    "lora_A.weight",
    "lora_A.default.weight",
    "lora.down.weight",
    "lora_linear_layer.down.weight",
    "hada_w1_b",
    "b1.weight",
    "diff",
)
# SD1 and SD2 have one transformer block at each place, SDXL two and ten.
_DEEP_BLOCK = re.compile(r"transformer_blocks[._][1-9]")


def _lora_family(tensors: Tensors, metadata: Mapping[str, str]) -> str:
    for name, tensor in tensors.items():
        if name.endswith(_INPUT_SIDE) and _CONTEXT_LAYER.search(name) and len(tensor.shape) >= 2:
            family = _FAMILY_OF_WIDTH.get(tensor.shape[1])
            if family:
                return family
    if _any(tensors, "lora_te1_", "lora_te2_", "text_encoder_2."):
        return SDXL
    width = _kronecker_width(tensors)
    if width in _FAMILY_OF_WIDTH:
        return _FAMILY_OF_WIDTH[width]
    if any("double_blocks" in name or "single_transformer_blocks" in name for name in tensors):
        return FLUX
    if any(_DEEP_BLOCK.search(name) and "single_transformer" not in name for name in tensors):
        return SDXL
    for name, tensor in tensors.items():
        if name.startswith(("lora_te_", "text_encoder.")) and name.endswith(_INPUT_SIDE) and "q_proj" in name:
            family = {768: SD1, 1024: SD2}.get(tensor.shape[-1] if tensor.shape else 0)
            if family:
                return family
    return _said_family(metadata)


def _kronecker_width(tensors: Tensors) -> int:
    """Width of the text that a LoKr's first context layer reads: its two factors' widths multiplied; 0 without one."""
    for name in tensors:
        module, _, part = name.rpartition(".")
        if part.startswith("lokr_w1") and _CONTEXT_LAYER.search(name):
            first, second = (
                _size(tensors, f"{module}.lokr_{factor}", 1) or _size(tensors, f"{module}.lokr_{factor}_b", 1)
                for factor in ("w1", "w2")
            )
            return first * second
    return 0


def _said_family(metadata: Mapping[str, str]) -> str:
    """The family that kohya's and modelspec's metadata name, or ""."""
    said = f"{metadata.get('modelspec.architecture', '')} {metadata.get('ss_base_model_version', '')}".lower()
    for word, family in (
        ("refiner", SDXL_REFINER),
        ("xl", SDXL),
        ("diffusion-v3", SD3),
        ("sd3", SD3),
        ("flux", FLUX),
        ("diffusion-v2", SD2),
        ("sd_v2", SD2),
        ("diffusion-v1", SD1),
        ("sd_v1", SD1),
        ("sd_1", SD1),
    ):
        if word in said:
            return family
    return SD2 if metadata.get("ss_v2", "").lower() == "true" else ""


def _control(tensors: Tensors) -> Recognised | None:
    marks = ("control_model.", "controlnet_cond_embedding.", "input_hint_block.", "adapter.body.", "image_proj.")
    if not _any(tensors, *marks):
        return None
    width = 0
    for name in tensors:
        if name.endswith(".attn2.to_k.weight"):
            width = _size(tensors, name, 1)
            break
    return Recognised(CONTROLNET, _FAMILY_OF_WIDTH.get(width, ""))


def _vae(tensors: Tensors) -> Recognised | None:
    names = {name.removeprefix("first_stage_model.") for name in tensors}
    if "decoder.conv_in.weight" in names:
        prefix = "" if "decoder.conv_in.weight" in tensors else "first_stage_model."
        channels = _size(tensors, f"{prefix}decoder.conv_in.weight", 1)
        # SD1, SD2 and SDXL share one layout: nothing in it tells them apart.
        return Recognised(VAE, {16: SD3}.get(channels, ""))
    if (
        {"1.weight", "3.conv.0.weight"} <= names
        or "decoder.layers.0.weight" in names
        or "taesd_decoder.1.weight" in names
    ):
        return Recognised(VAE, "", "taesd")
    if {"0.weight", "1.conv.0.weight"} <= names or "taesd_encoder.0.weight" in names:
        return Recognised(VAE, "", "taesd encoder")
    if {"conv1.weight", "conv8.weight"} <= names and _size(tensors, "conv1.weight", 1) in (4, 16):
        return Recognised(VAE_APPROXIMATION, {16: SD3}.get(_size(tensors, "conv1.weight", 1), ""))
    return None


def _diffusers_unet(tensors: Tensors) -> Recognised | None:
    if not ("conv_in.weight" in tensors and _any(tensors, "down_blocks.0.")):
        return None
    variant = {9: "inpaint", 8: "pix2pix"}.get(_size(tensors, "conv_in.weight", 1), "")
    return Recognised(UNET, _FAMILY_OF_WIDTH.get(_context_width(tensors, ""), ""), variant, parts=("unet",))


_TEXT_ENCODERS = {768: ("", "CLIP-L"), 1024: (SD2, "OpenCLIP-H"), 1280: (SDXL, "OpenCLIP-G")}


def _text_encoder(tensors: Tensors) -> Recognised | None:
    for name, tensor in tensors.items():
        if name.endswith("token_embedding.weight") and len(tensor.shape) == 2:
            family, variant = _TEXT_ENCODERS.get(tensor.shape[1], ("", ""))
            return Recognised(TEXT_ENCODER, family, variant)
    if "shared.weight" in tensors and _any(tensors, "encoder.block.0."):
        return Recognised(TEXT_ENCODER, "", "T5")
    return None


def _hypernetwork(tensors: Tensors) -> Recognised | None:
    if tensors and all(re.match(r"\d+\.[01]\.", name) for name in tensors):
        return Recognised(HYPERNETWORK)
    return None


def _embedding(tensors: Tensors) -> Recognised | None:
    if {"clip_l", "clip_g"} <= set(tensors):
        return Recognised(EMBEDDING, SDXL)
    # A1111's file also holds its placeholder's token id, in old files as a tensor.
    named = {name: tensor for name, tensor in tensors.items() if name.startswith("string_to_param.")} or tensors
    vectors = [tensor for tensor in named.values() if 1 <= len(tensor.shape) <= 2]
    if len(named) == 1 and vectors:
        return Recognised(EMBEDDING, {768: SD1, 1024: SD2, 1280: SDXL}.get(vectors[0].shape[-1], ""))
    return None


def _upscaler(tensors: Tensors) -> Recognised | None:
    marks = ("body.0.", "RRDB_trunk.", "layers.0.residual_group.", "layers.0.blocks.", "upsample.", "upconv1.")
    old_esrgan = "model.0.weight" in tensors and _any(tensors, "model.1.sub.")
    if old_esrgan or ("conv_first.weight" in tensors and _any(tensors, *marks)):
        return Recognised(UPSCALER)
    return None


def _face_restorer(tensors: Tensors) -> Recognised | None:
    names = {name.removeprefix("params_ema.").removeprefix("params.") for name in tensors}
    if names >= {"toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight"}:
        return Recognised(FACE_RESTORER, "", "GFPGAN" if "conv_body_first.weight" in names else "GFPGAN 1.0")
    if names >= {"position_emb", "quantize.embedding.weight"}:
        return Recognised(FACE_RESTORER, "", "CodeFormer")
    return None
