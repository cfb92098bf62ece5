"""Pickle values: what the calls in a pickle stand for: tensors, plain values or inert stubs.

Nothing is called: a few names have a meaning here, classes become stubs, other functions refuse the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from app.files.headers import DTYPE_BITS
from app.files.pickle_names import HARMLESS, MAKERS, Name
from app.files.refused import Refused, RefusedAsUnsafe


class Stub:
    """An object of a class that is not rebuilt: what the file says of it, none of it carried out."""

    __slots__ = ("arguments", "entries", "items", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None
        self.items: list[Any] = []
        self.entries: dict[Any, Any] = {}


@dataclass(frozen=True)
class Storage:
    """Bytes in the file that tensors share. size: bytes. dtype: of its elements, "U8" for untyped ones."""

    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class PickledTensor:
    """One tensor. begin: byte in its storage at which element 0 lies. stride: in elements, one for each dimension."""

    storage: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    begin: int

    @property
    def contiguous(self) -> bool:
        """Whether its elements follow one another in the order of its shape (C order)."""
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if size != 1 and stride != expected:
                return 0 in self.shape
            expected *= size
        return True

    @property
    def elements(self) -> int:
        """How many it has."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def span(self) -> int:
        """Bytes from its first element to the end of its last, in its storage."""
        if 0 in self.shape:
            return 0
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True))
        return (last + 1) * DTYPE_BITS[self.dtype] // 8


_STORAGES: Mapping[str, str] = MappingProxyType(
    {
        "DoubleStorage": "F64",
        "FloatStorage": "F32",
        "HalfStorage": "F16",
        "BFloat16Storage": "BF16",
        "LongStorage": "I64",
        "IntStorage": "I32",
        "ShortStorage": "I16",
        "CharStorage": "I8",
        "ByteStorage": "U8",
        "BoolStorage": "BOOL",
        "ComplexFloatStorage": "C64",
        "UntypedStorage": "U8",
    }
)
_DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "torch.float64": "F64",
        "torch.float32": "F32",
        "torch.float16": "F16",
        "torch.bfloat16": "BF16",
        "torch.float8_e4m3fn": "F8_E4M3",
        "torch.float8_e5m2": "F8_E5M2",
        "torch.float8_e4m3fnuz": "F8_E4M3FNUZ",
        "torch.float8_e5m2fnuz": "F8_E5M2FNUZ",
        "torch.int64": "I64",
        "torch.int32": "I32",
        "torch.int16": "I16",
        "torch.int8": "I8",
        "torch.uint8": "U8",
        "torch.uint16": "U16",
        "torch.uint32": "U32",
        "torch.uint64": "U64",
        "torch.bool": "BOOL",
        "torch.complex64": "C64",
    }
)


def storage_of(identifier: Any) -> Storage:
    """The storage that a persistent id ('storage', type, key, location, elements, ...) names."""
    if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
        raise RefusedAsUnsafe("it refers to something outside that is no storage")
    kind, key, count = identifier[1], identifier[2], identifier[4]
    last = kind.text.rpartition(".")[2] if isinstance(kind, Name) and kind.text.startswith("torch.") else ""
    if last not in _STORAGES:
        raise Refused(f"a storage in it is of the unknown kind {last or 'without a name'}")
    if not isinstance(key, str) or type(count) is not int or not 0 <= count < 2**48:
        raise Refused("a storage in it has no proper name or size")
    return Storage(key, _STORAGES[last], count * DTYPE_BITS[_STORAGES[last]] // 8)


def called(function: Any, arguments: Any) -> Any:
    """What calling `function` stands for. Nothing is called: a few names become inert values, classes become stubs."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise RefusedAsUnsafe("it calls something that is no function")
    make = _MADE.get(function.text)
    if make is not None:
        try:
            return make(*arguments)
        except TypeError:
            raise Refused(f"it gives {function.text} the wrong arguments") from None
    short = function.text.rpartition(".")[2]
    if function.text in MAKERS or function.text in HARMLESS or short[:1].isupper():
        return Stub(function.text, arguments)
    raise RefusedAsUnsafe(f"it calls {function.text[:150]}, which weights have no use for: it may be an attack")


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    if isinstance(pairs, dict):
        return pairs
    found: dict[Any, Any] = {}
    for pair in _sequence(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Refused("a dictionary in it is made of something else than pairs")
        found[key_of(pair[0])] = pair[1]
    return found


def _sequence(values: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise Refused("it gives something else where a list belongs")
    return values


def _default_dict(factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    return _ordered_dict(pairs)


def _set(values: Any = ()) -> list[Any]:
    """Sets stay lists: order and repetition do no harm, and nothing has to be hashed."""
    return list(_sequence(values))


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise Refused("it encodes something that is no text")
    return text.encode(encoding, "replace")


def _size(values: Any = ()) -> tuple[Any, ...]:
    return tuple(_sequence(values))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> PickledTensor:
    if not isinstance(storage, Storage):
        raise Refused("a tensor in it has no storage")
    return _checked(storage, storage.dtype, offset, shape, stride)


def _tensor_of_dtype(
    storage: Any, offset: Any, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Any:
    word = _DTYPES.get(dtype.text) if isinstance(dtype, Name) else None
    if not isinstance(storage, Storage) or word is None:
        return Stub("torch._utils._rebuild_tensor_v3", (storage, offset, shape, stride, grad, hooks, dtype))
    return _checked(storage, word, offset, shape, stride)


def _checked(storage: Storage, dtype: str, offset: Any, shape: Any, stride: Any) -> PickledTensor:
    if not len(_sequence(shape)) == len(_sequence(stride)) <= 64:
        raise Refused("a tensor in it has an impossible shape")
    if not all(type(number) is int and 0 <= number < 2**48 for number in (offset, *shape, *stride)):
        raise Refused("a tensor in it has an impossible shape")
    if 0 in shape and math.prod(size for size in shape if size) >= 2**48:
        raise Refused("a tensor in it has an impossible shape")
    width = DTYPE_BITS[dtype] // 8
    tensor = PickledTensor(storage.key, dtype, tuple(shape), tuple(stride), offset * width)
    if tensor.begin + tensor.span > storage.size:
        raise RefusedAsUnsafe("a tensor in it reaches beyond its storage")
    # Strides of 0 repeat elements: a few bytes could claim to be terabytes.
    if tensor.elements > max(storage.size // width, 1_000_000):
        raise RefusedAsUnsafe("a tensor in it claims to be larger than its storage")
    return tensor


def _of_type(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """A tensor of a subclass, or with attributes: the tensor itself."""
    if isinstance(function, Name) and function.text.startswith("torch._utils._rebuild_"):
        return called(function, arguments)
    return Stub("torch._tensor._rebuild_from_type_v2", (function, kind, arguments))


_SCALARS = MappingProxyType(
    {"f8": "<d", "f4": "<f", "f2": "<e", "i8": "<q", "i4": "<i", "i2": "<h", "i1": "<b", "u1": "<B", "b1": "<?"}
)


def _scalar(dtype: Any, data: Any = None, *_: Any) -> Any:
    """numpy's scalar as a Python number; a stub for types that are none."""
    kind = dtype.arguments[0] if isinstance(dtype, Stub) and dtype.arguments else None
    form = _SCALARS.get(kind.lstrip("<|=")) if isinstance(kind, str) else None
    raw = data.encode("latin-1", "replace") if isinstance(data, str) else data
    if form is None or not isinstance(raw, bytes) or len(raw) != struct.calcsize(form):
        return Stub("numpy.core.multiarray.scalar", (dtype, data))
    return struct.unpack(form, raw)[0]


_MADE: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "collections.OrderedDict": _ordered_dict,
        "collections.defaultdict": _default_dict,
        "builtins.dict": _ordered_dict,
        "builtins.set": _set,
        "builtins.frozenset": _set,
        "builtins.list": _set,
        "builtins.tuple": _size,
        "_codecs.encode": _encode,
        "torch.Size": _size,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _of_type,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy._core.multiarray.scalar": _scalar,
    }
)


def key_of(key: Any) -> Any:
    """A dictionary key, if it is one that cannot be made to collide or to nest without end."""
    if isinstance(key, str | bytes | bool | Name | Stub) or key is None:
        return key
    if type(key) is int and abs(key) < 2**53:
        return key
    if isinstance(key, tuple) and len(key) <= 8 and all(isinstance(part, str | bool | int) for part in key):
        return key
    raise Refused(f"a dictionary in it has a key of the type {type(key).__name__}, which is not read")
