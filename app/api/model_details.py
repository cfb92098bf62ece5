"""Model details: all that is known of one file: metadata, hashes, rank and the words it was trained on.

Opens that one file's header. Every text in an answer is somebody else's: whoever shows it escapes it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.files import ModelFile, ModelLibrary, TensorPlace, read_header, read_pickle, sidecars
from app.schema.errors import EaselError

MOST_TRIGGER_WORDS = 300
LONGEST_VALUE = 100_000
_PICTURES = ("ssmd_cover_images", "modelspec.thumbnail")
_DOWN = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight", ".lora_A.default.weight")


def details_of(file: ModelFile, library: ModelLibrary) -> dict[str, Any]:
    """What the dialog of one card shows beside the card itself. Never raises for what the file holds."""
    try:
        metadata = dict(library.metadata(file)) or dict(file.metadata)
    except EaselError:
        metadata = dict(file.metadata)
    return {
        "metadata": {key: _bounded(value) for key, value in metadata.items() if key not in _PICTURES},
        "trigger_words": trigger_words(metadata),
        "rank": rank_of(file, metadata),
        "hashes": {
            "sha256": file.sha256,
            "AutoV2": file.sha256[:10] if file.sha256 else None,
            "AutoV3": file.addnet_hash[:12] if file.addnet_hash else None,
            "legacy": file.legacy_hash,
        },
        "contents": {
            "format": file.summary.content,
            "dtype": file.summary.dtype,
            "tensors": file.summary.tensors,
            "prediction": file.prediction,
            "parts": list(file.summary.parts),
        },
        "user_metadata": user_metadata_of(file),
    }


def user_metadata_of(file: ModelFile) -> dict[str, Any]:
    """What the editor shows: the sidecar's fields; the description also from a text file beside."""
    beside = sidecars(file)
    return {**beside.user_metadata, "description": beside.description}


def trigger_words(metadata: Mapping[str, str]) -> list[tuple[str, int]]:
    """(tag, how often) of kohya's `ss_tag_frequency` over all its folders, the most frequent first."""
    folders = parsed(metadata.get("ss_tag_frequency", ""))
    counts: Counter[str] = Counter()
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int | float) and math.isfinite(count) and tag.strip():
                counts[tag.strip()] += int(count)
    return counts.most_common(MOST_TRIGGER_WORDS)


def rank_of(file: ModelFile, metadata: Mapping[str, str]) -> str | None:
    """The rank of a LoRA, as its trainer says ('16', 'Dynamic') or its tensors show ('4-16'); None for others."""
    said = metadata.get("ss_network_dim")
    if said:
        return said[:40]
    if file.kind != "lora" or file.problem is not None:
        return None
    ranks = sorted({shape[0] for name, shape in shapes_in(file).items() if name.endswith(_DOWN) and shape})
    return None if not ranks else str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]}-{ranks[-1]}"


def shapes_in(file: ModelFile) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors by name; none where it cannot be read."""
    try:
        places: Mapping[str, TensorPlace | Any] = (
            read_header(file.path).tensors if file.summary.content == "SAFETENSORS" else read_pickle(file.path).tensors
        )
    except EaselError:
        return {}
    return {name: place.shape for name, place in places.items()}


def parsed(text: str) -> Any:
    """JSON inside a metadata value; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _bounded(value: str) -> str:
    if len(value) <= LONGEST_VALUE:
        return value
    return f"{value[:LONGEST_VALUE]} … ({len(value) - LONGEST_VALUE:,} more characters)"
