"""The command `models`: lists what is in the model folders, and tells what a file is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.files import CHECKPOINT, KINDS, ModelFile, ModelLibrary
from app.schema.errors import ModelNotFound

OWN = frozenset({"action", "name", "kind", "json"})


def run(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """`models list [KIND]` and `models info NAME`."""
    parser = Parser(prog="webui.py models", description="What is in the model folders.")
    parser.add_argument("action", nargs="?", choices=("list", "info"), default="list", help="[list]")
    parser.add_argument("name", nargs="?", default="", help="list: a kind; info: a file's name, title or hash")
    parser.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"one of: {', '.join(KINDS)}")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_flags(parser, hidden=True)
    typed = read(parser, arguments, environ)
    library = factories.library(launch_options(environ, typed, OWN))
    files = _listed(library, typed.kind or typed.name) if typed.action == "list" else [_found(library, typed)]
    if typed.json:
        print(json.dumps([facts(file) for file in files], indent=1, ensure_ascii=False))
    elif typed.action == "info":
        for name, value in facts(files[0]).items():
            print(f"{name:<12} {value}")
    else:
        for file in files:
            print(f"{file.kind:<14} {file.size / 1e6:>9,.1f} MB  {file.summary.family:<6} {file.name}{_grey(file)}")
        print(f"{len(files)} files.")
    return 0


def facts(file: ModelFile) -> dict[str, Any]:
    """What is known of a file, by names that stay."""
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


def _listed(library: ModelLibrary, kind: str) -> list[ModelFile]:
    if kind and kind not in KINDS:
        raise ModelNotFound(
            f"There is no kind of model named '{kind}'.", field="kind", hint=f"One of: {', '.join(KINDS)}."
        )
    return [file for one in ([kind] if kind else KINDS) for file in library.list(one)]


def _found(library: ModelLibrary, typed: Any) -> ModelFile:
    """A file of the kind that was said, or of whichever kind has it."""
    problem: ModelNotFound | None = None
    for kind in [typed.kind] if typed.kind else KINDS:
        try:
            return library.find(typed.name, kind)
        except ModelNotFound as error:
            problem = error if problem is None or kind == CHECKPOINT else problem
    assert problem is not None
    raise problem


def _grey(file: ModelFile) -> str:
    return f"  ({file.problem.text})" if file.problem else ""
