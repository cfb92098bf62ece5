"""A1111's .pt files: dictionaries of plain values and tensors as PyTorch writes them, always the same bytes.

Nothing but dictionaries, tuples, text, numbers and tensors goes in, so that every careful reader takes them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.files import write_whole


def write_pickled(path: Path, tree: Mapping[Any, Any]) -> Path:
    """Write a tree whole. Raises TypeError for other values, CannotWrite, DiskFull."""
    room = io.BytesIO()
    torch.save(_plain(tree), room)
    write_whole(path, room.getvalue())
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_plain(inner) for inner in value)
    if isinstance(value, Tensor):
        return value.detach().float().cpu().clone()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no place in such a file")
