"""Thumbnails: small pictures for the cards of models, made once from previews and embedded covers.

Kept in a folder of their own under a name that follows from the source's path, size and time. Serves nothing by itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps

from app.files.contents import Content
from app.files.headers import read_header
from app.files.model_file import Identity, ModelFile
from app.files.picture_info import DECODER_ERRORS
from app.files.sidecars import PREVIEW_ENDINGS, preview_of
from app.files.whole_file import cannot_write
from app.schema.errors import EaselError

WIDTH, HEIGHT = 320, 480
"""Pixels a thumbnail has at most: a card's own at twice the density."""
MOST_PIXELS = 100_000_000
LARGEST_SOURCE = 64 << 20
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_WORKERS = 2


class Thumbnails:
    """folder: where they are kept; made when the first one is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Few, so that a page of new cards leaves the processor to the pictures in work.
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="thumbnails")

    def of(self, file: ModelFile) -> Path | None:
        """The WebP file of a model's card, made now unless it is there; None for one without a picture.

        Raises DiskFull or CannotWrite.
        """
        source = preview_of(file) or file.path
        try:
            kept = self._kept(Identity.of(source))
        except OSError:
            return None
        if not kept.is_file():
            self._write(kept, _small(_picture_of(file, source)))
        return kept if kept.stat().st_size else None

    def later(self, file: ModelFile) -> Future[Path | None]:
        """The same on a thread of its own."""
        return self._workers.submit(self.of, file)

    def close(self) -> None:
        """Ends the threads; what waits is dropped."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _kept(self, source: Identity) -> Path:
        place = hashlib.sha256(source.path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self._folder / place[:2] / f"{place}.{source.size:x}-{source.mtime_ns:x}.webp"

    def _write(self, kept: Path, data: bytes) -> None:
        """An empty file says that there is no picture, so that the model is not opened for it again."""
        aside = kept.with_name(f"{kept.name}.{threading.get_ident()}.tmp")
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            for older in kept.parent.glob(f"{kept.name.partition('.')[0]}.*.webp"):
                older.unlink(missing_ok=True)
            aside.write_bytes(data)
            aside.replace(kept)
        except OSError as error:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise cannot_write(kept, error) from error


def _picture_of(file: ModelFile, source: Path) -> bytes:
    """The bytes of a picture, b"" where there is none."""
    if source != file.path or source.suffix.lower() in PREVIEW_ENDINGS:
        with suppress(OSError):
            if source.stat().st_size <= LARGEST_SOURCE:
                return source.read_bytes()
        return b""
    if file.summary.content != Content.SAFETENSORS.name:
        return b""
    try:
        return cover_in(read_header(source).metadata)
    except EaselError:
        return b""


def cover_in(metadata: Mapping[str, str]) -> bytes:
    """The first picture inside a safetensors file's metadata (`ssmd_cover_images`, `modelspec.thumbnail`), else b""."""
    try:
        covers = json.loads(metadata.get("ssmd_cover_images") or "[]")
    except (ValueError, RecursionError):
        covers = []
    first = covers[0] if isinstance(covers, list) and covers else metadata.get("modelspec.thumbnail", "")
    if not isinstance(first, str):
        return b""
    try:
        return base64.b64decode(first.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return b""


def _small(data: bytes) -> bytes:
    """A WebP of the picture without any of its texts, b"" for what is no picture or an absurdly large one."""
    if not data:
        return b""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return b""
            picture.draft("RGB", (2 * WIDTH, 2 * HEIGHT))
            upright = ImageOps.exif_transpose(picture)
            shown = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
            shown.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS, reducing_gap=3.0)
            small = io.BytesIO()
            shown.save(small, "WEBP", quality=80, method=4)
            return small.getvalue()
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        return b""
