"""Writer: modules -> one safetensors file in the original single-file layout, tensor by tensor.

Written beside its name, flushed to disk and renamed, so that a half file never bears the name. Over a base file
it keeps the base's key list, types and shapes and copies through what belongs to no module.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from app.files.free_space import require_free
from app.models.checkpoint_file import open_checkpoint
from app.models.families import Family
from app.models.keys import Source, names_of, text_sources, unet_sources, vae_sources
from app.models.text_encoder import TextEncoder
from app.models.weights import DTYPES, Weights
from app.schema.errors import CannotWrite, DiskFull

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Entry(NamedTuple):
    """One tensor to be written; `make` is called when its turn comes, so that only one is in memory."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], Tensor]


def write_checkpoint(
    path: str | Path,
    *,
    family: Family,
    unet: Any,
    text_encoders: Sequence[Any],
    vae: Any,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
    markers: Sequence[str] = (),
    base: str | Path | None = None,
    changed: Sequence[str] | None = None,
) -> Path:
    """Write a checkpoint and return its path.

    unet, text_encoders, vae: diffusers' and transformers' modules (a `TextEncoder` or `Vae` is unwrapped).
    dtype: of floating-point tensors; None keeps each one's own, or the base file's where a base is given.
    markers: names of empty tensors to add ('v_pred', 'ztsnr'). base: a checkpoint whose layout is kept; of one in
    diffusers' naming only the metadata and the type. changed: prefixes of the keys that the modules give, None for
    all; under the others the base's own tensors stay.
    Raises CannotWrite (also when a value does not fit into dtype), DiskFull; BrokenModelFile for the base.
    """
    opened = open_checkpoint(base) if base is not None else None
    if opened is not None:
        metadata = {**opened.metadata, **(metadata or {})}
        if opened.family:
            dtype = dtype or Counter(opened.dtypes.values()).most_common(1)[0][0]
            opened = None
    stored = _stored(family, unet, text_encoders, vae, opened)
    if opened is not None:
        given = {key: entry for key, entry in stored.items() if changed is None or key.startswith(tuple(changed))}
        entries = {key: _over(key, given, opened) for key in opened.shapes}
    else:
        entries = stored
    if dtype is not None:
        entries = {
            key: entry._replace(dtype=dtype) if entry.dtype.is_floating_point else entry
            for key, entry in entries.items()
        }
    for marker in markers:
        entries.setdefault(marker, Entry(torch.float32, (0,), lambda: torch.zeros(0)))
    return write_tensors(path, entries, metadata or {})


def write_tensors(path: str | Path, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> Path:
    """Write any tensors as a safetensors file: streamed, flushed, renamed. Raises CannotWrite, DiskFull."""
    path = Path(path)
    # The format's own order: widest types first, so that every tensor begins at a multiple of its size.
    names = sorted(entries, key=lambda name: (-entries[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        begin, end = end, end + math.prod(entries[name].shape) * entries[name].dtype.itemsize
        shape = list(entries[name].shape)
        header[name] = {"dtype": _NAMES[entries[name].dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        require_free({path.parent: 8 + len(text) + end}, path.name)
        with aside.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                _write(file, name, entries[name], path)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"There is no room left for {path}.", hint="Free some space and try again.") from error
        raise CannotWrite(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        aside.unlink(missing_ok=True)
    return path


def _stored(
    family: Family, unet: Any, text_encoders: Sequence[Any], vae: Any, base: Weights | None
) -> dict[str, Entry]:
    """Every tensor of the modules under its key and in its shape of the original layout."""
    stored = _gathered(unet_sources(names_of(unet), family.unet_prefix), dict(unet.named_parameters()))
    module = getattr(vae, "module", vae)
    for key, entry in _gathered(
        vae_sources(names_of(module), family.vae_prefix), dict(module.named_parameters())
    ).items():
        if ".mid.attn_1." in key and len(entry.shape) == 2:
            entry = entry._replace(shape=(*entry.shape, 1, 1))  # linear in diffusers, a 1x1 convolution in LDM
        stored[key] = entry
    for facts, given in zip(family.text_encoders, text_encoders, strict=True):
        encoder = given if isinstance(given, TextEncoder) else TextEncoder(facts, given)
        parameters = dict(encoder.named_parameters())
        sources = text_sources(parameters, facts, base.shapes if base else ())
        stored.update(_gathered(sources, parameters))
        if facts.layout == "open_clip" and base is None:
            # Stability's programs expect it; it is the published value, ln 100, and plays no part in pictures.
            stored[f"{facts.prefix}logit_scale"] = Entry(torch.float32, (), lambda: torch.tensor(math.log(100.0)))
    return stored


def _gathered(sources: Mapping[str, Source], parameters: Mapping[str, Tensor]) -> dict[str, Entry]:
    """One entry per key: query, key and value are stacked again, the projection is turned back."""
    pieces: dict[str, list[tuple[Source, Tensor]]] = {}
    for name, source in sources.items():
        pieces.setdefault(source.key, []).append((source, parameters[name]))
    return {key: _stacked(sorted(parts, key=lambda part: part[0].third or 0)) for key, parts in pieces.items()}


def _stacked(parts: list[tuple[Source, Tensor]]) -> Entry:
    tensors = [tensor.detach().t() if source.transposed else tensor.detach() for source, tensor in parts]
    shape = (tensors[0].shape[0] * len(tensors), *tensors[0].shape[1:])
    return Entry(tensors[0].dtype, tuple(shape), lambda: tensors[0] if len(tensors) == 1 else torch.cat(tensors))


def _over(key: str, stored: Mapping[str, Entry], base: Weights) -> Entry:
    """What stands under a key of the base file: the module's tensor in the base's type and shape, or the base's own."""
    make = stored[key].make if key in stored else (lambda: base.tensor(key))
    return Entry(base.dtypes[key], base.shapes[key], make)


def _write(file: BinaryIO, name: str, entry: Entry, path: Path) -> None:
    tensor = entry.make().detach().to("cpu")
    written = tensor.reshape(entry.shape).to(entry.dtype).contiguous()
    if written.dtype == torch.float16 and not bool(torch.isfinite(written).all()):
        largest = float(tensor.abs().max())
        raise CannotWrite(
            f"{path.name} cannot be written in fp16: tensor {name} has values up to {largest:.3g}.",
            hint="Save it as bf16 or fp32.",
        )
    file.write(written.reshape(-1).view(torch.uint8).numpy().data)


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut; Windows has no such call and does it by itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
