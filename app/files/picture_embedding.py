"""Picture embedding: whether a PNG is an A1111 embedding in disguise, and its measures.

The numbers stand as base64 of a JSON in the text `sd-ti-embedding` (a1111-facts 6.2). No pixel is
decoded; other pictures are just that.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from app.files.network_facts import EmbeddingFacts

KEY = b"sd-ti-embedding\0"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST = 64_000_000
_MOST_CHUNKS = 10_000


def embedding_in(path: Path) -> EmbeddingFacts | None:
    """The measures of the embedding in a picture; None for a picture without one. Raises OSError."""
    with path.open("rb") as file:
        if file.read(8) != _SIGNATURE:
            return None
        text = next((text.removeprefix(KEY) for text in _texts(file) if text.startswith(KEY)), None)
    if text is None:
        return None
    try:
        content = json.loads(base64.b64decode(text))
        (vectors,) = content["string_to_param"].values()
        rows = vectors["TORCHTENSOR"]
        width = len(rows[0])
    except (binascii.Error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    step, checkpoint, name = (_said(content.get(key)) for key in ("step", "sd_checkpoint_name", "name"))
    return EmbeddingFacts(len(rows), (width,), step, checkpoint, name)


def _texts(file: BinaryIO) -> Iterator[bytes]:
    """The picture's uncompressed texts; everything else is passed over unread."""
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 8 or head[4:] == b"IEND":
            return
        if head[4:] == b"tEXt" and length <= _LONGEST:
            yield file.read(length)
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)


def _said(value: Any) -> str:
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) else ""
