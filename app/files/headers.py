"""Headers: names, types, shapes and places of the tensors in a safetensors file, without its weights.

Trusts nothing in the file: every size is checked against the file before it is used. Knows no model.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from app.files.contents import Content, content_of
from app.files.refused import Refused, RefusedAsUnsafe, naming

# The limit of the format's own reader; covers in metadata make real headers of several megabytes.
LARGEST_HEADER = 100_000_000
# Objects and lists in a header: three for each tensor. Without it 100 MB of "{}" would fill gigabytes.
_MOST_STRUCTURES = 1_000_000
_MOST_DIMENSIONS = 64
_TOO_LARGE = 2**63

DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {
        "BOOL": 8,
        "U8": 8,
        "I8": 8,
        "F8_E4M3": 8,
        "F8_E5M2": 8,
        "F8_E4M3FNUZ": 8,
        "F8_E5M2FNUZ": 8,
        "F8_E8M0": 8,
        "F4": 4,
        "F6_E2M3": 6,
        "F6_E3M2": 6,
        "I16": 16,
        "U16": 16,
        "F16": 16,
        "BF16": 16,
        "I32": 32,
        "U32": 32,
        "F32": 32,
        "C64": 64,
        "I64": 64,
        "U64": 64,
        "F64": 64,
    }
)


class TensorPlace(NamedTuple):
    """One tensor. dtype: safetensors' word ('F16'). begin, end: byte positions in the file, end excluded."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A file's tensors in the header's order, and its metadata. data_start: byte where the weights begin."""

    tensors: Mapping[str, TensorPlace]
    metadata: Mapping[str, str]
    data_start: int
    size: int


def read_header(path: str | Path) -> Header:
    """The header of a safetensors file.

    Raises ModelNotFound when there is no such file, BrokenModelFile when it is damaged, half copied or of another
    format, UnsafeModelFile when its header claims what no honest program writes (overlaps, absurd sizes).
    """
    path = Path(path)
    with naming(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(4096)
            content = content_of(first)
            if content is not Content.SAFETENSORS:
                raise Refused(f"it is {content.value}")
            length = int.from_bytes(first[:8], "little")
            if length > LARGEST_HEADER:
                raise RefusedAsUnsafe(f"its header claims {length:,} bytes; the limit is {LARGEST_HEADER:,}")
            if 8 + length > size:
                raise Refused(f"it ends inside its header ({size:,} of at least {8 + length:,} bytes are there)")
            text = (first + file.read(max(0, 8 + length - len(first))))[8 : 8 + length]
        if len(text) != length:
            raise Refused("it became shorter while it was read")
        return _parse(text, size)


def _parse(text: bytes, size: int) -> Header:
    if text.count(b"{") + text.count(b"[") > _MOST_STRUCTURES:
        raise RefusedAsUnsafe("its header has millions of parts")
    try:
        decoded = text.decode("utf-8")
        content = json.loads(decoded, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        if "\\u" in decoded:  # half a character passes here, and breaks whatever the name is put into
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise RefusedAsUnsafe("its header is nested without end") from None
    except ValueError as error:
        raise Refused(f"its header is no valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise Refused("its header is no JSON object")
    start = 8 + len(text)
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("its metadata hold something other than text")
    tensors = {name: _place(name, fields, start) for name, fields in content.items()}
    refuse_leading_out(tensors)
    _check_layout(tensors, start, size)
    return Header(MappingProxyType(tensors), MappingProxyType(metadata), start, size)


def refuse_leading_out(names: Iterable[str]) -> None:
    """Tensors' names are no paths here, but some program may make files of them. Raises RefusedAsUnsafe."""
    for name in names:
        if "\0" in name or (".." in name and ".." in name.replace("\\", "/").split("/")):
            raise RefusedAsUnsafe(f"the tensor's name {name[:100]!r} leads out of it")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise RefusedAsUnsafe(f"'{twice[:100]}' stands twice in its header")
    return content


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _place(name: str, fields: Any, start: int) -> TensorPlace:
    try:
        dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    except (KeyError, TypeError, IndexError):
        raise Refused(f"tensor '{name[:100]}' lacks its type, shape or place") from None
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise Refused(f"tensor '{name[:100]}' is of the unknown type {str(dtype)[:40]}")
    if not _natural(shape) or len(shape) > _MOST_DIMENSIONS:
        raise Refused(f"tensor '{name[:100]}' has an impossible shape")
    # A zero hides what the other sizes come to, which overflows in whoever makes the empty tensor.
    if 0 in shape and math.prod(size for size in shape if size) >= 2**48:
        raise Refused(f"tensor '{name[:100]}' has an impossible shape")
    if not _natural(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Refused(f"tensor '{name[:100]}' has an impossible place")
    begin, end = offsets
    if math.prod(shape) * DTYPE_BITS[dtype] != 8 * (end - begin):
        raise Refused(f"the shape of tensor '{name[:100]}' does not fit its {end - begin:,} bytes")
    return TensorPlace(dtype, tuple(shape), start + begin, start + end)


def _natural(numbers: Any) -> bool:
    # `type`, not isinstance: JSON's true is an int to Python. Millions of lists pass here when a library is new.
    if type(numbers) is not list:
        return False
    for number in numbers:  # noqa: SIM110 - a generator takes twice as long
        if type(number) is not int or not 0 <= number < _TOO_LARGE:
            return False
    return True


def _check_layout(tensors: dict[str, TensorPlace], start: int, size: int) -> None:
    """Tensors must follow one another without gap or overlap and fill the file, as the format demands."""
    end = start
    for name, place in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if place.begin < end:
            raise RefusedAsUnsafe(f"tensor '{name[:100]}' overlaps another one")
        if place.begin > end:
            raise RefusedAsUnsafe(f"{place.begin - end:,} bytes before tensor '{name[:100]}' belong to none")
        end = place.end
    if end > size:
        raise Refused(f"it was copied or downloaded in part ({size:,} of {end:,} bytes are there)")
    if end < size:
        raise RefusedAsUnsafe(f"{size - end:,} bytes at its end belong to no tensor")
