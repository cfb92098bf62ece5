"""Prompt names: what a prompt calls a network, so that looking the name up finds that very file.

Pure functions over a list of entries, by the rules of `lookup`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from app.files.folders import EMBEDDING, LORA
from app.files.lookup import aliases_of
from app.files.model_file import ModelFile

# What would end a tag `<lora:name:1>` before its time.
_BREAKS_A_TAG = frozenset("<>:\n\r")


def prompt_names(files: Sequence[ModelFile], kind: str) -> Mapping[Path, str]:
    """File -> its name in a prompt, for those of one kind that can be named; an embedding's is its word.

    Of a LoRA the name that its trainer gave it comes first, as in AUTOMATIC1111, then stem, path and hash: the first
    that means no other file.
    """
    if kind == EMBEDDING:
        return {file.path: file.word for file in files}
    meanings: list[dict[str, ModelFile]] = []
    for alias in aliases_of(kind):
        first: dict[str, ModelFile] = {}
        for file in files:
            name = alias(file)
            if name:
                first.setdefault(name, file)
        meanings.append(first)

    def meant(name: str) -> ModelFile | None:
        return next((known[name] for known in meanings if name in known), None)

    names = {}
    for file in files:
        wishes = [file.alias] if kind == LORA else []
        wishes += [file.stem, str(Path(file.name).with_suffix("").as_posix()), file.short_hash or ""]
        for name in wishes:
            if name.strip() == name and name and not _BREAKS_A_TAG & set(name) and meant(name) is file:
                names[file.path] = name
                break
    return names
