"""What a model file is, told by its first bytes and never by its name.

Knows the marks of formats and says in words what a file is that is no model; reads nothing beyond 4 KiB.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

_SNIFFED = 4096


class Content(Enum):
    """What the first bytes say. The value completes 'this file is ...'."""

    SAFETENSORS = "a safetensors file"
    ZIP = "a zip archive (PyTorch's format)"
    PICKLE = "a pickle (PyTorch's old format)"
    DIFFUSERS = "a folder in diffusers' layout"
    EMPTY = "empty (zero bytes)"
    GGUF = "a GGUF file, which is not supported"
    HTML = "a web page, not a model: the download was answered with an error or a log-in page"
    JSON = "a JSON text, not a model: perhaps the error message of a download"
    LFS_POINTER = "a Git LFS pointer, not the model itself: fetch it with `git lfs pull`"
    IMAGE = "a picture"
    ARCHIVE = "a packed archive (7z, rar, gzip or tar): unpack it first"
    ZEROS = "filled with zeros: an unfinished download"
    UNKNOWN = "of no known model format"


def tell_content(path: Path) -> Content:
    """What the file (or folder) is. Raises OSError when it cannot be read."""
    if path.is_dir():
        return Content.DIFFUSERS if (path / "model_index.json").is_file() else Content.UNKNOWN
    with path.open("rb") as file:
        return content_of(file.read(_SNIFFED))


def content_of(first: bytes) -> Content:
    """What a file is that begins with these bytes (4 KiB are enough, fewer only where the file is shorter)."""
    if not first:
        return Content.EMPTY
    # A header below 4 GiB leaves four zero bytes before its brace; no text, pickle or archive begins so.
    if first[8:9] == b"{" and (first[4:8] == bytes(4) or not first[:8].isascii()):
        return Content.SAFETENSORS
    for mark, content in _MARKS:
        if first.startswith(mark):
            return content
    if first[:1] == b"\x80" and first[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Content.PICKLE
    if first[257:262] == b"ustar":
        return Content.ARCHIVE
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return Content.IMAGE
    text = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")):
        return Content.HTML
    if text.startswith((b'{"', b"{ ", b"{\n", b"{\r", b"{}")):
        return Content.JSON
    if not first.strip(b"\0"):
        return Content.ZEROS
    return Content.UNKNOWN


_MARKS = (
    (b"PK\x03\x04", Content.ZIP),
    (b"PK\x05\x06", Content.ZIP),
    (b"GGUF", Content.GGUF),
    (b"version https://git-lfs", Content.LFS_POINTER),
    (b"\x89PNG\r\n", Content.IMAGE),
    (b"\xff\xd8\xff", Content.IMAGE),
    (b"GIF8", Content.IMAGE),
    (b"7z\xbc\xaf\x27\x1c", Content.ARCHIVE),
    (b"Rar!", Content.ARCHIVE),
    (b"\x1f\x8b", Content.ARCHIVE),
)
