"""Rewrite: any readable model file becomes safetensors, tensor by tensor.

`conversion` keeps everything, `pruning` leaves out what no picture needs and narrows the rest. The new file is whole or
not there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from app.files.folders import HYPERNETWORK
from app.files.free_space import require_free
from app.files.headers import DTYPE_BITS
from app.files.number_formats import FLOATS, converted, count_unfinite
from app.files.recognise import Tensors, recognise
from app.files.weights import Stored, Weights
from app.files.whole_file import cannot_write, flush_folder
from app.schema.errors import BrokenModelFile, CannotWrite, UnsupportedModel

# Copies of the weights that a training keeps for itself, and the critic that only a VAE's training asks.
_EMA = "model_ema."
_TRAINING_ONLY = (_EMA, "optimizer", "lr_scheduler", "loss.", "first_stage_model.loss.")
_EMA_OF = "model."
_HASHES = ("sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")

Progress = Callable[[int, int], None]


class Copied(NamedTuple):
    """One tensor of the new file: which of the old one, and in which type."""

    source: str
    dtype: str


@dataclass(frozen=True)
class Plan:
    """What the new file is to hold. left_out: names of the old file's tensors that it does not."""

    tensors: Mapping[str, Copied]
    metadata: Mapping[str, str]
    left_out: tuple[str, ...] = ()


class Written(NamedTuple):
    """The new file. size: bytes. sha256: 64 hex digits, of the bytes as they were written."""

    path: Path
    size: int
    sha256: str


def conversion(weights: Weights, dtype: str | None = None) -> Plan:
    """Every tensor under its name and in its type; dtype: 'F32', 'F16' or 'BF16' for floating-point ones instead.

    Raises UnsupportedModel for what a safetensors file has no place for.
    """
    _require_tensors(weights)
    names = list(weights.tensors)
    # A lone A1111 embedding goes under the name that other programs look for.
    renamed = {"string_to_param.*": "emb_params"} if "string_to_param.*" in weights.tensors else {}
    if renamed:
        names = ["string_to_param.*"]
    copied = {renamed.get(name, name): Copied(name, _narrowed(weights.tensors[name], dtype)) for name in names}
    return Plan(copied, _metadata(weights, copied), tuple(name for name in weights.tensors if name not in names))


def pruning(weights: Weights, dtype: str = "F16", ema: bool = False) -> Plan:
    """What pictures need, floating-point numbers wider than `dtype` narrowed to it.

    ema: take the averaged weights in place of the last ones. A file that has only averaged weights keeps them.
    Raises UnsupportedModel when there are no averaged weights to take.
    """
    _require_tensors(weights)
    names = set(weights.tensors)
    has_others = any(name.startswith(f"{_EMA_OF}diffusion_model.") for name in names)
    averaged = {name: _averaged(name) for name in names if name.startswith(_EMA_OF) and _averaged(name) in names}
    if ema and not averaged:
        raise UnsupportedModel(f"{weights.path.name} holds no averaged (EMA) weights beside its own.")
    dropped = _TRAINING_ONLY if has_others else _TRAINING_ONLY[1:]
    copied: dict[str, Copied] = {}
    for name in weights.tensors:
        if name.startswith(dropped) or name == _EMA.rstrip("."):
            continue
        source = averaged.get(name, name) if ema else name
        stored = weights.tensors[source]
        wider = stored.dtype in FLOATS and DTYPE_BITS[stored.dtype] > DTYPE_BITS[dtype]
        # Noise schedules and the like stand outside all modules; rounding them would change each picture.
        copied[name] = Copied(source, dtype if wider and "." in name else stored.dtype)
    if not copied:
        raise UnsupportedModel(f"{weights.path.name} holds nothing but what a training keeps for itself.")
    return Plan(copied, _metadata(weights, copied), tuple(name for name in weights.tensors if name not in copied))


def _averaged(name: str) -> str:
    """The averaged copy's name in LDM: without the first `model.` and without dots."""
    return _EMA + name.removeprefix(_EMA_OF).replace(".", "")


def _require_tensors(weights: Weights) -> None:
    if not weights.tensors:
        raise BrokenModelFile(f"{weights.path.name} holds no weights.")
    shapes: Tensors = weights.tensors
    if recognise(shapes, weights.metadata).kind == HYPERNETWORK:
        raise UnsupportedModel(
            f"{weights.path.name} is a hypernetwork: its layers' settings have no place in a safetensors file.",
            hint="Use it as it is; it is read without running code.",
        )


def _narrowed(stored: Stored, dtype: str | None) -> str:
    return dtype if dtype is not None and stored.dtype in FLOATS else stored.dtype


def _metadata(weights: Weights, copied: Mapping[str, Copied]) -> dict[str, str]:
    same = len(copied) == len(weights.tensors) and all(
        name == one.source and one.dtype == weights.tensors[name].dtype for name, one in copied.items()
    )
    kept = {key: value for key, value in weights.metadata.items() if same or key not in _HASHES}
    return {"format": "pt", **kept}


def size_of(weights: Weights, plan: Plan) -> int:
    """Bytes of the file that `rewrite` would make."""
    header, order = _header(weights, plan)
    return len(header) + sum(_size(weights, plan.tensors[name]) for name in order)


def rewrite(weights: Weights, plan: Plan, path: Path, progress: Progress = lambda done, of: None) -> Written:
    """Write the file: aside, flushed, then renamed. progress is told the bytes written so far and in all.

    Raises DiskFull before anything is written, CannotWrite (also for a number too large for its new type),
    BrokenModelFile when the old file turns out damaged; then nothing stays behind.
    """
    header, order = _header(weights, plan)
    size = len(header) + sum(_size(weights, plan.tensors[name]) for name in order)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_free({path.parent: size}, path.name, "Free some space, or choose another place with --to.")
        with aside.open("wb") as file:
            sha256 = _write_all(file, header, weights, plan, order, size, progress)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return Written(path, size, sha256)


def _write_all(
    file: BinaryIO, header: bytes, weights: Weights, plan: Plan, order: list[str], size: int, progress: Progress
) -> str:
    digest = hashlib.sha256(header)
    file.write(header)
    done = len(header)
    for name in order:
        source, dtype = plan.tensors[name]
        for piece in weights.pieces(source):
            new = converted(piece, weights.tensors[source].dtype, dtype)
            if new is not piece and count_unfinite(new, dtype) != count_unfinite(piece, weights.tensors[source].dtype):
                raise CannotWrite(
                    f"Tensor {source[:200]} holds numbers that {dtype} cannot hold.",
                    hint="Choose bf16 or fp32 instead.",
                )
            data = new.data.cast("B")
            digest.update(data)
            file.write(data)
            done += len(data)
            progress(done, size)
    return digest.hexdigest()


def _header(weights: Weights, plan: Plan) -> tuple[bytes, list[str]]:
    """The file's beginning up to its weights, and the names in the order in which they follow."""
    # The format's own order: widest first, so that each begins at a multiple of its width; then as they lie in the old
    # file, which is so read from front to back.
    order = sorted(
        plan.tensors,
        key=lambda name: (-DTYPE_BITS[plan.tensors[name].dtype], weights.tensors[plan.tensors[name].source].begin),
    )
    content: dict[str, Any] = {"__metadata__": dict(plan.metadata)} if plan.metadata else {}
    end = 0
    for name in order:
        begin, end = end, end + _size(weights, plan.tensors[name])
        shape = list(weights.tensors[plan.tensors[name].source].shape)
        content[name] = {"dtype": plan.tensors[name].dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, order


def _size(weights: Weights, one: Copied) -> int:
    return weights.tensors[one.source]._replace(dtype=one.dtype).size
