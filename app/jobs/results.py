"""Results: the pixels of finished pictures that others of the same job redraw, kept whatever format is saved."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from app.files import Blobs
from app.schema.events import RowFinished

QUICK = 1
"""PNG's compression level: written between two rounds that wait for it."""


@dataclass(frozen=True)
class Results:
    """Given to the writer; the store of input pictures keeps them."""

    blobs: Blobs

    def __call__(self, finished: RowFinished) -> str:
        """The hash by which a request names the picture. Raises DiskFull, CannotWrite, InvalidImage."""
        picture = Image.frombytes("RGB", (finished.width, finished.height), finished.rgb)
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=QUICK)
        return self.blobs.put(file.getvalue())
