"""Picture recipe: how a picture file says it was made, whichever program wrote it.

A1111's infotext first, else what NovelAI, ComfyUI and others leave in a file. Knows nothing of requests.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.files.picture_info import DECODER_ERRORS, read_picture_info
from app.schema.infotext import Infotext, read_infotext_text, read_picture_items


@dataclass(frozen=True)
class PictureRecipe:
    """text: the infotext as it stands in the file, or another program's in its layout; "" when there is none.

    infotext: the same, read. items: the file's other texts by name.
    """

    text: str
    infotext: Infotext
    items: dict[str, str]


def read_picture_recipe(source: str | Path | bytes) -> PictureRecipe:
    """Of a PNG, JPEG, WebP, AVIF or GIF (path or bytes). Raises InvalidImage for anything else."""
    info = read_picture_info(source)
    if info.infotext is not None:
        return PictureRecipe(info.infotext, read_infotext_text(info.infotext), info.items)
    found = read_picture_items(info.items, *_size(source)) if info.items else None
    return PictureRecipe(found.text() if found else "", found or Infotext(), info.items)


def _size(source: str | Path | bytes) -> tuple[int, int]:
    """Width and height in pixels, zeros when the file's beginning does not tell."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            return picture.size
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        return 0, 0
