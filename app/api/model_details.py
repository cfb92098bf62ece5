"""Model details: all that is known of one file: metadata, hashes, rank and the words it was trained on.

Opens that one file's header. Every text in an answer is somebody else's: whoever shows it escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.files import LoraFacts, ModelFile, ModelLibrary, sidecars, training_tags, trigger_words_of
from app.schema.errors import EaselError

MOST_TAGS = 300
LONGEST_VALUE = 100_000
_PICTURES = ("ssmd_cover_images", "modelspec.thumbnail")
_DOWN = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight", ".lora_A.default.weight")


def details_of(file: ModelFile, library: ModelLibrary) -> dict[str, Any]:
    """What the dialog of one card shows beside the card itself. Never raises for what the file holds."""
    try:
        metadata = dict(library.metadata(file)) or dict(file.metadata)
    except EaselError:
        metadata = dict(file.metadata)
    beside = sidecars(file)
    return {
        "metadata": {key: _bounded(value) for key, value in metadata.items() if key not in _PICTURES},
        "tags": training_tags(metadata, MOST_TAGS),
        "trigger_words": trigger_words_of(file, beside),
        "civitai": beside.civitai._asdict() if beside.civitai else None,
        "network": facts_of(file),
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
        # The editor shows a description also where it comes from a text file.
        "user_metadata": {**beside.user_metadata, "description": beside.description},
    }


def facts_of(file: ModelFile) -> dict[str, Any]:
    """What a network says of itself: type, rank, parts; vectors of an embedding; layers of a hypernetwork."""
    facts = file.summary.network
    return {} if facts is None else {name: value for name, value in facts._asdict().items() if name != "tags"}


def rank_of(file: ModelFile, metadata: Mapping[str, str]) -> str | None:
    """The rank of a LoRA as its tensors show ('16', '4-16'), else as its trainer says; None for others."""
    facts = file.summary.network
    if isinstance(facts, LoraFacts) and facts.ranks:
        lowest, highest = min(facts.ranks), max(facts.ranks)
        return str(lowest) if lowest == highest else f"{lowest}-{highest}"
    said = metadata.get("ss_network_dim", "")
    return said[:40] or None


def _bounded(value: str) -> str:
    if len(value) <= LONGEST_VALUE:
        return value
    return f"{value[:LONGEST_VALUE]} … ({len(value) - LONGEST_VALUE:,} more characters)"
