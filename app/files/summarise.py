"""Summarise: open one model file, read its beginning, and say what it holds or what is wrong with it.

Reads headers, never weights. Never raises: what cannot be read becomes a problem with its reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.files.contents import Content, tell_content
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
from app.files.headers import read_header
from app.files.model_file import Problem, Summary
from app.files.network_facts import network_facts
from app.files.pickles import read_pickle
from app.files.picture_embedding import embedding_in
from app.files.recognise import FLUX, SD1, SD2, SD3, SDXL, SDXL_REFINER, TEXT_ENCODER, UNET, UNKNOWN, recognise
from app.schema.errors import BrokenModelFile, EaselError, ModelNotFound, UnsupportedModel
from app.schema.faces import NO_CODEFORMER

# `Summary.content` of what could not be read this time; it may be readable the next time, unchanged.
UNREADABLE = "UNREADABLE"
_LONGEST_VALUE = 1000
_LARGEST_CONFIG = 1_000_000
# Formats with tensors of their own naming that only the code which runs them can judge.
_ANY_CONTENT = (UPSCALER, CONTROLNET, VAE_APPROXIMATION)

_WORDS = {
    CHECKPOINT: ("a checkpoint", "models/Stable-diffusion"),
    VAE: ("a VAE", "models/VAE"),
    LORA: ("a LoRA", "models/Lora"),
    EMBEDDING: ("an embedding", "embeddings"),
    HYPERNETWORK: ("a hypernetwork", "models/hypernetworks"),
    UPSCALER: ("an upscaler", "models/ESRGAN"),
    CONTROLNET: ("a ControlNet", "models/ControlNet"),
    FACE_RESTORER: ("a face restorer", "models/GFPGAN"),
    VAE_APPROXIMATION: ("an approximate VAE for previews", "models/VAE-approx"),
    TEXT_ENCODER: ("a text encoder alone", "models/text_encoder"),
}


def summarise(path: Path) -> Summary:
    """What the file or folder holds."""
    try:
        content = tell_content(path)
    except OSError as error:
        return Summary(UNREADABLE, problem=Problem(BrokenModelFile.code, f"It cannot be read: {error.strerror}."))
    try:
        if content is Content.SAFETENSORS:
            return _safetensors(path)
        if content is Content.DIFFUSERS:
            return _diffusers(path)
        if content in (Content.ZIP, Content.PICKLE):
            return _pickled(path, content)
        if content is Content.IMAGE:
            return _picture(path)
    except OSError as error:
        return Summary(UNREADABLE, problem=Problem(BrokenModelFile.code, f"It cannot be read: {error.strerror}."))
    except EaselError as error:
        # `naming` keeps the disk's own error as the cause.
        unreadable = isinstance(error.__cause__, OSError) or isinstance(error, ModelNotFound)
        name = UNREADABLE if unreadable else content.name
        return Summary(name, problem=Problem(error.code, _reason(error.message, path)))
    code = UnsupportedModel.code if content is Content.GGUF else BrokenModelFile.code
    return Summary(content.name, problem=Problem(code, f"It is {content.value}."))


def _reason(message: str, path: Path) -> str:
    """An error's message without the file's name, which the list shows already."""
    if not message.startswith(path.name):
        return message
    reason = message.removeprefix(path.name).partition(": ")[2]
    return reason[:1].upper() + reason[1:]


def _safetensors(path: Path) -> Summary:
    header = read_header(path)
    bytes_of: Counter[str] = Counter()
    for tensor in header.tensors.values():
        bytes_of[tensor.dtype] += tensor.end - tensor.begin
    recognised = recognise(header.tensors, header.metadata)
    return Summary(
        Content.SAFETENSORS.name,
        *recognised,
        tensors=len(header.tensors),
        dtype=_most(bytes_of),
        metadata=_short(header.metadata),
        network=network_facts(recognised.kind, header.tensors, header.metadata),
    )


def _pickled(path: Path, content: Content) -> Summary:
    file = read_pickle(path)
    bytes_of: Counter[str] = Counter()
    for tensor in file.tensors.values():
        bytes_of[tensor.dtype] += tensor.span
    recognised = recognise(file.tensors, file.metadata)
    return Summary(
        content.name,
        *recognised,
        tensors=len(file.tensors),
        dtype=_most(bytes_of),
        metadata=_short(file.metadata),
        network=network_facts(recognised.kind, file.tensors, file.metadata, file.tree),
    )


def _picture(path: Path) -> Summary:
    found = embedding_in(path)
    if found is None:
        return Summary(Content.IMAGE.name, problem=Problem(BrokenModelFile.code, f"It is {Content.IMAGE.value}."))
    family = {768: SD1, 1024: SD2}.get(found.widths[0], "")
    return Summary(Content.IMAGE.name, EMBEDDING, family, tensors=1, dtype="F32", network=found)


def _most(bytes_of: Counter[str]) -> str:
    return bytes_of.most_common(1)[0][0] if bytes_of else ""


def _short(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in metadata.items() if len(value) <= _LONGEST_VALUE)


def _diffusers(path: Path) -> Summary:
    """From the configurations beside the weights (context width, channels, prediction) and the U-Net's header."""
    index, unet = _config(path / "model_index.json"), _config(path / "unet" / "config.json")
    name = Content.DIFFUSERS.name
    if not unet:
        text = "Its folder has no unet/config.json: it is no Stable Diffusion model, or incomplete."
        return Summary(name, UNKNOWN, problem=Problem(UnsupportedModel.code, text))
    weights = _weights_of(path / "unet")
    if weights is None:
        text = "Its folder 'unet' holds no weights (.safetensors or .bin): it was copied or downloaded in part."
        return Summary(name, CHECKPOINT, problem=Problem(BrokenModelFile.code, text))
    inside = summarise(weights)
    widths = {768: SD1, 1024: SD2, 2048: SDXL, 1280: SDXL_REFINER}
    width, channels = unet.get("cross_attention_dim"), unet.get("in_channels")
    family = widths.get(width if isinstance(width, int) else 0, SD1)
    variant = {9: "inpaint", 8: "pix2pix"}.get(channels if isinstance(channels, int) else 0, "")
    small = family == SDXL and "mid_block_type" in unet and unet["mid_block_type"] is None
    said = _config(path / "scheduler" / "scheduler_config.json").get("prediction_type")
    parts = tuple(
        part for part, key in (("unet", "unet"), ("vae", "vae"), (TEXT_ENCODER, "text_encoder")) if _listed(index, key)
    )
    return Summary(
        name,
        CHECKPOINT,
        family,
        variant or ("SSD-1B" if small else ""),
        {"v_prediction": "v", "epsilon": "epsilon"}.get(str(said), ""),
        parts,
        dtype=inside.dtype,
        problem=inside.problem and Problem(inside.problem.code, f"unet/{weights.name}: {inside.problem.text}"),
    )


def _listed(index: Mapping[str, Any], key: str) -> bool:
    """Whether model_index.json names a part; one that was left out stands there as [null, null]."""
    said = index.get(key)
    return bool(said) and not (isinstance(said, list) and not any(said))


def _weights_of(folder: Path) -> Path | None:
    """The file, or the first shard, of a part; safetensors before pickles, those for everyday use before EMA ones."""
    files = [path for path in folder.glob("*") if path.suffix in (".safetensors", ".bin") and path.is_file()]
    return min(files, key=lambda path: (path.suffix == ".bin", "ema" in path.name, path.name), default=None)


def _config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            return {}
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def problem_in(kind: str, summary: Summary) -> Problem | None:
    """Why a file cannot be used as the kind of its folder: its own problem, a wrong kind, a family not served."""
    if summary.problem is not None:
        return summary.problem
    if not summary.kind or kind in _ANY_CONTENT:
        return None
    if summary.kind != kind:
        what, place = _WORDS.get(summary.kind, ("", ""))
        if kind == CHECKPOINT and summary.kind == UNET:
            return None  # drawn with, once the parts that it lacks are chosen
        if what and summary.kind != TEXT_ENCODER:
            return Problem(UnsupportedModel.code, f"It is {what}, not {_WORDS[kind][0]}: it belongs in {place}.")
        if summary.kind == UNET:
            text = "It holds a U-Net alone in diffusers' naming: it belongs in the folder 'unet' of a diffusers model."
            return Problem(UnsupportedModel.code, text)
        if summary.kind == TEXT_ENCODER:
            which = f" ({summary.variant})" if summary.variant else ""
            text = f"It is a text encoder alone{which}, not {_WORDS[kind][0]}: it belongs in models/text_encoder."
            return Problem(UnsupportedModel.code, text)
        return Problem(UnsupportedModel.code, f"It holds nothing that is known of {_WORDS[kind][0]}.")
    if kind == FACE_RESTORER and summary.variant == "CodeFormer":
        return Problem(UnsupportedModel.code, NO_CODEFORMER)
    if kind == FACE_RESTORER and summary.variant == "GFPGAN 1.0":
        text = "It is GFPGAN's first version, which is not read; versions 1.2, 1.3 and 1.4 are."
        return Problem(UnsupportedModel.code, text)
    if kind == VAE and summary.variant == "taesd encoder":
        text = "It is the encoder of a TAESD alone: pictures need its decoder (taesd_decoder)."
        return Problem(UnsupportedModel.code, text)
    if kind == CHECKPOINT and summary.family in (SD3, FLUX, "AltDiffusion"):
        return Problem(UnsupportedModel.code, f"It is of the family {summary.family}, which is not supported.")
    return None
