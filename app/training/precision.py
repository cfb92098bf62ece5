"""Precision of a training: what is computed in, and in what a model is to be loaded for it.

Whatever is trained is float32; this is about everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from app.models import LoadedModel, Precision, survey_checkpoint
from app.schema.training import TrainingRequest


def autocast_dtype(wanted: str, device: torch.device) -> torch.dtype | None:
    """None: everything in float32. wanted: 'auto', 'fp32', 'bf16', 'fp16'.

    'auto' is float32 on a CPU, bf16 on a card that has it, else fp16.
    """
    named = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    if wanted in named:
        return named[wanted]
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def precision_to_load(request: TrainingRequest, device: torch.device) -> Precision:
    """How `load_checkpoint` should load: what is trained, and the VAE, in float32; the rest as it is computed in."""
    dtype = autocast_dtype(request.precision, device) or torch.float32
    trained = torch.float32
    if request.method != "dreambooth":
        return Precision(dtype, dtype, trained)
    return Precision(trained, trained if request.text_encoder_rate else dtype, trained)


def precision_as_stored(checkpoint: str) -> Precision:
    """How `load_checkpoint` takes the least memory on a CPU: weights that stay as they are stay in the file's pages.

    checkpoint: path. Raises as load_checkpoint does.
    """
    cpu = torch.device("cpu")
    ways = [Precision(dtype, dtype, dtype) for dtype in (torch.float32, torch.float16, torch.bfloat16)]
    return min(ways, key=lambda way: survey_checkpoint(checkpoint, way, cpu, needs_vae=False).memory)


@contextmanager
def made_ready(model: LoadedModel, request: TrainingRequest) -> Iterator[None]:
    """Inside, a model computes as a training wants it: whole in float32 unless half precision is used, with gradient
    checkpointing if it is asked for."""
    if autocast_dtype(request.precision, model.device) is None:
        for _, weight in model.weights():
            weight.data = weight.data.float()
    encoders = [encoder.module for encoder in model.text_encoders]
    if request.gradient_checkpointing:
        model.unet.enable_gradient_checkpointing()
        for module in encoders:
            module.activation_checkpointing_enable({"use_reentrant": False})
            module.train()  # transformers checkpoints in training mode alone; CLIP drops nothing out
    try:
        yield
    finally:
        if request.gradient_checkpointing:
            model.unet.disable_gradient_checkpointing()
            for module in encoders:
                module.activation_checkpointing_disable()
                module.eval()
