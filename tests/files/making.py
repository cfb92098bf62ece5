"""Model files for tests: real layouts with few tensors, whose weights are zeros that take no room on disk."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F8_E4M3": 1, "I64": 8}
Shapes = Mapping[str, tuple[int, ...]]

SD1_UNET = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, 768),
}
SD1_TEXT = {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768)}
SD1_VAE = {"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}
SD1 = {**SD1_UNET, **SD1_TEXT, **SD1_VAE}
VAE = {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 4, 3, 3)}
SD2 = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
    "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": (3072, 1024),
    **SD1_VAE,
}
SDXL = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
    "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, 2048),
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (49408, 768),
    "conditioner.embedders.1.model.ln_final.weight": (1280,),
    **SD1_VAE,
}
REFINER = {
    "model.diffusion_model.input_blocks.0.0.weight": (384, 4, 3, 3),
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (768, 1280),
    "conditioner.embedders.0.model.ln_final.weight": (1280,),
    **SD1_VAE,
}


def lora(width: int, text: str = "lora_te_") -> dict[str, tuple[int, ...]]:
    """kohya's LoRA of rank 4 for a family whose context is `width` wide."""
    unet = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    encoder = f"{text}text_model_encoder_layers_0_self_attn_q_proj"
    return {
        f"{unet}.lora_down.weight": (4, width),
        f"{unet}.lora_up.weight": (320, 4),
        f"{unet}.alpha": (),
        f"{encoder}.lora_down.weight": (4, 768),
        f"{encoder}.lora_up.weight": (768, 4),
    }


def header_of(shapes: Shapes, dtype: str = "F16", metadata: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """A safetensors header's JSON and the number of bytes of weights that it promises."""
    content: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * BYTES[dtype]
        content[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    return json.dumps(content, ensure_ascii=False).encode("utf-8"), end


def write_safetensors(
    path: Path, shapes: Shapes, dtype: str = "F16", metadata: Mapping[str, str] | None = None
) -> Path:
    """A safetensors file of zeros."""
    text, weights = header_of(shapes, dtype, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + weights)
    return path


def safetensors_bytes(text: bytes, weights: bytes = b"") -> bytes:
    """A file's bytes from a header's text, whatever it says."""
    return len(text).to_bytes(8, "little") + text + weights


def picture(path: Path, content: Any = None, text: str | None = None) -> Path:
    """A PNG as A1111 writes one: base64 of JSON in a text chunk."""
    info = PngInfo()
    info.add_text("parameters", "a cat")
    if content is not None:
        text = base64.b64encode(json.dumps(content).encode()).decode()
    if text is not None:
        info.add_text("sd-ti-embedding", text)
    Image.new("RGB", (8, 8), "red").save(path, pnginfo=info)
    return path


def embedding(vectors: int, width: int) -> dict[str, Any]:
    rows = [[0.5] * width for _ in range(vectors)]
    return {"string_to_param": {"*": {"TORCHTENSOR": rows}}, "name": "cat", "step": 300, "sd_checkpoint_name": "photo"}


GFPGAN = dict.fromkeys(
    ("toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight", "conv_body_first.weight"), (3, 8, 1, 1)
)
"""Names that tell GFPGAN."""


def put_face_files(folder: Path) -> None:
    """What restores faces, by its names alone, into models/GFPGAN below a folder."""
    place = folder / "models" / "GFPGAN"
    write_safetensors(place / "GFPGANv1.4.safetensors", GFPGAN)
    (place / "face_detection_yunet_2026may.onnx").write_bytes(b"detector")
