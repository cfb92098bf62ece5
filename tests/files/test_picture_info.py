"""Infotexts are read from files of other programs too, wherever they stand in them, and broken files are refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.files.picture_info import read_infotext, read_picture_info
from app.schema.errors import InvalidImage


def png(info: PngInfo | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_all_texts_of_a_png_are_read() -> None:
    info = PngInfo()
    info.add_text("parameters", "a cat é")
    info.add_text("workflow", "{}", zip=True)
    info.add_itxt("postprocessing", "放大", zip=True)
    info.add_text("Software", "NovelAI")
    assert read_picture_info(png(info)) == (
        "a cat é",
        {"workflow": "{}", "postprocessing": "放大", "Software": "NovelAI"},
    )


def test_a_text_after_the_pixels_is_read_too() -> None:
    data = png()
    assert data[-8:-4] == b"IEND"
    assert read_infotext(data[:-12] + chunk(b"tEXt", b"parameters\0late") + data[-12:]) == "late"


def test_a_picture_without_infotext_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    assert read_infotext(tmp_path / "a.png") is None


def exif(comment: bytes) -> bytes:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x9286] = comment
    return tags.tobytes()


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (b"UNICODE\0" + "a 猫".encode("utf-16-be"), "a 猫"),
        (b"UNICODE\0" + "a cat".encode("utf-16-le"), "a cat"),
        (b"UNICODE\0" + "a cat".encode("utf-16"), "a cat"),
        (b"ASCII\0\0\0a cat\0", "a cat"),
        (bytes(8) + "a 猫".encode(), "a 猫"),
        (b"JIS\0\0\0\0\0" + "猫".encode("iso2022_jp"), "猫"),
        (b"a cat without a code", "a cat without a code"),
        (b"UNICODE\0", None),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_the_user_comment_is_read_in_every_code(kind: str, comment: bytes, text: str | None) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, exif=exif(comment))
    assert read_infotext(file.getvalue()) == text


def test_the_user_comment_wins_over_the_text_chunk() -> None:
    info = PngInfo()
    info.add_text("parameters", "old")
    found = read_picture_info(png(info, exif=exif(b"UNICODE\0" + "new".encode("utf-16-be"))))
    assert found == ("new", {})


def test_a_packed_text_that_would_fill_the_memory_is_refused() -> None:
    bomb = zlib.compress(bytes(64 << 20), 9)
    data = png()
    with pytest.raises(InvalidImage, match="longer than 16 MB"):
        read_infotext(data[:-12] + chunk(b"zTXt", b"parameters\0\0" + bomb) + data[-12:])


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg></svg>", b"\x89PNG", b"\xff\xd8\xff", b"GIF89a", b"RIFF0000WEBP"]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="not a picture that can be read"):
        read_infotext(data)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage):
        read_infotext(tmp_path / "gone.png")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_byte_is_changed_a_picture_is_read_or_refused(data: st.DataObject) -> None:
    file = io.BytesIO()
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]))
    info = PngInfo()
    info.add_itxt("parameters", "a cat", zip=True)
    extra = {"pnginfo": info} if kind == "PNG" else {}
    Image.new("RGB", (8, 8)).save(file, kind, exif=exif(b"UNICODE\0" + "a cat".encode("utf-16-be")), **extra)
    whole = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_infotext(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except InvalidImage:
        return
    assert found is None or isinstance(found, str)
