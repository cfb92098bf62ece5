"""An embedding hidden in a PNG is listed with its measures; other pictures among the embeddings are no models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.files import EMBEDDING, EmbeddingFacts, Folders, ModelLibrary
from app.files.picture_embedding import embedding_in
from tests.files.making import embedding, picture


def test_its_measures_are_told_without_its_pixels(tmp_path: Path) -> None:
    path = picture(tmp_path / "cat.png", embedding(3, 768))
    assert embedding_in(path) == EmbeddingFacts(3, (768,), "300", "photo", "cat")


@pytest.mark.parametrize(
    "content",
    [{}, [], {"string_to_param": {}}, {"string_to_param": {"*": {"TORCHTENSOR": []}}}, {"string_to_param": 3}],
)
def test_strange_contents_are_no_embedding(tmp_path: Path, content: Any) -> None:
    assert embedding_in(picture(tmp_path / "a.png", content)) is None
    assert embedding_in(picture(tmp_path / "a.png", text="no base64 at all!")) is None


@pytest.mark.parametrize("cut", [0, 7, 20, 60, 200])
def test_a_picture_cut_off_is_no_embedding(tmp_path: Path, cut: int) -> None:
    path = picture(tmp_path / "a.png", embedding(1, 768))
    path.write_bytes(path.read_bytes()[:cut])
    assert embedding_in(path) is None


def test_the_library_lists_those_with_an_embedding_and_leaves_out_the_others(tmp_path: Path) -> None:
    folders = Folders.of(data_dir=tmp_path, program_dir=tmp_path / "program")
    folders.create()
    place = folders.embeddings[0]
    picture(place / "cat.png", embedding(2, 1024))
    picture(place / "cat.preview.png")
    (place / "broken.png").write_bytes(b"")
    library = ModelLibrary(folders, folders.state / "library.sqlite")
    (entry,) = library.list(EMBEDDING)
    assert (entry.name, entry.family, entry.problem, entry.stem) == ("cat.png", "SD2", None, "cat")
    assert library.find("cat", EMBEDDING) == entry
    picture(folders.loras[0] / "cat.png", embedding(2, 768))
    assert library.list("lora") == ()
