"""`models convert` and `models prune`: write a model file again as safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from app.cli.arguments import Parser, add_flags, launch_options, read
from app.cli.factories import Factories
from app.cli.model_choice import add_kind, chosen
from app.cli.progress_line import progress_line
from app.files import (
    Identity,
    ModelFile,
    ModelLibrary,
    Plan,
    Weights,
    conversion,
    pruning,
    read_header,
    rewrite,
    size_of,
)
from app.files.hashes import SHA256, sha256_of
from app.files.number_formats import TARGETS
from app.schema.errors import CannotWrite, InvalidField

OWN = frozenset({"name", "kind", "json", "to", "overwrite", "dtype", "ema", "dry_run"})
_DTYPES = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
assert set(_DTYPES.values()) == set(TARGETS)


def convert(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """`models convert NAME`."""
    parser = Parser(
        prog="webui.py models convert",
        description="Writes any readable model file (.ckpt, .pt, .bin, .safetensors) as safetensors, tensor by tensor. "
        "A diffusers folder becomes one file. The old file stays.",
    )
    parser.add_argument("--dtype", choices=_DTYPES, help="floating-point numbers in this type instead of their own")
    typed, library = _read(parser, arguments, environ, factories)
    dtype = _DTYPES[typed.dtype] if typed.dtype else None
    with closing(library):
        file = chosen(library, typed.name, typed.kind)
        if file.folder:
            _say(typed, _joined(typed, library, file, dtype, factories))
        else:
            _say(typed, _rewritten(typed, library, file, ".safetensors", lambda weights: conversion(weights, dtype)))
    return 0


def prune(arguments: Sequence[str], environ: Mapping[str, str], factories: Factories) -> int:
    """`models prune NAME`."""
    parser = Parser(
        prog="webui.py models prune",
        description="Writes a checkpoint as safetensors without averaged (EMA) copies and what else only its training "
        "needed, in fp16. The old file stays.",
    )
    parser.add_argument("--dtype", choices=_DTYPES, default="fp16", help="the widest type to be kept [fp16]")
    parser.add_argument("--ema", action="store_true", help="take the averaged weights in place of the last ones")
    typed, library = _read(parser, arguments, environ, factories)
    with closing(library):
        file = chosen(library, typed.name, typed.kind)
        plan = partial(pruning, dtype=_DTYPES[typed.dtype], ema=typed.ema)
        _say(typed, _rewritten(typed, library, file, "-pruned.safetensors", plan))
    return 0


def _read(
    parser: Parser, arguments: Sequence[str], environ: Mapping[str, str], factories: Factories
) -> tuple[Any, ModelLibrary]:
    parser.add_argument("name", metavar="NAME", help="a name, title or hash of the library, or a path")
    add_kind(parser)
    parser.add_argument("--to", metavar="PATH", help="the new file [beside the old one]")
    parser.add_argument("--overwrite", action="store_true", help="in place of a file that is there")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be written")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_flags(parser, hidden=True)
    typed = read(parser, arguments, environ)
    return typed, factories.library(launch_options(environ, typed, OWN))


def _rewritten(
    typed: Any, library: ModelLibrary, file: ModelFile, ending: str, planned: Callable[[Weights], Plan]
) -> dict[str, Any]:
    """A file, tensor by tensor; what there is to tell of it."""
    target = _target(typed, file, ending)
    with Weights(file.path) as weights:
        plan = planned(weights)
        told = _told(file, target, weights, plan)
        if not typed.dry_run:
            with progress_line(target.name) as progress:
                written = rewrite(weights, plan, target, progress)
            told |= _remembered(library, target, written.size, written.sha256)
    return told


def _joined(
    typed: Any, library: ModelLibrary, folder: ModelFile, dtype: str | None, factories: Factories
) -> dict[str, Any]:
    """A diffusers folder as one file; what there is to tell of it."""
    folder.require_usable()
    target = _target(typed, folder, ".safetensors")
    told: dict[str, Any] = {"from": str(folder.path), "to": str(target), "size_before": folder.size}
    if typed.dry_run:
        return told
    with progress_line(target.name) as progress:
        factories.write_single_file(folder.path, target, dtype, progress)
    told["tensors"] = len(read_header(target).tensors)
    return told | _remembered(library, target, target.stat().st_size, sha256_of(target))


def _remembered(library: ModelLibrary, target: Path, size: int, sha256: str) -> dict[str, Any]:
    library.hashes.remember({Identity.of(target): sha256}, SHA256)
    return {"size": size, "sha256": sha256, "AutoV2": sha256[:10]}


def _say(typed: Any, told: Mapping[str, Any]) -> None:
    if typed.json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for line in _lines(told, typed.dry_run):
        print(line)


def _target(typed: Any, file: ModelFile, ending: str) -> Path:
    stem = file.path.name if file.folder else file.path.stem
    target = Path(typed.to).expanduser().absolute() if typed.to else file.path.with_name(stem + ending)
    if target.suffix != ".safetensors":
        raise InvalidField("--to must end in .safetensors.", field="--to")
    if target.is_dir() or (target.exists() and not typed.overwrite):
        raise CannotWrite(
            f"{target} is there already.", hint="Name another file with --to, or write over it with --overwrite."
        )
    return target


def _told(file: ModelFile, target: Path, weights: Weights, plan: Plan) -> dict[str, Any]:
    return {
        "from": str(file.path),
        "to": str(target),
        "tensors": len(plan.tensors),
        "left_out": list(plan.left_out),
        "not_weights": list(weights.left_out),
        "narrowed": sum(weights.tensors[one.source].dtype != one.dtype for one in plan.tensors.values()),
        "size_before": file.size,
        "size": size_of(weights, plan),
    }


def _lines(told: Mapping[str, Any], dry_run: bool) -> list[str]:
    lines = [f"{'Would write' if dry_run else 'Wrote'} {told['to']}"]
    if "tensors" in told:
        saved = f"{told['size_before'] / 1e6:,.1f} MB -> {told['size'] / 1e6:,.1f} MB"
        lines.append(f"  {told['tensors']} tensors, {saved}")
    if told.get("narrowed"):
        lines.append(f"  {told['narrowed']} of them in another number format")
    if told.get("left_out"):
        lines.append(f"  {len(told['left_out'])} tensors left out, as {told['left_out'][0]}")
    if told.get("not_weights"):
        lines.append(f"  without what is no weight: {', '.join(told['not_weights'])}")
    if not dry_run:
        lines += [f"  sha256 {told['sha256']}", f"  AutoV2 {told['AutoV2']}"]
    return lines
