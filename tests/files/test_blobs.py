"""An input picture is kept once, whole and found by its hash; what is no picture or too large is not kept."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import zlib
from pathlib import Path

import pytest
from PIL import Image

from app.files.blobs import Blobs
from app.schema.errors import BlobNotFound, DiskFull, InvalidImage


def picture(size: tuple[int, int] = (8, 8), kind: str = "PNG", colour: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (colour, 0, 0)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_what_is_put_is_read_back_byte_for_byte(blobs: Blobs, kind: str) -> None:
    data = picture(kind=kind)
    digest = blobs.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert blobs.read(digest) == data
    with blobs.open(digest) as file:
        assert file.read() == data


def test_the_same_picture_is_kept_once(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.put(picture()) == blobs.put(picture())
    assert len(files(tmp_path)) == 1


def test_a_copy_that_lost_bytes_is_replaced(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.put(picture())
    os.truncate(files(tmp_path)[0], 10)
    with pytest.raises(BlobNotFound, match="damaged"):
        blobs.read(digest)
    blobs.put(picture())
    assert blobs.read(digest) == picture()


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", b"\x89PNG\r\n"]
)
def test_what_is_no_picture_is_refused_by_the_name_of_its_field(blobs: Blobs, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidImage, match="not a picture") as caught:
        blobs.put(data, field="init_image")
    assert caught.value.field == "init_image"
    assert files(tmp_path) == []


def test_too_many_bytes_or_pixels_are_refused_without_decoding(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, most_bytes=1000, most_pixels=100)
    with pytest.raises(InvalidImage, match=r"has 1,001 bytes; the limit is 1,000"):
        blobs.put(bytes(1001))
    with pytest.raises(InvalidImage, match="more than 100 pixels"):
        blobs.put(picture((11, 10)))


def test_a_small_file_that_would_fill_the_memory_is_refused(blobs: Blobs) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(InvalidImage, match="more than 100,000,000 pixels"):
        blobs.put(bomb)


@pytest.mark.parametrize("digest", ["", "..", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64, "0" * 64 + "\n"])
def test_a_hash_that_is_not_stored_is_not_found(blobs: Blobs, digest: str) -> None:
    with pytest.raises(BlobNotFound):
        blobs.read(digest)


def test_what_no_request_names_is_removed_after_its_grace(blobs: Blobs, tmp_path: Path) -> None:
    live, dead, new = (blobs.put(picture(colour=colour)) for colour in (1, 2, 3))
    for path in files(tmp_path):
        if path.name != new:
            os.utime(path, (0, 0))
    half = tmp_path / "blobs" / live[:2] / f"{live}.tmp"
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    assert blobs.collect({live}) == 2
    assert {path.name for path in files(tmp_path)} == {live, new}
    with pytest.raises(BlobNotFound, match="no longer stored"):
        blobs.read(dead)


def test_putting_a_picture_again_begins_its_grace_anew(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.put(picture())
    os.utime(files(tmp_path)[0], (0, 0))
    blobs.put(picture())
    assert blobs.collect(set()) == 0
    assert blobs.read(digest) == picture()


def test_a_full_disk_keeps_nothing_half(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        blobs.put(picture())
    assert files(tmp_path) == []


def test_many_threads_may_put_the_same_picture(blobs: Blobs) -> None:
    digests: list[str] = []
    threads = [threading.Thread(target=lambda: digests.append(blobs.put(picture()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1
