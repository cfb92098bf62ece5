"""Model families (SD1, SD2, SDXL ...) as a table of facts.

No behaviour and no subclasses: what differs between families is a number or a name here. What one file says
otherwise (shapes, metadata, marker tensors) wins over this table; the loader puts the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PredictionType = Literal["epsilon", "v"]


@dataclass(frozen=True)
class TextEncoderFacts:
    """One text encoder of a family.

    prefix: of its keys in a single file. layout: 'clip' (transformers' names) or 'open_clip' (fused in_proj).
    width, layers, heads, length: of the transformer; length is in tokens, ends included.
    activation: of the feed-forward layers, by transformers' name. pad_token: fills a chunk after its end token.
    hidden_layer: which hidden state is the context, -1 the last, -2 the one before it.
    final_norm: the final layer norm is applied to that state. clip_skip: the user's CLIP skip moves hidden_layer.
    pooled: gives a pooled vector (last state, final norm, at the end token, through the projection).
    """

    name: str
    prefix: str
    layout: Literal["clip", "open_clip"]
    width: int
    layers: int
    heads: int
    activation: str
    pad_token: int
    hidden_layer: int
    final_norm: bool
    clip_skip: bool
    pooled: bool
    start_token: int = 49406
    end_token: int = 49407
    length: int = 77


@dataclass(frozen=True)
class Family:
    """One family of checkpoints.

    architecture: name in `modelspec.architecture`. lora_version: `ss_base_model_version` of kohya's files.
    context_width: of the conditioning that cross-attention reads. pooled_width: 0 where none is used.
    size_numbers: what is appended to the pooled vector, each as 256 sines and cosines; () where nothing is.
    scaling_factor: latent of the U-Net = latent of the VAE times this. pixels_per_latent: the VAE's factor.
    prediction_type: what the U-Net answers unless the file says otherwise. native_size: pixels of one side.
    beta_start, beta_end, train_steps: 'scaled linear', that is linear in the square root (Rombach et al. 2022).
    heads, head_width: of the U-Net's attention; one of them is 0 and follows from the channels.
    preview: four rows (one per latent channel) of red, green, blue in -1..1, then one row of offsets.
    """

    name: str
    architecture: str
    lora_version: str
    text_encoders: tuple[TextEncoderFacts, ...]
    context_width: int
    pooled_width: int
    size_numbers: tuple[str, ...]
    scaling_factor: float
    prediction_type: PredictionType
    native_size: int
    heads: int
    head_width: int
    preview: tuple[tuple[float, float, float], ...]
    unet_prefix: str = "model.diffusion_model."
    vae_prefix: str = "first_stage_model."
    latent_channels: int = 4
    pixels_per_latent: int = 8
    norm_groups: int = 32
    beta_start: float = 0.00085
    beta_end: float = 0.012
    train_steps: int = 1000


# Least-squares fits of pixels to latents, published on the Hugging Face forum (topic 23204, SD 1.x) and in the
# Hugging Face blog article on SDXL's latent space; the latter is given there for 0..255 and is rescaled here.
_PREVIEW_SD1 = (
    (0.298, 0.207, 0.208),
    (0.187, 0.286, 0.173),
    (-0.158, 0.189, 0.264),
    (-0.184, -0.271, -0.473),
    (0.0, 0.0, 0.0),
)
_PREVIEW_SDXL = (
    (60 / 127.5, 60 / 127.5, 60 / 127.5),
    (-60 / 127.5, -5 / 127.5, 10 / 127.5),
    (25 / 127.5, 15 / 127.5, -5 / 127.5),
    (-70 / 127.5, -50 / 127.5, -35 / 127.5),
    (150 / 127.5 - 1, 140 / 127.5 - 1, 130 / 127.5 - 1),
)


SD1 = Family(
    name="SD1",
    architecture="stable-diffusion-v1",
    lora_version="sd_v1",
    text_encoders=(
        TextEncoderFacts(
            name="clip_l",
            prefix="cond_stage_model.transformer.",
            layout="clip",
            width=768,
            layers=12,
            heads=12,
            activation="quick_gelu",
            pad_token=49407,
            hidden_layer=-1,
            final_norm=True,
            clip_skip=True,
            pooled=False,
        ),
    ),
    context_width=768,
    pooled_width=0,
    size_numbers=(),
    scaling_factor=0.18215,
    prediction_type="epsilon",
    native_size=512,
    heads=8,
    head_width=0,
    preview=_PREVIEW_SD1,
)

SD2 = Family(
    name="SD2",
    architecture="stable-diffusion-v2",
    lora_version="sd_v2",
    text_encoders=(
        TextEncoderFacts(
            name="open_clip_h",
            prefix="cond_stage_model.model.",
            layout="open_clip",
            width=1024,
            layers=24,
            heads=16,
            activation="gelu",
            pad_token=0,
            hidden_layer=-2,
            final_norm=True,
            clip_skip=False,
            pooled=False,
        ),
    ),
    context_width=1024,
    pooled_width=0,
    size_numbers=(),
    scaling_factor=0.18215,
    prediction_type="epsilon",
    native_size=512,
    heads=0,
    head_width=64,
    preview=_PREVIEW_SD1,
)

SDXL = Family(
    name="SDXL",
    architecture="stable-diffusion-xl-v1-base",
    lora_version="sdxl_base_v1-0",
    text_encoders=(
        TextEncoderFacts(
            name="clip_l",
            prefix="conditioner.embedders.0.transformer.",
            layout="clip",
            width=768,
            layers=12,
            heads=12,
            activation="quick_gelu",
            pad_token=49407,
            hidden_layer=-2,
            final_norm=False,
            clip_skip=False,
            pooled=False,
        ),
        TextEncoderFacts(
            name="clip_g",
            prefix="conditioner.embedders.1.model.",
            layout="open_clip",
            width=1280,
            layers=32,
            heads=20,
            activation="gelu",
            pad_token=0,
            hidden_layer=-2,
            final_norm=False,
            clip_skip=False,
            pooled=True,
        ),
    ),
    context_width=2048,
    pooled_width=1280,
    size_numbers=("height", "width", "crop_top", "crop_left", "target_height", "target_width"),
    scaling_factor=0.13025,
    prediction_type="epsilon",
    native_size=1024,
    heads=0,
    head_width=64,
    preview=_PREVIEW_SDXL,
)

SDXL_REFINER = Family(
    name="SDXL refiner",
    architecture="stable-diffusion-xl-v1-refiner",
    lora_version="sdxl_refiner_v1-0",
    text_encoders=(
        TextEncoderFacts(
            name="clip_g",
            prefix="conditioner.embedders.0.model.",
            layout="open_clip",
            width=1280,
            layers=32,
            heads=20,
            activation="gelu",
            pad_token=0,
            hidden_layer=-2,
            final_norm=False,
            clip_skip=False,
            pooled=True,
        ),
    ),
    context_width=1280,
    pooled_width=1280,
    size_numbers=("height", "width", "crop_top", "crop_left", "aesthetic_score"),
    scaling_factor=0.13025,
    prediction_type="epsilon",
    native_size=1024,
    heads=0,
    head_width=64,
    preview=_PREVIEW_SDXL,
)

FAMILIES: dict[str, Family] = {family.name: family for family in (SD1, SD2, SDXL, SDXL_REFINER)}
