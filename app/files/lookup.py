"""Lookup: which file a name means, by A1111's rules and in their order (a1111-facts 4.5).

Pure functions over a list of entries; of several that answer equally well the first in the list wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from app.files.folders import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA
from app.files.model_file import ModelFile

Alias = Callable[[ModelFile], str | None]

_CHECKPOINT_ALIASES: tuple[Alias, ...] = (
    lambda file: file.legacy_hash,
    lambda file: _without_ending(file.name).replace("/", "_"),
    lambda file: file.title,
    lambda file: file.name,
    lambda file: file.stem,
    lambda file: f"{file.name} [{file.legacy_hash}]" if file.legacy_hash else None,
    lambda file: file.sha256[:10] if file.sha256 else None,
    lambda file: file.sha256,
    lambda file: file.title,
    lambda file: file.short_title,
)
_LORA_ALIASES: tuple[Alias, ...] = (
    lambda file: file.stem,
    lambda file: file.alias,
    lambda file: _without_ending(file.name),
    lambda file: file.name,
    lambda file: file.short_hash,
    lambda file: file.sha256[:10] if file.sha256 else None,
    lambda file: file.sha256,
)
_OTHER_ALIASES: tuple[Alias, ...] = (
    lambda file: file.file_name,
    lambda file: file.name,
    lambda file: file.stem,
    lambda file: _without_ending(file.name),
    lambda file: file.title,
    lambda file: file.short_title,
    lambda file: file.short_hash,
    lambda file: file.sha256,
)


def find(text: str, files: Sequence[ModelFile], kind: str) -> ModelFile | None:
    """The file that `text` means among those of one kind, or None.

    Checkpoints: an exact alias, else the shortest title that contains the text, else both again without a trailing
    `[...]`. Hypernetworks: an exact alias, else the shortest name that contains it. LoRAs and embeddings: exact
    aliases, then the same whatever the capitals. VAEs and the rest: exact aliases.
    """
    wanted = text.strip().replace("\\", "/")
    if not wanted:
        return None
    found = _by_alias(wanted, files, aliases_of(kind))
    if found is None and kind == CHECKPOINT:
        found = _containing(wanted, files) or _without_brackets(wanted, files)
    if found is None and kind == HYPERNETWORK:
        found = min((file for file in files if wanted in file.stem), key=lambda file: len(file.stem), default=None)
    if found is None and kind in (LORA, EMBEDDING):
        folded = wanted.casefold()
        found = next((file for file in files if folded in (file.stem.casefold(), file.alias.casefold())), None)
    return found


def aliases_of(kind: str) -> tuple[Alias, ...]:
    """The names that files of a kind answer to, one function each, in the order in which they count."""
    return {CHECKPOINT: _CHECKPOINT_ALIASES, LORA: _LORA_ALIASES}.get(kind, _OTHER_ALIASES)


def needs_legacy_hash(text: str) -> bool:
    """Whether the text is, or ends with, eight hex digits that only a legacy hash explains."""
    return re.search(r"(^|\[)[0-9a-f]{8}\]?$", text.strip()) is not None


def near(text: str, files: Sequence[ModelFile]) -> list[str]:
    """Up to three names that look like the text, for the error message."""
    names = {file.stem.casefold(): file.name for file in reversed(files)}
    wanted = _without_ending(re.sub(r"\s*\[[^\]]*\]$", "", text).rpartition("/")[2]).casefold()
    return [names[name] for name in get_close_matches(wanted[:200], names, n=3, cutoff=0.5)]


def _by_alias(text: str, files: Sequence[ModelFile], aliases: Sequence[Alias]) -> ModelFile | None:
    for alias in aliases:
        for file in files:
            if alias(file) == text:
                return file
    return None


def _containing(text: str, files: Sequence[ModelFile]) -> ModelFile | None:
    return min((file for file in files if text in file.title), key=lambda file: len(file.title), default=None)


def _without_brackets(text: str, files: Sequence[ModelFile]) -> ModelFile | None:
    shorter = re.sub(r"\s*\[[^\]]*\]\s*$", "", text)
    return _containing(shorter, files) if shorter and shorter != text else None


def _without_ending(name: str) -> str:
    return re.sub(r"\.(safetensors|sft|ckpt|pth?|bin|gguf)$", "", name, flags=re.IGNORECASE)
