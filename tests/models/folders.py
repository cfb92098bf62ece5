"""Tiny diffusers folders, saved by diffusers and transformers themselves from their own conversion of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.models.checkpoints import Layout
from tests.models.oracles import oracle_clip, oracle_sd2_text, oracle_sdxl_text, oracle_unet, oracle_vae


def parts_of(path: Path, layout: Layout) -> dict[str, Any]:
    """diffusers' modules for a checkpoint in the original layout, by the names of their sub-folders."""
    parts = {"unet": oracle_unet(path, layout), "vae": oracle_vae(path, layout)}
    if layout.family == "SD1":
        parts["text_encoder"] = oracle_clip(path, layout)
    elif layout.family == "SD2":
        parts["text_encoder"] = oracle_sd2_text(path, layout)
    elif layout.family == "SDXL":
        parts["text_encoder"] = oracle_clip(path, layout)
        parts["text_encoder_2"] = oracle_sdxl_text(path, layout, "conditioner.embedders.1.model.")
    else:
        parts["text_encoder_2"] = oracle_sdxl_text(path, layout, "conditioner.embedders.0.model.")
    return parts


def save_folder(folder: Path, parts: dict[str, Any], schedule: dict[str, Any] | None = None, **saving: Any) -> Path:
    """Write a pipeline's folder. schedule: of scheduler_config.json. saving: handed to save_pretrained."""
    for name, module in parts.items():
        module.save_pretrained(folder / name, **saving)
    index = {"_class_name": "StableDiffusionPipeline", **{name: ["diffusers", "x"] for name in parts}}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule or {}))
    return folder
