"""Embedded picture: the embedding that A1111 hides in a PNG or WebP: in a text of the file or in bars of pixels.

Reads numbers out of a picture (a1111-facts 6.2); knows no model. Sizes are bounded before anything is unpacked.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.schema.errors import BrokenModelFile

TEXT_KEY = "sd-ti-embedding"
_MOST_PIXELS = 64_000_000
_LONGEST = 64_000_000
_TENSOR = "TORCHTENSOR"
_DAMAGE = (OSError, ValueError, SyntaxError, RuntimeError, EOFError, LookupError, TypeError, RecursionError, zlib.error)


class Embedded(NamedTuple):
    """What a picture holds. name: stored with the numbers. vectors: tensors by the name of their placeholder."""

    name: str
    vectors: dict[str, Tensor]


def read_embedded_picture(path: str | Path) -> Embedded:
    """The embedding inside a picture. Raises BrokenModelFile when there is none, or it is damaged."""
    path = Path(path)
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise BrokenModelFile(f"{path.name} is too large a picture to look for an embedding in.")
            picture.load()
            text = getattr(picture, "text", {}).get(TEXT_KEY) or picture.info.get(TEXT_KEY)
            content = _from_text(text) if isinstance(text, str) else _from_pixels(np.asarray(picture.convert("RGB")))
            tensors = content["string_to_param"]
            vectors = {str(name): _tensor(value) for name, value in tensors.items()}
            return Embedded(str(content.get("name") or path.stem), vectors)
    except (*_DAMAGE, AttributeError) as error:
        raise BrokenModelFile(f"{path.name} holds no embedding that can be read ({error}).") from error


def _from_text(text: str) -> Any:
    if len(text) > _LONGEST:
        raise ValueError("its text is too long")
    try:
        return json.loads(base64.b64decode(text))
    except binascii.Error as error:
        raise ValueError("its text is damaged") from error


def _from_pixels(pixels: np.ndarray) -> Any:
    """Low halves of the bytes in a bar at the left, high halves at the right, each beyond a black column.

    Both are hidden under the low four bits of a linear congruential sequence.
    """
    lit = np.all(pixels > 0, axis=2)
    if not np.any(lit):
        raise ValueError("it is black")
    rows, columns = np.flatnonzero(np.any(lit, axis=1)), np.flatnonzero(np.any(lit, axis=0))
    inside = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] & 0x0F
    black = np.flatnonzero(inside.sum(axis=(0, 2), dtype=np.int64) == 0)
    if black.size < 2:
        raise ValueError("it has no bars with data")
    low, high = _revealed(inside[:, : black[0]]), _revealed(inside[:, black[-1] + 1 :])
    if low.shape != high.shape or not low.size:
        raise ValueError("its two bars differ in size")
    packed = ((high << 4) | low).astype(np.uint8).tobytes()
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(packed, _LONGEST)
    if not unpacking.eof:
        raise ValueError("its data are cut off, or too long")
    return json.loads(data)


def _revealed(bar: np.ndarray) -> np.ndarray:
    state, mask = 0, np.empty(bar.size, dtype=np.uint8)
    for place in range(bar.size):
        state = (1664525 * state + 1013904223) % 4294967296
        mask[place] = (state % 255) & 0x0F
    return bar ^ mask.reshape(bar.shape)


def _tensor(value: Any) -> Tensor:
    numbers = np.asarray(value[_TENSOR], dtype=np.float32)
    return torch.from_numpy(numbers)
