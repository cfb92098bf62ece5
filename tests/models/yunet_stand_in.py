"""Writes an ONNX file with YuNet's inputs and outputs that sees a face wherever 16 x 16 pixels are white."""

from __future__ import annotations

from pathlib import Path

import numpy as np

Array = np.ndarray
STRIDES = (8, 16, 32)
SEEING = 16
_INT64 = 7
_SAYS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Outputs for each cell of a stride: two scores, a box, five points."""


def write_yunet(path: Path, marks: Array, width: float, sides: tuple[int | str, int | str]) -> Path:
    """marks: [5, 2] points as a face has them, in pixels from the corner of its white cell. width: of its box.

    sides: height and width that the file says it takes; words stand for any.
    """
    graph = _part(2, "stand-in") + _part(11, _place("input", (1, 3, *sides)))
    for kind, wide in _SAYS.items():
        graph += _part(5, _tensor(f"{kind}_shape", np.array([1, -1, wide], np.int64), _INT64))
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            seeing = stride == SEEING and kind == "cls"
            weight = np.full((wide, 3, stride, stride), 1 / (3 * stride * stride * 255) if seeing else 0, np.float32)
            size = np.log(width / stride)
            says = {"cls": (0,), "obj": (1,), "bbox": (0.5, 0.5, size, size), "kps": marks.ravel() / stride}[kind]
            graph += _part(5, _tensor(f"{name}_weight", weight))
            graph += _part(5, _tensor(f"{name}_bias", np.array(says, np.float32)))
            square = _whole("kernel_shape", (stride, stride)) + _whole("strides", (stride, stride))
            graph += _node("Conv", ("input", f"{name}_weight", f"{name}_bias"), f"{name}_map", square)
            graph += _node("Transpose", (f"{name}_map",), f"{name}_last", _whole("perm", (0, 2, 3, 1)))
            graph += _node("Reshape", (f"{name}_last", f"{kind}_shape"), name)
            graph += _part(12, _place(name, (1, "cells", wide)))
    path.write_bytes(_number(1, 8) + _part(8, _number(2, 13)) + _part(7, graph))
    return path


def _varint(number: int) -> bytes:
    data = b""
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _part(field: int, data: str | bytes) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, values: Array, kind: int = 1) -> bytes:
    sides = b"".join(_number(1, side) for side in values.shape)
    return sides + _number(2, kind) + _part(8, name) + _part(9, values.tobytes())


def _place(name: str, sides: tuple[int | str, ...]) -> bytes:
    shape = b"".join(_part(1, _number(1, side) if isinstance(side, int) else _part(2, side)) for side in sides)
    return _part(1, name) + _part(2, _part(1, _number(1, 1) + _part(2, shape)))


def _node(kind: str, inputs: tuple[str, ...], output: str, attributes: bytes = b"") -> bytes:
    names = b"".join(_part(1, one) for one in inputs)
    return _part(1, names + _part(2, output) + _part(3, output) + _part(4, kind) + attributes)


def _whole(name: str, values: tuple[int, ...]) -> bytes:
    return _part(5, _part(1, name) + b"".join(_number(8, value) for value in values) + _number(20, 7))
