"""Blobs: input pictures and masks of requests, stored once under the hash of their bytes.

Checks that bytes are a picture of a bearable size before they are kept; decoding and EXIF rotation are the reader's.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from app.files.open_picture import MOST_PIXELS, PICTURE_FORMATS, too_large
from app.files.picture_info import DECODER_ERRORS
from app.files.whole_file import write_whole
from app.schema.errors import BlobNotFound, InvalidImage

MOST_BYTES = 100_000_000
# A page keeps pictures and masks by their hashes from one visit to the next, before any request names them.
GRACE_SECONDS = 30 * 86_400.0

_HASH = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The store in one folder. Thread-safe within one process, which owns the folder."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES, most_pixels: int = MOST_PIXELS) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._most_pixels = most_pixels
        self._lock = threading.Lock()

    def put(self, data: bytes, *, field: str | None = None) -> str:
        """Keep a picture's bytes and return their sha256 (64 hex digits), by which they are found again.

        field: the request field to name in errors. Raises InvalidImage for what is no picture of PICTURE_FORMATS, is
        too long or has too many pixels; DiskFull, CannotWrite.
        """
        self._check(data, field)
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        with self._lock:
            if path.is_file() and path.stat().st_size == len(data):
                os.utime(path)  # begins its grace anew
            else:
                write_whole(path, data)
        return digest

    def read(self, digest: str) -> bytes:
        """The bytes of a blob. Raises BlobNotFound when it is not there or its bytes are no longer the same."""
        with self.open(digest) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobNotFound(f"The stored picture {digest[:12]} is damaged.", hint="Upload it again.")
        return data

    def require(self, digest: str, field: str | None = None) -> None:
        """Raises BlobNotFound, naming the request's field, for a picture that is not here."""
        if not self._path(digest).is_file():
            raise BlobNotFound(
                f"The input picture {digest[:12]} is not stored here.", field=field, hint="Upload it first."
            )

    def open(self, digest: str) -> BinaryIO:
        """A blob as a file, unchecked. Raises BlobNotFound."""
        try:
            return self._path(digest).open("rb")
        except OSError:
            raise BlobNotFound(
                f"The input picture {digest[:12]} is no longer stored.", hint="Upload it again."
            ) from None

    def collect(self, live: Collection[str], *, grace: float = GRACE_SECONDS) -> int:
        """Remove what no request names (live: all hashes that one does) and is older than `grace` seconds.

        Returns the number of files removed.
        """
        removed, oldest = 0, time.time() - grace
        with self._lock:
            for path in [*self._folder.glob("*/*")]:
                with suppress(OSError):
                    if path.name not in live and path.stat().st_mtime < oldest:
                        path.unlink()
                        removed += 1
        return removed

    def _path(self, digest: str) -> Path:
        if _HASH.fullmatch(digest) is None:
            raise BlobNotFound("A stored picture is named by 64 hex digits.")
        return self._folder / digest[:2] / digest

    def _check(self, data: bytes, field: str | None) -> None:
        if len(data) > self._most_bytes:
            raise InvalidImage(
                f"The picture has {len(data):,} bytes; the limit is {self._most_bytes:,}.",
                field=field,
                hint="Make it smaller.",
            )
        try:
            with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
                width, height = picture.size
        except Image.DecompressionBombError:
            width, height = self._most_pixels, 2
        except DECODER_ERRORS as error:
            raise InvalidImage(
                "The upload is not a picture that can be read.", field=field, hint="Send PNG, JPEG or WebP."
            ) from error
        if width * height > self._most_pixels:
            raise too_large(self._most_pixels, field)
