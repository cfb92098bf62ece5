"""diffusers' from_single_file without a network: the parts of SD1.5 by configurations written down here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.utils.logging import set_verbosity_error
from transformers import CLIPTextConfig, CLIPTokenizer

PARTS = {
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
}


def write_configuration(folder: Path) -> Path:
    """A folder with what diffusers needs to know of SD1.5 beside its weights; the tokenizer has no words."""
    set_verbosity_error()
    folder.mkdir(exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **PARTS}))
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280)
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    for name, part in (("unet", unet), ("vae", vae)):
        (folder / name).mkdir(exist_ok=True)
        part.save_config(folder / name)
    DDIMScheduler(steps_offset=1, clip_sample=False).save_pretrained(folder / "scheduler")
    CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12).save_pretrained(
        folder / "text_encoder"
    )
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(exist_ok=True)
    (tokenizer / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(tokenizer / "vocab.json"), str(tokenizer / "merges.txt")).save_pretrained(tokenizer)
    return folder


def from_single_file(file: Path, configuration: Path) -> list[Any]:
    """The modules of a checkpoint in fp32."""
    pipeline = StableDiffusionPipeline.from_single_file(
        str(file), config=str(configuration), local_files_only=True, torch_dtype=torch.float32
    )
    return [pipeline.unet, pipeline.vae, pipeline.text_encoder]
