"""Thumbnails: made once, small, from sidecars and covers, and never from what is no picture."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.files import Folders, ModelFile, ModelLibrary, Thumbnails
from tests.files.making import lora, write_safetensors

Made = tuple[ModelLibrary, Thumbnails, Path]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    folders = Folders.of(data_dir=tmp_path, program_dir=tmp_path / "program")
    library = ModelLibrary(folders)
    thumbnails = Thumbnails(tmp_path / "kept")
    write_safetensors(folders.loras[0] / "style.safetensors", lora(768))
    yield library, thumbnails, folders.loras[0]
    thumbnails.close()
    library.close()


def picture(width: int, height: int, colour: str, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, kind, **options)
    return stream.getvalue()


def only(library: ModelLibrary) -> ModelFile:
    library.refresh("lora")
    return library.list("lora")[0]


def test_a_preview_becomes_a_small_webp_without_its_texts(made: Made) -> None:
    library, thumbnails, folder = made
    text = PngInfo()
    text.add_text("parameters", "a secret prompt")
    (folder / "style.preview.png").write_bytes(picture(1000, 1500, "red", pnginfo=text))
    path = thumbnails.of(only(library))
    assert path is not None
    assert b"secret" not in path.read_bytes()
    with Image.open(path) as small:
        assert (small.format, small.size) == ("WEBP", (320, 480))
        assert small.convert("RGB").getpixel((100, 100))[0] > 240  # type: ignore[index]
    assert path.stat().st_size < 5000


def test_it_is_made_once_and_again_when_the_preview_changes(made: Made) -> None:
    library, thumbnails, folder = made
    preview = folder / "style.png"
    preview.write_bytes(picture(64, 64, "red"))
    first = thumbnails.of(only(library))
    assert first is not None
    before = first.stat().st_mtime_ns
    assert thumbnails.later(only(library)).result() == first
    assert first.stat().st_mtime_ns == before
    preview.write_bytes(picture(64, 48, "blue"))
    second = thumbnails.of(only(library))
    assert second is not None
    assert second != first
    assert [path for path in second.parent.parent.rglob("*") if path.is_file()] == [second]


@pytest.mark.parametrize("key", ["ssmd_cover_images", "modelspec.thumbnail"])
def test_an_embedded_cover_serves_where_nothing_lies_beside(made: Made, key: str) -> None:
    library, thumbnails, folder = made
    cover = base64.b64encode(picture(600, 300, "green", "JPEG")).decode()
    value = json.dumps([cover, "x"]) if key == "ssmd_cover_images" else f"data:image/jpeg;base64,{cover}"
    write_safetensors(folder / "style.safetensors", lora(768), metadata={key: value})
    path = thumbnails.of(only(library))
    assert path is not None
    with Image.open(path) as small:
        assert small.size == (320, 160)


@pytest.mark.parametrize(
    "data",
    [b"no picture", b"", b'<svg xmlns="http://www.w3.org/2000/svg"/>', picture(64, 64, "red")[:60]],
    ids=["text", "empty", "svg", "torn"],
)
def test_what_is_no_picture_has_no_thumbnail_and_is_remembered_so(made: Made, data: bytes) -> None:
    library, thumbnails, folder = made
    (folder / "style.png").write_bytes(data)
    assert thumbnails.of(only(library)) is None
    kept = list((folder.parents[1] / "kept").rglob("*.webp"))
    assert [path.stat().st_size for path in kept] == [0]


def test_a_bomb_is_not_unpacked(made: Made) -> None:
    library, thumbnails, folder = made
    # 40,000 x 40,000 pixels in a header, over a few bytes of data.
    bomb = bytearray(picture(8, 8, "red"))
    bomb[16:24] = (40_000).to_bytes(4, "big") * 2
    (folder / "style.png").write_bytes(bytes(bomb))
    assert thumbnails.of(only(library)) is None


def test_covers_that_are_nonsense_are_none(made: Made) -> None:
    library, thumbnails, folder = made
    for value in ("[1]", "[", '["%%%"]', "{}", '[""]'):
        write_safetensors(folder / "style.safetensors", lora(768), metadata={"ssmd_cover_images": value, "n": value})
        assert thumbnails.of(only(library)) is None
