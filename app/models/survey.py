"""Survey: what a checkpoint or VAE will take in memory, told from its file's header before anything is read.

Counts; builds no model and judges no architecture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from app.models.architecture import family_of
from app.models.checkpoint_file import Source, open_checkpoint, open_vae
from app.models.file_facts import read_facts
from app.models.memory import charged
from app.models.precision import Precision
from app.models.text_parts import text_parts
from app.models.weights import Weights, bytes_below
from app.schema.errors import UnsupportedModel

_VAE = "first_stage_model."


class Survey(NamedTuple):
    """memory: bytes that it will be charged with. stored: bytes of the file that will be read.

    signature: equal for two that can very likely take each other's weights.
    """

    memory: int
    stored: int
    signature: object


def survey_checkpoint(
    source: Source,
    precision: Precision,
    device: torch.device,
    *,
    needs_vae: bool,
    text_encoders_from: Sequence[Source] = (),
) -> Survey:
    """U-Net and text encoders. needs_vae: whether the file must hold a VAE too. text_encoders_from: as load_checkpoint.

    Raises as load_checkpoint does.
    """
    file = open_checkpoint(source)
    family = family_of(file)
    if needs_vae and not bytes_below(file, family.vae_prefix):
        raise UnsupportedModel(f"{file.path.name} holds no VAE.", hint="Choose a VAE file for it.")
    facts = read_facts(file.path, file.shapes, file.metadata)
    parts = text_parts(file, family, facts, [open_checkpoint(lender) for lender in text_encoders_from])
    read = [(file, family.unet_prefix, precision.unet)]
    read += [(part.file, text.prefix, precision.text) for part, text in zip(parts, family.text_encoders, strict=True)]
    return Survey(
        sum(_memory(weights, (prefix,), dtype, device) for weights, prefix, dtype in read),
        sum(bytes_below(weights, prefix) for weights, prefix, _ in read),
        (family.name, *((dtype, _shapes(weights, (prefix,))) for weights, prefix, dtype in read)),
    )


def survey_vae(source: Source, dtype: torch.dtype, device: torch.device) -> Survey:
    """A VAE, alone or in a checkpoint. Raises as load_vae does."""
    file = open_vae(source)
    prefix = _VAE if any(name.startswith(_VAE) for name in file.shapes) else ""
    return Survey(_memory(file, (prefix,), dtype, device), bytes_below(file, prefix), (dtype, _shapes(file, (prefix,))))


def _memory(file: Weights, prefixes: tuple[str, ...], dtype: torch.dtype, device: torch.device) -> int:
    """On a CPU, weights that are stored as they are wanted stay mapped."""
    bytes = mapped = 0
    for name, shape in file.shapes.items():
        if name.startswith(prefixes):
            size = math.prod(shape) * dtype.itemsize
            bytes += size
            mapped += size if device.type == "cpu" and file.dtypes[name] == dtype else 0
    return charged(bytes, mapped)


def _shapes(file: Weights, prefixes: tuple[str, ...]) -> int:
    return hash(frozenset((name, shape) for name, shape in file.shapes.items() if name.startswith(prefixes)))
