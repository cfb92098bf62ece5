"""Picture info: the infotext and other texts inside a picture file, read without decoding its pixels.

Reads what A1111 and its relatives write (a1111-facts 4.4). Knows no meaning of the text.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image

from app.schema.errors import InvalidImage

_PNG = b"\x89PNG\r\n\x1a\n"
_LONGEST_TEXT = 16 << 20
_EXIF_FOLDER, _USER_COMMENT = 0x8769, 0x9286
_WITH_EXIF = ("JPEG", "WEBP", "AVIF", "GIF")
# What the decoders raise on damaged files, besides their own.
DECODER_ERRORS = (OSError, ValueError, SyntaxError, RuntimeError, EOFError, LookupError, TypeError, ArithmeticError)


class PictureInfo(NamedTuple):
    """infotext: None when the file carries none. items: its other texts by name."""

    infotext: str | None
    items: dict[str, str]


def read_infotext(source: str | Path | bytes) -> str | None:
    """The infotext of a picture file, None when there is none. Raises InvalidImage for what is no picture."""
    return read_picture_info(source).infotext


def read_picture_info(source: str | Path | bytes) -> PictureInfo:
    """All texts in a picture file (path or bytes): PNG chunks, then EXIF's UserComment, then a GIF's comment.

    Raises InvalidImage when it is no PNG, JPEG, WebP, AVIF or GIF, or cannot be read.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            return _read(file)
    except (*DECODER_ERRORS, struct.error, zlib.error, Image.DecompressionBombError) as error:
        raise InvalidImage(f"This is not a picture that can be read ({str(error)[:200]}).") from error


def _read(file: BinaryIO) -> PictureInfo:
    items: dict[str, str] = {}
    exif: bytes | None = None
    if file.read(8) == _PNG:
        for kind, data in _chunks(file):
            if kind == b"eXIf":
                exif = data
            elif (text := _chunk_text(kind, data)) is not None:
                items.setdefault(*text)
        comment = _user_comment(Image.Exif(), exif) if exif else None
    else:
        file.seek(0)
        with Image.open(file, formats=_WITH_EXIF) as picture:
            comment = _user_comment(picture.getexif(), None)
            said = picture.info.get("comment")
            if picture.format == "GIF" and isinstance(said, bytes):
                comment = said.decode("utf-8", "replace")
    infotext = comment or items.pop("parameters", None)
    items.pop("parameters", None)
    return PictureInfo(infotext, items)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Text chunks of a PNG, wherever they stand; pixels are stepped over."""
    total = 0
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IEND" or length >= 1 << 31:
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            total += length
            if total > _LONGEST_TEXT:
                raise ValueError("its texts are longer than 16 MB")
            yield kind, file.read(length)
            file.seek(4, io.SEEK_CUR)
        else:
            file.seek(length + 4, io.SEEK_CUR)


def _chunk_text(kind: bytes, data: bytes) -> tuple[str, str] | None:
    """Name and text of one chunk (PNG specification, 11.3.4), None when it is broken."""
    key, _, rest = data.partition(b"\0")
    name = key.decode("latin-1")
    if kind == b"tEXt":
        return name, rest.decode("latin-1")
    if kind == b"zTXt":
        return name, _inflated(rest[1:]).decode("latin-1")
    packed, rest = rest[:1], rest[2:]
    _, _, rest = rest.partition(b"\0")
    _, _, text = rest.partition(b"\0")
    return name, (_inflated(text) if packed == b"\1" else text).decode("utf-8", "replace")


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, _LONGEST_TEXT)
    if unpacker.unconsumed_tail:
        raise ValueError("a packed text in it is longer than 16 MB")
    return text


def _user_comment(exif: Image.Exif, data: bytes | None) -> str | None:
    if data is not None:
        exif.load(b"Exif\0\0" + data if not data.startswith(b"Exif\0\0") else data)
    comment = exif.get_ifd(_EXIF_FOLDER).get(_USER_COMMENT)
    if isinstance(comment, str):
        return comment.strip("\0 ") or None
    if not isinstance(comment, bytes):
        return None
    return _decoded_comment(comment).strip("\0 ") or None


def _decoded_comment(comment: bytes) -> str:
    """EXIF's eight bytes name the character code; which end of UTF-16 comes first they do not say."""
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return text.decode("utf-16", "replace")
        little = text[1::2].count(0) > text[0::2].count(0)
        return text.decode("utf-16-le" if little else "utf-16-be", "replace")
    if code == b"JIS\0\0\0\0\0":
        return text.decode("iso2022_jp", "replace")
    if code in (b"ASCII\0\0\0", bytes(8)):
        return text.decode("utf-8", "replace")
    return comment.decode("utf-8", "replace")
