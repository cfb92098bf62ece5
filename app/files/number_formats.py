"""Number formats: a safetensors type's bytes as numbers and back, its NaNs counted, in numpy.

Rounds to nearest, ties to even, as IEEE 754 and torch do. `raw` is always a flat array of unsigned integers as wide as
one element. Knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from app.files.headers import DTYPE_BITS

Raw = NDArray[Any]
# Little-endian, as in the file.
_UNSIGNED: Mapping[int, str] = MappingProxyType({4: "<u1", 6: "<u1", 8: "<u1", 16: "<u2", 32: "<u4", 64: "<u8"})


class _Layout(NamedTuple):
    """Bits of a floating-point type. infinite: whether it has infinities; finite only: the all-ones code is NaN."""

    exponent: int
    fraction: int
    bias: int
    infinite: bool = True
    only_negative_zero: bool = False


_LAYOUTS: Mapping[str, _Layout] = MappingProxyType(
    {
        "F64": _Layout(11, 52, 1023),
        "F32": _Layout(8, 23, 127),
        "F16": _Layout(5, 10, 15),
        "BF16": _Layout(8, 7, 127),
        "F8_E5M2": _Layout(5, 2, 15),
        "F8_E4M3": _Layout(4, 3, 7, infinite=False),
        "F8_E5M2FNUZ": _Layout(5, 2, 16, infinite=False, only_negative_zero=True),
        "F8_E4M3FNUZ": _Layout(4, 3, 8, infinite=False, only_negative_zero=True),
    }
)
FLOATS = frozenset(_LAYOUTS)
TARGETS = ("F32", "F16", "BF16")


class Unfinite(NamedTuple):
    """How many elements are no finite numbers."""

    nan: int
    infinite: int


def raw_type(dtype: str) -> numpy.dtype[Any]:
    """numpy's type for one element's bits; one byte for types of fewer than eight bits."""
    return numpy.dtype(_UNSIGNED[DTYPE_BITS[dtype]])


def count_unfinite(raw: Raw, dtype: str) -> Unfinite:
    """NaNs and infinities among the elements; none in types that are no floating-point ones."""
    layout = _LAYOUTS.get(dtype)
    if layout is None:
        return Unfinite(0, 0)
    width = layout.exponent + layout.fraction
    if layout.only_negative_zero:
        return Unfinite(int(numpy.count_nonzero(raw == raw.dtype.type(1 << width))), 0)
    magnitude = raw & raw.dtype.type((1 << width) - 1)
    if not layout.infinite:
        return Unfinite(int(numpy.count_nonzero(magnitude == raw.dtype.type((1 << width) - 1))), 0)
    largest = raw.dtype.type(((1 << layout.exponent) - 1) << layout.fraction)
    beyond = int(numpy.count_nonzero(magnitude >= largest))
    if not beyond:
        return Unfinite(0, 0)
    infinite = int(numpy.count_nonzero(magnitude == largest))
    return Unfinite(beyond - infinite, infinite)


def converted(raw: Raw, dtype: str, target: str) -> Raw:
    """The elements in another floating-point type, one of TARGETS; what is too large becomes infinite."""
    if dtype == target:
        return raw
    if target == "BF16":
        return _bfloat16(_float32_to_odd(raw) if dtype == "F64" else _float32(raw, dtype))
    with numpy.errstate(over="ignore", under="ignore", invalid="ignore"):
        values = raw.view("<f8") if dtype == "F64" else _float32(raw, dtype)
        return values.astype("<f2" if target == "F16" else "<f4").view(raw_type(target))


def _float32(raw: Raw, dtype: str) -> NDArray[numpy.float32]:
    """Exactly the same numbers; every type up to 32 bits fits."""
    if dtype == "F32":
        return raw.view("<f4")
    if dtype == "F16":
        return raw.view("<f2").astype("<f4")
    if dtype == "BF16":
        return (raw.astype("<u4") << 16).view("<f4")
    return _eight_bit_values(_LAYOUTS[dtype])[raw]


def _eight_bit_values(layout: _Layout) -> NDArray[numpy.float32]:
    """The number that each of the 256 codes stands for (Micikevicius et al. 2022; FNUZ: Noune et al. 2022)."""
    code = numpy.arange(256)
    exponent = (code >> layout.fraction) & ((1 << layout.exponent) - 1)
    fraction = (code & ((1 << layout.fraction) - 1)) / 2.0**layout.fraction
    normal = exponent > 0
    scale = numpy.where(normal, exponent, 1) - float(layout.bias)
    values = numpy.where(code & 0x80, -1.0, 1.0) * (normal + fraction) * 2.0**scale
    if layout.only_negative_zero:
        values[0x80] = numpy.nan
    elif layout.infinite:
        top = exponent == (1 << layout.exponent) - 1
        values = numpy.where(top, numpy.where(fraction == 0, numpy.copysign(numpy.inf, values), numpy.nan), values)
    else:
        values[[0x7F, 0xFF]] = numpy.nan
    return values.astype("<f4")


def _float32_to_odd(raw: Raw) -> NDArray[numpy.float32]:
    """Doubles rounded to odd, so that the rounding which follows is the only one that counts (Boldo, Melquiond)."""
    values = raw.view("<f8")
    with numpy.errstate(over="ignore", under="ignore", invalid="ignore"):
        near = values.astype("<f4")
        too_far = numpy.abs(near.astype("<f8")) > numpy.abs(values)
        below = numpy.where(too_far, numpy.nextafter(near, numpy.float32(0)), near).astype("<f4")
        inexact = numpy.isfinite(values) & (below.astype("<f8") != values)
    return (below.view("<u4") | inexact).astype("<u4").view("<f4")


def _bfloat16(values: NDArray[numpy.float32]) -> Raw:
    bits = values.view("<u4")
    # Half of what is cut off, less one where the last kept bit is even: a tie goes to the even neighbour.
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype("<u2")
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    if nan.any():
        rounded = numpy.where(nan, (bits >> 16).astype("<u2") | numpy.uint16(0x40), rounded)
    return rounded.astype("<u2")
