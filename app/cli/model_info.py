"""`models info`: what a model file holds, its hashes, its trigger words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.cli.model_choice import add_kind, chosen
from app.files import (
    CHECKPOINT,
    EmbeddingFacts,
    HypernetworkFacts,
    LoraFacts,
    ModelFile,
    ModelLibrary,
    NetworkFacts,
    sidecars,
    told_prediction,
    trigger_words_of,
)
from app.files.hashes import ADDNET, LEGACY
from app.files.recognise import SD2
from app.schema.errors import EaselError

_USUAL = "what its family does unless a file says otherwise"
OWN = frozenset({"name", "kind", "json", "hash", "full"})


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """`models info NAME`."""
    parser = Parser(prog="webui.py models info", description="What a model file holds.")
    parser.add_argument("name", metavar="NAME", help="a name, title or hash of the library, or a path")
    add_kind(parser)
    parser.add_argument("--hash", action="store_true", help="also those hashes for which the whole file must be read")
    parser.add_argument("--full", action="store_true", help="metadata in full length")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_flags(parser, hidden=True)
    typed = read(parser, arguments, environ)
    library = factories.library(launch_options(environ, typed, OWN))
    try:
        file = chosen(library, typed.name, typed.kind)
        told = details(library, _hashed(library, file) if typed.hash else file, typed.full)
    finally:
        library.close()
    if typed.json:
        print(json.dumps([told], indent=1, ensure_ascii=False))
    else:
        for name, value in told.items():
            print(f"{name:<14} {_words(value)}")
    return 0


def facts(file: ModelFile) -> dict[str, Any]:
    """What the library's list knows of a file, by names that stay."""
    summary = file.summary
    return {
        "kind": file.kind,
        "name": file.name,
        "path": str(file.path),
        "size": file.size,
        "family": summary.family,
        "variant": summary.variant,
        "prediction": summary.prediction,
        "dtype": summary.dtype,
        "tensors": summary.tensors,
        "sha256": file.sha256,
        "problem": file.problem.text if file.problem else None,
        "metadata": dict(summary.metadata),
    }


def details(library: ModelLibrary, file: ModelFile, full: bool = False) -> dict[str, Any]:
    """All that is known of one file. full: metadata longer than 1,000 characters too."""
    known, beside = facts(file), sidecars(file)
    metadata = known.pop("metadata")
    if full and file.problem is None:
        metadata = dict(library.metadata(file)) or metadata
    vae = library.vae_of(file) if file.kind == "checkpoint" and file.problem is None else None
    return {
        **known,
        **_predicted(file, library),
        "content": file.summary.content,
        "parts": list(file.summary.parts),
        "AutoV2": file.sha256[:10] if file.sha256 else None,
        "AutoV3": file.addnet_hash[:12] if file.addnet_hash else None,
        "legacy_hash": file.legacy_hash,
        **_of_network(file.summary.network),
        "trigger_words": list(trigger_words_of(file, beside)),
        "description": beside.description,
        "configuration": str(beside.config) if beside.config else None,
        "vae": vae.file_name if vae else None,
        "preview": str(beside.preview) if beside.preview else None,
        "metadata": metadata,
    }


def _predicted(file: ModelFile, library: ModelLibrary) -> dict[str, str]:
    """What a checkpoint's U-Net answers, and where that is known from; nothing of other kinds."""
    if file.kind != CHECKPOINT or file.problem is not None:
        return {}
    summary = file.summary
    if file.folder:
        source = "its scheduler/scheduler_config.json" if summary.prediction else _USUAL
        return {"prediction": summary.prediction or "epsilon", "prediction_from": source}
    said = told_prediction(file.path, library.metadata(file), summary.prediction == "v")
    if said is not None:
        return {"prediction": said.type, "prediction_from": said.source}
    if summary.family == SD2:
        return {"prediction": "", "prediction_from": "found out when it is loaded, by a test of its U-Net"}
    return {"prediction": "epsilon", "prediction_from": _USUAL}


def _of_network(facts: NetworkFacts | None) -> dict[str, Any]:
    """By the names of the facts' own fields, 'type' first."""
    if isinstance(facts, LoraFacts):
        return {**facts._asdict(), "type": f"{facts.type} (DoRA)" if facts.dora else facts.type}
    if isinstance(facts, EmbeddingFacts | HypernetworkFacts):
        return facts._asdict()
    return {}


def _hashed(library: ModelLibrary, file: ModelFile) -> ModelFile:
    """The entry with every hash that can be had."""
    try:
        sha256 = library.hash(file)
        if file.folder:
            return replace(file, sha256=sha256)
        addnet, legacy = (library.hashes.compute(file, algorithm) for algorithm in (ADDNET, LEGACY))
    except EaselError:
        if file.problem is None:
            raise
        return file
    return replace(file, sha256=sha256, addnet_hash=addnet, legacy_hash=legacy)


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "".join(f"\n    {key}: {text}" for key, text in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(f"{part[0]} ({part[1]})" if isinstance(part, tuple) else str(part) for part in value)
    return str(value)
