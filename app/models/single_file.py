"""Single file: a diffusers folder written as one checkpoint of the original layout.

Keeps every value and number format unless another is asked for; the folder stays as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch

from app.models.checkpoint_file import open_checkpoint
from app.models.families import SDXL
from app.models.file_facts import V_MARKER, ZERO_TERMINAL_SNR_MARKER, read_facts
from app.models.loader import load_checkpoint
from app.models.precision import Precision
from app.models.progress import Progress
from app.models.weights import DTYPES, Weights
from app.models.writer import write_checkpoint


def write_single_file(
    folder: str | Path, path: str | Path, *, dtype: str | None = None, progress: Progress | None = None
) -> Path:
    """Write a folder's checkpoint to `path` and return it.

    dtype: safetensors' word ('F16'), None for the parts' own. progress: of reading. Raises as load_checkpoint and
    write_checkpoint do.
    """
    file = open_checkpoint(folder)
    facts = read_facts(file.path, file.shapes, file.metadata)
    own = Precision(
        unet=_widest(file, "model.diffusion_model."),
        text=_widest(file, "cond_stage_model.", "conditioner."),
        vae=_widest(file, "first_stage_model."),
    )
    model = load_checkpoint(file, precision=own, progress=progress)
    # What SDXL's other programs look for; for the families before they read a sidecar, we `easel.config`.
    said = {V_MARKER: facts.prediction_type == "v", ZERO_TERMINAL_SNR_MARKER: facts.zero_terminal_snr}
    markers = [marker for marker in said if said[marker] and model.family.name == SDXL.name]
    return write_checkpoint(
        path,
        family=model.family,
        unet=model.unet,
        text_encoders=model.text_encoders,
        vae=model.vae,
        metadata=model.metadata,
        dtype=DTYPES[dtype] if dtype else None,
        markers=markers,
    )


def _widest(file: Weights, *prefixes: str) -> torch.dtype:
    """The number format that holds all of a part's values."""
    found = {file.dtypes[name] for name in file.shapes if name.startswith(prefixes)}
    floating = {dtype for dtype in found if dtype.is_floating_point}
    return floating.pop() if len(floating) == 1 and min(one.itemsize for one in floating) > 1 else torch.float32
